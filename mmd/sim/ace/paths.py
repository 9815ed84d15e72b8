"""Seeded price paths: what things are worth at a time, as pure functions of it.

Sums of sine waves: smooth, bounded, the same for the same seed, and at home in any restart, since
no state is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from mmd.words.market import Pair

_DIGITS = 10
USD_PRICES = {
    "BTC": 64000.0,
    "ETH": 3100.0,
    "USDT": 1.0,
    "SOL": 145.0,
    "XRP": 0.62,
    "DOGE": 0.12,
    "ADA": 0.45,
    "BNB": 580.0,
    "LTC": 71.0,
    "LINK": 13.5,
    "AVAX": 27.0,
    "DOT": 6.2,
}
"""Made-up starting prices of the right size."""
TWD_PER_USDT = 32.0


@dataclass(frozen=True, slots=True)
class _Wave:
    height: float
    """As a share of the price."""
    period_s: float
    phase: float


class Path:
    """The price of one thing: `middle`, with waves of the given heights (bps) and periods (s)."""

    def __init__(self, seed: str, middle: float, waves: tuple[tuple[float, float], ...]) -> None:
        random = Random(seed)
        self._middle = middle
        self._waves = [
            _Wave(bps / 1e4, period * random.uniform(0.8, 1.25), random.uniform(0, math.tau))
            for bps, period in waves
        ]

    def at(self, now_ms: int) -> float:
        seconds = now_ms / 1000
        sway = sum(
            w.height * math.sin(math.tau * seconds / w.period_s + w.phase) for w in self._waves
        )
        return self._middle * (1 + sway)


class RatePath:
    """USDT/TWD around 32: some 30 bps up and down over hours, a few over minutes."""

    def __init__(self, seed: int) -> None:
        waves = ((30.0, 14400.0), (10.0, 1800.0), (3.0, 240.0))
        self._path = Path(f"{seed} USDT/TWD", TWD_PER_USDT, waves)

    def at(self, now_ms: int) -> Decimal:
        return round(Decimal(self._path.at(now_ms)), _DIGITS)


class PairPaths:
    """Every coin in USD, and USDT/TWD: worth of any market, for a simulation on its own."""

    def __init__(self, seed: int) -> None:
        waves = ((150.0, 14400.0), (60.0, 1800.0), (15.0, 300.0), (4.0, 45.0), (1.0, 7.0))
        self._rate = RatePath(seed)
        self._coins = {
            name: Path(f"{seed} {name}", price, () if name == "USDT" else waves)
            for name, price in USD_PRICES.items()
        }

    def at(self, pair: Pair, now_ms: int) -> Decimal | None:
        """The fair price of a market; None where it is unknown."""
        coin = self._coins.get(pair.base)
        if coin is None:
            return None
        price = round(Decimal(coin.at(now_ms)), _DIGITS)
        if pair.quote == "TWD":
            return round(price * self._rate.at(now_ms), _DIGITS)
        return round(price / Decimal(self._coins[pair.quote].at(now_ms)), _DIGITS)
