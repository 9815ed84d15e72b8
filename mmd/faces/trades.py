"""`mmd trades`: every fill of ours, what it earned, and what it was worth a moment later."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mmd.records import markout
from mmd.records.markout import HORIZONS_S, Mark
from mmd.records.store import FILE, Store
from mmd.words.ids import Owner, owner_of
from mmd.words.market import OwnTrade, Pair, Side

_AGO = re.compile(r"(\d{1,6}(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LATER = HORIZONS_S[1:]
WIDE_COLUMNS = 105
COLUMNS = (
    "time",
    "pair",
    "side",
    "price",
    "amount",
    "value",
    "fee",
    "role",
    "self_trade",
    "spread",
    "spread_bps",
    *(f"markout_{seconds}s" for seconds in _LATER),
    *(f"markout_{seconds}s_bps" for seconds in _LATER),
    "trade_no",
    "order_no",
    "client_id",
)
"""Of CSV and JSON. Money in quote currency, exact; spread and markouts are against the reference
at the time of the fill and later, before fees, > 0 in our favour; empty where not known."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fill and its mark."""

    trade: OwnTrade
    mark: Mark | None

    def earned(self, horizon: int) -> Decimal | None:
        """In quote currency, against the reference at a horizon (its index)."""
        return None if self.mark is None else self.mark.earned(horizon)

    def earned_bps(self, horizon: int) -> Decimal | None:
        return None if self.mark is None else self.mark.earned_bps(horizon)


def find(records: Path, instance: str, pair: Pair | None = None, since_ms: int = 0) -> list[Row]:
    """Our own fills, oldest first. Raises Unavailable when they can't be read now."""
    trades = own_trades(records, instance)
    chosen = [t for t in trades if t.time_ms >= since_ms and pair in (None, t.pair)]
    marks = {
        name: markout.read(markout.path_of(records, name)) for name in {t.pair for t in chosen}
    }
    return [Row(t, marks[t.pair].get((t.trade_no, t.order_no))) for t in chosen]


def own_trades(records: Path, instance: str) -> list[OwnTrade]:
    """All fills of this installation's orders, in the order of recording."""
    path = records / FILE
    if not path.exists():
        return []
    with Store.look(path) as store:
        trades = [fill.trade for fill in store.fills()]
    return [trade for trade in trades if owner_of(trade.client_id, instance) is Owner.OURS]


def since_ms(text: str, now: datetime) -> int:
    """The moment that `30m`, `2d`, `today`, `2026-03-01` or `2026-03-01 14:30` means, in ms since
    1970. Raises ValueError. `now` carries the time zone."""
    text = text.strip().lower()
    if text == "today":
        return _ms(now.replace(hour=0, minute=0, second=0, microsecond=0))
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return _ms(now - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]]))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; write 30m, 2d, today, 2026-03-01 or 2026-03-01 14:30"
        ) from None
    return _ms(moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo))


def to_rows(rows: Iterable[Row], zone: ZoneInfo) -> list[dict[str, Any]]:
    """For programs: as in COLUMNS, numbers as exact text, None where not known."""
    return [_fields(row, zone) for row in rows]


def _fields(row: Row, zone: ZoneInfo) -> dict[str, Any]:
    trade = row.trade
    later = range(1, len(HORIZONS_S))
    values = (
        datetime.fromtimestamp(trade.time_ms / 1000, zone).isoformat(timespec="milliseconds"),
        str(trade.pair),
        trade.side.name.lower(),
        exact(trade.price),
        exact(trade.amount),
        exact(trade.price * trade.amount),
        exact(trade.fee),
        "maker" if trade.is_maker else "taker",
        trade.is_self,
        exact(row.earned(0)),
        _rounded(row.earned_bps(0)),
        *(exact(row.earned(horizon)) for horizon in later),
        *(_rounded(row.earned_bps(horizon)) for horizon in later),
        str(trade.trade_no),
        trade.order_no,
        trade.client_id,
    )
    return dict(zip(COLUMNS, values, strict=True))


def render(rows: Sequence[Row], zone: ZoneInfo, width: int) -> Table | Text:
    """For people, on a terminal of so many columns: the newest last."""
    if not rows:
        return Text("no trades")
    is_wide = width >= WIDE_COLUMNS
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, int(is_wide), 0, 0))
    for heading in ("Time", "Pair", "Side"):
        table.add_column(heading, no_wrap=True)
    numbers = ["Amount", "Price", *(("Value", "Fee") if is_wide else ()), "Spread"]
    for heading in (*numbers, *(f"{seconds} s" for seconds in _LATER)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.caption = "Spread and what followed it after 1, 10 and 60 s: bps against the reference"
    table.caption_justify = "left"
    for row in rows:
        table.add_row(*_cells(row, zone, is_wide))
    return table


def _cells(row: Row, zone: ZoneInfo, is_wide: bool) -> list[RenderableType]:
    trade = row.trade
    moment = datetime.fromtimestamp(trade.time_ms / 1000, zone)
    side = Text(trade.side.name.lower(), "green" if trade.side is Side.BUY else "red")
    if trade.is_self:
        side.append(" self", "dim")
    elif not trade.is_maker:
        side.append(" taker", "yellow")
    cells: list[RenderableType] = [
        moment.strftime("%Y-%m-%d %H:%M:%S" if is_wide else "%m-%d %H:%M:%S"),
        str(trade.pair),
        side,
        exact(trade.amount) or "",
        f"{trade.price.normalize():,f}",
    ]
    if is_wide:
        cells += [f"{trade.price * trade.amount:,.2f}", f"{trade.fee:,.2f}"]
    return cells + [_shown(row.earned_bps(horizon)) for horizon in range(len(HORIZONS_S))]


def exact(number: Decimal | None) -> str | None:
    """All digits, without exponent and trailing zeros."""
    if number is None:
        return None
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Rows as CSV with a heading; what is not known is empty. No field needs quotes."""
    yield ",".join(columns)
    for row in rows:
        yield ",".join(_cell(row[name]) for name in columns)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _rounded(bps: Decimal | None) -> str | None:
    return None if bps is None else exact(round(bps, 4))


def _shown(bps: Decimal | None) -> Text:
    if bps is None:
        return Text("–")
    return Text(f"{bps:+.1f}", "red" if bps < 0 else "")


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
