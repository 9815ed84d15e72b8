"""Books, settings and a venue that answers at once: what tests of quoting start from."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any

from mmd.cells.layouts import BookState, BookStatus
from mmd.config.model import QuoteSettings
from mmd.decide.ledger import Event, Ledger
from mmd.decide.plan import Action, Cancel
from mmd.decide.quoter import NO_INPUTS, Inputs, Quoter
from mmd.decide.reference import AgeLimits, Reference
from mmd.words.market import MarketRules, NewOrder, Pair, Side

S = 1_000_000_000
RULES = MarketRules(
    Pair("BTC", "TWD"), 2, 1, Decimal("0.1"), Decimal("0.000001"), Decimal("0.0001"), Decimal(100)
)
LIMITS = AgeLimits(3 * S, 5 * S)


PLAIN: dict[str, Any] = {
    "amount": {"min": Decimal("0.01"), "max": Decimal("0.02")},
    "tolerance_bps": 3,
    "tolerance_step_bps": 0,
    "spare_orders": 0,
    "move_bps": 1,
    "refresh_s": {"min": 30, "max": 90},
}
"""One tolerance for all levels, and no order that no level needs."""


def quote_settings(**changes: Any) -> QuoteSettings:
    return QuoteSettings.model_validate(PLAIN | changes)


def book(bid: float, ask: float, frame_ns: int = 0, status: int = BookStatus.VALID) -> BookState:
    return BookState(
        status=status, bid_price=bid, bid_qty=1, ask_price=ask, ask_qty=1, last_frame_ns=frame_ns
    )


def moved(book: BookState, bps: float) -> BookState:
    """A book whose prices went up by so much."""
    factor = 1 + bps / 10_000
    bid, ask = book.bid_price * factor, book.ask_price * factor
    return book._replace(bid_price=round(bid, 2), ask_price=round(ask, 2))


BOOK, RATE = book(61_000.0, 61_000.01), book(32.0, 32.01)


def reference(bid: str = "1952000", ask: str = "1952700") -> Reference:
    return Reference(Decimal(bid), Decimal(ask), Decimal(32), Decimal("32.01"))


def make_quoter(**changes: Any) -> Quoter:
    chosen = quote_settings(min_interval_ms=0, levels=3, **changes)
    return Quoter(chosen, RULES, LIMITS, Random(1))


def send(actions: Sequence[Action], ledger: Ledger, now_ns: int, quoter: Quoter) -> None:
    """A venue that answers at once."""
    for action in actions:
        if isinstance(action, Cancel):
            client_id = action.entry.order.client_id
            ledger.apply(client_id, Event.CANCEL_SENT, now_ns)
            ledger.apply(client_id, Event.CANCELLED, now_ns)
            continue
        client_id = f"{len(ledger.entries) + len(ledger.finished)}"
        wanted = action.quote
        ledger.want(
            NewOrder(client_id, wanted.side, wanted.price, wanted.amount),
            wanted.level,
            now_ns,
            quoter.expiry_ns(now_ns),
        )
        ledger.apply(client_id, Event.SENT, now_ns)
        ledger.apply(client_id, Event.ACCEPTED, now_ns)


def run(
    quoter: Quoter,
    ledger: Ledger,
    now_ns: int,
    price: BookState | None = None,
    rate: BookState | None = None,
    inputs: Inputs = NO_INPUTS,
    dirty: bool = True,
) -> list[Action]:
    """One decision on fresh books, carried out at once."""
    price = (price or BOOK)._replace(last_frame_ns=now_ns)
    rate = (rate or RATE)._replace(last_frame_ns=now_ns)
    actions = quoter.decide(price, rate, ledger, now_ns, dirty, None, inputs)
    send(actions, ledger, now_ns, quoter)
    return actions


def fill(ledger: Ledger, side: Side, now_ns: int, amount: str | None = None) -> Decimal:
    """Fills our best order of a side, wholly or in part; returns how much."""
    pick = max if side is Side.BUY else min
    entry = pick(ledger.live(side), key=lambda entry: entry.price)
    filled = entry.filled + Decimal(amount) if amount else entry.order.amount
    ledger.book_fill(entry.order.client_id, filled, now_ns)
    return filled


def prices(ledger: Ledger, side: Side) -> list[Decimal]:
    """Our prices of a side, best first."""
    found = (entry.price for entry in ledger.live(side) if not entry.state.is_final)
    return sorted(found, reverse=side is Side.BUY)


def bps_off(quoter: Quoter, price: Decimal, side: Side) -> Decimal:
    """How far a price lies from its side of the reference."""
    reference = quoter.reference
    assert reference is not None
    if side is Side.BUY:
        return (reference.bid - price) / reference.bid * 10_000
    return (price - reference.ask) / reference.ask * 10_000
