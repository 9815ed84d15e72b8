"""One symbol's market: takes the source's events, adds what is derived, knows how it stands."""

from __future__ import annotations

from collections import deque
from typing import Any

import orjson

from mmd.sim.binance.book import LocalBook
from mmd.sim.binance.derive import PARTIAL_LEVELS, Aggregator, SlowDiff
from mmd.sim.binance.events import Event, parse_e8, unwrap, wrap

_SPARE_ROWS = 100
"""Levels that a newer bookTicker may have passed since the last diff."""

Partials = tuple[tuple[str, int], ...]


class SymbolMarket:
    """State of one symbol. What its handlers are given goes on to `out`, with what it causes."""

    def __init__(self, symbol: str, opening: bytes | None, out: deque[Event]) -> None:
        self.symbol = symbol
        self.trades = Aggregator()
        self._name = symbol.lower()
        self._opening = opening
        self._out = out
        self._book = LocalBook()
        self._ticker: bytes | None = None
        self._second = -1
        self._partials: Partials = ()
        self._slow_partials: Partials = ()
        self._slow_diff: SlowDiff | None = None
        self._wants_diffs = False
        self.wants_aggregates = False

    def want(self, listened: set[str], native: frozenset[str]) -> None:
        """Says which streams are listened to, and which of them come ready-made."""
        name, streams = self._name, listened - native
        self.wants_aggregates = f"{name}@aggTrade" in streams
        self._wants_diffs = bool(listened & {f"{name}@depth@100ms", f"{name}@depth"})
        self._partials, self._slow_partials = (
            tuple((s, n) for n in PARTIAL_LEVELS if (s := f"{name}@depth{n}{end}") in streams)
            for end in ("@100ms", "")
        )
        if f"{name}@depth" not in streams:
            self._slow_diff = None
        elif self._slow_diff is None:
            self._slow_diff = SlowDiff()

    def on_ticker(self, event: Event) -> None:
        """A bookTicker."""
        self._ticker = event[2]
        self._out.append(event)

    def on_trade(self, event: Event) -> None:
        """A trade. It may show that an earlier taker order is complete."""
        aggregate = self.trades.feed(event[0], unwrap(event[2]))
        if aggregate is not None:
            self._put_aggregate(event[0], aggregate)
        self._out.append(event)

    def on_diff(self, event: Event) -> None:
        """A depthUpdate."""
        data = unwrap(event[2])
        self._book.feed_diff(data)
        self._out.append(event)
        self._derive_from(event[0], data)

    def on_snapshot(self, event: Event) -> None:
        """A whole book that fits into the flow of diffs."""
        self._book.feed_snapshot(unwrap(event[2]))

    def on_opening(self, event: Event) -> None:
        """The market jumps to another book: listeners get the change as one diff."""
        time_ns, opening = event[0], unwrap(event[2])
        if self._wants_diffs and self._book.update_id is not None:
            bids, asks = self._book.changes_into(opening)
            diff = {
                "e": "depthUpdate",
                "E": self._book.event_ms + 1,
                "s": self.symbol,
                "U": self._book.update_id + 1,
                "u": orjson.loads(opening)["lastUpdateId"],
                "b": bids,
                "a": asks,
            }
            data = orjson.dumps(diff)
            self._put(time_ns, f"{self._name}@depth@100ms", data)
            self._derive_from(time_ns, data)
        self._book.restart(opening)

    @property
    def aggregate_due_ns(self) -> int | None:
        """When the fills at hand become an aggregate trade, if no more come."""
        return self.trades.due_ns

    def finish_aggregate(self, before_ns: int | None) -> None:
        """Puts out the aggregate trade that is complete before this time (None: at the end)."""
        due_ns = self.trades.due_ns
        if due_ns is None or (before_ns is not None and due_ns >= before_ns):
            return
        aggregate = self.trades.finish()
        if aggregate is not None:
            self._put_aggregate(due_ns, aggregate)

    def ticker(self) -> dict[str, Any] | None:
        """The top of the book, keys as in bookTicker; None where nothing is known of it."""
        if self._ticker is not None:
            found: dict[str, Any] = orjson.loads(unwrap(self._ticker))
            return found
        book = self.book(1)
        if book is None or not (book["bids"] and book["asks"]):
            return None
        (bid, bid_amount), (ask, ask_amount) = book["bids"][0], book["asks"][0]
        keys = {"u": book["lastUpdateId"], "s": self.symbol}
        return keys | {"b": bid, "B": bid_amount, "a": ask, "A": ask_amount}

    def book(self, limit: int | None = None) -> dict[str, Any] | None:
        """The order book as REST gives it; None where nothing is known of it.

        Before the first snapshot: the opening book. With neither: the top alone.
        """
        if self._book.update_id is not None:
            book = self._book.as_rest(None if limit is None else limit + _SPARE_ROWS)
        elif self._opening is not None:
            book = orjson.loads(self._opening)
        elif self._ticker is not None:
            book = {"lastUpdateId": 0, "bids": [], "asks": []}
        else:
            return None
        if self._ticker is not None:
            _put_top(book, orjson.loads(unwrap(self._ticker)))
        return book | {side: book[side][:limit] for side in ("bids", "asks")}

    def _derive_from(self, time_ns: int, diff: bytes) -> None:
        if self._slow_diff is not None:
            joined = self._slow_diff.feed(diff)
            if joined is not None:
                self._put(time_ns, f"{self._name}@depth", joined)
        if not (self._partials or self._slow_partials) or self._book.update_id is None:
            return
        wanted = self._partials
        if (second := self._book.event_ms // 1000) != self._second:
            self._second = second
            wanted += self._slow_partials
        for stream, levels in wanted:
            self._put(time_ns, stream, orjson.dumps(self._book.as_rest(levels)))

    def _put(self, time_ns: int, stream: str, data: bytes) -> None:
        self._out.append((time_ns, stream, wrap(stream, data)))

    def _put_aggregate(self, time_ns: int, aggregate: dict[str, Any]) -> None:
        self._put(time_ns, f"{self._name}@aggTrade", orjson.dumps(aggregate))


def _put_top(book: dict[str, Any], top: dict[str, Any]) -> None:
    """Brings a book up to a newer bookTicker.

    The id then lies inside the next diff, which repeats all changes since the last one.
    """
    if top["u"] <= book["lastUpdateId"]:
        return
    bid, ask = parse_e8(top["b"]), parse_e8(top["a"])
    book["lastUpdateId"] = top["u"]
    lower = [row for row in book["bids"] if parse_e8(row[0]) < bid]
    higher = [row for row in book["asks"] if parse_e8(row[0]) > ask]
    book["bids"] = [(top["b"], top["B"]), *lower]
    book["asks"] = [(top["a"], top["A"]), *higher]
