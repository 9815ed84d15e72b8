"""The ladder: which quotes a pair wants, level by level, around the reference.

What others could read as a pattern is drawn at random per level: a shift of its price and its
amount. A draw holds until the level's order is sent, then the level draws anew; so a ladder
computed twice from the same inputs is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import NamedTuple

from mmd.config.model import QuoteSettings
from mmd.config.quoting import SizeShape
from mmd.decide.bounds import Limit, is_better
from mmd.decide.reference import BPS
from mmd.words.market import MarketRules, Side

_DRAW_BITS = 30
_DRAW_STEPS = 1 << _DRAW_BITS
_STEPS = Decimal(_DRAW_STEPS)
_ZERO, _ONE = Decimal(0), Decimal(1)
_PERCENT = Decimal("0.01")

Part = tuple[str, Decimal]
"""What moves a price away from the reference: its name, and by how many bps (towards: < 0)."""


class Draw(NamedTuple):
    """What chance gave a level: both numbers from -1 (or 0) to 1."""

    shift: Decimal
    """-1 … 1, in units of the jitter."""
    amount: Decimal
    """0 … 1, from the least to the greatest amount."""


Place = tuple[Side, int]
"""A level of the ladder: its side, and its number counted from the touch."""


class WantedQuote(NamedTuple):
    """One level as it should rest on the venue."""

    side: Side
    level: int
    price: Decimal
    amount: Decimal
    drawn: Draw | None = None
    """What chance had to do with it."""


class LeftOut(NamedTuple):
    """One level that is not wanted."""

    side: Side
    level: int
    reason: str


def draw(random: Random) -> Draw:
    """A fresh draw for one level."""
    shift = random.getrandbits(_DRAW_BITS + 1) - _DRAW_STEPS
    return Draw(shift / _STEPS, random.getrandbits(_DRAW_BITS) / _STEPS)


def draw_all(settings: QuoteSettings, random: Random) -> dict[Place, Draw]:
    """Fresh draws for all levels of both sides."""
    levels = range(settings.most_levels)
    return {(side, level): draw(random) for side in Side for level in levels}


@dataclass(frozen=True, slots=True)
class Shape:
    """The ladder before the market has its say: what each level's distance and amount are."""

    distances: Sequence[Decimal]
    """From the reference, in bps."""
    amounts: Sequence[tuple[Decimal, Decimal]]
    """Least and greatest amount, in base currency."""
    jitter_bps: Decimal
    floor_bps: Decimal
    """Least distance after everything else."""
    least: Decimal
    """The smallest amount that any level may have."""
    most: Decimal
    """The greatest amount that any level may have."""

    @classmethod
    def of(cls, settings: QuoteSettings) -> Shape:
        distances = settings.distance_table()
        floor_bps = settings.bounds.min_spread_bps
        if floor_bps is None:
            floor_bps = distances[0] / 2
        amounts = [_amounts(settings, level) for level in range(settings.most_levels)]
        least, most = min(low for low, _ in amounts), max(high for _, high in amounts)
        return cls(distances, amounts, settings.jitter_bps, floor_bps, least, most)


def _amounts(settings: QuoteSettings, level: int) -> tuple[Decimal, Decimal]:
    size, low, high = settings.size, settings.amount.min, settings.amount.max
    if size.shape is SizeShape.RANDOM:
        return low, high
    if size.shape is SizeShape.LIST and size.amounts is not None:
        amount = size.amounts[min(level, len(size.amounts) - 1)]
    elif size.shape is SizeShape.STEP:
        amount = min(low + level * size.step, high)
    elif size.shape is SizeShape.LINEAR:
        amount = low + (high - low) * level / max(settings.most_levels - 1, 1)
    else:
        amount = min(low * size.factor**level, high)
    return amount * (1 - size.jitter_pct * _PERCENT), amount


@dataclass(slots=True)
class SideTerms:
    """What the market says to one side, now: the same for all of its levels."""

    side: Side
    reference: Decimal
    levels: int
    parts: tuple[Part, ...] = ()
    """Moves of the whole side, beside those of the levels."""
    costs: Sequence[Decimal] | None = None
    """What hedging each level costs, in bps; None: not asked for."""
    size_factor: Decimal = _ONE
    limit: Limit | None = None
    """Levels better than this are left out."""
    venue: Limit | None = None
    """The whole side moves away until none is better than this."""
    silent: str = ""
    """Why the side is not quoted at all."""
    moved_bps: Decimal = field(init=False, default=_ZERO)

    def __post_init__(self) -> None:
        self.moved_bps = sum((bps for _, bps in self.parts), _ZERO)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Both sides, best first, and what is missing in them."""

    quotes: list[WantedQuote] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    shifts: dict[Side, Decimal] = field(default_factory=dict)
    """How far each side moved behind others' best orders."""


