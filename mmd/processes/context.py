"""What every child process is given: its name, its heart, its stop signal, its parent.

The parent's side prepares the process (descriptors, signals, death signal) before an entry point
sees any of this; see `mmd.supervision.child`.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from mmd.cells.layouts import HealthCell, HealthState, ParentCell, from_text

BEAT_EVERY_S = 0.1
"""How often a loop must come round at least; half of the lowest sensible stall limit or less."""


class Heart:
    """The child's own record of itself. Written by the loop that does the work, nobody else."""

    def __init__(self, cell: HealthCell) -> None:
        self._cell = cell
        before = cell.read()
        # Counters go on over restarts of the child, so that an operator sees their sum.
        self._state = before._replace(
            pid=os.getpid(), ready=0, connected=0, progress=0, waiting=0, last_error=b"", lag_ms=0
        )
        self.beat()

    @property
    def state(self) -> HealthState:
        return self._state

    def beat(self, **changes: Any) -> None:
        """Publishes a heartbeat, with changed fields of HealthState."""
        self._state = self._state._replace(heartbeat_ns=time.monotonic_ns(), **changes)
        self._cell.write(self._state)

    def ready(self) -> None:
        """Says once that the child does its job."""
        if not self._state.ready:
            self.beat(ready=1)

    def count_error(self, text: str) -> None:
        """Counts an error and shows its text in the status."""
        self._state = self._state._replace(
            errors=self._state.errors + 1, last_error=from_text(text)
        )
        self.beat()

    def count_overflow(self) -> None:
        self.beat(overflows=self._state.overflows + 1)


class Stop:
    """Set once the process is asked to leave: by TERM, or by the death of its parent."""

    def __init__(self) -> None:
        self._requested = False
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Becomes readable, and stays so, when stopping is requested."""

    @property
    def requested(self) -> bool:
        return self._requested

    def request(self) -> None:
        self._requested = True
        os.eventfd_write(self.fd, 1)

    def on_term(self) -> None:
        """Takes TERM over from its default, which ends the process at once."""

        def handle(_signal: int, _frame: FrameType | None) -> None:
            self.request()

        signal.signal(signal.SIGTERM, handle)


@dataclass(frozen=True)
class ParentLink:
    """The lease that a child holds on its parent."""

    cell: ParentCell
    pid: int
    pidfd: int
    """Becomes readable when the parent dies."""
    lease_s: float
    """A parent silent for this long counts as dead."""

    @property
    def is_dead(self) -> bool:
        """Whether the process has ended; a frozen one has not."""
        return bool(select.select([self.pidfd], [], [], 0)[0])

    def is_alive(self, now_ns: int) -> bool:
        """Whether the parent beat its heart within the lease."""
        return now_ns - self.cell.read().heartbeat_ns <= self.lease_s * 1e9


@dataclass(frozen=True)
class ChildContext:
    """What an entry point receives."""

    name: str
    """As in `pairs:btc_twd`."""
    heart: Heart
    stop: Stop
    parent: ParentLink
    home: Path
    """The folder that holds run-time files (`var/`)."""

    @property
    def parameters(self) -> Path:
        """The file from which a child reads its parameters anew when told to."""
        return self.home / "run" / f"{self.name.replace(':', '-')}.parameters"


Entry = Callable[[ChildContext], None]
"""Runs a child to its end. Returns when asked to stop; raises MmdError for what it can't mend,
and the process ends with that error's exit code."""
