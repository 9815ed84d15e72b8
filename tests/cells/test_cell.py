"""Cells: what a reader sees was written together; a dead writer harms nobody."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import struct
import time
from multiprocessing.sharedctypes import Synchronized

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.cells.cell import Cell, CellBusyError, CheckedCell

FORMAT = "=8Q"
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def buffer() -> memoryview:
    return memoryview(mmap.mmap(-1, 4096))


KINDS = pytest.mark.parametrize("kind", [Cell, CheckedCell])


@KINDS
def test_an_unwritten_cell_reads_as_zeros(kind: type[Cell], buffer: memoryview) -> None:
    assert kind(buffer, 0, FORMAT).read() == (0,) * 8


@KINDS
@given(records=st.lists(st.tuples(*[st.integers(0, 2**64 - 1)] * 8), min_size=1, max_size=20))
def test_a_reader_sees_the_last_record(kind: type[Cell], records: list[tuple[int, ...]]) -> None:
    buffer = memoryview(bytearray(4096))
    writer, reader = kind(buffer, 64, FORMAT), kind(buffer, 64, FORMAT)
    for record in records:
        writer.write(*record)
        assert reader.read() == record
    assert reader.counter == len(records)


@KINDS
def test_the_calls_for_hot_loops_do_the_same(kind: type[Cell], buffer: memoryview) -> None:
    cell = kind(buffer, 0, FORMAT)
    read, write = cell.reader(list), cell.writer(None)
    for number in range(5):
        write((number,) * 8)
        assert read() == [number] * 8
        assert cell.read() == (number,) * 8
        assert cell.counter == number + 1
    cell.writer(lambda state: tuple(reversed(state)))(range(8))
    assert read() == [7, 6, 5, 4, 3, 2, 1, 0]


@KINDS
def test_a_half_written_slot_is_never_seen(kind: type[Cell], buffer: memoryview) -> None:
    cell = kind(buffer, 0, FORMAT)
    cell.write(*range(8))
    idle = cell._offsets[(cell.counter + 1) & 1]
    struct.pack_into("=4Q", buffer, idle, 9, 9, 9, 9)  # a writer killed half-way
    assert cell.read() == cell.reader(tuple)() == tuple(range(8))
    replacement = kind(buffer, 0, FORMAT)
    replacement.write(*range(1, 9))
    assert cell.read() == tuple(range(1, 9))


def test_a_checked_cell_notices_a_slot_that_is_not_what_the_counter_announced(
    buffer: memoryview,
) -> None:
    cell = CheckedCell(buffer, 0, FORMAT)
    cell.write(*range(8))
    buffer[cell._offsets[1]] = 99
    with pytest.raises(CellBusyError):
        cell.read()


def _write_forever(buffer: memoryview) -> None:
    cell = Cell(buffer, 0, FORMAT)
    write, number = cell.writer(None), cell.counter
    while True:
        number += 1
        write((number,) * 8)


def _read_many(buffer: memoryview, reads: int, torn: Synchronized[int]) -> None:
    read = Cell(buffer, 0, FORMAT).reader(tuple)
    newest = 0
    for _ in range(reads):
        record = read()
        if len(set(record)) != 1 or record[0] < newest:
            torn.value += 1
        newest = record[0]


def test_no_torn_read_in_a_million_with_a_writer_at_full_speed(buffer: memoryview) -> None:
    torn = [FORK.Value("Q", 0, lock=False) for _ in range(2)]
    writer = FORK.Process(target=_write_forever, args=(buffer,))
    readers = [FORK.Process(target=_read_many, args=(buffer, 500_000, count)) for count in torn]
    writer.start()
    try:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    finally:
        writer.kill()
        writer.join()
    assert [reader.exitcode for reader in readers] == [0, 0]
    assert [count.value for count in torn] == [0, 0]
    assert Cell(buffer, 0, FORMAT).counter > 10_000


def test_a_writer_killed_at_any_instant_neither_blocks_nor_misleads(buffer: memoryview) -> None:
    cell = Cell(buffer, 0, FORMAT)
    for round_number in range(25):
        before = cell.counter
        writer = FORK.Process(target=_write_forever, args=(buffer,))
        writer.start()
        while cell.counter < before + 500 + 37 * round_number:
            time.sleep(0)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        record = cell.read()
        assert len(set(record)) == 1
        assert record[0] == cell.counter
