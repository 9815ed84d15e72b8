"""What the page is told, as JSON: present state, charts, ladders, events. Pure."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mmd.cells.layouts import QuoteState
from mmd.decide.ledger import State
from mmd.processes.earned import Earned
from mmd.processes.pace import Pace
from mmd.processes.sight import UP, Process, Sight
from mmd.processes.troubles import book_word, pair_word, shown_name, tone, troubles
from mmd.records.alerts import Alert
from mmd.records.store import Fill
from mmd.venues.ace.budget import BudgetSpec
from mmd.words.ids import Owner, owner_of
from mmd.words.market import Balance, Order, OrderBook, Pair, Side

POINTS = 3600
"""Points that a chart remembers, one a second."""
MOST_FILLS = 500
MOST_EVENTS = 200
_BOOK_ROWS = 15
_NOT_RESTING = {state.value for state in (State.WANTED, State.SENDING, State.UNKNOWN)}

Json = dict[str, Any]


def event(kind: str, document: object) -> bytes:
    """A server-sent event."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return f"event: {kind}\ndata: {text}\n\n".encode()


@dataclass(frozen=True)
class Extras:
    """What the cells don't tell."""

    mode: str
    earned: Earned = field(default_factory=Earned)
    pace: Pace = field(default_factory=Pace)
    budget_left: int | None = None
    """Requests that could be sent at once."""
    budget: BudgetSpec | None = None


def present(sight: Sight, extras: Extras) -> Json:
    """Everything that changes from second to second."""
    return {
        "t": int(sight.wall_s * 1000),
        "mode": extras.mode,
        "parent": {
            "state": sight.parent_state,
            "pid": sight.parent_pid,
            "since": sight.parent_since_s,
        },
        "troubles": [trouble._asdict() for trouble in troubles(sight)],
        "sum": _sum(sight, extras),
        "pairs": [_pair(sight, process, extras.earned) for process in sight.group("pairs")],
        "books": [
            _book(sight, process, extras.pace)
            for process in (*sight.group("feeds"), *sight.group("rates"))
        ],
        "processes": [_process(sight, process) for process in sight.processes],
    }


def _sum(sight: Sight, extras: Extras) -> Json:
    """All pairs together."""
    rates = [extras.pace.per_s(process.name) for process in sight.group("pairs")]
    known = [rate for rate in rates if rate is not None]
    budget = extras.budget
    return {
        "today": _number(extras.earned.profit_twd(sight)),
        "fills": extras.earned.fills if extras.earned.is_known else None,
        "volume": _number(extras.earned.volume_twd(sight)),
        "requests": round(sum(known), 1) if known else None,
        "limit": None if budget is None else _number(budget.rate_per_s),
        "burst": None if budget is None else budget.burst,
        "left": extras.budget_left,
    }


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _pair(sight: Sight, process: Process, earned: Earned) -> Json:
    quotes = sight.quotes_of(process)
    word, pair = pair_word(process, quotes), Pair.parse(process.member)
    is_up = process.state in UP
    return {
        "slug": process.member,
        "name": str(pair),
        "state": process.state,
        "word": word,
        "tone": tone(word),
        "paused": bool(quotes.paused) or word == "killed",
        "ref": [quotes.reference_bid, quotes.reference_ask],
        "rate": [quotes.rate_bid, quotes.rate_ask],
        "best": [quotes.best_bid, quotes.best_ask],
        "open": quotes.open_orders,
        "position": quotes.position,
        "pnl": quotes.pnl,
        "today": _number(earned.profit(pair, quotes)),
        "fills": quotes.fills,
        "requests": quotes.requests,
        "age": quotes.price_age_ms,
        "restarts": process.restarts,
        "note": quotes.note_text or ("" if is_up else process.text),
        "error": sight.health_of(process).error_text,
    }


def _book(sight: Sight, process: Process, pace: Pace) -> Json:
    book, health = sight.book_of(process), sight.health_of(process)
    word, rate = book_word(process, book), pace.per_s(process.name)
    return {
        "name": shown_name(process),
        "kind": process.group,
        "state": process.state,
        "word": word,
        "tone": tone(word),
        "bid": book.bid_price if book.is_valid else 0,
        "ask": book.ask_price if book.is_valid else 0,
        "age": max(0, book.age_ns(sight.now_ns)) // 1_000_000 if book.last_frame_ns else -1,
        "messages": health.messages,
        "rate": None if rate is None else round(rate, 1),
        "lag": health.lag_ms if process.group == "feeds" else None,
        "overflows": health.overflows,
    }


def _process(sight: Sight, process: Process) -> Json:
    health = sight.health_of(process)
    return {
        "name": process.name,
        "pid": process.pid,
        "state": process.state,
        "tone": tone(process.state.replace("_", " ")),
        "since": process.since_s,
        "restarts": process.restarts,
        "memory": round(process.memory_mb, 1),
        "errors": health.errors,
        "error": health.error_text,
        "text": process.text,
    }


