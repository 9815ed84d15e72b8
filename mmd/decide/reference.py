"""The reference: what one unit of base is worth in ACE's quote currency, from Binance's book and
the conversion rate; or the reason why nothing may be quoted now."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from mmd.cells.layouts import BookState, BookStatus, exact
from mmd.config.quoting import ReferenceKind

BPS = Decimal("1e-4")
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Reference:
    """What Binance's book says a bid and an ask are worth, converted."""

    bid: Decimal
    ask: Decimal
    rate_bid: Decimal
    rate_ask: Decimal

    @property
    def middle(self) -> Decimal:
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class NoReference:
    """Why there is no price to quote around."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leg:
    """The second book of Binance where the price is a cross of two."""

    book: BookState
    divides: bool
    """Whether the first book's prices are divided by this one's; else multiplied."""


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """How old a price and a rate may be, in ns."""

    price_ns: int
    rate_ns: int


def book_fault(name: str, book: BookState, now_ns: int, limit_ns: int) -> str | None:
    """Why the prices of a book must not be used; None if they may."""
    if book.status != BookStatus.VALID:
        return f"{name} is {BookStatus(book.status).name.lower().replace('_', ' ')}"
    age_ns = book.age_ns(now_ns)
    if age_ns > limit_ns:
        return f"{name} is {age_ns / 1e9:.1f} s old, over its limit of {limit_ns / 1e9:g} s"
    if not 0 < book.bid_price < book.ask_price:
        return f"{name} is crossed or empty: {book.bid_price} / {book.ask_price}"
    return None


def reference_of(
    book: BookState,
    rate: BookState | None,
    now_ns: int,
    limits: AgeLimits,
    kind: ReferenceKind = ReferenceKind.TOP,
    leg: Leg | None = None,
) -> Reference | NoReference:
    """The converted price. `rate` is None for a pair quoted in Binance's own currency; `leg` is
    None where one book of Binance gives the price."""
    fault = prices_fault(book, rate, now_ns, limits, leg)
    if fault is not None:
        return NoReference(fault)
    bid, ask = _prices(book, kind)
    if leg is not None:
        bid, ask = crossed(bid, ask, *_prices(leg.book, kind), leg.divides)
    if rate is None:
        return Reference(bid, ask, _ONE, _ONE)
    rate_bid, rate_ask = exact(rate.bid_price), exact(rate.ask_price)
    return Reference(bid * rate_bid, ask * rate_ask, rate_bid, rate_ask)


def prices_fault(
    book: BookState,
    rate: BookState | None,
    now_ns: int,
    limits: AgeLimits,
    leg: Leg | None = None,
) -> str | None:
    """Why no price may be made of these books; None if one may."""
    fault = book_fault("Binance's book", book, now_ns, limits.price_ns)
    if fault is None and leg is not None:
        fault = book_fault("Binance's second book", leg.book, now_ns, limits.price_ns)
    if fault is None and rate is not None:
        fault = book_fault("the rate", rate, now_ns, limits.rate_ns)
    return fault


def crossed(
    bid: Decimal, ask: Decimal, leg_bid: Decimal, leg_ask: Decimal, divides: bool
) -> tuple[Decimal, Decimal]:
    """What selling and buying by way of two markets gets and costs: who sells the base for the
    third currency at its bid buys the quote currency at the divisor's ask, and so on."""
    if divides:
        return bid / leg_ask, ask / leg_bid
    return bid * leg_bid, ask * leg_ask


def _prices(book: BookState, kind: ReferenceKind) -> tuple[Decimal, Decimal]:
    bid, ask = exact(book.bid_price), exact(book.ask_price)
    if kind is ReferenceKind.MICRO:
        bid = ask = micro_price(book, bid, ask)
    return bid, ask


def micro_price(book: BookState, bid: Decimal, ask: Decimal) -> Decimal:
    """The price between bid and ask at which the next trade is likely to move the book: nearer
    to the side with less on it. The middle where quantities are missing."""
    bid_qty, ask_qty = exact(book.bid_qty), exact(book.ask_qty)
    total = bid_qty + ask_qty
    if min(bid_qty, ask_qty) < 0 or not total:
        return (bid + ask) / 2
    return (bid * ask_qty + ask * bid_qty) / total


def moved_bps(old: Reference, new: Reference) -> Decimal:
    """The larger of both sides' moves, in bps of the old price."""
    bid = abs(new.bid - old.bid) / old.bid
    ask = abs(new.ask - old.ask) / old.ask
    return max(bid, ask) / BPS


@dataclass(slots=True)
class JumpFilter:
    """Keeps a sudden jump out until it has held for a while.

    A price that moved by more than `max_jump_bps` since the last accepted one may be an error of
    a feed: nothing is quoted on it until it has stayed near the new place for `confirm_ns`.
    """

    max_jump_bps: Decimal
    confirm_ns: int
    name: str = "the reference"
    accepted: Reference | None = field(default=None, init=False)
    _candidate: Reference | None = field(default=None, init=False)
    _candidate_since_ns: int = field(default=0, init=False)

    def check(self, reference: Reference, now_ns: int) -> Reference | NoReference:
        """The reference if it can be trusted, else the reason to wait."""
        if self.accepted is None or moved_bps(self.accepted, reference) <= self.max_jump_bps:
            return self._accept(reference)
        candidate = self._candidate
        if candidate is None or moved_bps(candidate, reference) > self.max_jump_bps:
            self._candidate, self._candidate_since_ns = reference, now_ns
        elif now_ns - self._candidate_since_ns >= self.confirm_ns:
            return self._accept(reference)
        jump = moved_bps(self.accepted, reference)
        return NoReference(f"{self.name} jumped by {jump:.0f} bps; waiting for it to hold")

    def _accept(self, reference: Reference) -> Reference:
        self.accepted, self._candidate = reference, None
        return reference