def wanted_ladder(
    terms: Sequence[SideTerms], shape: Shape, rules: MarketRules, draws: Mapping[Place, Draw]
) -> Ladder:
    """All levels of both sides, best first; on the venue's grid, rounded away from the market.

    A level that may not be, or that the venue would not take, is left out with the reason.
    """
    ladder = Ladder()
    for side_terms in terms:
        shift = _venue_shift(side_terms, shape, draws)
        ladder.shifts[side_terms.side] = shift
        for level in range(side_terms.levels):
            drawn = draws[side_terms.side, level]
            quote = wanted_quote(side_terms, shape, rules, level, drawn, shift)
            if isinstance(quote, LeftOut):
                ladder.left_out.append(quote)
            else:
                ladder.quotes.append(quote)
    return ladder


def wanted_quote(
    terms: SideTerms,
    shape: Shape,
    rules: MarketRules,
    level: int,
    drawn: Draw,
    shift: Decimal = _ZERO,
) -> WantedQuote | LeftOut:
    """One level, on the venue's grid; or why it is not wanted. `shift`: the side's own."""
    side = terms.side
    if terms.silent:
        return LeftOut(side, level, terms.silent)
    if terms.costs is not None and level >= len(terms.costs):
        return LeftOut(side, level, "Binance's order book is not deep enough to hedge it")
    price = _raw_price(terms, shape, level, drawn)
    if terms.venue is not None:
        price = _behind(price + shift, terms.venue, side)
    price = rules.round_price(price, side)
    if price <= 0:
        return LeftOut(side, level, "its price would not be above 0")
    if terms.limit is not None and is_better(price, terms.limit.price, side):
        return LeftOut(side, level, f"its price would pass {terms.limit.name}")
    low, high = shape.amounts[level]
    amount = low + (high - low) * drawn.amount
    if terms.size_factor is not _ONE:
        amount *= terms.size_factor
    amount = rules.round_amount(amount)
    if not rules.min_amount <= amount <= rules.max_amount:
        return LeftOut(side, level, f"its amount {amount} is not within the venue's limits")
    return WantedQuote(side, level, price, amount, drawn)


def _raw_price(terms: SideTerms, shape: Shape, level: int, drawn: Draw) -> Decimal:
    """A level's price before the venue has its say."""
    distance = shape.distances[level] + drawn.shift * shape.jitter_bps + terms.moved_bps
    if terms.costs is not None:
        distance += terms.costs[level]
    if distance < shape.floor_bps:
        distance = shape.floor_bps
    away = distance * BPS
    return terms.reference * (1 - away if terms.side is Side.BUY else 1 + away)


def parts_of(quote: WantedQuote, terms: SideTerms, shape: Shape, shift: Decimal) -> list[Part]:
    """Why a quote lies where it does; the venue's grid rounds further away. Told when somebody
    asks, since a decision has no use for it."""
    if quote.drawn is None:
        return []
    parts = [
        ("spread", shape.distances[quote.level]),
        ("jitter", quote.drawn.shift * shape.jitter_bps),
        *terms.parts,
    ]
    if terms.costs is not None:
        parts.append(("depth", terms.costs[quote.level]))
    distance = sum((bps for _, bps in parts), _ZERO)
    if distance < shape.floor_bps:
        parts.append(("minimum", shape.floor_bps - distance))
    if terms.venue is not None:
        price = _raw_price(terms, shape, quote.level, quote.drawn)
        moved = _behind(price + shift, terms.venue, terms.side)
        parts.append((terms.venue.name, abs(moved - price) / terms.reference / BPS))
    return parts


def _venue_shift(terms: SideTerms, shape: Shape, draws: Mapping[Place, Draw]) -> Decimal:
    """How far the whole side moves so that its first level is not better than others' best
    orders allow."""
    if terms.venue is None or not terms.levels or terms.silent or terms.costs == []:
        return _ZERO
    first = _raw_price(terms, shape, 0, draws[terms.side, 0])
    limit = terms.venue.price
    return limit - first if is_better(first, limit, terms.side) else _ZERO


def _behind(price: Decimal, limit: Limit, side: Side) -> Decimal:
    """The price, and no better than the limit."""
    return limit.price if is_better(price, limit.price, side) else price
