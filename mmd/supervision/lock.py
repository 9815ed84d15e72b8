"""Locks on files: one parent per `var/`, one worker or sweep per pair.

`lockf`, not `flock`: it belongs to the process, so that a forked child does not keep it alive.
Its trap: a process that closes any descriptor of the file loses the lock, hence `holder` must
not be called by the one who holds it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from mmd.words.errors import Exit, Unavailable

# struct flock on 64-bit Linux: short type, short whence, (padding,) off_t start, off_t len, pid_t.
_FLOCK = "hhqqi4x"


class LockHeld(Unavailable):
    """Another process holds the lock."""

    exit_code = Exit.FAILED

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"{path} is locked by process {pid or 'unknown'}")
        self.pid = pid


class Lock:
    """A held lock; let go by `release`, or by the end of the process."""

    def __init__(self, path: Path) -> None:
        """Takes the lock at once. Raises LockHeld when somebody else has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = _holder(self.fd)
            os.close(self.fd)
            raise LockHeld(path, pid) from None

    def release(self) -> None:
        os.close(self.fd)


def holder(path: Path) -> int | None:
    """The pid of the process that holds the lock, if any."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return _holder(fd)
    finally:
        os.close(fd)


def _holder(fd: int) -> int | None:
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, question))
    return None if answer[0] == fcntl.F_UNLCK else answer[4]
