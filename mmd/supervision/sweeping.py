"""When to sweep what a dead child left on the venue: a state machine that touches nothing.

A sweep is a short-lived process that cancels and proves. Exit code 0 is its proof; anything else
is tried again, after a pause that doubles, until it is proven or the child takes over.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmd.words.errors import Exit

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should hear of."""

    text: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """Start a sweep, then call `sweep_started`, or `sweep_exited` if that failed."""


@dataclass(frozen=True, slots=True)
class KillSweep:
    """End the sweep at once; what it was about to cancel is cancelled later."""


class Sweeping:
    """Whether a child's orders still rest on the venue, and who is cancelling them."""

    def __init__(self, limit_s: float) -> None:
        self.dirty = True
        """Orders may rest there. True at first: nobody knows what an earlier life left."""
        self.pid: int | None = None
        self._limit_s = limit_s
        self._since = 0.0
        self._due = 0.0
        self._failures = 0

    @property
    def is_needed(self) -> bool:
        """Not proven yet that nothing is left."""
        return self.dirty or self.pid is not None

    @property
    def has_failed(self) -> bool:
        """The last attempt did not prove it."""
        return self.dirty and self._failures > 0

    def soil(self) -> None:
        """The child runs and may place orders."""
        self.dirty = True
        self._failures = 0
        self._due = 0.0

    def tick(self, now: float, *, may_begin: bool) -> list[Sweep | KillSweep]:
        """Lets time pass; `may_begin`: the child itself is not about to take over."""
        if self.pid is not None:
            return [KillSweep()] if now - self._since > self._limit_s else []
        if self.dirty and may_begin and now >= self._due:
            return [Sweep()]
        return []

    def started(self, now: float, pid: int) -> None:
        self.pid = pid
        self._since = now

    def exited(self, now: float, code: int) -> list[Alert]:
        """The sweep is dead. A negative code is a signal's number."""
        self.pid = None
        if code == Exit.DONE:
            self.dirty = False
            self._failures = 0
            return []
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures, 30))
        self._failures += 1
        self._due = now + pause
        if code == Exit.ORDERS_LEFT:
            return [Alert("orders are left on the venue; the sweep goes on trying")]
        return []
