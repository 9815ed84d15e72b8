"""`mmd status`: what runs and what it quotes, at a glance or as JSON.

Reads the status block (processes) and the cells (numbers), both without asking anybody, so it
answers while everything else hangs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

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

_WIDE_COLUMNS = 110
_GOOD = frozenset({"ready", "running"})
_BAD = frozenset({"parked", "stalled"})


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
    return f"{_price(quotes.best_bid)} / {_price(quotes.best_ask)}, {quotes.open_orders} open"


def describe_book(book: BookState, now_ns: int) -> str:
    """A book in a few words, for supervisorctl."""
    if not book.is_valid:
        return BookStatus(book.status).name.lower().replace("_", " ")
    age_s = max(0, book.age_ns(now_ns)) / 1e9
    return f"{_price(book.bid_price)} / {_price(book.ask_price)}, {age_s:.1f} s old"


def to_json(view: View) -> dict[str, Any]:
    """The status as programs read it."""
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
        "pairs": [_pair_json(view, name, row) for name, row in view.rows("pairs")],
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


def render(view: View, width: int) -> RenderableType:
    """The status as a person reads it, on a terminal of so many columns."""
    if view.block is None:
        return Text("mmd is not running, and has not run here before. Start it with: mmd start")
    parts: list[RenderableType] = [
        _headline(view),
        _pairs_table(view, width >= _WIDE_COLUMNS),
        _books_table(view),
    ]
    troubles = _troubles(view)
    if troubles:
        parts.append(troubles)
    return Group(*parts)


def print_status(view: View, console: Console) -> None:
    console.print(render(view, console.width))


def _headline(view: View) -> Text:
    block, state = view.block, view.parent_state
    assert block is not None
    if state == "stopped":
        return Text("mmd is not running. Start it with: mmd start", style="bold")
    if state == "dead":
        return Text("mmd has died; supervisord starts it again, or: mmd start", style="bold red")
    if state == "silent":
        age = f"{block.age_s:.0f} s"
        return Text(f"mmd (pid {block.parent_pid}) has been silent for {age}", style="bold red")
    up = _duration(view.wall_s - block.parent_since)
    return Text(f"mmd {state}, pid {block.parent_pid}, up {up}", style="bold")


def _pairs_table(view: View, wide: bool) -> Table:
    table = _table("Pair", "State", "Reference", "Our bid", "Our ask", "Open", "Age", "Rst")
    for heading in ("Bid bps", "Ask bps", "Position", "P/L") if wide else ():
        table.add_column(heading, justify="right")
    for name, row in view.rows("pairs"):
        quotes = view.quotes.get(name, QuoteState())
        cells: list[RenderableType] = [
            _state(row, quotes),
            _price((quotes.reference_bid + quotes.reference_ask) / 2),
            _price(quotes.best_bid),
            _price(quotes.best_ask),
            str(quotes.open_orders),
            _age(quotes.price_age_ms if quotes.price_age_ms >= 0 else None),
            str(row.restarts),
        ]
        if wide:
            cells += [
                _distance(quotes.reference_bid, quotes.best_bid),
                _distance(quotes.best_ask, quotes.reference_ask),
                f"{quotes.position:+.5g}",
                f"{quotes.pnl:+,.0f}",
            ]
        table.add_row(str(Pair.parse(name)), *cells)
    return table


def _books_table(view: View) -> Table:
    table = _table("Feed", "State", "Bid", "Ask", "Age", "Messages", "Overflows", "Rst")
    for group in ("feeds", "rates"):
        for name, row in view.rows(group):
            book, health = view.books.get(name, BookState()), _health(view, row.name)
            table.add_row(
                name.upper() if group == "feeds" else str(Pair.parse(name)),
                _book_state(row, book),
                _price(book.bid_price if book.is_valid else 0),
                _price(book.ask_price if book.is_valid else 0),
                _age(_age_ms(view, book)),
                f"{health.messages:,}",
                str(health.overflows),
                str(row.restarts),
            )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="left" if position < 2 else "right", no_wrap=True)
    return table


def _distance(far: float, near: float) -> str:
    """How far a quote of ours lies from its side of the reference, in bps."""
    return f"{(far - near) / near * 10_000:.1f}" if far and near else "–"


def _age(age_ms: int | None) -> str:
    return f"{age_ms / 1000:.1f}s" if age_ms is not None else "–"


def _state(row: Row, quotes: QuoteState) -> Text:
    if row.state not in _GOOD and not (row.state == "starting" and quotes.best_bid):
        return Text(row.state, style="bold red" if row.state in _BAD else "yellow")
    if quotes.paused:
        return Text("paused", style="yellow")
    if quotes.best_bid and quotes.best_ask:
        return Text("quoting", style="green")
    if quotes.best_bid or quotes.best_ask:
        return Text("one side", style="yellow")
    return Text("not quoting", style="yellow")


def _book_state(row: Row, book: BookState) -> Text:
    if row.state not in _GOOD:
        return Text(row.state, style="bold red" if row.state in _BAD else "yellow")
    if book.is_valid:
        return Text("live", style="green")
    return Text(BookStatus(book.status).name.lower().replace("_", " "), style="yellow")


def _troubles(view: View) -> Text | None:
    """Why something does not quote, and the last errors."""
    lines = []
    for name, row in view.rows("pairs"):
        note = view.quotes.get(name, QuoteState()).note_text
        if note and row.state in _GOOD:
            lines.append(f"{Pair.parse(name)}: {note}")
    for row in view.block.rows if view.block else ():
        error = _health(view, row.name).error_text
        if error:
            lines.append(f"{row.name}: last error: {error}")
        if row.state == "parked":
            lines.append(f"{row.name}: parked: {row.health}")
    return Text("\n".join(lines), style="yellow") if lines else None


def _price(price: float) -> str:
    """Six significant digits at least, and no more places than a trader reads."""
    if not price:
        return "–"
    places = 2 if price >= 1000 else 4 if price >= 1 else 8
    return f"{price:,.{places}f}".rstrip("0").rstrip(".")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
