"""The cell: reading, writing, and reading while another process writes at full speed, beside a
bare struct call on the same memory."""

from __future__ import annotations

import multiprocessing
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import shared_memory

from bench.report import Table, median, spread
from mmd.cells.layouts import BOOK, BookState, StateCell
from mmd.words.errors import Unavailable

STATE = BookState(1, 61837.63, 3.78826, 61837.64, 1.54698, 50_093_239_212, 0, 10**15, 10**6, 0, 1)
_CALLS = 10_000
_BARE_AT = 1024
_BYTES = 4096


def measure(rounds: int) -> dict[str, list[float]]:
    """µs of CPU per call, by what is called; the loop around it is included."""
    memory = shared_memory.SharedMemory(create=True, size=_BYTES)
    assert memory.buf is not None
    buffer = memory.buf
    cell = StateCell(BOOK, buffer, 0)
    cell.write(STATE)
    figures: dict[str, list[float]] = {}
    try:
        bare = _bare_calls(buffer)
        calls: dict[str, Callable[[], object]] = {
            **bare,
            "cell write": partial(cell.write, STATE),
            "cell read, nothing new": cell.read,
        }

        def write_and_read() -> None:
            cell.write(STATE)
            cell.read()

        for _ in range(rounds):
            for name, call in calls.items():
                figures.setdefault(name, []).append(_per_call_us(call))
            both = _per_call_us(write_and_read) - figures["cell write"][-1]
            figures.setdefault("cell read", []).append(both)
            with _writer(memory.name):
                figures.setdefault("cell read, contended", []).append(_per_call_us(cell.read))
    finally:
        cell.close()
        memory.close()
        memory.unlink()
    return figures


def _bare_calls(buffer: memoryview) -> dict[str, Callable[[], object]]:
    record = struct.Struct(BOOK.format)
    fields = tuple(STATE)
    return {
        "bare struct write": partial(record.pack_into, buffer, _BARE_AT, *fields),
        "bare struct read": partial(record.unpack_from, buffer, _BARE_AT),
    }


def _per_call_us(call: Callable[[], object]) -> float:
    times = range(_CALLS)
    began_ns = time.thread_time_ns()
    for _ in times:
        call()
    return (time.thread_time_ns() - began_ns) / _CALLS / 1e3


@contextmanager
def _writer(name: str) -> Iterator[None]:
    """Another process that writes the cell as fast as it can."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_write_for_ever, args=(name,), daemon=True)
    process.start()
    time.sleep(0.05)
    if not process.is_alive():
        raise Unavailable("the writer died")
    try:
        yield
    finally:
        process.kill()
        process.join()


def _write_for_ever(name: str) -> None:
    memory = shared_memory.SharedMemory(name)
    assert memory.buf is not None
    cell = StateCell(BOOK, memory.buf, 0)
    while True:
        cell.write(STATE)


def table(figures: dict[str, list[float]], rounds: int) -> Table:
    result = Table("Cell", ["call", "µs", "ratio to bare struct", "wanted"])
    wanted = {
        "cell write": "≤ 0.5 µs",
        "cell read": "≤ 0.3 µs",
        "cell read, nothing new": "≤ 0.3 µs",
    }
    for name, values in figures.items():
        bare = figures["bare struct write" if "write" in name else "bare struct read"]
        ratio = median(values) / median(bare)
        result.add(name, spread(values, 3), f"{ratio:.2f}", wanted.get(name, ""))
    result.notes.append(f"{rounds} rounds of {_CALLS} calls; the loop around them is included")
    return result
