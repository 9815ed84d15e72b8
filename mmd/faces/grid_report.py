"""What a sweep found: a table, as Markdown or for a terminal, and a plot as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from mmd.faces.grid import Axes, Figures
from mmd.faces.svg import heat_map, line_plot

_COLUMNS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("profit", lambda f: f"{f.profit:+,.0f}{_error(f)}"),
    ("spread", lambda f: f"{f.spread:+,.0f}"),
    ("adverse", lambda f: f"{f.adverse:+,.0f}"),
    ("inventory", lambda f: f"{f.inventory:+,.0f}"),
    ("fees", lambda f: f"{-f.fees:+,.0f}"),
    ("captured, bps", lambda f: f"{f.captured_bps:.1f}"),
    ("fills", lambda f: f"{f.fills:,.0f}"),
    ("requests", lambda f: f"{f.requests:,.0f}"),
    ("both sides", lambda f: f"{f.both_sides:.1%}"),
    ("from fair, bps", lambda f: f"{f.distance_bps:.1f}"),
    ("mean position", lambda f: f"{f.mean_position:.4f}"),
    ("p95 position", lambda f: f"{f.p95_position:.4f}"),
    ("drawdown", lambda f: f"{f.drawdown:,.0f}"),
    ("profit / drawdown", lambda f: f"{f.per_drawdown:.1f}"),
)  # fmt: skip
_SHOWN = ("profit", "spread", "adverse", "inventory", "fees", "fills", "requests")
"""What a terminal has room for."""


def to_json(axes: Axes, found: Sequence[Figures]) -> list[dict[str, Any]]:
    """One object a point."""
    return [
        {
            "settings": dict(zip(axes, figures.values, strict=True)),
            **{
                name: round(value, 6) if isinstance(value, float) else value
                for name, value in asdict(figures).items()
                if name != "values"
            },
            "captured_bps": round(figures.captured_bps, 6),
            "profit_per_drawdown": round(figures.per_drawdown, 6),
        }
        for figures in found
    ]


def markdown(axes: Axes, found: Sequence[Figures]) -> str:
    """The table for a document."""
    rows = [_heads(axes), ["---:"] * len(_heads(axes)), *map(_cells, found)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def render(axes: Axes, found: Sequence[Figures]) -> Table:
    """The table for a terminal, the best profit in bold."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for head in (*(axis.rpartition(".")[2] for axis in axes), *_SHOWN):
        table.add_column(head, justify="right")
    best = max(figures.profit for figures in found)
    for figures in found:
        is_best = figures.profit == best and len(found) > 1
        cells = [show(figures) for name, show in _COLUMNS if name in _SHOWN]
        table.add_row(*figures.values, *cells, style="bold" if is_best else None)
    return table


def plot(axes: Axes, found: Sequence[Figures], quote: str) -> str:
    """Profit over one axis as a line, over more as a heat map: the first axis across, all others
    down."""
    names = list(axes)
    profits = {figures.values: figures.profit for figures in found}
    errors = {figures.values: figures.profit_error or 0.0 for figures in found}
    title = f"Profit after fees, {quote}"
    if len(names) == 1:
        points = [(values[0], profits[values], errors[values]) for values in profits]
        return line_plot(title, names[0], points)
    rows = list(dict.fromkeys(figures.values[1:] for figures in found))
    cells = [[profits[(column, *row)] for column in axes[names[0]]] for row in rows]
    labels = [" · ".join(row) for row in rows]
    return heat_map(title, names[0], list(axes[names[0]]), " · ".join(names[1:]), labels, cells)


def _error(figures: Figures) -> str:
    return "" if figures.profit_error is None else f" ±{figures.profit_error:,.0f}"


def _heads(axes: Axes) -> list[str]:
    return [*axes, *(name for name, _ in _COLUMNS)]


def _cells(figures: Figures) -> list[str]:
    return [*figures.values, *(show(figures) for _, show in _COLUMNS)]
