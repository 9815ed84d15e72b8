"""The field's nouns: pair, side, price and amount, order, trade, balance, market rules.

Money is Decimal throughout. Times are integers with their unit in the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from enum import IntEnum

TWD = "TWD"
"""ACE's own currency: totals over several pairs are told in it."""
_PAIR = re.compile(r"([A-Za-z0-9]{2,12})[/_]([A-Za-z0-9]{2,12})")


class Side(IntEnum):
    """Side of an order; the numbers are ACE's `buyOrSell`."""

    BUY = 1
    SELL = 2

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A market, as in `BTC/TWD`: amounts count in `base`, prices in `quote`."""

    base: str
    quote: str

    @classmethod
    def parse(cls, text: str) -> Pair:
        """Reads `BTC/TWD` or `btc_twd`. Raises ValueError for anything else."""
        match = _PAIR.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a pair; write it as BTC/TWD")
        return cls(match[1].upper(), match[2].upper())

    @property
    def slug(self) -> str:
        """Lower-case name for processes and cells: `btc_twd`."""
        return f"{self.base}_{self.quote}".lower()

    @property
    def folder(self) -> str:
        """Name of the pair's log folder: `BTC_TWD`."""
        return f"{self.base}_{self.quote}"

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}"


class OrderStatus(IntEnum):
    """ACE's order `status`."""

    OPEN = 0
    PARTLY_FILLED = 1
    FILLED = 2
    CANCELLED = 4
    PARTLY_FILLED_CANCELLED = 5

    @property
    def is_open(self) -> bool:
        return self in (OrderStatus.OPEN, OrderStatus.PARTLY_FILLED)


@dataclass(frozen=True, slots=True)
class MarketRules:
    """What the venue demands of an order in one market."""

    pair: Pair
    base_id: int
    quote_id: int
    tick: Decimal
    """Smallest price step, in quote currency."""
    lot: Decimal
    """Smallest amount step, in base currency."""
    min_amount: Decimal
    max_amount: Decimal

    def round_price(self, price: Decimal, side: Side) -> Decimal:
        """The nearest price on the tick grid away from the market: bids down, asks up."""
        rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
        return (price / self.tick).to_integral_value(rounding) * self.tick

    def round_amount(self, amount: Decimal) -> Decimal:
        """The nearest amount on the lot grid, never more than asked for."""
        return (amount / self.lot).to_integral_value(ROUND_DOWN) * self.lot


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A limit order that is to be sent."""

    client_id: str
    side: Side
    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the venue reports it."""

    order_no: str
    client_id: str
    """Our customOrderId, or '' for an order placed without one."""
    pair: Pair
    side: Side
    price: Decimal
    amount: Decimal
    filled: Decimal
    status: OrderStatus
    time_ms: int
    """When the venue took it, in ms since 1970 UTC."""

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.filled


@dataclass(frozen=True, slots=True)
class OwnTrade:
    """One fill of one of our orders. A self-match has two: one for each order."""

    trade_no: int
    """Grows, so it serves as a cursor."""
    order_no: str
    client_id: str
    pair: Pair
    side: Side
    price: Decimal
    amount: Decimal
    fee: Decimal
    is_maker: bool
    is_self: bool
    """Both sides were ours."""
    time_ms: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What the account holds of one currency."""

    currency: str
    total: Decimal
    free: Decimal


@dataclass(frozen=True, slots=True)
class Level:
    """One row of an order book."""

    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Bids from high to low, asks from low to high."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
