"""`mmd pnl`: what we hold, what it cost, and what was earned, pair by pair and in TWD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mmd.cells.layouts import BookState, QuoteState
from mmd.cells.layouts import exact as exact_of
from mmd.faces.trades import Row, exact
from mmd.processes.earned import twd_rate
from mmd.records.markout import HORIZONS_S
from mmd.records.pnl import Result, results
from mmd.records.store import FILE, Store
from mmd.words.market import Pair

WIDE_COLUMNS = 125
_CENT = Decimal("0.01")
_ZERO = Decimal(0)
COLUMNS = (
    "pair",
    "currency",
    "position",
    "average_cost",
    "price",
    "price_from",
    "realised",
    "unrealised",
    "profit",
    "profit_twd",
    "fees",
    "self_trade_fees",
    "fills",
    "volume",
    "spread_earned",
    *(f"markout_{seconds}s" for seconds in HORIZONS_S[1:]),
)
"""Of CSV and JSON. Money in the pair's quote currency unless named otherwise; realised profit is
after fees. The spread earned and the markouts are sums over the fills whose reference is known."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a position is valued at."""

    value: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class Line:
    """One pair's account."""

    pair: Pair
    result: Result
    price: Price | None
    rate: Decimal | None
    """TWD for one unit of the quote currency; None: not known."""
    earned: tuple[Decimal, ...]
    """Sums of the spread and of each markout."""

    @property
    def unrealised(self) -> Decimal | None:
        if self.price is None:
            return None if self.result.position else _ZERO
        return self.result.unrealised(self.price.value)

    @property
    def profit(self) -> Decimal | None:
        return None if self.unrealised is None else self.result.realised + self.unrealised

    @property
    def profit_twd(self) -> Decimal | None:
        if self.profit is None or self.rate is None:
            return None
        return self.profit * self.rate


@dataclass(frozen=True, slots=True)
class Market:
    """The prices that are known at this moment."""

    quotes: Mapping[str, QuoteState]
    """Of the running pairs, by slug."""
    books: Mapping[str, BookState]
    """Of the feeds and rates, by slug."""
    last: Mapping[Pair, Decimal]
    """ACE's last prices."""

    def price(self, pair: Pair) -> Price | None:
        """The reference of a running pair, or else ACE's last price."""
        quotes = self.quotes.get(pair.slug, QuoteState())
        if quotes.reference_bid and quotes.reference_ask:
            middle = (exact_of(quotes.reference_bid) + exact_of(quotes.reference_ask)) / 2
            return Price(middle, "reference")
        last = self.last.get(pair)
        return None if last is None else Price(last, "ACE's last price")

    def rate(self, currency: str) -> Decimal | None:
        """TWD for one unit."""
        return twd_rate(currency, self.books, self.last.get)


def last_prices(records: Path) -> dict[Pair, Decimal]:
    """ACE's last prices as they were recorded. Raises Unavailable."""
    path = records / FILE
    if not path.exists():
        return {}
    with Store.look(path) as store:
        return {pair: price.price for pair, price in store.prices().items()}


def account(rows: Sequence[Row], market: Market) -> list[Line]:
    """Every pair that was traded, by name."""
    by_pair = results(row.trade for row in rows)
    return [_line(pair, by_pair[pair], rows, market) for pair in sorted(by_pair)]


def _line(pair: Pair, result: Result, rows: Sequence[Row], market: Market) -> Line:
    mine = [row for row in rows if row.trade.pair == pair]
    price = market.price(pair)
    if price is None and mine:
        price = Price(mine[-1].trade.price, "last fill")
    earned = tuple(
        sum((found for row in mine if (found := row.earned(horizon)) is not None), _ZERO)
        for horizon in range(len(HORIZONS_S))
    )
    return Line(pair, result, price, market.rate(pair.quote), earned)


def total_twd(lines: Sequence[Line]) -> Decimal | None:
    """The profit of all pairs; None while one of them can't be told in TWD."""
    profits = [line.profit_twd for line in lines]
    known = [profit for profit in profits if profit is not None]
    return sum(known, _ZERO) if len(known) == len(profits) else None


def to_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """For programs: as in COLUMNS, numbers as text, None where not known."""
    return [_fields(line) for line in lines]


def to_json(lines: Sequence[Line]) -> dict[str, Any]:
    return {"pairs": to_rows(lines), "profit_twd": money(total_twd(lines))}


def _fields(line: Line) -> dict[str, Any]:
    result, price = line.result, line.price
    values = (
        str(line.pair),
        line.pair.quote,
        exact(result.position),
        money(result.average_cost, 8),
        None if price is None else money(price.value, 8),
        None if price is None else price.source,
        money(result.realised),
        money(line.unrealised),
        money(line.profit),
        money(line.profit_twd),
        money(result.fees),
        money(result.self_fees),
        result.fills,
        money(result.volume),
        *(money(earned) for earned in line.earned),
    )
    return dict(zip(COLUMNS, values, strict=True))


def money(value: Decimal | None, places: int = 4) -> str | None:
    """Rounded for reading; the exact sums are made before."""
    return None if value is None else exact(round(value, places))


def render(lines: Sequence[Line], width: int) -> Table | Text:
    """For people, on a terminal of so many columns."""
    if not lines:
        return Text("no trades")
    is_wide = width >= WIDE_COLUMNS
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    table.add_column("Pair", "all, TWD", no_wrap=True)
    for heading in ("Position", "Avg cost", "Price", "Realised", "Unrealised"):
        table.add_column(heading, justify="right", no_wrap=True)
    total = _signed(total_twd(lines))
    table.add_column("Profit", total, justify="right", no_wrap=True)
    further = ("Fees", "Spread", *(f"{seconds} s" for seconds in HORIZONS_S[1:]), "Fills")
    for heading in further if is_wide else ():
        table.add_column(heading, justify="right", no_wrap=True)
    table.caption = "In quote currency; realised after fees."
    if is_wide:
        table.caption += (
            " Spread and what was left of it after 1, 10 and 60 s: against the reference, "
            "before fees"
        )
    table.caption_justify = "left"
    for line in lines:
        table.add_row(*_cells(line, is_wide))
    return table


def _cells(line: Line, is_wide: bool) -> list[RenderableType]:
    result = line.result
    cells: list[RenderableType] = [
        str(line.pair),
        f"{result.position.normalize():+f}" if result.position else "0",
        _grouped(result.average_cost),
        _grouped(line.price.value if line.price else None),
        _signed(result.realised),
        _signed(line.unrealised),
        _signed(line.profit),
    ]
    if is_wide:
        cells.append(f"{result.fees + result.self_fees:,.2f}")
        cells += [_signed(earned) for earned in line.earned]
        cells.append(f"{result.fills:,}")
    return cells


def _grouped(price: Decimal | None) -> str:
    if price is None:
        return "–"
    return f"{price:,.2f}" if price >= 1 else f"{price:.8f}".rstrip("0")


def _signed(value: Decimal | None) -> Text:
    if value is None:
        return Text("–")
    shown = f"{value.quantize(_CENT):+,}"
    return Text(shown, "red" if value < 0 else "")
