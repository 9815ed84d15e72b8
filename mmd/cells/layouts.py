"""What the cells hold: book, depth, health and quotes, as named tuples over a struct format.

Numbers are exact: a double gives back the digits of any text with up to 15 significant digits
(`exact`), which prices and quantities have; what is summed up is an integer in units of 1e-8,
in two words, so that a cheap coin's volume can't overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from mmd.cells.cell import Cell, open_cell

S = TypeVar("S")
N = TypeVar("N", bound=tuple[Any, ...])

VOLUME_UNIT = Decimal("1e-8")
_WORD = 1 << 64
TEXT_BYTES = 192


def exact(number: float) -> Decimal:
    """The decimal number whose text the double was made from (15 significant digits at most)."""
    return Decimal(repr(number))


def split_volume(volume_e8: int) -> tuple[int, int]:
    """The high and low word of a volume in units of 1e-8."""
    return divmod(volume_e8, _WORD)


def to_text(raw: bytes) -> str:
    """The text of a fixed-size field."""
    return raw.rstrip(b"\0").decode("utf-8", "replace")


def from_text(text: str) -> bytes:
    """A text cut to the size of a fixed-size field."""
    return text.encode()[:TEXT_BYTES]


class BookStatus(IntEnum):
    """Whether a book's prices hold, or why not."""

    EMPTY = 0
    VALID = 1
    DISCONNECTED = 2
    CROSSED = 3
    ONE_SIDED = 4
    UNREACHABLE = 5
    STOPPED = 6


class BookState(NamedTuple):
    """A top of book. Times are `time.monotonic_ns()` unless named otherwise."""

    status: int = BookStatus.EMPTY
    bid_price: float = 0.0
    bid_qty: float = 0.0
    ask_price: float = 0.0
    ask_qty: float = 0.0
    update_id: int = 0
    volume_high: int = 0
    """Traded quantity since the epoch began, in units of 1e-8: high word."""
    volume_low: int = 0
    trade_count: int = 0
    missed_trades: int = 0
    epoch: int = 0
    """Names the counting: differences of volume mean something within one epoch only."""
    last_trade_price: float = 0.0
    last_trade_id: int = 0
    last_frame_ns: int = 0
    """The last proof that the link lives: a frame of any kind, or an answered poll."""
    last_data_ns: int = 0
    """The last frame that carried market data."""
    exchange_ms: int = 0
    """The exchange's own clock at the last trade, ms since 1970."""

    @property
    def volume_e8(self) -> int:
        return (self.volume_high << 64) | self.volume_low

    @property
    def volume(self) -> Decimal:
        return Decimal(self.volume_e8) * VOLUME_UNIT

    @property
    def is_valid(self) -> bool:
        return self.status == BookStatus.VALID

    def age_ns(self, now_ns: int) -> int:
        """Time since the last proof that this price holds."""
        return now_ns - self.last_frame_ns


class HealthState(NamedTuple):
    """What a child says of itself, written by the very loop that does its work."""

    pid: int = 0
    ready: int = 0
    heartbeat_ns: int = 0
    progress: int = 0
    """Work done; must move while `waiting` is not 0."""
    waiting: int = 0
    """Work that has arrived and is not done yet."""
    messages: int = 0
    connected: int = 0
    overflows: int = 0
    errors: int = 0
    last_error: bytes = b""
    lag_ms: int = 0
    """How much later than at best messages arrive on this connection."""

    @property
    def error_text(self) -> str:
        return to_text(self.last_error)


class QuoteState(NamedTuple):
    """What a pair shows of its quoting. 0 in a price means none."""

    reference_bid: float = 0.0
    reference_ask: float = 0.0
    rate_bid: float = 0.0
    rate_ask: float = 0.0
    best_bid: float = 0.0
    """The best bid of ours that rests on the venue."""
    best_ask: float = 0.0
    open_orders: int = 0
    position: float = 0.0
    pnl: float = 0.0
    requests: int = 0
    fills: int = 0
    price_age_ms: int = -1
    paused: int = 0
    note: bytes = b""
    """Why there is no quote, for people; empty while quoting."""
    self_trades: int = 0
    self_traded_amount: float = 0.0
    """In base currency."""
    volatility_bps: float = 0.0
    """The estimate that spreads widen with."""
    refused: int = 0
    """Orders that the venue refused in a row."""
    mark: float = 0.0
    """What `pnl` values the position at: the middle of the newest reference, also while it does
    not hold any more."""

    @property
    def note_text(self) -> str:
        return to_text(self.note)


