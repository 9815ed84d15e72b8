"""What a child is allowed before the parent acts. All times in seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the parent is with one child."""

    stall_s: float = 1.0
    """The longest silence of the heart once the child is ready."""
    progress_s: float = 10.0
    """The longest time that work may wait without any of it getting done."""
    start_s: float = 20.0
    """The longest silence of the heart while the child starts."""
    stop_s: float = 15.0
    """From TERM to KILL."""
    healthy_s: float = 30.0
    """Ready for this long: earlier failures are forgotten."""
    restarts: int = 10
    """More failures than this within `within_s` and the child is parked."""
    within_s: float = 60.0
    backoff_s: float = 0.25
    """The second restart in a row waits up to this; each further one up to twice as long."""
    backoff_cap_s: float = 10.0
    overflows: int = 20
    """More overflows than this within `overflow_within_s` and the child is restarted."""
    overflow_within_s: float = 60.0
    memory_mb: float = 200.0
    sweep_s: float = 30.0
    """A sweep that takes longer is killed and tried again."""


BACKOFF_FLOOR_S = 0.05


def backoff(failures: int, limits: Limits, luck: float) -> float:
    """How long to wait after that many failures in a row. `luck` is random in [0, 1).

    The first restart comes at once; then full jitter under a doubling, capped ceiling, so that
    children that died together do not come back together.
    """
    if failures <= 1:
        return 0.0
    doublings = min(failures - 2, 30)
    ceiling = min(limits.backoff_cap_s, limits.backoff_s * 2.0**doublings)
    return max(BACKOFF_FLOOR_S, luck * ceiling)


@dataclass(slots=True)
class Tally:
    """Counts events within a sliding window of time."""

    within_s: float
    _times: deque[float] = field(default_factory=deque)

    def add(self, now: float, count: int = 1) -> int:
        """Notes events; returns how many there were within the window."""
        self._times.extend([now] * count)
        while self._times and now - self._times[0] > self.within_s:
            self._times.popleft()
        return len(self._times)

    def clear(self) -> None:
        self._times.clear()
