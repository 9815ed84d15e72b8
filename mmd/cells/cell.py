"""One record in shared memory with one writer and any number of readers.

A cell is an 8-byte counter and two payload slots. The writer fills the idle slot, then publishes
it by the counter; slot `counter & 1` is the published one. So:
  - a reader that sees the same counter before and after reading has read one whole record;
  - a writer killed half-way has touched the idle slot only: it harms nobody, and its
    replacement reads the counter and goes on.

The counter goes through `memoryview.cast("Q")` only: one aligned 8-byte move. `struct.pack_into`
zero-fills its target first, so a counter written by it would be read as 0 now and then.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable
from typing import Any, TypeVar, cast
from zlib import crc32

S = TypeVar("S")

_COUNTER_BYTES = 64  # a cache line of its own
_SLOT_ALIGN = 64
_MAX_READS = 10_000
_STRONG_MEMORY_ORDER = platform.machine().lower() in ("x86_64", "amd64", "i686")


class CellBusyError(RuntimeError):
    """The counter moved during every one of many reads: no real writer is that fast."""


class Cell:
    """A record of the given struct format at an offset of a buffer.

    Relies on stores becoming visible in order, as x86-64 keeps them.
    """

    def __init__(self, buffer: memoryview, offset: int, format: str) -> None:
        self._record = struct.Struct(format)
        slot_bytes = self.slot_bytes(format)
        self._buffer = buffer
        self._counter = buffer[offset : offset + 8].cast("Q")
        first = offset + _COUNTER_BYTES
        self._offsets = (first, first + slot_bytes)
        size = self._record.size
        self._slots = tuple(buffer[start : start + size] for start in self._offsets)

    @staticmethod
    def slot_bytes(format: str) -> int:
        needed = struct.calcsize(format) + 4  # room for a checksum
        return -(-needed // _SLOT_ALIGN) * _SLOT_ALIGN

    @classmethod
    def size(cls, format: str) -> int:
        """Bytes that a cell of this format takes; a multiple of 64."""
        return _COUNTER_BYTES + 2 * cls.slot_bytes(format)

    @property
    def counter(self) -> int:
        """How often the cell was written; looking at it costs 30 ns."""
        return self._counter[0]

    def write(self, *fields: Any) -> None:
        """Publishes a record. One process at a time may write."""
        counter = self._counter[0] + 1
        self._record.pack_into(self._buffer, self._offsets[counter & 1], *fields)
        self._counter[0] = counter

    def read(self) -> tuple[Any, ...]:
        """The newest record, whole; all zero if none was ever written.

        Raises CellBusyError if the counter moved during every one of 10,000 tries.
        """
        counters = self._counter
        for _ in range(_MAX_READS):
            counter = counters[0]
            fields = self._record.unpack_from(self._buffer, self._offsets[counter & 1])
            if counters[0] == counter:
                return fields
        raise CellBusyError("a cell's counter moved during every one of 10,000 reads")

    def reader(self, make: Callable[[tuple[Any, ...]], S]) -> Callable[[], S]:
        """`make` of what `read` gives, as one call; while nothing new is published, the same
        object as before. Made for hot loops: a closure that is given all it needs takes two
        thirds of the time of the methods."""
        counters, unpack, slots = self._counter, self._record.unpack, self._slots
        latest: tuple[int, S | None] = (-1, None)

        def read() -> S:
            nonlocal latest
            counter = counters[0]
            seen, state = latest
            if counter == seen:
                return cast(S, state)
            fields = unpack(slots[counter & 1])
            if counters[0] != counter:
                return make(self.read())
            state = make(fields)
            latest = (counter, state)  # one move: another thread sees both or neither
            return state

        return read

    def writer(self, flatten: Callable[[S], tuple[Any, ...]] | None) -> Callable[[S], None]:
        """`write` in the same manner: of what `flatten` makes of a state, if it is no tuple."""
        counters, pack_into, slots = self._counter, self._record.pack_into, self._slots

        def write(state: Any) -> None:
            counter = counters[0] + 1
            fields = flatten(state) if flatten else state
            pack_into(slots[counter & 1], 0, *fields)
            counters[0] = counter

        return write

    def close(self) -> None:
        """Lets go of the buffer, so that it can be unmapped."""
        self._counter.release()
        for slot in self._slots:
            slot.release()


class CheckedCell(Cell):
    """A cell for machines that reorder stores (ARM): a checksum over counter and record proves
    that the slot holds what the counter announced."""

    def write(self, *fields: Any) -> None:
        counter = self._counter[0] + 1
        payload = self._record.pack(*fields)
        start = self._offsets[counter & 1]
        end = start + len(payload)
        self._buffer[start:end] = payload
        checksum = crc32(payload, counter & 0xFFFFFFFF)
        self._buffer[end : end + 4] = checksum.to_bytes(4, "little")
        self._counter[0] = counter

    def read(self) -> tuple[Any, ...]:
        counters = self._counter
        for _ in range(_MAX_READS):
            counter = counters[0]
            start = self._offsets[counter & 1]
            end = start + self._record.size
            payload = bytes(self._buffer[start:end])
            checksum = int.from_bytes(self._buffer[end : end + 4], "little")
            if counters[0] != counter:
                continue
            if counter == 0 or checksum == crc32(payload, counter & 0xFFFFFFFF):
                return self._record.unpack(payload)
        raise CellBusyError("a cell's checksum was wrong in every one of 10,000 reads")

    def reader(self, make: Callable[[tuple[Any, ...]], S]) -> Callable[[], S]:
        return lambda: make(self.read())

    def writer(self, flatten: Callable[[S], tuple[Any, ...]] | None) -> Callable[[S], None]:
        def write(state: Any) -> None:
            self.write(*(flatten(state) if flatten else state))

        return write


def open_cell(buffer: memoryview, offset: int, format: str) -> Cell:
    """The kind of cell that this machine's memory order allows."""
    kind = Cell if _STRONG_MEMORY_ORDER else CheckedCell
    return kind(buffer, offset, format)
