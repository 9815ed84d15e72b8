"""The status block: what the parent shows, in a plain mapped file that outlives it.

`var/run/status` holds one cell: when it was written, and JSON. Its readers (the supervisorctl
plugin, `mmd status`) never wait for anybody, and see the last rows of a parent that is gone.

Standard library only: this module is loaded into supervisord.
"""

from __future__ import annotations

import json
import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmd.cells.cell import Cell, CellBusyError, open_cell

_TEXT_BYTES = 128 << 10  # about 400 rows
_FORMAT = f"=qI{_TEXT_BYTES}s"
_SIZE = Cell.size(_FORMAT)
SILENT_S = 2.0
"""A block older than this was written by a parent that hangs or is gone."""


class Row(NamedTuple):
    """One child, as shown to people."""

    name: str
    """As in `pairs:btc_twd`."""
    pid: int
    """0 when there is no process."""
    state: str
    """A value of `lifecycle.State`."""
    since: float
    """When the process started, or died; seconds since 1970."""
    restarts: int
    health: str
    log: str
    """Where its log is; may hold a `*` for the day."""
    error_log: str
    """What it wrote to stderr: last words and stack dumps."""


@dataclass(frozen=True)
class Block:
    """A reading of the status block."""

    age_s: float
    parent_pid: int
    parent_since: float
    parent_state: str
    """`running`, `stopping`, or `stopped` once the parent has left in good order."""
    is_supervised: bool
    """The parent leaves when supervisord does."""
    rows: tuple[Row, ...]

    @property
    def is_fresh(self) -> bool:
        """Whether the parent wrote it just now. False after a reboot as well."""
        return 0 <= self.age_s <= SILENT_S


class StatusWriter:
    """The parent's end."""

    def __init__(self, path: Path, *, is_supervised: bool = False) -> None:
        self._is_supervised = is_supervised
        if not path.exists() or path.stat().st_size != _SIZE:
            _make(path)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._mapping = mmap.mmap(fd, _SIZE)
        finally:
            os.close(fd)
        self._buffer = memoryview(self._mapping)
        self._cell = open_cell(self._buffer, 0, _FORMAT)

    def write(self, state: str, since: float, rows: list[Row]) -> None:
        """Publishes all rows; those that do not fit any more are left out."""
        head = [os.getpid(), since, state, self._is_supervised]
        text = json.dumps([head, rows], separators=(",", ":")).encode()
        while len(text) > _TEXT_BYTES:
            rows = rows[: len(rows) * 9 // 10]
            text = json.dumps([head, rows], separators=(",", ":")).encode()
        self._cell.write(time.monotonic_ns(), len(text), text)

    def close(self) -> None:
        self._cell.close()
        self._buffer.release()
        self._mapping.close()


def read(path: Path | str) -> Block | None:
    """The newest block; None when there is none yet, or it can't be made sense of."""
    try:
        with open(path, "rb") as file:
            mapping = mmap.mmap(file.fileno(), _SIZE, prot=mmap.PROT_READ)
    except (OSError, ValueError):
        return None
    buffer = memoryview(mapping)
    cell = open_cell(buffer, 0, _FORMAT)
    try:
        written_ns, length, text = cell.read()
        (pid, since, state, is_supervised), rows = json.loads(text[:length])
        age_s = (time.monotonic_ns() - written_ns) / 1e9
        return Block(age_s, pid, since, state, is_supervised, tuple(Row(*row) for row in rows))
    except (ValueError, TypeError, CellBusyError):
        return None
    finally:
        cell.close()
        buffer.release()
        mapping.close()


def _make(path: Path) -> None:
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, _SIZE)  # a full disk must not strike the mapping later
    finally:
        os.close(fd)
    temporary.rename(path)
