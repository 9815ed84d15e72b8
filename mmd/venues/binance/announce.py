"""Which news of a book its readers are woken for; quantities are read, not announced. Pure."""

from __future__ import annotations

from mmd.venues.binance.book import FeedState

_SWEEP = 1e-4
"""A trade so far beyond the best price tells that the book is about to follow: 1 bp."""


class Announcer:
    """Remembers what the readers were woken for last."""

    def __init__(self, state: FeedState, volume_step_e8: int) -> None:
        """`volume_step_e8`: readers are woken when this much was traded; 0: never for that."""
        self._prices, self._volume_e8 = state.prices, state.volume_e8
        self._trade_price = state.last_trade_price
        self._step_e8 = volume_step_e8

    def is_due(self, state: FeedState) -> bool:
        """Whether to wake them: for a price, a validity, a trade beyond the best price, or enough
        volume. True counts as done."""
        prices, volume_e8 = state.prices, state.volume_e8
        due = prices != self._prices
        if state.last_trade_price != self._trade_price:
            self._trade_price = state.last_trade_price
            due = due or _is_swept(state)
        due = due or (self._step_e8 > 0 and abs(volume_e8 - self._volume_e8) >= self._step_e8)
        if due:
            self._prices, self._volume_e8 = prices, volume_e8
        return due


def _is_swept(state: FeedState) -> bool:
    _, bid, ask = state.prices
    trade = state.last_trade_price
    return trade <= bid * (1 - _SWEEP) or trade >= ask * (1 + _SWEEP)
