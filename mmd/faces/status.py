"""`mmd status`: what runs and what it quotes, at a glance or as JSON.

Reads the status block (processes) and the cells (numbers), both without asking anybody, so it
answers while everything else hangs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mmd.cells.layouts import (
    BOOK,
    HEALTH,
    QUOTES,
    BookState,
    BookStatus,
    HealthState,
    QuoteState,
)
from mmd.cells.segment import Segment
from mmd.config.paths import Paths
from mmd.supervision import lock, status_block
from mmd.supervision.status_block import Block, Row
from mmd.words.errors import Unavailable
from mmd.words.market import Pair


@dataclass(frozen=True)
class View:
    """Everything that the status shows, read at one moment."""

    now_ns: int
    """Monotonic."""
    wall_s: float
    block: Block | None
    is_alive: bool = False
    """The parent that wrote the block still holds its lock."""
    books: Mapping[str, BookState] = field(default_factory=dict)
    quotes: Mapping[str, QuoteState] = field(default_factory=dict)
    health: Mapping[str, HealthState] = field(default_factory=dict)

    @property
    def parent_state(self) -> str:
        """`running`, `stopping`, `silent` for a parent that hangs, `dead` for one that was
        killed and not replaced yet, or `stopped`."""
        if self.block is None or self.block.parent_state == "stopped":
            return "stopped"
        if not self.is_alive:
            return "dead"
        return self.block.parent_state if self.block.is_fresh else "silent"

    def rows(self, group: str) -> list[tuple[str, Row]]:
        """The processes of a group with their names: `btc_twd` and so on."""
        if self.block is None:
            return []
        prefix = group + ":"
        rows = [row for row in self.block.rows if row.name.startswith(prefix)]
        return [(row.name.removeprefix(prefix), row) for row in rows]


def look(paths: Paths) -> View:
    """Reads all there is; never waits."""
    now_ns, wall_s = time.monotonic_ns(), time.time()
    block = status_block.read(paths.status)
    is_alive = block is not None and lock.holder(paths.parent_lock) == block.parent_pid
    try:
        segment = Segment.look(paths.run)
    except Unavailable:
        return View(now_ns, wall_s, block, is_alive)
    try:
        return View(
            now_ns,
            wall_s,
            block,
            is_alive,
            {name: segment.cell(BOOK, name).read() for name in segment.names(BOOK)},
            {name: segment.cell(QUOTES, name).read() for name in segment.names(QUOTES)},
            {name: segment.cell(HEALTH, name).read() for name in segment.names(HEALTH)},
        )
    finally:
        segment.close()


def describe_pair(quotes: QuoteState) -> str:
    """A pair's quoting in a few words, for supervisorctl."""
    if quotes.note_text:
        return quotes.note_text
    return f"{price(quotes.best_bid)} / {price(quotes.best_ask)}, {quotes.open_orders} open"


def describe_book(book: BookState, now_ns: int) -> str:
    """A book in a few words, for supervisorctl."""
    if not book.is_valid:
        return BookStatus(book.status).name.lower().replace("_", " ")
    age_s = max(0, book.age_ns(now_ns)) / 1e9
    return f"{price(book.bid_price)} / {price(book.ask_price)}, {age_s:.1f} s old"


def to_json(
    view: View, profit_today: Mapping[str, float | None] = MappingProxyType({})
) -> dict[str, Any]:
    """The status as programs read it. `profit_today`: by pair's slug, in its quote currency."""
    block, running = view.block, view.parent_state in ("running", "stopping")
    return {
        "parent": {
            "pid": block.parent_pid if block and view.is_alive else None,
            "state": view.parent_state,
            "uptime_s": round(view.wall_s - block.parent_since, 1) if block and running else 0,
        },
        "feeds": [
            _book_json(view, "feeds", "symbol", n.upper(), n, r) for n, r in view.rows("feeds")
        ],
        "rates": [
            _book_json(view, "rates", "rate", str(Pair.parse(n)), n, r)
            for n, r in view.rows("rates")
        ],
        "pairs": [
            {**_pair_json(view, name, row), "pnl_today": profit_today.get(name)}
            for name, row in view.rows("pairs")
        ],
        "jobs": [{"job": name, **_process_json(row)} for name, row in view.rows("jobs")],
    }


def _process_json(row: Row) -> dict[str, Any]:
    return {"pid": row.pid or None, "state": row.state, "restarts": row.restarts}


def _book_json(view: View, group: str, key: str, shown: str, name: str, row: Row) -> dict[str, Any]:
    book, health = view.books.get(name, BookState()), _health(view, f"{group}:{name}")
    return {
        key: shown,
        **_process_json(row),
        "bid": book.bid_price if book.is_valid else None,
        "ask": book.ask_price if book.is_valid else None,
        "age_ms": _age_ms(view, book),
        "messages": health.messages,
        "overflows": health.overflows,
        "lag_ms": health.lag_ms,
        "connected": bool(health.connected),
        "last_error": health.error_text,
    }


def _pair_json(view: View, name: str, row: Row) -> dict[str, Any]:
    quotes, health = view.quotes.get(name, QuoteState()), _health(view, f"pairs:{name}")
    return {
        "pair": str(Pair.parse(name)),
        **_process_json(row),
        "paused": bool(quotes.paused),
        "reference_bid": quotes.reference_bid or None,
        "reference_ask": quotes.reference_ask or None,
        "rate": (quotes.rate_bid + quotes.rate_ask) / 2 or None,
        "best_bid": quotes.best_bid or None,
        "best_ask": quotes.best_ask or None,
        "age_ms": quotes.price_age_ms if quotes.price_age_ms >= 0 else None,
        "open_orders": quotes.open_orders,
        "position": quotes.position,
        "pnl": quotes.pnl,
        "fills": quotes.fills,
        "requests": quotes.requests,
        "volatility_bps": quotes.volatility_bps,
        "self_trades": quotes.self_trades,
        "self_traded_amount": quotes.self_traded_amount,
        "note": quotes.note_text,
        "last_error": health.error_text,
    }


def _health(view: View, name: str) -> HealthState:
    return view.health.get(name, HealthState())


def _age_ms(view: View, book: BookState) -> int | None:
    return max(0, book.age_ns(view.now_ns)) // 1_000_000 if book.is_valid else None


def price(value: float) -> str:
    """Six significant digits at least, and no more places than a trader reads."""
    if not value:
        return "–"
    places = 2 if value >= 1000 else 4 if value >= 1 else 8
    return f"{value:,.{places}f}".rstrip("0").rstrip(".")
