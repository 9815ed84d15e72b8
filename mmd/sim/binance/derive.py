"""Streams that Binance makes out of others: aggTrade, partial books, the slow depth streams.

Source: binance-spot-api-docs, web-socket-streams.md. A partial book follows each recorded
diff, that is every 100 ms; the 1000 ms streams follow the first diff of each new second.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

PARTIAL_LEVELS = (5, 10, 20)
_KEPT = 1000
_TAKER_ORDER_NS = 5_000_000
"""Fills of one taker order arrive within this time."""


@dataclass(slots=True)
class _Fills:
    """The fills so far of one taker order at one price."""

    first: dict[str, Any]
    last: dict[str, Any]
    amount: Decimal
    time_ns: int

    def takes(self, trade: dict[str, Any]) -> bool:
        return all(trade[key] == self.first[key] for key in ("p", "T", "m"))


class Aggregator:
    """Turns one symbol's trades into aggregate trades.

    Nothing is computed before somebody asks; then numbering begins and has no gap.
    """

    def __init__(self) -> None:
        self.recent: deque[bytes] = deque(maxlen=_KEPT)
        """Raw payloads of the last trades."""
        self.aggregates: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        """The last aggregate trades, while active."""
        self.active = False
        self._next_id = 0
        self._fills: _Fills | None = None

    def activate(self, now_ns: int) -> None:
        """Begins, with the recent trades."""
        if self.active:
            return
        self.active = True
        for data in self.recent:
            self._take(data, now_ns)

    def feed(self, time_ns: int, data: bytes) -> dict[str, Any] | None:
        """Takes a trade; gives the aggregate trade that it shows to be complete."""
        self.recent.append(data)
        return self._take(data, time_ns) if self.active else None

    @property
    def due_ns(self) -> int | None:
        """When the fills at hand are complete, if no more come."""
        return self._fills.time_ns + _TAKER_ORDER_NS if self._fills else None

    def finish(self) -> dict[str, Any] | None:
        """The aggregate trade of the fills at hand."""
        fills, self._fills = self._fills, None
        if fills is None:
            return None
        first, last = fills.first, fills.last
        self._next_id = self._next_id + 1 if self._next_id else first["t"]
        aggregate = {
            "e": "aggTrade",
            "E": last["E"],
            "s": first["s"],
            "a": self._next_id,
            "p": first["p"],
            "q": f"{fills.amount:.8f}",
            "f": first["t"],
            "l": last["t"],
            "T": first["T"],
            "m": first["m"],
            "M": True,
        }
        self.aggregates.append(aggregate)
        return aggregate

    def _take(self, data: bytes, time_ns: int) -> dict[str, Any] | None:
        trade = orjson.loads(data)
        if self._fills and self._fills.takes(trade):
            self._fills.last = trade
            self._fills.amount += Decimal(trade["q"])
            return None
        done = self.finish()
        self._fills = _Fills(trade, trade, Decimal(trade["q"]), time_ns)
        return done


class SlowDiff:
    """Joins the diffs of a second into one."""

    def __init__(self) -> None:
        self._second: int | None = None
        self._message: dict[str, Any] = {}
        self._rows: tuple[dict[str, str], dict[str, str]] = ({}, {})

    def feed(self, data: bytes) -> bytes | None:
        """Takes a depthUpdate; gives the joined one when a new second has begun."""
        diff = orjson.loads(data)
        second = diff["E"] // 1000
        done = self._finish() if self._second not in (None, second) else None
        self._second = second
        self._message = {"U": diff["U"], **self._message, "u": diff["u"], "E": diff["E"]}
        self._message["s"] = diff["s"]
        self._rows[0].update(diff["b"])
        self._rows[1].update(diff["a"])
        return done

    def _finish(self) -> bytes:
        message, bids, asks = self._message, *self._rows
        done = {"e": "depthUpdate", "E": message["E"], "s": message["s"]}
        done |= {"U": message["U"], "u": message["u"]}
        done |= {"b": list(bids.items()), "a": list(asks.items())}
        self._message, self._rows = {}, ({}, {})
        return orjson.dumps(done)
