"""What a replay found, for programs and for people."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from mmd.faces.replay import PairReport, Report
from mmd.faces.self_trade_watch import SelfTradeReport
from mmd.sim.outcome import ADVERSE_S, HORIZONS_S, Outcome

_CENT = Decimal("0.01")
_FINE = Decimal("0.00000001")
_LITTLE = Decimal(1000)
"""A volume below this is in a currency whose cents are much, such as BTC."""


def to_json(report: Report) -> dict[str, Any]:
    """Money as text, so that no digit is lost on the way; all else as numbers."""
    return {
        "pairs": {str(found.pair): _pair_json(found) for found in report.pairs},
        "requests": dict(report.requests),
        "price_changes": report.ticks,
        "orders_left": report.left,
        "fills_unbooked": report.unbooked,
    }


def _pair_json(found: PairReport) -> dict[str, Any]:
    result = found.result
    return {
        "seconds": round(found.seconds, 3),
        "profit": _money(result.profit),
        "spread_earned": _money(result.spread),
        "adverse_selection": _money(result.adverse),
        "inventory": _money(result.inventory),
        "fees": _money(result.fees),
        "captured_bps": _number(result.bps(result.captured)),
        "profit_bps": _number(result.bps(result.profit)),
        "fills": result.fills,
        "volume": _money(result.volume),
        "position": str(result.position),
        "mean_position": round(found.mean_position, 8),
        "p95_position": round(found.p95_position, 8),
        "most_position": round(found.most_position, 8),
        "drawdown": round(found.drawdown, 8),
        "markout_bps": {
            f"{seconds} s": _number(value)
            for seconds, value in zip(HORIZONS_S, result.markouts_bps, strict=True)
        },
        "both_sides": round(found.both_sides, 6),
        "distance_bps": _number(found.distance_bps),
        "distance_p99_bps": _number(found.distance_p99_bps),
        "wrong_side_s": round(found.risk_s, 3),
        "self_trades": _self_trades_json(found.self_trades),
    }


def _self_trades_json(found: SelfTradeReport | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "asked": str(found.asked),
        "matched": str(found.matched),
        "share": _number(found.share),
        "matches": found.matches,
        "taken_by_others": str(found.taken),
        "longest_rest_s": found.longest_rest_s,
        "unmeant_meetings": found.unmeant,
    }


def render(report: Report) -> RenderableType:
    """A table for each concern, one column a pair."""
    table = Table(title=f"{report.pairs[0].seconds / 60:.1f} minutes", title_justify="left")
    table.add_column("")
    for found in report.pairs:
        table.add_column(str(found.pair), justify="right", no_wrap=True)
    rows = [_rows(found) for found in report.pairs]
    for index, (label, _, ends_section) in enumerate(rows[0]):
        table.add_row(label, *(row[index][1] for row in rows), end_section=ends_section)
    sent = ", ".join(f"{count:,} {kind}" for kind, count in report.requests.items())
    return Group(
        table,
        f"Requests: {sent}. Price changes: {report.ticks:,}.",
        f"Orders left: {report.left}. Fills not booked as the venue has them: {report.unbooked}.",
    )


def _rows(found: PairReport) -> list[tuple[str, str, bool]]:
    """Label, value, and whether a line follows."""
    result, quote, base = found.result, found.pair.quote, found.pair.base
    marks = zip(HORIZONS_S, result.markouts_bps, strict=True)
    shown = (found.mean_position, found.p95_position, found.most_position)
    positions = " / ".join(f"{value:.4f}" for value in shown)
    return [
        (f"Spread earned, {quote}", _signed(result.spread, result), False),
        (f"Adverse selection, {ADVERSE_S} s", _signed(result.adverse, result), False),
        ("Inventory", _signed(result.inventory, result), False),
        ("Fees", _signed(-result.fees, result), False),
        ("Profit", _signed(result.profit, result), True),
        ("Fills", f"{result.fills:,}", False),
        (f"Volume, {quote}", f"{result.volume:,.0f}", False),
        *((f"Markout {seconds} s, bps", _plain(value), False) for seconds, value in marks),
        (f"Position at the end, {base}", f"{result.position:+f}", False),
        ("Position, mean, p95, most", positions, False),
        (f"Worst drawdown, {quote}", f"{found.drawdown:,.2f}", True),
        ("Both sides quoted", f"{found.both_sides:.2%}", False),
        ("Best quotes from fair, bps", _plain(found.distance_bps), False),
        ("  99 % of the time below", _plain(found.distance_p99_bps), False),
        ("On the wrong side of fair, s", f"{found.risk_s:.1f}", found.self_trades is not None),
        *_self_trade_rows(found.self_trades, base),
    ]


def _self_trade_rows(found: SelfTradeReport | None, base: str) -> list[tuple[str, str, bool]]:
    if found is None:
        return []
    share = "" if found.share is None else f"  ({found.share:.1%})"
    return [
        (f"Self-trades asked for, {base}", f"{found.asked:.6f}", False),
        ("  matched", f"{found.matched:.6f}{share}", False),
        ("  matches", f"{found.matches:,}", False),
        ("  taken by others", f"{found.taken:.6f}", False),
        ("  longest rest of an order, s", f"{found.longest_rest_s:.2f}", False),
        ("  meetings that were not meant", f"{found.unmeant}", False),
    ]


def _signed(value: Decimal, result: Outcome) -> str:
    bps = result.bps(value)
    cent = _CENT if result.volume > _LITTLE else _FINE
    return f"{value.quantize(cent):+,f}" + (f"  ({bps:+.1f} bps)" if bps is not None else "")


def _plain(value: Decimal | float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _money(value: Decimal) -> str:
    return f"{value.quantize(_FINE).normalize():f}"


def _number(value: Decimal | float | None) -> float | None:
    return None if value is None else round(float(value), 4)
