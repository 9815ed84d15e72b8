"""What everything is worth to the simulated venue's other participants, at any time told of.

Binance's middle as a tape tells it, times USDT/TWD on its seeded path for markets in TWD.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from mmd.cells.layouts import BookState, exact
from mmd.sim.ace.paths import RatePath
from mmd.words.market import Pair
from mmd.words.source import Source

_USDT_TWD = Pair("USDT", "TWD")


@dataclass(slots=True)
class _Middles:
    """One symbol's middle, as it changed."""

    times_ms: list[int] = field(default_factory=list)
    values: list[Decimal] = field(default_factory=list)

    def note(self, now_ms: int, value: Decimal) -> None:
        if self.values and self.values[-1] == value:
            return
        self.times_ms.append(now_ms)
        self.values.append(value)

    def at(self, at_ms: int) -> Decimal | None:
        index = bisect_right(self.times_ms, at_ms)
        return self.values[index - 1] if index else None


class FairHistory:
    """Fair prices. They may be noted before their time comes."""

    def __init__(self, sources: Mapping[Pair, Source], seed: int) -> None:
        self._middles = {name: _Middles() for source in sources.values() for name in source.symbols}
        self._sources = dict(sources)
        self._rate = RatePath(seed)

    def note(self, symbol: str, book: BookState, now_ms: int) -> None:
        """Binance's best prices from now on."""
        middle = (exact(book.bid_price) + exact(book.ask_price)) / 2
        self._middles[symbol].note(now_ms, middle)

    def at(self, pair: Pair, at_ms: int) -> Decimal | None:
        """None while unknown."""
        if pair == _USDT_TWD:
            return self._rate.at(at_ms)
        source = self._sources.get(pair)
        if source is None:
            return None
        middle = source.middle(lambda symbol: self._middles[symbol].at(at_ms))
        if middle is None:
            return None
        return middle * self._rate.at(at_ms) if pair.quote == "TWD" else middle
