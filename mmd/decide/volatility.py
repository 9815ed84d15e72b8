"""How much the price has moved lately, and where it stood on average. Time is an argument.

Both are statistics, not money, so they are floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_SAMPLE_NS = 100_000_000
"""Moves are taken over at least this long, so that the flicker of a book does not count."""
_LEAST_KNOWN_S = 10.0
"""A shorter history counts as this long, or its first move would count for too much."""
_LN2 = math.log(2)


@dataclass(slots=True)
class Volatility:
    """The standard deviation of the price's move within one second, in bps.

    Squared moves are summed with a weight that halves every `half_life_s`; their sum over the
    sum of the weights is the variance per second, at whatever moments prices come.
    """

    half_life_s: float
    _price: float = 0.0
    _at_ns: int = 0
    _since_ns: int = 0
    _squares: float = 0.0

    def update(self, price: float, now_ns: int) -> None:
        """Takes note of the price; too soon after the last time, it waits for the next call."""
        if not self._price:
            self._price, self._at_ns, self._since_ns = price, now_ns, now_ns
            return
        passed_ns = now_ns - self._at_ns
        if passed_ns < _SAMPLE_NS:
            return
        move_bps = (price / self._price - 1) * 1e4
        self._squares = self._squares * self._weight(passed_ns / 1e9) + move_bps * move_bps
        self._price, self._at_ns = price, now_ns

    def bps(self, now_ns: int) -> float:
        """The estimate now; it falls while nothing moves."""
        if not self._squares:
            return 0.0
        squares = self._squares * self._weight((now_ns - self._at_ns) / 1e9)
        known_s = max((now_ns - self._since_ns) / 1e9, _LEAST_KNOWN_S)
        weights = self.half_life_s / _LN2 * (1 - self._weight(known_s))
        return math.sqrt(squares / weights)

    def _weight(self, age_s: float) -> float:
        return math.exp(-_LN2 * max(age_s, 0.0) / self.half_life_s)


@dataclass(slots=True)
class MovingAverage:
    """The average of the price over time, with a weight that halves every `half_life_s`."""

    half_life_s: float
    value: float = 0.0
    """0 before the first price."""
    _price: float = 0.0
    _at_ns: int = 0

    def update(self, price: float, now_ns: int) -> None:
        """The former price held until now."""
        if not self._price:
            self.value = price
        else:
            passed_s = max(now_ns - self._at_ns, 0) / 1e9
            weight = math.exp(-_LN2 * passed_s / self.half_life_s)
            self.value = self._price + (self.value - self._price) * weight
        self._price, self._at_ns = price, now_ns
