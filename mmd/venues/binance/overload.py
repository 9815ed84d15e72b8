"""Tells when a connection brings old news: then starting afresh beats draining it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Overload:
    """Watches one connection's lag and backlog.

    Lag is local wall clock minus the exchange's clock, so it contains the clocks' difference;
    only its growth over the connection's own minimum means anything.
    """

    lag_limit_ms: float = 1_000.0
    patience_ns: int = 2_000_000_000
    """Lag or backlog must stay over its limit for longer than this."""
    lag_ms: int = 0
    """Growth of the lag at the last message."""
    _least_lag_ms: int | None = None
    _lagging_since_ns: int | None = None
    _full_since_ns: int | None = None

    def lag(self, event_ms: int, wall_ms: int, now_ns: int) -> None:
        """A message that the exchange sent at `event_ms` was read at `wall_ms`."""
        lag = wall_ms - event_ms
        if self._least_lag_ms is None or lag < self._least_lag_ms:
            self._least_lag_ms = lag
        self.lag_ms = lag - self._least_lag_ms
        if self.lag_ms <= self.lag_limit_ms:
            self._lagging_since_ns = None
        elif self._lagging_since_ns is None:
            self._lagging_since_ns = now_ns

    def read(self, more: bool, now_ns: int) -> None:
        """A gulp was read, and more was waiting, or not."""
        if not more:
            self._full_since_ns = None
        elif self._full_since_ns is None:
            self._full_since_ns = now_ns

    def reason(self, now_ns: int) -> str | None:
        """Why the connection should be dropped, if it should."""
        if self._is_over(self._full_since_ns, now_ns):
            return "more arrives than can be read"
        if self._is_over(self._lagging_since_ns, now_ns):
            return "what arrives is old"
        return None

    def _is_over(self, since_ns: int | None, now_ns: int) -> bool:
        return since_ns is not None and now_ns - since_ns > self.patience_ns
