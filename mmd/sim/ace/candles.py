"""What the public sees of trading: candles, last prices, volume of the last 24 hours."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from mmd.sim.ace.orders import PublicTrade
from mmd.words.market import Pair

MINUTE_MS = 60_000
DAY_MINUTES = 1440
_KEPT_MINUTES = 3 * DAY_MINUTES

DURATION_MINUTES = {
    1: 1,
    5: 5,
    10: 10,
    30: 30,
    60: 60,
    120: 120,
    240: 240,
    480: 480,
    720: 720,
    24: DAY_MINUTES,
    70: 7 * DAY_MINUTES,
    31: 31 * DAY_MINUTES,
}
"""ACE's candle durations: from the number on the wire to minutes."""


@dataclass(slots=True)
class Candle:
    """Trading within one span of time that begins at `start_ms`."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    """Base currency."""
    value: Decimal
    """Quote currency."""

    def add(self, later: Candle) -> None:
        """Takes a later candle in."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.value += later.value


class Tape:
    """Minute candles of every market, three days deep; trading before a restart is forgotten."""

    def __init__(self) -> None:
        self._minutes: dict[Pair, deque[Candle]] = {}

    def add(self, trade: PublicTrade) -> None:
        minutes = self._minutes.setdefault(trade.pair, deque(maxlen=_KEPT_MINUTES))
        start = trade.time_ms - trade.time_ms % MINUTE_MS
        price, amount = trade.price, trade.amount
        candle = Candle(start, price, price, price, price, amount, price * amount)
        if minutes and minutes[-1].start_ms >= start:
            minutes[-1].add(candle)
        else:
            minutes.append(candle)

    def last_price(self, pair: Pair) -> Decimal | None:
        minutes = self._minutes.get(pair)
        return minutes[-1].close if minutes else None

    def day_volume(self, pair: Pair, now_ms: int) -> tuple[Decimal, Decimal]:
        """Traded in the last 24 hours: base currency, quote currency."""
        since = now_ms - DAY_MINUTES * MINUTE_MS
        day = [c for c in self._minutes.get(pair, ()) if c.start_ms >= since]
        zero = Decimal(0)
        return sum((c.volume for c in day), zero), sum((c.value for c in day), zero)

    def candles(
        self, pair: Pair, minutes: int, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[Candle]:
        """The newest `limit` candles of the given length, from old to new. Empty spans are left
        out."""
        merged: list[Candle] = []
        span = minutes * MINUTE_MS
        for candle in self._minutes.get(pair, ()):
            begin = candle.start_ms - candle.start_ms % span
            if start_ms is not None and begin < start_ms:
                continue
            if end_ms is not None and begin > end_ms:
                break
            if merged and merged[-1].start_ms == begin:
                merged[-1].add(candle)
            else:
                merged.append(
                    Candle(
                        begin,
                        candle.open,
                        candle.high,
                        candle.low,
                        candle.close,
                        candle.volume,
                        candle.value,
                    )
                )
        return merged[-limit:]