def ladder(
    pair: Pair, orders: Iterable[Order], instance: str, book: OrderBook | None, own: Json | None
) -> Json:
    """Our open orders, and the venue's book beside them where it is known; best first.

    `own` is what the pair says of its orders; where it says nothing, `orders` of the venue's
    newest list are shown.
    """
    mine = [order for order in orders if order.pair == pair]
    return {
        "bids": _rows(mine, Side.BUY, instance) if own is None else _own_rows(own, "bid"),
        "asks": _rows(mine, Side.SELL, instance) if own is None else _own_rows(own, "ask"),
        "book": None
        if book is None
        else {
            "bids": [[_plain(lv.price), _plain(lv.amount)] for lv in book.bids[:_BOOK_ROWS]],
            "asks": [[_plain(lv.price), _plain(lv.amount)] for lv in book.asks[:_BOOK_ROWS]],
        },
    }


def _rows(orders: Iterable[Order], side: Side, instance: str) -> list[Json]:
    chosen = sorted(
        (order for order in orders if order.side is side),
        key=lambda order: order.price,
        reverse=side is Side.BUY,
    )
    return [
        {
            "price": _plain(order.price),
            "amount": _plain(order.remaining),
            "is_ours": owner_of(order.client_id, instance) is Owner.OURS,
        }
        for order in chosen
    ]


def _own_rows(own: Json, side: str) -> list[Json]:
    """Orders that rest, as the pair's own process tells of them."""
    (found,) = (one for one in own["sides"] if one["side"] == side)
    orders = [*(level.get("order") for level in found["levels"]), *found["others"]]
    resting = [order for order in orders if order and order["state"] not in _NOT_RESTING]
    return sorted(
        (
            {"price": order["price"], "amount": order["remaining"], "is_ours": True}
            for order in resting
        ),
        key=lambda row: Decimal(row["price"]),
        reverse=side == "bid",
    )


def _plain(number: Decimal) -> str:
    """Without an exponent, and without the zeros that the venue adds."""
    return f"{number.normalize():f}"


def fill(one: Fill) -> Json:
    trade = one.trade
    return {
        "id": one.id,
        "pair": trade.pair.slug,
        "t": trade.time_ms,
        "side": trade.side.name.lower(),
        "price": float(trade.price),
        "amount": float(trade.amount),
        "self": trade.is_self,
    }


def news(alert: Alert) -> Json:
    """An alert on the time line."""
    return {
        "t": alert.wall_ms,
        "kind": alert.kind.value,
        "subject": alert.subject,
        "text": alert.text,
        "tone": "good" if alert.is_recovery else "bad" if alert.kind.lasts else "plain",
        "over": alert.is_recovery,
    }


@dataclass
class History:
    """What the page's process remembers of the last hour."""

    points: dict[str, deque[list[float]]] = field(default_factory=dict)
    """By pair: [t ms, reference bid, reference ask, our bid, our ask, position, profit]."""
    fills: deque[Json] = field(default_factory=lambda: deque(maxlen=MOST_FILLS))
    events: deque[Json] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))
    _before: dict[str, Process] = field(default_factory=dict)

    def take(self, sight: Sight) -> list[Json]:
        """Remembers the present; returns what happened to processes since the last look."""
        for process in sight.group("pairs"):
            quotes = sight.quotes_of(process)
            points = self.points.setdefault(process.member, deque(maxlen=POINTS))
            points.append(_point(sight, quotes))
        found = [found for process in sight.processes if (found := self._change(sight, process))]
        self.events.extend(found)
        return found

    def chart(self, slug: str) -> Json:
        return {
            "points": list(self.points.get(slug, ())),
            "fills": [one for one in self.fills if one["pair"] == slug],
        }

    def hear(self, alerts: Sequence[Alert]) -> list[Json]:
        """Puts alerts on the time line."""
        found = [news(alert) for alert in alerts]
        self.events.extend(found)
        return found

    def _change(self, sight: Sight, process: Process) -> Json | None:
        before = self._before.get(process.name)
        self._before[process.name] = process
        if before is None or (before.state, before.pid) == (process.state, process.pid):
            return None
        if before.state in UP and process.state in UP and before.pid == process.pid:
            return None  # it has merely proven to be healthy
        tone = "good" if process.state in UP else "bad" if process.state == "parked" else "plain"
        return {
            "t": int(sight.wall_s * 1000),
            "kind": process.state.replace("_", " "),
            "subject": process.name,
            "text": f"process {process.pid}" if process.pid else process.text,
            "tone": tone,
            "over": False,
        }


def _point(sight: Sight, quotes: QuoteState) -> list[float]:
    prices = (quotes.reference_bid, quotes.reference_ask, quotes.best_bid, quotes.best_ask)
    rounded = [float(f"{number:.10g}") for number in (*prices, quotes.position, quotes.pnl)]
    return [int(sight.wall_s * 1000), *rounded]


def balances(found: Iterable[Balance], currencies: Collection[str]) -> list[Json]:
    """What we hold of some currencies."""
    return [
        {"currency": one.currency, "total": float(one.total), "free": float(one.free)}
        for one in found
        if one.currency in currencies
    ]
