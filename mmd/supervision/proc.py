"""What /proc says of a process, and the list of processes that a killed parent left."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Stat(NamedTuple):
    """A few fields of /proc/PID/stat."""

    state: str
    """`R`, `S`, `D`; `T` or `t` when stopped; `Z` for a zombie."""
    started: int
    """Clock ticks after the boot; with the pid it names a process for good."""


def stat(pid: int) -> Stat | None:
    """None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return Stat(fields[0], int(fields[19]))


def is_frozen(pid: int) -> bool:
    """Stopped by a signal or a debugger."""
    seen = stat(pid)
    return seen is not None and seen.state in "Tt"


def has_children(pid: int) -> bool:
    """True as well where the kernel does not tell."""
    try:
        return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    except OSError:
        return True


def resident_mb(pid: int) -> float:
    """Resident memory without mapped files, in MB; pages still shared with the parent count."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[1]) - int(fields[2])) * _PAGE_MB


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Roll:
    """The children alive, on disk, so that the next parent can end what a killed one left.

    Written in place, by one call, which a kill does not cut in two: to put a new file into an old
    one's place waits for the disk, once for each child. After a power cut nobody needs it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot_id = boot_id()
        self._alive: dict[int, int] = {}
        self._length = 0
        """Of what was written last: a shorter text must cover it."""

    def add(self, pid: int) -> None:
        seen = stat(pid)
        if seen is not None:
            self._alive[pid] = seen.started
            self._save()

    def remove(self, pid: int) -> None:
        if self._alive.pop(pid, None) is not None:
            self._save()

    def end_leftovers(self, patience_s: float = 2.0) -> list[int]:
        """Kills what an earlier life of the parent left alive; returns the pids.

        Waits for their deaths. To be called by the holder of the parent's lock, before it forks.
        """
        killed = []
        for pid, started in self._load().items():
            try:
                pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                seen = stat(pid)
                if seen is None or seen.started != started or seen.state == "Z":
                    continue
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                killed.append(pid)
                select.select([pidfd], [], [], patience_s)
            finally:
                os.close(pidfd)
        self._save()
        return killed

    def _load(self) -> dict[int, int]:
        try:
            text = self._path.read_text()
            self._length = len(text)
            boot, alive = json.loads(text)
        except (FileNotFoundError, ValueError):
            return {}
        return (
            {int(pid): started for pid, started in alive.items()} if boot == self._boot_id else {}
        )

    def _save(self) -> None:
        text = json.dumps([self._boot_id, self._alive]).ljust(self._length)
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(fd, text.encode(), 0)
            finally:
                os.close(fd)
            self._length = len(text)
        except OSError as error:  # a full disk must not end the parent
            log.warning("%s can't be written: %s", self._path, error)
