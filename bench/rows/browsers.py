"""Tick to order while fifty browsers watch the page, one of which does not read, beside none."""

from __future__ import annotations

import selectors
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.report import Table, median, percentile
from bench.rows.ticks import PLAIN, Course, Mmd, measure
from mmd.config.paths import Paths

BROWSERS = 50
_ALIKE = 1.1


class Watched(Mmd):
    """mmd with its page."""

    def __init__(self) -> None:
        self._home = Path()

    def run(self, stream_url: str, venue_url: str, course: Course, folder: Path) -> list[str]:
        command = super().run(stream_url, venue_url, course, folder)
        with (folder / "pairs.yaml").open("a") as file:
            file.write("web: {enabled: true, port: 0}\n")
        self._home = folder / "var"
        return command

    @contextmanager
    def watched_by(self, count: int) -> Iterator[None]:
        """So many browsers look at the pair; the first does not read."""
        address = urlsplit(Paths(self._home).web_address.read_text().strip())
        ask = f"GET /events?pair=btc_usdt HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode()
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            for number in range(count):
                browser = socket.create_connection((address.hostname, address.port), 10)
                stack.enter_context(browser)
                browser.sendall(ask)
                if not browser.recv(64).startswith(b"HTTP/1.1 200"):
                    raise ConnectionError("the page refuses a browser")
                if number:
                    selector.register(browser, selectors.EVENT_READ)
            ended = threading.Event()
            reader = threading.Thread(target=_read_all, args=(selector, ended))
            reader.start()
            try:
                yield
            finally:
                ended.set()
                reader.join()


def _read_all(selector: selectors.BaseSelector, ended: threading.Event) -> None:
    while not ended.is_set():
        for key, _ in selector.select(0.1):
            browser = key.fileobj
            assert isinstance(browser, socket.socket)
            if not browser.recv(1 << 20):
                selector.unregister(browser)


def table(rounds: int, ticks: int) -> Table:
    """Both in turn, round by round."""
    found: dict[int, list[list[float]]] = {0: [], BROWSERS: []}
    for number in range(rounds):
        for count, lives in found.items():
            print(f"bench: browsers round {number + 1}: {count}", file=sys.stderr)
            mmd = Watched()
            life = measure(mmd, PLAIN, ticks, lambda mmd=mmd, count=count: mmd.watched_by(count))
            lives.append(life.first_request)
    columns = ["browsers", "first request p50, ms", "p99, ms", "p99, ratio", "wanted"]
    result = Table("Tick to order under the eyes of browsers", columns)
    none_p99 = median([percentile(times, 99) for times in found[0]])
    for count, lives in found.items():
        p50, p99 = (median([percentile(times, n) for times in lives]) for n in (50, 99))
        wanted = f"≤ {_ALIKE}" if count else ""
        result.add(str(count), f"{p50:.2f}", f"{p99:.2f}", f"{p99 / none_p99:.2f}", wanted)
    result.notes.append(
        f"{rounds} rounds of {ticks} ticks; the page is served in both; one browser does not read; "
        "the browsers run on the same CPUs; medians over the rounds"
    )
    return result
