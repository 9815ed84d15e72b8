"""A local order book, kept as Binance's documentation demands.

Source: binance-spot-api-docs, web-socket-streams.md, "How to manage a local order book correctly"
(text of 2025-11-12). Levels outside the snapshot stay unknown until they change.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Any

import orjson

from mmd.sim.binance.events import format_e8, parse_e8

Row = tuple[str, str]
"""Price and quantity, as text."""

_BUFFER_LIMIT = 5000


class _Ladder:
    """One side of a book, best level first. Keys are e8 prices, negative for bids."""

    __slots__ = ("amounts", "keys", "sign")

    def __init__(self, sign: int, rows: Iterable[Row] = ()) -> None:
        self.sign = sign
        self.amounts = {sign * parse_e8(price): amount for price, amount in rows}
        self.keys = sorted(self.amounts)

    def set(self, price: str, amount: str) -> None:
        key = self.sign * parse_e8(price)
        known = key in self.amounts
        if amount.strip("0.") == "":
            if known:
                del self.amounts[key]
                del self.keys[bisect_left(self.keys, key)]
            return
        if not known:
            insort(self.keys, key)
        self.amounts[key] = amount

    def rows(self, count: int | None = None) -> list[Row]:
        return [(format_e8(self.sign * key), self.amounts[key]) for key in self.keys[:count]]

    def changes_into(self, other: _Ladder) -> list[Row]:
        gone = [
            (format_e8(self.sign * key), "0.00000000")
            for key in self.keys
            if key not in other.amounts
        ]
        new = [
            (format_e8(self.sign * key), other.amounts[key])
            for key in other.keys
            if self.amounts.get(key) != other.amounts[key]
        ]
        return gone + new


class LocalBook:
    """The order book of one symbol, rebuilt from a snapshot and diffs.

    Messages are queued and only worked in when the book is looked at: at full speed
    most are never needed, because the next snapshot makes them pointless.
    """

    def __init__(self) -> None:
        self._queue: list[tuple[bool, bytes]] = []
        self._early: list[dict[str, Any]] = []
        self._update_id: int | None = None
        self.event_ms = 0
        """Exchange time of the last diff worked in."""
        self._bids = _Ladder(-1)
        self._asks = _Ladder(+1)

    def feed_diff(self, data: bytes) -> None:
        """Takes a raw depthUpdate payload."""
        self._queue.append((False, data))
        if len(self._queue) > _BUFFER_LIMIT:
            self._work()

    def feed_snapshot(self, data: bytes) -> None:
        """Takes a book as REST gives it."""
        self._queue.append((True, data))

    def restart(self, data: bytes) -> None:
        """Takes a book that makes all earlier messages pointless."""
        self._queue = [(True, data)]
        self._early.clear()
        self._update_id = None

    @property
    def update_id(self) -> int | None:
        """Id of the last change worked in; None without snapshot or after a gap."""
        self._work()
        return self._update_id

    def as_rest(self, limit: int | None = None) -> dict[str, Any]:
        """The book in the form of GET /api/v3/depth and of the partial-book streams."""
        self._work()
        return {
            "lastUpdateId": self._update_id,
            "bids": self._bids.rows(limit),
            "asks": self._asks.rows(limit),
        }

    def changes_into(self, snapshot: bytes) -> tuple[list[Row], list[Row]]:
        """The bid and ask changes that turn this book into that of `snapshot`."""
        self._work()
        wanted = orjson.loads(snapshot)
        return (
            self._bids.changes_into(_Ladder(-1, wanted["bids"])),
            self._asks.changes_into(_Ladder(+1, wanted["asks"])),
        )

    def _work(self) -> None:
        queue, self._queue = self._queue, []
        for is_snapshot, data in queue:
            message = orjson.loads(data)
            if is_snapshot:
                self._adopt(message)
            else:
                self._apply(message)

    def _adopt(self, snapshot: dict[str, Any]) -> None:
        if self._update_id is not None and snapshot["lastUpdateId"] <= self._update_id:
            return
        self._bids = _Ladder(-1, snapshot["bids"])
        self._asks = _Ladder(+1, snapshot["asks"])
        self._update_id = snapshot["lastUpdateId"]
        early, self._early = self._early, []
        for diff in early:
            self._apply(diff)

    def _apply(self, diff: dict[str, Any]) -> None:
        if self._update_id is not None and diff["U"] > self._update_id + 1:
            self._update_id = None
        if self._update_id is None:
            self._early.append(diff)
            del self._early[:-_BUFFER_LIMIT]
            return
        if diff["u"] <= self._update_id:
            return
        for price, amount in diff["b"]:
            self._bids.set(price, amount)
        for price, amount in diff["a"]:
            self._asks.set(price, amount)
        self._update_id = diff["u"]
        self.event_ms = diff.get("E", 0)
