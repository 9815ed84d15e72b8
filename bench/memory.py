"""The memory that a measured reader shares with the benchmark. Standard library only.

Where things lie: a cell of mmd at 0; the plain 128-byte record of other readers; then the log of
stamps, one for each time that something was published after SIGUSR1 came.
"""

from __future__ import annotations

import mmap
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = struct.Struct("=QddddQQQQQQdQqqq")
"""As in mmd's book cell, 128 bytes, so that all readers store the same amount."""
RECORD_AT = 1024
_UPDATE_ID, _TRADE_ID = 5, 12
_COUNT_AT = 2048
_LOG_AT = 4096
_LOG_ROWS = 200_000
SIZE = _LOG_AT + 24 * _LOG_ROWS


class Memory:
    """The mapped file. The benchmark makes it, the reader opens it."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(b"")
            with path.open("r+b") as file:
                file.truncate(SIZE)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)
        self.buffer = memoryview(self._map)
        self._count = self.buffer[_COUNT_AT : _COUNT_AT + 8].cast("q")
        self._log = self.buffer[_LOG_AT:SIZE].cast("q")

    def record(self) -> tuple[Any, ...]:
        """The plain record, as it stands."""
        return RECORD.unpack_from(self.buffer, RECORD_AT)

    def progress(self) -> tuple[int, int]:
        """Newest update id and newest trade id in the plain record."""
        record = self.record()
        return record[_UPDATE_ID], record[_TRADE_ID]

    def stamp(self, update_id: int, trade_id: int) -> None:
        """Logs that this was published just now."""
        log, index = self._log, self._count[0]
        now_ns = time.monotonic_ns()
        at = 3 * index
        log[at], log[at + 1], log[at + 2] = update_id, trade_id, now_ns
        self._count[0] = index + 1

    def stamps(self, start: int = 0) -> list[tuple[int, int, int]]:
        """Update id, trade id and time of what was published, from one on."""
        rows = self._log[3 * start : 3 * self._count[0]].tolist()
        return list(zip(rows[::3], rows[1::3], rows[2::3], strict=True))

    @property
    def count(self) -> int:
        """How many stamps there are."""
        return self._count[0]

    def close(self) -> None:
        """Unmaps the file."""
        self._count.release()
        self._log.release()
        self.buffer.release()
        self._map.close()


def taker(memory: Memory) -> Callable[[dict[str, Any]], None]:
    """What every reader but mmd's does with a decoded bookTicker or trade. Closures, because
    their variables are the fastest that Python has."""
    pack_into, buffer, stamp = RECORD.pack_into, memory.buffer, memory.stamp
    bid = bid_qty = ask = ask_qty = volume = price = 0.0
    update_id = trade_id = trades = event_ms = 0
    stamping = False

    def start_stamping(_signal: int, _frame: object) -> None:
        nonlocal stamping
        stamping = True

    def take(data: dict[str, Any]) -> None:
        nonlocal bid, bid_qty, ask, ask_qty, volume, price, update_id, trade_id, trades, event_ms
        if "u" in data:
            update_id = data["u"]
            bid, bid_qty = float(data["b"]), float(data["B"])
            ask, ask_qty = float(data["a"]), float(data["A"])
        else:
            trade_id = data["t"]
            price = float(data["p"])
            volume += float(data["q"])
            trades += 1
            event_ms = data["E"]
        # The volume fills one of the integer fields: 128 bytes are 128 bytes.
        pack_into(
            buffer, RECORD_AT, 1, bid, bid_qty, ask, ask_qty, update_id,
            0, int(volume * 1e8), trades, 0, 0, price, trade_id, 0, 0, event_ms,
        )  # fmt: skip
        if stamping:
            stamp(update_id, trade_id)

    signal.signal(signal.SIGUSR1, start_stamping)
    return take
