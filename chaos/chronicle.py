"""The venue's record as life stories of orders. Touches nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from mmd.words.market import Side

_PLACE = "/order/order"


@dataclass(slots=True)
class Story:
    """One order on the venue. Times in ms since 1970."""

    order_no: str
    client_id: str
    pair: str
    side: Side
    price: Decimal
    amount: Decimal
    opened_ms: int
    closed_ms: int | None = None
    """When it was filled whole or cancelled; None while it rests."""

    def rests_between(self, start_ms: int, end_ms: int) -> bool:
        """Whether it lay in the book at some moment of that time."""
        closed_ms = end_ms if self.closed_ms is None else self.closed_ms
        return self.opened_ms < end_ms and closed_ms > start_ms


class FillRow(NamedTuple):
    """One fill of one order; a self-match has two."""

    trade_no: int
    order_no: str
    client_id: str
    pair: str
    side: Side
    price: Decimal
    amount: Decimal
    fee: Decimal
    is_self: bool


@dataclass
class Chronicle:
    """All that the record tells of the account, taken in entry by entry."""

    last: int = 0
    """The number of the last entry taken in."""
    stories: dict[str, Story] = field(default_factory=dict)
    """By order number."""
    fills: dict[tuple[int, str], FillRow] = field(default_factory=dict)
    sendings: dict[str, int] = field(default_factory=dict)
    """How often an order was sent, by customOrderId; a sending that the venue plainly refused
    does not count."""
    order_nos: dict[str, list[str]] = field(default_factory=dict)
    """The orders that the venue made of a customOrderId."""

    def take(self, entries: Iterable[dict[str, Any]]) -> None:
        for entry in entries:
            self.last = entry["n"]
            parameters = entry["parameters"] or {}
            if (entry["path"] or "").endswith(_PLACE) and not _is_refused(entry):
                sent = parameters.get("customOrderId", "")
                self.sendings[sent] = self.sendings.get(sent, 0) + 1
            for event in entry["events"]:
                self._take_event(event, entry["t"])

    def open_orders(self, pair: str) -> list[Story]:
        """What rests now."""
        return [s for s in self.stories.values() if s.pair == pair and s.closed_ms is None]

    def sides(self, pair: str) -> set[Side]:
        """On which sides something rests now."""
        return {story.side for story in self.open_orders(pair)}

    def position(self, pair: str) -> Decimal:
        """What all fills together bought less what they sold, in base currency."""
        rows = [fill for fill in self.fills.values() if fill.pair == pair]
        return sum((r.amount if r.side is Side.BUY else -r.amount for r in rows), Decimal(0))

    def _take_event(self, event: dict[str, Any], time_ms: int) -> None:
        match event["kind"]:
            case "opened":
                story = Story(
                    event["order_no"],
                    event["client_id"] or "",
                    _pair(event["pair"]),
                    Side(event["side"]),
                    Decimal(event["price"]),
                    Decimal(event["amount"]),
                    time_ms,
                )
                self.stories[story.order_no] = story
                self.order_nos.setdefault(story.client_id, []).append(story.order_no)
            case "filled":
                self._take_fill(event["fill"])
                if event["done"]:
                    self.stories[event["fill"]["order_no"]].closed_ms = time_ms
            case "closed":
                self.stories[event["order_no"]].closed_ms = time_ms

    def _take_fill(self, fill: dict[str, Any]) -> None:
        row = FillRow(
            int(fill["trade_no"]),
            fill["order_no"],
            fill["client_id"] or "",
            _pair(fill["pair"]),
            Side(fill["side"]),
            Decimal(fill["price"]),
            Decimal(fill["amount"]),
            Decimal(fill["fee"]),
            fill["is_self"],
        )
        self.fills[row.trade_no, row.order_no] = row


def _is_refused(entry: dict[str, Any]) -> bool:
    """Answered in order, and the answer was no: nothing was executed, and we know it."""
    return entry["fault"] is None and entry["status"] not in (None, 200)


def _pair(text: str | dict[str, str]) -> str:
    return text if isinstance(text, str) else f"{text['base']}/{text['quote']}"
