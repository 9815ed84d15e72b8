"""Forks children and reports their deaths.

Through `multiprocessing`'s fork context, by name, since the default method differs between
Python versions: what the parent has loaded and frozen is shared, and a child is there in
milliseconds. Only ever from the parent's main thread: a child's death signal is tied to the
thread that forked it.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import signal
from collections.abc import Callable
from multiprocessing.context import ForkProcess

from mmd.supervision.child import BLOCKED_WHILE_FORKING, Birth, live
from mmd.supervision.proc import Roll

_fork = multiprocessing.get_context("fork")


class Nursery:
    """Where children come from."""

    def __init__(self, selector: selectors.BaseSelector, roll: Roll) -> None:
        self._selector = selector
        self._roll = roll

    def fork(self, birth: Birth, on_death: Callable[[int], None]) -> int:
        """Starts a child; returns its pid. `on_death` gets its exit code, or minus the signal.

        Raises OSError when the system has no room for another process.
        """
        process = _fork.Process(target=live, args=(birth,), name=birth.name, daemon=True)
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED_WHILE_FORKING)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_WHILE_FORKING)
        assert process.pid is not None
        pidfd = os.pidfd_open(process.pid)

        def reap() -> None:
            self._selector.unregister(pidfd)
            os.close(pidfd)
            pid, code = _reap(process)
            on_death(code)  # first of all: it may fork a replacement
            self._roll.remove(pid)

        self._selector.register(pidfd, selectors.EVENT_READ, reap)
        self._roll.add(process.pid)
        return process.pid


def _reap(process: ForkProcess) -> tuple[int, int]:
    """The pid and exit code of a dead process; its pid may be given out anew from here on."""
    process.join()  # it is dead, so this does not wait
    pid, code = process.pid, process.exitcode
    assert pid is not None
    assert code is not None
    process.close()
    return pid, code
