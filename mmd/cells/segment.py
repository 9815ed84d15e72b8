"""The shared-memory segment that holds all cells of one life of the parent.

The parent creates it, under a new name in each life; children inherit the mapping. A file in
`var/run` names the present one, so that the next life can remove what a killed one left. Inside,
after a fixed header, lies a directory (a cell itself, JSON) that says which cells there are, so
that an outsider can look without knowing the configuration.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
from contextlib import suppress
from multiprocessing import shared_memory
from pathlib import Path
from typing import TypeVar

from mmd.cells.cell import Cell, open_cell
from mmd.cells.layouts import Layout, StateCell
from mmd.words.errors import Unavailable

MAGIC = b"mmdcell1"
_DIRECTORY_OFFSET = 64
_DIRECTORY_FORMAT = "=I32764s"
_FIRST_CELL = _DIRECTORY_OFFSET + Cell.size(_DIRECTORY_FORMAT)
DEFAULT_BYTES = 2 << 20  # about 500 books with their health; pages are taken on first touch
NAME_FILE = "segment"

S = TypeVar("S")


class SegmentFullError(RuntimeError):
    """No room for another cell."""


class Segment:
    """All cells of one life. Make one with `create` (parent) or `look` (anyone, read-only)."""

    def __init__(self, name: str, buffer: memoryview, backing: object) -> None:
        self.name = name
        self._buffer = buffer
        self._backing = backing
        self._directory = open_cell(buffer, _DIRECTORY_OFFSET, _DIRECTORY_FORMAT)
        self._closers = [self._directory.close]

    @classmethod
    def create(cls, run_dir: Path, size: int = DEFAULT_BYTES) -> Segment:
        """Removes what a killed life left, then makes this life's segment.

        The caller must hold the parent's lock on `run_dir`.
        """
        remove_leftover(run_dir)
        name = f"mmd-{secrets.token_hex(8)}"
        _write_name(run_dir, name)  # before the segment exists: a death in between leaks nothing
        memory = shared_memory.SharedMemory(name, create=True, size=size)
        assert memory.buf is not None
        memory.buf[: len(MAGIC)] = MAGIC
        segment = cls(name, memory.buf, memory)
        segment._publish({})
        return segment

    @classmethod
    def look(cls, run_dir: Path) -> Segment:
        """Maps the present segment read-only. Raises Unavailable when there is none.

        Goes around `multiprocessing`, whose tracker would remove the segment when we exit.
        """
        name = _read_name(run_dir)
        if name is None:
            raise Unavailable("mmd is not running: there are no cells to look at")
        try:
            fd = os.open(f"/dev/shm/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Unavailable("mmd is not running: its cells are gone") from None
        try:
            mapping = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        buffer = memoryview(mapping)
        if buffer[: len(MAGIC)] != MAGIC:
            raise Unavailable(f"/dev/shm/{name} is not a segment of this version of mmd")
        return cls(name, buffer, mapping)

    def add(self, layout: Layout[S], name: str) -> StateCell[S]:
        """The cell of that kind and name, made if need be. Parent only.

        Raises SegmentFullError when no room is left.
        """
        directory = self._read_directory()
        key = f"{layout.kind}:{name}"
        if key not in directory:
            ends = [offset + size for offset, size in directory.values()]
            offset = max(ends, default=_FIRST_CELL)
            if offset + layout.size > len(self._buffer):
                raise SegmentFullError(f"no room for {key} in {len(self._buffer)} bytes")
            directory[key] = (offset, layout.size)
            self._publish(directory)
        return self.cell(layout, name)

    def cell(self, layout: Layout[S], name: str) -> StateCell[S]:
        """The existing cell of that kind and name. Raises KeyError when there is none."""
        offset, _ = self._read_directory()[f"{layout.kind}:{name}"]
        cell = StateCell(layout, self._buffer, offset)
        self._closers.append(cell.close)
        return cell

    def names(self, layout: Layout[S]) -> list[str]:
        """Names of all cells of a kind, in the order they were made."""
        kind = layout.kind + ":"
        return [key.removeprefix(kind) for key in self._read_directory() if key.startswith(kind)]

    def close(self) -> None:
        """Unmaps the segment; the segment itself stays."""
        for close in self._closers:
            close()
        self._closers.clear()
        self._buffer.release()
        if isinstance(self._backing, (shared_memory.SharedMemory, mmap.mmap)):
            self._backing.close()

    def remove(self, run_dir: Path) -> None:
        """Unmaps and removes the segment. Parent only, as the last thing it does."""
        backing = self._backing
        self.close()
        assert isinstance(backing, shared_memory.SharedMemory)
        with suppress(FileNotFoundError):
            backing.unlink()
        (run_dir / NAME_FILE).unlink(missing_ok=True)

    def _read_directory(self) -> dict[str, tuple[int, int]]:
        length, text = self._directory.read()
        return json.loads(text[:length]) if length else {}

    def _publish(self, directory: dict[str, tuple[int, int]]) -> None:
        text = json.dumps(directory, separators=(",", ":")).encode()
        if len(text) > 32764:
            raise SegmentFullError("no room in the segment's directory")
        self._directory.write(len(text), text)


def remove_leftover(run_dir: Path) -> str | None:
    """Removes the segment that a killed life left, if any; returns its name."""
    name = _read_name(run_dir)
    if name is None:
        return None
    path = Path("/dev/shm") / name
    existed = path.exists()
    path.unlink(missing_ok=True)
    (run_dir / NAME_FILE).unlink(missing_ok=True)
    return name if existed else None


def _read_name(run_dir: Path) -> str | None:
    try:
        name = (run_dir / NAME_FILE).read_text().strip()
    except FileNotFoundError:
        return None
    return name if name.startswith("mmd-") and "/" not in name else None


def _write_name(run_dir: Path, name: str) -> None:
    temporary = run_dir / f"{NAME_FILE}.new"
    temporary.write_text(name + "\n")
    temporary.rename(run_dir / NAME_FILE)
