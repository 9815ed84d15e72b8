"""One market's resting orders in price-time order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from decimal import Decimal

from mmd.sim.ace.orders import SimOrder
from mmd.words.market import Level, Side


class HalfBook:
    """The bids or the asks of a market, best first."""

    def __init__(self, side: Side) -> None:
        self._sign = -1 if side is Side.BUY else 1
        self._keys: list[Decimal] = []
        # Invariant: _keys is sorted and holds sign * price of every key of _levels, once.
        self._levels: dict[Decimal, dict[str, SimOrder]] = {}

    def __iter__(self) -> Iterator[SimOrder]:
        """All orders by priority: better price first, then the earlier one."""
        for key in self._keys:
            yield from self._levels[key].values()

    def add(self, order: SimOrder) -> None:
        """Puts an order behind all others of its price."""
        key = self._sign * order.price
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = {}
            insort(self._keys, key)
        level[order.order_no] = order

    def remove(self, order: SimOrder) -> None:
        """Takes an order out. Raises KeyError when it is not here."""
        key = self._sign * order.price
        level = self._levels[key]
        del level[order.order_no]
        if not level:
            del self._levels[key]
            del self._keys[bisect_left(self._keys, key)]

    def best(self) -> SimOrder | None:
        """The order that is first to trade."""
        if not self._keys:
            return None
        return next(iter(self._levels[self._keys[0]].values()))

    def levels(self, depth: int | None = None) -> list[Level]:
        """Amount on offer at each price, best first."""
        return [
            Level(
                self._sign * key,
                sum((order.remaining for order in self._levels[key].values()), Decimal(0)),
            )
            for key in self._keys[:depth]
        ]


class Book:
    """Both sides of a market. At rest the best bid is below the best ask."""

    def __init__(self) -> None:
        self.bids = HalfBook(Side.BUY)
        self.asks = HalfBook(Side.SELL)

    def side(self, side: Side) -> HalfBook:
        return self.bids if side is Side.BUY else self.asks

    def opposite(self, side: Side) -> HalfBook:
        return self.asks if side is Side.BUY else self.bids
