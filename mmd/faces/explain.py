"""`mmd explain`: the present ladder of a pair, level by level, and why it is as it is."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmd.config.paths import Paths
from mmd.processes.inquiry import Inquiry
from mmd.words.market import Pair

_PATIENCE_S = 2.0
_STYLES = {"kept": "green", "moved": "yellow", "missing": "yellow", "left out": "dim"}


def ask(paths: Paths, pair: Pair) -> dict[str, Any]:
    """What the pair's own process says. Raises Unavailable when it does not answer."""
    return Inquiry(paths.run, f"pairs:{pair.slug}").ask(_PATIENCE_S)


def render(found: dict[str, Any]) -> RenderableType:
    """The answer as a person reads it."""
    parts: list[RenderableType] = [_headline(found)]
    for side in found["sides"]:
        if side["levels"]:
            parts.append(_table(side))
        elif found["reference"]:
            parts.append(Text(f"No {side['side']} is wanted."))
        if side["waits"]:
            parts.append(Text(f"New {side['side']}s wait: {side['waits']}.", style="yellow"))
        parts += [_other(side["side"], order) for order in side["others"]]
    return Group(*parts)


def _headline(found: dict[str, Any]) -> Text:
    text = Text(f"{found['pair']}", style="bold")
    if found["note"]:
        text.append(f": {found['note']}", style="yellow")
    reference = found["reference"]
    if reference is None:
        return text
    source = f" of {found['source']}" if "source" in found else ""
    text.append(
        f"\nReference ({reference['kind']}{source}) {_number(reference['bid'])} / "
        f"{_number(reference['ask'])}",
        style="not bold",
    )
    if (reference["rate_bid"], reference["rate_ask"]) != ("1", "1"):
        text.append(
            f", at a rate of {reference['rate_bid']} / {reference['rate_ask']}", style="not bold"
        )
    text.append(
        f"\nDecided {found['decided_s_ago']:.1f} s ago; volatility {found['volatility_bps']:.2f} "
        f"bps in one second; inventory leans {found['lean']:+.0%}",
        style="not bold",
    )
    return text


def _table(side: dict[str, Any]) -> Table:
    """Levels as rows; what moved any of their prices as columns, in bps."""
    names = list(
        dict.fromkeys(name for level in side["levels"] for name in level.get("parts_bps", ()))
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(side["side"].capitalize())
    for heading in (*names, "= bps", "Price", "Amount"):
        table.add_column(heading, justify="right")
    table.add_column("Order", justify="left")
    for level in side["levels"]:
        table.add_row(str(level["level"]), *_cells(level, names))
    return table


def _cells(level: dict[str, Any], names: list[str]) -> list[RenderableType]:
    outcome = Text(level["state"], style=_STYLES[level["state"]])
    order = level.get("order")
    if order:
        outcome.append(f" {_number(order['price'])}", style="default")
    outcome.append(f" {level['why']}", style="dim")
    if "price" not in level:
        return [*("" for _ in names), "", "", "", outcome]
    parts = level["parts_bps"]
    return [
        *(f"{parts[name]:+.2f}" if name in parts else "" for name in names),
        f"{level['distance_bps']:.2f}",
        _number(level["price"]),
        level["amount"],
        outcome,
    ]


def _other(side: str, order: dict[str, Any]) -> Text:
    text = f"Also {side} {order['remaining']} @ {_number(order['price'])}: {order['why']}"
    return Text(text, style="dim")


def _number(text: str) -> str:
    """With the thousands apart."""
    whole, point, rest = text.partition(".")
    return f"{int(whole):,}{point}{rest}"
