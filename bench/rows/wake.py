"""The wake-up: from the feed ringing its bell to the first line of the pair's decision, in mmd as
it runs, beside a bare eventfd between two processes."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import shared_memory
from pathlib import Path

from bench.clients import stamped_mmd
from bench.market import frame, ticker
from bench.memory import Memory
from bench.report import Table, median, percentile
from bench.rows.ticks import PAIR, PLAIN, SYMBOL, Mmd, prices_of, running, wait_for_quotes
from bench.sink import sink
from bench.stream import Sender
from mmd.cells.layouts import BOOK, BookState, BookStatus, StateCell
from mmd.cells.wake import Bell, Watch

_PAUSE_S = 0.004
"""Between two rings: the reader is asleep again."""
_BYTES = 1 << 20
_LOG_AT = 4096
_FORK = multiprocessing.get_context("fork")

Reader = Callable[[Bell, shared_memory.SharedMemory], None]


BARE, EPOLL, PAIR_WAKES = "bare eventfd, blocking read", "mmd's bell and watch", "mmd's pair"


class StampedMmd(Mmd):
    """mmd that stamps each ring of its feed and each decision of its pair."""

    module = "bench.clients.stamped_mmd"


def measure(rounds: int, rings: int) -> dict[str, list[list[float]]]:
    """µs from the ringing to the reader's stamp, by reader and round."""
    figures: dict[str, list[list[float]]] = {BARE: [], EPOLL: [], PAIR_WAKES: []}
    for _ in range(rounds):
        figures[BARE].append(_round(_bare_reader, rings))
        figures[EPOLL].append(_round(_watch_reader, rings))
        figures[PAIR_WAKES].append(_pair_round(rings))
    return figures


def measure_bells(rings: int) -> tuple[list[float], list[float]]:
    """One round of the bare eventfd and of mmd's bell alone."""
    return _round(_bare_reader, rings), _round(_watch_reader, rings)


def _pair_round(rings: int) -> list[float]:
    """mmd as it runs; the price moves too little for an order to follow."""
    with (
        tempfile.TemporaryDirectory(prefix="mmd-bench-") as name,
        sink(Path(name), [PAIR]) as venue,
    ):
        rung, decided = Memory(Path(name) / "rung"), Memory(Path(name) / "decided")
        os.environ[stamped_mmd.FOLDER] = name
        with Sender() as sender, running(StampedMmd(), sender.url, venue.url, PLAIN):
            sender.accept()
            wait_for_quotes(sender, venue.log, PLAIN)
            first, count = rung.count, venue.log.count
            bid, _ = prices_of(0, PLAIN)
            for number in range(rings):
                time.sleep(_PAUSE_S)
                price = bid + 0.01 * (number % 2)
                text = ticker(SYMBOL, 10_000 + number, f"{price:.8f}", f"{price + 0.05:.8f}")
                sender.send(frame(text))
            time.sleep(0.1)
            assert venue.log.count == count
            times = [at_ns for *_, at_ns in decided.stamps()]
            woken = []
            for *_, rung_ns in rung.stamps(first):
                index = bisect_right(times, rung_ns)
                if index < len(times):
                    woken.append((times[index] - rung_ns) / 1e3)
        rung.close()
        decided.close()
        return woken


def _round(reader: Reader, rings: int) -> list[float]:
    memory = shared_memory.SharedMemory(create=True, size=_BYTES)
    assert memory.buf is not None
    cell = StateCell(BOOK, memory.buf, 0)
    log = memory.buf[_LOG_AT:].cast("q")
    bell = Bell()
    if reader is _bare_reader:
        os.set_blocking(bell.fd, True)
    process = _FORK.Process(target=reader, args=(bell, memory), daemon=True)
    process.start()
    try:
        time.sleep(0.2)
        times = []
        for number in range(1, rings + 1):
            time.sleep(_PAUSE_S)
            began_ns = time.monotonic_ns()
            cell.write(BookState(BookStatus.VALID, 1.0, 1.0, 2.0, 1.0, number))
            bell.ring()
            while not log[number]:
                time.sleep(0.0005)
            times.append((log[number] - began_ns) / 1e3)
        return times
    finally:
        process.kill()
        process.join()
        bell.close()
        log.release()
        cell.close()
        memory.close()
        memory.unlink()


@contextmanager
def _reading(memory: shared_memory.SharedMemory) -> Iterator[Callable[[], None]]:
    """What every reader does when it wakes: reads the cell, then stamps."""
    assert memory.buf is not None
    cell = StateCell(BOOK, memory.buf, 0)
    log = memory.buf[_LOG_AT:].cast("q")

    def stamp() -> None:
        number = cell.read().update_id
        log[number] = log[number] or time.monotonic_ns()

    yield stamp


def _bare_reader(bell: Bell, memory: shared_memory.SharedMemory) -> None:
    with _reading(memory) as stamp:
        while True:
            os.eventfd_read(bell.fd)
            stamp()


def _watch_reader(bell: Bell, memory: shared_memory.SharedMemory) -> None:
    watch = Watch(bell)
    with _reading(memory) as stamp:
        while True:
            watch.wait(60)
            stamp()


def table(figures: dict[str, list[list[float]]]) -> Table:
    result = Table("Wake-up", ["reader", "p50, µs", "p99, µs", "p50 to bare eventfd", "wanted"])
    bare = median([median(times) for times in figures[BARE]])
    for name, rounds in figures.items():
        p50 = median([median(times) for times in rounds])
        p99 = median([percentile(times, 99) for times in rounds])
        wanted = "≤ 1.5" if name == PAIR_WAKES else ""
        result.add(name, f"{p50:.1f}", f"{p99:.1f}", f"{p50 / bare:.2f}", wanted)
    result.notes.append(
        f"{len(figures[BARE])} rounds of {len(figures[BARE][0])} rings, {_PAUSE_S * 1e3:.0f} ms "
        "apart; medians over the rounds"
    )
    return result