class ParentState(NamedTuple):
    """The parent's own heart; children whose lease on it runs out leave."""

    pid: int = 0
    heartbeat_ns: int = 0


class WantedState(NamedTuple):
    """What the parent wants of a pair while it runs."""

    paused: int = 0
    """Quotes are pulled, the process stays."""
    generation: int = 0
    """Grows when the pair is to read its parameters anew."""


DEPTH_LEVELS = 20
"""The most levels a side that Binance's partial depth streams carry."""


class DepthState(NamedTuple):
    """The best levels of a book, best first: (price, quantity)."""

    status: int = BookStatus.EMPTY
    update_id: int = 0
    last_data_ns: int = 0
    bids: tuple[tuple[float, float], ...] = ()
    asks: tuple[tuple[float, float], ...] = ()


def _flatten_depth(state: DepthState) -> tuple[Any, ...]:
    padding = (0.0, 0.0)
    sides: list[float] = []
    for levels in (state.bids, state.asks):
        kept = levels[:DEPTH_LEVELS]
        for level in (*kept, *[padding] * (DEPTH_LEVELS - len(kept))):
            sides += level
    bid_count, ask_count = min(len(state.bids), DEPTH_LEVELS), min(len(state.asks), DEPTH_LEVELS)
    return (state.status, state.update_id, state.last_data_ns, bid_count, ask_count, *sides)


def _unflatten_depth(fields: tuple[Any, ...]) -> DepthState:
    status, update_id, last_data_ns, bid_count, ask_count, *numbers = fields
    levels = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    asks = levels[DEPTH_LEVELS : DEPTH_LEVELS + ask_count]
    return DepthState(status, update_id, last_data_ns, levels[:bid_count], asks)


@dataclass(frozen=True)
class Layout(Generic[S]):
    """How a state of type S lies in a cell."""

    kind: str
    format: str
    pack: Callable[[S], tuple[Any, ...]] | None
    """None: a state is itself the tuple of the record's fields."""
    unpack: Callable[[tuple[Any, ...]], S]

    @property
    def size(self) -> int:
        """Bytes that a cell of this layout takes."""
        return Cell.size(self.format)


class StateCell(Generic[S]):
    """A cell that holds states of one layout."""

    def __init__(self, layout: Layout[S], buffer: memoryview, offset: int) -> None:
        self._cell = open_cell(buffer, offset, layout.format)
        self.read: Callable[[], S] = self._cell.reader(layout.unpack)
        """The newest state; all zero if none was ever written."""
        self.write: Callable[[S], None] = self._cell.writer(layout.pack)
        """Publishes a state. One process at a time may write."""
        self.close = self._cell.close

    @property
    def counter(self) -> int:
        """How often the cell was written."""
        return self._cell.counter


def _flat(kind: type[N], format: str, name: str) -> Layout[N]:
    """The layout of a state whose fields are those of the record."""
    # Without the named tuple's own constructor, which takes half as long again.
    return Layout(name, format, None, partial(tuple.__new__, kind))


BOOK = _flat(BookState, "=QddddQQQQQQdQqqq", "book")
DEPTH = Layout("depth", f"=QQqQQ{4 * DEPTH_LEVELS}d", _flatten_depth, _unflatten_depth)
HEALTH = _flat(HealthState, f"=QQqQQQQQQ{TEXT_BYTES}sq", "health")
QUOTES = _flat(QuoteState, f"=ddddddQddQQqQ{TEXT_BYTES}sQddQd", "quotes")
PARENT = _flat(ParentState, "=Qq", "parent")
WANTED = _flat(WantedState, "=QQ", "wanted")

BookCell = StateCell[BookState]
DepthCell = StateCell[DepthState]
HealthCell = StateCell[HealthState]
QuotesCell = StateCell[QuoteState]
ParentCell = StateCell[ParentState]
WantedCell = StateCell[WantedState]
