"""How the journal's notes look as lines of JSON, and how they are read back. No I/O.

Books are lists in the order of `BookState`; what did not change since the decision before is
"same". Money is text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from mmd.cells.layouts import BookState, DepthState
from mmd.decide.bounds import VenueBook
from mmd.decide.guard import Refused
from mmd.decide.inventory import Holdings
from mmd.decide.ledger import Event
from mmd.decide.plan import Action, Cancel
from mmd.decide.quoter import Inputs
from mmd.decide.reference import Leg
from mmd.words.errors import MmdError
from mmd.words.market import Level, NewOrder, Order, OrderBook, OrderStatus, OwnTrade, Pair, Side

SAME = "same"
_MOST_TEXT = 4_000

Row = dict[str, Any]


@dataclass(slots=True)
class Before:
    """What the decision before looked at: a line says no more than what is new."""

    seen: dict[str, object] = field(default_factory=dict)

    def write(self, name: str, value: object, write: Callable[[Any], object]) -> object:
        """The value as it goes into a line."""
        before = self.seen.get(name)
        if before is value or (before == value and name != "venue"):
            return SAME
        self.seen[name] = value
        return write(value)

    def read(self, name: str, written: Any, read: Callable[[Any], object]) -> Any:
        """The value that a line means: the very same object where nothing changed."""
        if written != SAME:
            self.seen[name] = read(written)
        return self.seen[name]


@dataclass(frozen=True, slots=True)
class Decision:
    """All that goes into a decision but the ledger."""

    book: BookState
    rate: BookState | None
    now_ns: int
    dirty: bool
    stop_reason: str | None
    inputs: Inputs


def decision_row(decision: Decision, out: list[Row], before: Before) -> Row:
    """A decision and what came out."""
    inputs, holdings = decision.inputs, decision.inputs.holdings
    row: Row = {
        "now": decision.now_ns,
        "book": before.write("book", decision.book, list),
        "dirty": decision.dirty,
        "position": str(holdings.position),
        "out": out,
    }
    if decision.rate is not None:
        row["rate"] = before.write("rate", decision.rate, list)
    if decision.stop_reason is not None:
        row["stop"] = decision.stop_reason
    if inputs.wall_s is not None:
        row["wall_s"] = inputs.wall_s
    if not inputs.may_spare:
        row["spare"] = False
    if holdings.base is not None:
        row["base"] = str(holdings.base)
    if holdings.quote is not None:
        row["quote"] = str(holdings.quote)
    if inputs.depth is not None:
        row["depth"] = before.write("depth", inputs.depth, list)
    if inputs.leg is not None:
        row["leg"] = before.write("leg", inputs.leg, _leg_row)
    if inputs.venue is not None:
        row["venue"] = before.write("venue", inputs.venue, _venue_row)
    return row


def read_decision(row: Row, before: Before) -> Decision:
    """What went into a decision."""
    base, quote, rate, depth, venue, leg = (
        row.get(name) for name in ("base", "quote", "rate", "depth", "venue", "leg")
    )
    holdings = Holdings(
        Decimal(row["position"]),
        None if base is None else Decimal(base),
        None if quote is None else Decimal(quote),
    )
    inputs = Inputs(
        holdings,
        None if depth is None else before.read("depth", depth, _depth),
        None if venue is None else before.read("venue", venue, _venue),
        row.get("wall_s"),
        None if leg is None else before.read("leg", leg, _leg),
        row.get("spare", True),
    )
    return Decision(
        before.read("book", row["book"], BookState._make),
        None if rate is None else before.read("rate", rate, BookState._make),
        row["now"],
        row["dirty"],
        row.get("stop"),
        inputs,
    )


def action_rows(actions: Sequence[Action]) -> list[Row]:
    """What a decision says is to be sent."""
    return [_action_row(action) for action in actions]


def _action_row(action: Action) -> Row:
    if isinstance(action, Cancel):
        return {
            "cancel": action.entry.order.client_id,
            "urgency": action.urgency.name,
            "why": action.reason,
        }
    quote = action.quote
    return {
        "place": quote.side.name,
        "level": quote.level,
        "price": str(quote.price),
        "amount": str(quote.amount),
        "urgency": action.urgency.name,
        "why": action.reason,
    }


def to_bytes(rows: object) -> bytes:
    """The bytes that stand in the file."""
    return orjson.dumps(rows, default=str)


# The ledger's events.


def want_row(order: NewOrder, level: int, now_ns: int, expires_ns: int) -> Row:
    row = order_row(order)
    return {**row, "level": level, "now": now_ns, "expires": expires_ns}


def order_row(order: NewOrder) -> Row:
    return {
        "id": order.client_id,
        "side": order.side.name,
        "price": str(order.price),
        "amount": str(order.amount),
    }


def read_order(row: Row) -> NewOrder:
    return NewOrder(row["id"], Side[row["side"]], Decimal(row["price"]), Decimal(row["amount"]))


def adopt_row(order: Order, now_ns: int, expires_ns: int) -> Row:
    return {
        "no": order.order_no,
        "id": order.client_id,
        "pair": str(order.pair),
        "side": order.side.name,
        "price": str(order.price),
        "amount": str(order.amount),
        "filled": str(order.filled),
        "status": int(order.status),
        "time_ms": order.time_ms,
        "now": now_ns,
        "expires": expires_ns,
    }


def read_adopted(row: Row) -> Order:
    return Order(
        row["no"],
        row["id"],
        Pair.parse(row["pair"]),
        Side[row["side"]],
        Decimal(row["price"]),
        Decimal(row["amount"]),
        Decimal(row["filled"]),
        OrderStatus(row["status"]),
        row["time_ms"],
    )


def event_row(client_id: str, event: Event, now_ns: int) -> Row:
    return {"id": client_id, "event": event.name, "now": now_ns}


def fill_row(client_id: str, filled: Decimal, now_ns: int) -> Row:
    return {"id": client_id, "filled": str(filled), "now": now_ns}


# What is for people alone.


def refused_row(refused: Refused) -> Row:
    quote = refused.quote
    return {
        "side": quote.side.name,
        "level": quote.level,
        "price": str(quote.price),
        "amount": str(quote.amount),
        "why": refused.reason,
    }


def trade_row(trade: OwnTrade) -> Row:
    return {
        "trade_no": str(trade.trade_no),
        "no": trade.order_no,
        "id": trade.client_id,
        "side": trade.side.name,
        "price": str(trade.price),
        "amount": str(trade.amount),
        "fee": str(trade.fee),
        "maker": trade.is_maker,
        "self": trade.is_self,
        "time_ms": trade.time_ms,
    }


def ask_row(call: str, params: Mapping[str, str], reason: str) -> Row:
    return {"call": str(call), "params": params, "why": reason}


def answer_row(number: int, outcome: object) -> Row:
    if isinstance(outcome, MmdError):
        return {"to": number, "error": type(outcome).__name__, "text": str(outcome)[:_MOST_TEXT]}
    return {"to": number, "answer": str(outcome)[:_MOST_TEXT]}


def _depth(fields: list[Any]) -> DepthState:
    status, update_id, last_data_ns, bids, asks = fields
    return DepthState(
        status,
        update_id,
        last_data_ns,
        tuple((price, qty) for price, qty in bids),
        tuple((price, qty) for price, qty in asks),
    )


def _leg_row(leg: Leg) -> Row:
    return {"book": list(leg.book), "divides": leg.divides}


def _leg(row: Row) -> Leg:
    return Leg(BookState._make(row["book"]), row["divides"])


def _venue_row(venue: VenueBook) -> Row:
    rows = [[[str(r.price), str(r.amount)] for r in s] for s in (venue.book.bids, venue.book.asks)]
    return {"bids": rows[0], "asks": rows[1], "seen": venue.seen_ns}


def _venue(row: Row) -> VenueBook:
    bids, asks = (
        tuple(Level(Decimal(price), Decimal(amount)) for price, amount in row[side])
        for side in ("bids", "asks")
    )
    return VenueBook(OrderBook(bids, asks), row["seen"])
