"""Orders, fills and what happens to them, as the simulated exchange keeps them.

An event says one thing that happened to an API account. Events are what the record keeps and what
a restart is rebuilt from, so each carries all it changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Literal

from mmd.words.market import OrderStatus, Pair, Side

ZERO = Decimal(0)
MAKER_FEE = Decimal("0.0005")
TAKER_FEE = Decimal("0.001")


class OrderType(IntEnum):
    """ACE's order `type`."""

    LIMIT = 1
    MARKET = 2
    """Market by amount of base currency (`num`)."""
    MARKET_VALUE = 3
    """Market by value in quote currency (`amount`); buy only."""


class Status(IntEnum):
    """The `status` numbers with which the simulated exchange refuses a request.

    The numbers and their kinds are ACE's (as ccxt sorts them); which number within a kind stands
    for what is not published, so that choice is ours. Clients judge by kind.
    """

    BAD_PRICE = 2003
    AMOUNT_TOO_SMALL = 2004
    AMOUNT_TOO_LARGE = 2005
    INSUFFICIENT_BALANCE = 2021
    AMOUNT_PRECISION = 2036
    PRICE_PRECISION = 2039
    UNKNOWN_MARKET = 2053
    ORDER_GONE = 2061
    BAD_ORDER = 2063
    BAD_CLIENT_ID = 20183
    MALFORMED = 9996
    BAD_TIMESTAMP = 10012
    BAD_SIGNATURE = 20182


class Rejected(Exception):
    """The exchange says no to one request; nothing was executed."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asks for. `amount` is base currency; `value` is quote currency (type 3)."""

    pair: Pair
    side: Side
    type: OrderType = OrderType.LIMIT
    price: Decimal | None = None
    amount: Decimal | None = None
    value: Decimal | None = None
    client_id: str | None = None


@dataclass(slots=True)
class SimOrder:
    """One order and how far it got."""

    order_no: str
    account: str
    client_id: str | None
    pair: Pair
    side: Side
    type: OrderType
    price: Decimal
    """0 for market orders."""
    amount: Decimal
    """0 for a market order by value."""
    value: Decimal
    time_ms: int
    filled: Decimal = ZERO
    traded_value: Decimal = ZERO
    status: OrderStatus = OrderStatus.OPEN
    reserved: Decimal = ZERO
    """What the account's balance holds back for it."""

    @property
    def remaining(self) -> Decimal:
        return max(self.amount - self.filled, ZERO)

    @property
    def average_price(self) -> Decimal:
        return self.traded_value / self.filled if self.filled else ZERO


@dataclass(frozen=True, slots=True)
class OwnFill:
    """One fill of one order of an API account. A self-match has two with the same trade_no."""

    trade_no: str
    """32 digits; later trades have greater numbers."""
    order_no: str
    client_id: str | None
    pair: Pair
    side: Side
    price: Decimal
    amount: Decimal
    fee: Decimal
    """In quote currency."""
    is_maker: bool
    is_self: bool
    time_ms: int


@dataclass(frozen=True, slots=True)
class Opened:
    """An order was accepted."""

    order_no: str
    account: str
    client_id: str | None
    pair: Pair
    side: Side
    type: OrderType
    price: Decimal
    amount: Decimal
    value: Decimal
    reserved: Decimal
    time_ms: int
    kind: Literal["opened"] = "opened"


@dataclass(frozen=True, slots=True)
class Filled:
    """An order traded."""

    account: str
    fill: OwnFill
    done: bool
    """Whether this filled the order whole."""
    other_client_id: str | None = None
    """In a self-match: customOrderId of the own order on the other side."""
    other_order_no: str | None = None
    kind: Literal["filled"] = "filled"


@dataclass(frozen=True, slots=True)
class Closed:
    """An order ended otherwise than by its last fill: cancelled, out of counter-offers, or the
    value of a market order by value is spent."""

    account: str
    order_no: str
    status: OrderStatus
    time_ms: int
    kind: Literal["closed"] = "closed"


@dataclass(frozen=True, slots=True)
class BalanceSet:
    """An account's total of one currency was set from outside."""

    account: str
    currency: str
    total: Decimal
    kind: Literal["balance"] = "balance"


Event = Opened | Filled | Closed | BalanceSet


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade as everyone sees it."""

    pair: Pair
    price: Decimal
    amount: Decimal
    time_ms: int


@dataclass(slots=True)
class Outcome:
    """What the engine's calls brought about since it was last asked."""

    events: list[Event] = field(default_factory=list)
    trades: list[PublicTrade] = field(default_factory=list)
