"""The exchange's record on disk: append-only JSON lines in segments, and the last checkpoint.

An entry is handed to the kernel before its reply is sent, so it outlives a kill of the process;
`sync` brings it to the disk, several times a second, for a cut of power. While the disk is full,
entries wait in memory.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from mmd.sim.ace.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from mmd.sim.ace.entries import Entry, read_entry
from mmd.words.errors import ConfigError

log = logging.getLogger(__name__)

SEGMENT_BYTES = 16 * 1024 * 1024
"""A restart reads at most about this much; a second or two."""
KEPT_BYTES = 512 * 1024 * 1024
"""Segments before the checkpoint are kept up to about this much together."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Record:
    """The record in one folder, locked against a second writer.

    Use: `load`, then `begin` with a checkpoint, then `append`. Raises ConfigError when the folder
    is in use or a line in the midst of it can't be read.
    """

    def __init__(
        self, folder: Path, segment_bytes: int = SEGMENT_BYTES, kept_bytes: int = KEPT_BYTES
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._kept_bytes = kept_bytes
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigError(f"{folder}: another simulated exchange writes here") from None
        self._file = -1
        self._size = 0
        self._unsynced = False
        self._waiting = bytearray()
        self.segment = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time for a checkpoint and a new segment."""
        return self._size >= self._segment_bytes and not self._waiting

    def load(self) -> tuple[Checkpoint | None, Iterator[Entry]]:
        """The last checkpoint, and the entries after it."""
        path = self.folder / "checkpoint.json"
        try:
            checkpoint = read_checkpoint(path.read_bytes())
        except FileNotFoundError:
            checkpoint = None
        except ValidationError as error:
            raise ConfigError(f"{path}: not a checkpoint: {error.title}") from error
        return checkpoint, self._entries_after(checkpoint)

    def begin(self) -> int:
        """Starts a new segment; entries go there from now on. Returns its number."""
        number = max([self.segment, *(number for number, _ in self._segments())]) + 1
        path = self.folder / f"record-{number:06d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fresh = os.open(path, flags, 0o600)
        self._close_segment()
        self._file, self._size, self.segment = fresh, 0, number
        return number

    def save(self, checkpoint: Checkpoint) -> None:
        """Replaces the checkpoint, and drops segments that are too old to keep."""
        path = self.folder / "checkpoint.json"
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(write_checkpoint(checkpoint))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        self._sync_folder()
        old = [path for number, path in self._segments() if number < checkpoint.segment]
        excess = sum(path.stat().st_size for path in old) - self._kept_bytes
        for path in old:
            if excess <= 0:
                break
            excess -= path.stat().st_size
            path.unlink()

    def append(self, entry: Entry) -> None:
        self._waiting += entry.line()
        self._flush()

    def sync(self) -> None:
        """Brings all that was appended to the disk. Blocks."""
        if self._unsynced:
            self._unsynced = False
            os.fdatasync(self._file)

    def retry(self) -> None:
        """Writes what had to wait for space, if there is some now."""
        if self._waiting:
            self._flush()

    def read(self, after: int) -> Iterator[Entry]:
        """The entries after number `after` that are still kept, from old to new."""
        paths = [path for _, path in self._segments()]
        while len(paths) > 1 and (first := _first_number(paths[1])) and first <= after + 1:
            del paths[0]
        for path in paths:
            with path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    entry = read_entry(line)
                    if entry.n > after:
                        yield entry

    def close(self) -> None:
        self._close_segment()
        os.close(self._lock)

    def _flush(self) -> None:
        try:
            while self._waiting:
                written = os.write(self._file, self._waiting)
                del self._waiting[:written]
                self._size += written
                self._unsynced = True
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            log.error("%s: no space left; %d bytes wait", self.folder, len(self._waiting))

    def _close_segment(self) -> None:
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1

    def _segments(self) -> list[tuple[int, Path]]:
        paths = sorted(self.folder.glob("record-*.jsonl"))
        return [(int(path.stem.removeprefix("record-")), path) for path in paths]

    def _entries_after(self, checkpoint: Checkpoint | None) -> Iterator[Entry]:
        first = checkpoint.segment if checkpoint else 0
        n = checkpoint.n if checkpoint else 0
        for number, path in self._segments():
            if number < first:
                continue
            for entry in _whole_entries(path):
                if entry.n > n:
                    yield entry

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _first_number(path: Path) -> int | None:
    """The number of a segment's first entry; None while it has none."""
    with path.open("rb") as file:
        line = file.readline()
    return read_entry(line).n if line.endswith(b"\n") else None


def _whole_entries(path: Path) -> Iterator[Entry]:
    """The entries of a segment. A torn end, as a crash leaves it, is cut off."""
    with path.open("rb+") as file:
        while line := file.readline():
            try:
                entry = read_entry(line)
            except ValidationError as error:
                torn_at = file.tell() - len(line)
                if file.read(1):
                    raise ConfigError(f"{path}: bad line at byte {torn_at}") from error
                file.truncate(torn_at)
                return
            if not line.endswith(b"\n"):
                file.write(b"\n")
            yield entry
