"""The page's process: fifty browsers, one that does not read, and what dies around it."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mmd.processes.inquiry import Inquiry
from mmd.processes.web.hub import MOST_WAITING, Hub, Listener
from mmd.processes.web.view import History
from mmd.records.alerts import Kind, Spool
from mmd.words.errors import Unavailable
from tests.web.conftest import Site, record, running, seen


class Browser:
    """One that follows the events."""

    def __init__(self, site: Site, pair: str = "", *, buffer_bytes: int = 0) -> None:
        host, port = site.host.split(":")
        self._socket = socket.socket()
        if buffer_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.settimeout(5)
        self._socket.connect((host, int(port)))
        head = f"GET /events?pair={pair} HTTP/1.1\r\nHost: {site.host}\r\n\r\n"
        self._socket.sendall(head.encode())
        self._read = b""

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait_for(self, kind: str, patience_s: float = 5.0) -> object:
        """The document of the next event of that kind."""
        mark = f"event: {kind}\ndata: ".encode()
        until_s = time.monotonic() + patience_s
        while True:
            start = self._read.find(mark)
            end = self._read.find(b"\n\n", start)
            if start >= 0 and end >= 0:
                text = self._read[start + len(mark) : end]
                self._read = self._read[end:]
                return json.loads(_unchunked(text))
            assert time.monotonic() < until_s, f"no {kind}"
            piece = self._socket.recv(65_536)
            assert piece, "the page hung up"
            self._read += piece

    def is_dropped(self, patience_s: float) -> bool:
        """Whether the page hangs up though nothing was read."""
        poll = select.poll()
        poll.register(self._socket, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
        return bool(poll.poll(patience_s * 1000))


def _unchunked(text: bytes) -> bytes:
    """Events are sent whole in one chunk each, so nothing has to be cut out."""
    return text


def test_a_browser_gets_the_state_then_the_news(tmp_path: Path) -> None:
    record(tmp_path)
    with running(tmp_path) as site, Browser(site, "btc_twd") as browser:
        hello = browser.wait_for("hello")
        assert isinstance(hello, dict)
        assert hello["zone"] == "Asia/Taipei"
        ladder = browser.wait_for("ladder")
        assert isinstance(ladder, dict)
        assert [row["price"] for row in ladder["bids"]] == ["1966000"]
        Spool.of_home(tmp_path).put(Kind.STALL, "pairs:btc_twd", "no heartbeat")
        events = browser.wait_for("events")
        assert isinstance(events, list)
        assert events[0]["kind"] == "stall"


def test_the_ladder_is_what_the_pair_itself_says_once_it_answers(tmp_path: Path) -> None:
    record(tmp_path)
    inquiry, over = Inquiry(tmp_path / "run", "pairs:btc_twd"), threading.Event()
    orders = [
        {"number": "1", "state": "open", "price": "1965000", "remaining": "0.5"},
        {"number": "2", "state": "open", "price": "1965500.5", "remaining": "0.25"},
        {"number": "", "state": "sending", "price": "1965700", "remaining": "0.1"},
    ]
    bids = {"side": "bid", "levels": [{"order": one} for one in orders[1:]], "others": orders[:1]}
    sides = [bids, {"side": "ask", "levels": [{"level": 0}], "others": []}]

    def answer() -> None:
        while not over.wait(0.01):
            if inquiry.is_asked():
                inquiry.answer({"at_ns": time.monotonic_ns(), "sides": sides})

    pair = threading.Thread(target=answer)
    with running(tmp_path) as site:
        pair.start()
        try:
            with Browser(site, "btc_twd") as browser:
                ladder: Any = browser.wait_for("ladder")
                while ladder["asks"]:  # of the venue's list
                    ladder = browser.wait_for("ladder")
        finally:
            over.set()
            pair.join()
    assert [row["price"] for row in ladder["bids"]] == ["1965500.5", "1965000"]


def test_history_has_points_and_fills_of_that_pair_only(tmp_path: Path) -> None:
    record(tmp_path)
    with running(tmp_path) as site:
        until_s = time.monotonic() + 5
        while True:
            status, _, text = site.ask("/api/history/btc_twd")
            history = json.loads(text) if status == 200 else {"points": [], "fills": []}
            if len(history["points"]) > 1 and history["fills"]:
                break
            assert time.monotonic() < until_s
            time.sleep(0.05)
        assert history["points"][0][1:5] == [1_970_000, 1_972_000, 1_966_000.5, 1_976_000.5]
        assert [fill["side"] for fill in history["fills"]] == ["buy", "sell"]
        assert json.loads(site.ask("/api/history/eth_twd")[2])["fills"] == []
        assert site.ask("/api/history/nothing")[0] == 404
        assert site.ask("/api/history/..%2f..%2fetc")[0] == 404


def test_fifty_browsers_are_served_and_one_that_does_not_read_is_dropped(tmp_path: Path) -> None:
    with running(tmp_path, sample_s=0.1) as site:
        _fifty_and_a_deaf_one(site)


def _fifty_and_a_deaf_one(site: Site) -> None:
    big = seen()
    long = tuple(
        big.processes[0].__class__(f"pairs:p{n}_twd", n, "running", 0.0, 0, "x" * 3000)
        for n in range(1, 60)
    )
    site.sight = lambda: seen(processes=(*big.processes, *long))
    deaf = Browser(site, buffer_bytes=4096)
    browsers = [Browser(site) for _ in range(50)]
    try:
        deadline_s = time.monotonic() + 20
        while not deaf.is_dropped(0):
            for browser in browsers:
                assert browser.wait_for("now")
            assert time.monotonic() < deadline_s, "the deaf one was never dropped"
        for browser in browsers:
            assert browser.wait_for("now"), "the others go on"
        assert time.monotonic_ns() - site.health.read().heartbeat_ns < 1e9
    finally:
        deaf.__exit__()
        for browser in browsers:
            browser.__exit__()


def test_the_heart_beats_while_the_venue_and_the_records_are_away(site: Site) -> None:
    with Browser(site, "btc_twd") as browser:
        browser.wait_for("hello")
        for _ in range(10):
            time.sleep(0.1)
            assert time.monotonic_ns() - site.health.read().heartbeat_ns < 0.8e9


def test_a_taken_port_is_said_and_can_be_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site = Site(tmp_path, None)
        port = taken.getsockname()[1]
        job = site.job
        site.job = lambda: job().__class__(**{**job().__dict__, "port": port})  # type: ignore[method-assign]
        with pytest.raises(AssertionError, match=rf"127\.0\.0\.1:{port}"):
            site.start()
        (fault,) = site._fault
        assert isinstance(fault, Unavailable)
        site._fault.clear()
        site.close()


def test_a_listener_that_is_too_far_behind_is_dropped_and_others_are_not() -> None:
    async def story() -> None:
        hub = Hub()
        deaf, good = Listener(""), Listener("")
        hub.listeners |= {deaf, good}
        dropped = []
        for number in range(MOST_WAITING + 1):
            dropped += hub.send(b"%d" % number)
            good.queue.get_nowait()
        assert dropped == [deaf]
        assert deaf.queue.get_nowait() is None
        assert hub.send(b"more") == []

    asyncio.run(story())


def test_news_of_one_pair_go_to_those_who_look_at_it() -> None:
    async def story() -> None:
        hub = Hub()
        btc, eth = Listener("btc_twd"), Listener("eth_twd")
        hub.listeners |= {btc, eth}
        hub.send(b"ladder", "btc_twd")
        assert btc.queue.qsize() == 1
        assert eth.queue.empty()
        assert hub.watched == {"btc_twd", "eth_twd"}

    asyncio.run(story())


def test_deaths_and_restarts_are_on_the_time_line() -> None:
    history = History()
    calm = seen()
    assert history.take(calm) == []
    assert history.take(calm) == []
    one, *others = calm.processes
    dead = one.__class__(one.name, 0, "backing_off", 5.0, 0, "killed by SIGKILL")
    (event,) = history.take(seen(processes=(dead, *others)))
    assert (event["subject"], event["text"]) == (one.name, "killed by SIGKILL")
    back = one.__class__(one.name, 4242, "ready", 6.0, 1, "")
    (event,) = history.take(seen(processes=(back, *others)))
    assert (event["kind"], event["tone"]) == ("ready", "good")
    healthy = one.__class__(one.name, 4242, "running", 6.0, 1, "")
    assert history.take(seen(processes=(healthy, *others))) == []


def test_it_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    record(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    with running(tmp_path) as site, Browser(site, "btc_twd") as browser:
        browser.wait_for("ladder")
    until_s = time.monotonic() + 5
    while len(os.listdir("/proc/self/fd")) > before:
        assert time.monotonic() < until_s, os.listdir("/proc/self/fd")
        time.sleep(0.05)
