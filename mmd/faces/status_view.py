"""`mmd status` for people: whether it is well, whether it earns, and all processes.

Columns give way to a narrow terminal, the least important first; nothing is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmd.faces.status import price
from mmd.processes.earned import Earned
from mmd.processes.pace import Pace
from mmd.processes.sight import Process, Sight
from mmd.processes.troubles import book_word, pair_word, shown_name, tone, troubles
from mmd.words.market import Pair

_STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "dim": "dim", "": ""}
_GAP = 2


@dataclass(frozen=True)
class Extras:
    """What the cells don't tell."""

    mode: str = ""
    earned: Earned = field(default_factory=Earned)
    pace: Pace | None = None
    """None for a single look, which can tell no rates."""
    budget_left: int | None = None
    """Requests that could be sent at once."""
    budget_per_s: Decimal | None = None


@dataclass(eq=False)
class _Column:
    heading: str
    importance: int
    """0 stays longest."""
    is_right: bool = True
    cells: list[Text] = field(default_factory=list)

    @property
    def width(self) -> int:
        return max(len(self.heading), *(cell.cell_len for cell in self.cells), 0)


def render(sight: Sight, extras: Extras, width: int) -> RenderableType:
    """The status on a terminal of so many columns."""
    if not sight.processes and sight.parent_state == "stopped" and not sight.parent_pid:
        return Text("mmd is not running, and has not run here before. Start it with: mmd start")
    parts: list[RenderableType] = [_headline(sight, extras)]
    if sight.parent_state == "stopped":
        return parts[0]
    parts += [_well(sight), _earns(sight, extras)]
    for block in (_pairs(sight, extras, width), _books(sight, extras, width), _jobs(sight)):
        parts += [Text(), block]
    if errors := _last_errors(sight):
        parts.append(errors)
    return Group(*parts)


# At a glance.


def _headline(sight: Sight, extras: Extras) -> Text:
    state = sight.parent_state
    if state == "stopped":
        return Text("mmd is not running. Start it with: mmd start", style="bold")
    if state == "dead":
        return Text("mmd has died; supervisord starts it again, or: mmd start", style="bold red")
    if state == "silent":
        return Text(f"mmd (pid {sight.parent_pid}) hangs: it says nothing", style="bold red")
    up = duration(sight.wall_s - sight.parent_since_s)
    mode = f" · {extras.mode}" if extras.mode else ""
    return Text(f"mmd {state}{mode} · pid {sight.parent_pid} · up {up}", style="bold")


def _well(sight: Sight) -> Text:
    """Whether it is well, and if not, what is wrong."""
    found = troubles(sight)
    pairs = sight.group("pairs")
    quoting = sum(pair_word(p, sight.quotes_of(p)) == "quoting" for p in pairs)
    counted = f"{quoting} of {len(pairs)} pairs quote"
    if not found:
        return Text(f"✔ all well, {counted}", style="green")
    sign = "✖" if found[0].tone == "bad" else "!"
    text = Text(f"{sign} {counted}", style=_STYLES[found[0].tone])
    for trouble in found:
        text.append(f"\n  {trouble.subject}: {trouble.text}", style=_STYLES[trouble.tone])
    return text


def _earns(sight: Sight, extras: Extras) -> Text:
    text = Text("today ")
    text.append_text(_money(extras.earned.profit_twd(sight)))
    text.append(f" TWD in {extras.earned.fills:,} fills")
    if extras.pace is not None:
        rates = [extras.pace.per_s(process.name) or 0 for process in sight.group("pairs")]
        text.append(f" · pairs send {sum(rates):.1f} requests/s")
    if extras.budget_left is not None and extras.budget_per_s is not None:
        text.append(f" · budget {extras.budget_per_s:f}/s, {extras.budget_left} in reserve")
    return text


# Tables.


