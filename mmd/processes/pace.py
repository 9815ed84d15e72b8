"""How fast counters grow: messages of feeds and rates, requests of pairs. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mmd.processes.sight import Sight

_WINDOW_NS = 5_000_000_000
_LEAST_NS = 900_000_000


@dataclass
class Pace:
    """Looks at the counters again and again; tells their growth over the last seconds."""

    _seen: deque[tuple[int, dict[str, int]]] = field(default_factory=deque)

    def take(self, sight: Sight) -> None:
        counts = {name: health.messages for name, health in sight.health.items()}
        counts |= {f"pairs:{slug}": quotes.requests for slug, quotes in sight.quotes.items()}
        self._seen.append((sight.now_ns, counts))
        while len(self._seen) > 2 and sight.now_ns - self._seen[1][0] >= _WINDOW_NS:
            self._seen.popleft()

    def per_s(self, name: str) -> float | None:
        """Messages of a feed or rate, requests of a pair; None until it was seen long enough."""
        if len(self._seen) < 2:
            return None
        (first_ns, first), (last_ns, last) = self._seen[0], self._seen[-1]
        if last_ns - first_ns < _LEAST_NS or name not in first or name not in last:
            return None
        grown = max(0, last[name] - first[name])  # a pair's count starts anew with its process
        return grown / ((last_ns - first_ns) / 1e9)
