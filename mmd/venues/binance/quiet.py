"""Tells a quiet symbol from a dead stream: a bookTicker stream may rightly say nothing for long,
so its silence proves nothing, but a price at REST that differs twice does. Pure."""

from __future__ import annotations

from dataclasses import dataclass

Top = tuple[float, float, float, float]
_STRIKES = 2


@dataclass(slots=True)
class Quiet:
    """Watches the silence of one connection's bookTickers."""

    quiet_ns: int
    """Silence after which REST is asked, and then as often again. Asking costs 2 of the 6,000
    units that an address has in a minute, so this need not be learnt per symbol."""
    recheck_ns: int
    """Time between two questions once an answer differed."""
    asked_ns: int
    """When REST was last asked; to begin with, when the connection was opened."""
    _strikes: int = 0

    def wants_check(self, last_ticker_ns: int, now_ns: int) -> bool:
        """Whether REST should be asked now."""
        if last_ticker_ns > self.asked_ns:
            self._strikes = 0
        since_ns = max(last_ticker_ns, self.asked_ns)
        return now_ns - since_ns >= (self.recheck_ns if self._strikes else self.quiet_ns)

    def asked(self, now_ns: int) -> None:
        """REST is being asked, or could not be."""
        self.asked_ns = now_ns

    def is_dead(self, ours: Top, theirs: Top, last_ticker_ns: int) -> bool:
        """Takes REST's answer; True if the stream must be dead."""
        if ours == theirs or last_ticker_ns > self.asked_ns:
            self._strikes = 0
            return False
        self._strikes += 1
        return self._strikes >= _STRIKES
