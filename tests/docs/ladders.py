"""Worked examples of docs/strategies.md, recomputed by the real decisions, and their pictures.

Each example there is a picture, a YAML block and a table. `python -m tests.docs.ladders` computes
every YAML block anew and writes table and picture; a test holds that nothing would change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import zip_longest
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Any

import yaml

from mmd.cells.layouts import BookState, BookStatus, DepthState
from mmd.config.model import QuoteSettings
from mmd.decide.bounds import VenueBook
from mmd.decide.inventory import Holdings
from mmd.decide.ledger import Ledger
from mmd.decide.quoter import Inputs, Quoter
from mmd.decide.reference import AgeLimits, Leg
from mmd.decide.volatility import Volatility
from mmd.words.market import Level, MarketRules, OrderBook, Pair, Side
from tests.decide.samples import S, fill, send

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "strategies.md"
IMAGES = ROOT / "docs" / "images"
EXAMPLE = re.compile(
    r"!\[[^\]]*\]\(images/(ladder-[a-z-]+\.svg)\)\n\n```yaml\n(.*?)```\n\n((?:\|[^\n]*\n)+)",
    re.DOTALL,
)
RULES = MarketRules(
    Pair("BTC", "USDT"), 2, 14, Decimal("0.01"), Decimal("0.0001"), Decimal("0.0001"), Decimal(100)
)
LIMITS = AgeLimits(30 * S, 30 * S)
BASE: dict[str, Any] = {
    "amount": {"min": "0.01", "max": "0.01"},
    "levels": 3,
    "spread_bps": 20,
    "step_bps": 10,
    "jitter_bps": 0,
    "tolerance_bps": 3,
    "tolerance_step_bps": 0,
    "spare_orders": 0,
    "min_interval_ms": 0,
    "max_jump_bps": 5000,
}
"""What all examples start from; the page says so."""
START_NS = 100 * S


@dataclass(frozen=True)
class Row:
    """An order that rests."""

    side: Side
    price: Decimal
    amount: Decimal


@dataclass
class Known(Volatility):
    """A volatility that is given."""

    value_bps: float = 0.0

    def bps(self, now_ns: int) -> float:
        return self.value_bps


@dataclass
class Stand:
    """A quoter at a venue that answers at once, in a situation of which an example tells."""

    quote: dict[str, Any]
    situation: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chosen = QuoteSettings.model_validate(BASE | self.quote)
        tick = _money(self.situation, "tick") or RULES.tick
        rules = replace(RULES, tick=tick)
        self.quoter = Quoter(chosen, rules, LIMITS, Random(self.situation.get("seed", 1)))
        known = float(self.situation.get("volatility_bps", 0))
        self.quoter.market.volatility = Known(30, value_bps=known)
        if "average" in self.situation:
            self.quoter.market.average.update(float(self.situation["average"]), START_NS)
        self.ledger = Ledger()

    def look(self, now_ns: int, prices: Sequence[float], trade: float = 0.0) -> None:
        """One decision, carried out at once."""
        told = self.situation
        age_ns = int(told.get("age_s", 0) * S)
        qty = told.get("quantities", [1, 1])
        book = _book(prices, now_ns - age_ns)
        book = book._replace(
            bid_qty=float(qty[0]),
            ask_qty=float(qty[1]),
            last_trade_id=2 if trade else 1,
            last_trade_price=trade or book.bid_price,
        )
        rate = _book(told["rate"], now_ns) if "rate" in told else None
        inputs = Inputs(
            Holdings(_money(told, "position") or Decimal(0), _money(told, "base"),
                     _money(told, "quote")),
            _depth(told.get("depth")),
            _venue(told.get("venue"), now_ns),
            leg=Leg(_book(told["divisor"], now_ns), divides=True) if "divisor" in told else None,
        )  # fmt: skip
        actions = self.quoter.decide(book, rate, self.ledger, now_ns, True, None, inputs)
        send(actions, self.ledger, now_ns, self.quoter)

    def play(self) -> list[Row]:
        """The whole example; what rests at its end, best first."""
        prices = self.situation.get("prices", [50_000, 50_010])
        self.look(START_NS, prices)
        then = self.situation.get("then")
        if then is not None:
            if "filled" in then:
                fill(self.ledger, Side[then["filled"].upper()], START_NS + 1)
            later_ns = START_NS + 2 + int(then.get("after_s", 0) * S)
            trade = float(then.get("trade", 0))
            self.look(later_ns, then.get("prices", prices), trade)
        rows = [Row(e.side, e.price, e.remaining) for e in self.ledger.live()]
        bids = [row for row in rows if row.side is Side.BUY]
        asks = [row for row in rows if row.side is Side.SELL]
        price = attrgetter("price")
        return [*sorted(bids, key=price, reverse=True), *sorted(asks, key=price)]


def _book(prices: Sequence[float], frame_ns: int) -> BookState:
    bid, ask = map(float, prices)
    return BookState(
        status=BookStatus.VALID, bid_price=bid, bid_qty=1.0, ask_price=ask, ask_qty=1.0,
        last_frame_ns=frame_ns,
    )  # fmt: skip


def _money(told: dict[str, Any], name: str) -> Decimal | None:
    return Decimal(str(told[name])) if name in told else None


def _depth(rows: dict[str, list[list[float]]] | None) -> DepthState | None:
    if rows is None:
        return None
    bids, asks = (tuple((float(p), float(q)) for p, q in rows[name]) for name in ("bids", "asks"))
    return DepthState(BookStatus.VALID, 1, 1, bids, asks)


def _venue(best: list[Any] | None, now_ns: int) -> VenueBook | None:
    if best is None:
        return None
    bid, ask = ((Level(Decimal(str(price)), Decimal(1)),) for price in best)
    return VenueBook(OrderBook(bid, ask), now_ns)


def example(text: str) -> list[Row]:
    """What rests in the end, as a YAML block has it."""
    told = yaml.safe_load(text)
    return Stand(told["quote"] or {}, told.get("situation", {})).play()


def table(rows: Sequence[Row]) -> str:
    """Markdown: the best of each side, the second best, and so on."""
    sides = [[row for row in rows if row.side is side] for side in Side]
    lines = ["| # | bid | amount | ask | amount |", "| ---: | ---: | ---: | ---: | ---: |"]
    for number, pair in enumerate(zip_longest(*sides), start=1):
        cells = [str(number)]
        for row in pair:
            cells += (
                ["–", "–"] if row is None else [f"{row.price:,}", f"{row.amount:f}".rstrip("0")]
            )
        lines.append(f"| {' | '.join(cells)} |")
    return "".join(f"{line}\n" for line in lines)


def examples(page: str) -> Iterator[re.Match[str]]:
    """Name of the picture, YAML and table of each."""
    return EXAMPLE.finditer(page)


def renewed(page: str) -> str:
    """The page with every table computed anew."""
    return EXAMPLE.sub(lambda match: match[0].replace(match[3], table(example(match[2]))), page)


# Pictures.

_WIDTH, _HEIGHT, _GROUND, _TOP = 640, 150, 104, 34
_REACH_BPS = 75
_STYLE = """
text { font: 11px system-ui, sans-serif; fill: #57606a }
.bid { fill: #1a7f37 } .ask { fill: #cf222e }
.before { fill: none; stroke: #8c959f; stroke-dasharray: 3 2 }
.line { stroke: #8c959f } .gap { fill: #8c959f; opacity: .25 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .bid { fill: #3fb950 } .ask { fill: #f85149 }
  .before { stroke: #6e7681 } .line { stroke: #6e7681 }
}
"""


def picture(text: str) -> str:
    """The ladder of an example, over that of the base settings in dashes. Across: the distance
    from the middle in bps; upwards: the amount."""
    told = yaml.safe_load(text)
    situation = told.get("situation", {})
    rows = example(text)
    plain = {
        name: situation[name] for name in ("prices", "rate", "divisor", "tick") if name in situation
    }
    before = Stand({}, plain).play()
    moved = situation.get("then", {}).get("prices", situation.get("prices", [50_000, 50_010]))
    bid, ask = (float(price) for price in moved)
    if "rate" in situation:
        bid, ask = bid * situation["rate"][0], ask * situation["rate"][1]
    if "divisor" in situation:
        bid, ask = bid / situation["divisor"][1], ask / situation["divisor"][0]
    middle = (bid + ask) / 2
    largest = max([row.amount for row in (*rows, *before)])

    def x(price: float) -> float:
        return _WIDTH / 2 + (price / middle - 1) * 1e4 / _REACH_BPS * (_WIDTH / 2 - 20)

    def bar(row: Row, kind: str) -> str:
        height = float(row.amount / largest) * (_GROUND - _TOP)
        left = x(float(row.price)) - 5
        return (
            f'<rect class="{kind}" x="{left:.1f}" y="{_GROUND - height:.1f}" width="10" '
            f'height="{height:.1f}"/>'
        )

    parts = [
        f'<rect class="gap" x="{x(bid):.1f}" y="{_TOP - 10}" width="{x(ask) - x(bid):.1f}" '
        f'height="{_GROUND - _TOP + 10}"/>',
        f'<text x="{_WIDTH / 2}" y="16" text-anchor="middle">reference</text>',
        *(bar(row, "before") for row in before),
        *(bar(row, "bid" if row.side is Side.BUY else "ask") for row in rows),
        f'<line class="line" x1="10" y1="{_GROUND}" x2="{_WIDTH - 10}" y2="{_GROUND}"/>',
    ]
    for bps in range(-70, 71, 10):
        at, label = x(middle * (1 + bps / 1e4)), f"{bps:+d}" if bps else "0"
        parts.append(f'<line class="line" x1="{at:.1f}" y1="{_GROUND}" x2="{at:.1f}" '
                     f'y2="{_GROUND + 4}"/>')  # fmt: skip
        parts.append(f'<text x="{at:.1f}" y="{_GROUND + 18}" text-anchor="middle">{label}</text>')
    parts.append(f'<text x="10" y="{_HEIGHT - 8}">bps from the middle</text>')
    parts.append(
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 8}" text-anchor="end">'
        "filled: bids and asks of the example; dashed: with the settings of the page’s start</text>"
    )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}"><style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def main() -> None:
    page = renewed(PAGE.read_text())
    PAGE.write_text(page)
    for match in examples(page):
        (IMAGES / match[1]).write_text(picture(match[2]))
        print(match[1])


if __name__ == "__main__":
    main()