def _pairs(sight: Sight, extras: Extras, width: int) -> Table:
    columns = [
        _Column("Pair", 0, is_right=False),
        _Column("State", 1, is_right=False),
        _Column("Our bid", 3),
        _Column("bps", 10),
        _Column("Reference", 7),
        _Column("Our ask", 3),
        _Column("bps", 10),
        _Column("Open", 8),
        _Column("Age", 6),
        _Column("Position", 5),
        _Column("Today", 2),
        _Column("In all", 9),
        _Column("Fills", 12),
        _Column("Req/s" if extras.pace else "Requests", 11),
        _Column("Rst", 4),
    ]
    for process in sight.group("pairs"):
        quotes = sight.quotes_of(process)
        reference = quotes.reference_bid, quotes.reference_ask
        profit = extras.earned.profit(Pair.parse(process.member), quotes)
        _add(
            columns,
            shown_name(process),
            _word(pair_word(process, quotes)),
            price(quotes.best_bid),
            _distance(reference[0], quotes.best_bid),
            price(sum(reference) / 2),
            price(quotes.best_ask),
            _distance(quotes.best_ask, reference[1]),
            str(quotes.open_orders),
            _age(quotes.price_age_ms),
            f"{quotes.position:+.5g}" if quotes.position else "0",
            _money(profit),
            _money(Decimal(quotes.pnl)),
            f"{quotes.fills:,}",
            _rate(extras, process, quotes.requests),
            _count(process.restarts),
        )
    return _table(columns, width)


def _books(sight: Sight, extras: Extras, width: int) -> Table:
    columns = [
        _Column("Price", 0, is_right=False),
        _Column("State", 1, is_right=False),
        _Column("Bid", 3),
        _Column("Ask", 3),
        _Column("Age", 2),
        _Column("Msg/s" if extras.pace else "Messages", 6),
        _Column("Lag", 7),
        _Column("Overflows", 8),
        _Column("Rst", 5),
    ]
    for process in (*sight.group("feeds"), *sight.group("rates")):
        book, health = sight.book_of(process), sight.health_of(process)
        is_valid = book.is_valid
        age_ms = max(0, book.age_ns(sight.now_ns)) // 1_000_000 if book.last_frame_ns else -1
        _add(
            columns,
            shown_name(process),
            _word(book_word(process, book)),
            price(book.bid_price if is_valid else 0),
            price(book.ask_price if is_valid else 0),
            _age(age_ms),
            _rate(extras, process, health.messages),
            f"{health.lag_ms} ms" if process.group == "feeds" else "–",
            _count(health.overflows),
            _count(process.restarts),
        )
    return _table(columns, width)


def _jobs(sight: Sight) -> Text:
    """The other processes, in a line."""
    text = Text("")
    for process in sight.group("jobs"):
        text.append(" · " if text else "")
        text.append(f"{process.member} ")
        text.append_text(_word(process.state.replace("_", " ")))
        if process.restarts:
            text.append(f" ({process.restarts} restarts)", style="yellow")
    return text


def _last_errors(sight: Sight) -> Text | None:
    lines = [
        f"last error of {process.name}: {error}"
        for process in sight.processes
        if (error := sight.health_of(process).error_text)
    ]
    return Text("\n".join(lines), style="yellow") if lines else None


def _table(columns: Sequence[_Column], width: int) -> Table:
    """As many of the columns as there is room for, the important ones first."""
    chosen: list[_Column] = []
    for rank in sorted({column.importance for column in columns}):
        equals = [column for column in columns if column.importance == rank]
        if not chosen or sum(c.width + _GAP for c in (*chosen, *equals)) <= width:
            chosen += equals
    shown = [column for column in columns if column in chosen]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for column in shown:
        justify = "right" if column.is_right else "left"
        table.add_column(column.heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for cells in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*cells)
    return table


def _add(columns: Sequence[_Column], *cells: Text | str) -> None:
    for column, cell in zip(columns, cells, strict=True):
        column.cells.append(Text(cell) if isinstance(cell, str) else cell)


# Cells.


def _word(word: str) -> Text:
    return Text(word, style=_STYLES[tone(word)])


def _count(number: int) -> Text:
    return Text(f"{number:,}", style="yellow" if number else "")


def _money(value: Decimal | None) -> Text:
    if value is None:
        return Text("–")
    style = "green" if value > 0 else "red" if value < 0 else ""
    return Text(f"{value:+,.0f}" if value else "0", style=style)


def _distance(far: float, near: float) -> str:
    """How far a quote of ours lies from its side of the reference, in bps."""
    return f"{(far - near) / near * 10_000:.1f}" if far and near else "–"


def _age(age_ms: int) -> str:
    return f"{age_ms / 1000:.1f}s" if age_ms >= 0 else "–"


def _rate(extras: Extras, process: Process, count: int) -> str:
    """A counter's rate, or for a single look the counter itself."""
    if extras.pace is None:
        return f"{count:,}"
    rate = extras.pace.per_s(process.name)
    return "–" if rate is None else f"{rate:,.1f}"


def duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
