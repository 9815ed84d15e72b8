"""The ladder: which quotes a pair wants, level by level, around the reference.

What others could read as a pattern is drawn at random per level: a shift of its price and its
amount. A draw holds until the level's order is sent, then the level draws anew; so a ladder
computed twice from the same inputs is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from mmd.config.model import QuoteSettings
from mmd.decide.reference import BPS, Reference
from mmd.words.market import MarketRules, Side

_DRAW_STEPS = 1 << 30


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance gave a level: both numbers from -1 (or 0) to 1."""

    shift: Decimal
    """-1 … 1, in units of the jitter."""
    amount: Decimal
    """0 … 1, from the least to the greatest amount."""


Place = tuple[Side, int]
"""A level of the ladder: its side, and its number counted from the touch."""


@dataclass(frozen=True, slots=True)
class WantedQuote:
    """One level as it should rest on the venue."""

    side: Side
    level: int
    price: Decimal
    amount: Decimal


def draw(random: Random) -> Draw:
    """A fresh draw for one level."""
    shift = Decimal(random.randrange(-_DRAW_STEPS, _DRAW_STEPS + 1)) / _DRAW_STEPS
    return Draw(shift, Decimal(random.randrange(_DRAW_STEPS + 1)) / _DRAW_STEPS)


def draw_all(settings: QuoteSettings, random: Random) -> dict[Place, Draw]:
    """Fresh draws for all levels of both sides."""
    return {(side, level): draw(random) for side in Side for level in range(settings.levels)}


def distance_bps(settings: QuoteSettings, level: int, shift: Decimal) -> Decimal:
    """How far from the reference a level lies; never nearer than half of the first spread."""
    distance = settings.spread_bps + level * settings.step_bps + shift * settings.jitter_bps
    return max(distance, settings.spread_bps / 2)


def wanted_ladder(
    reference: Reference,
    settings: QuoteSettings,
    rules: MarketRules,
    draws: Mapping[Place, Draw],
) -> list[WantedQuote]:
    """All levels of both sides, best first; on the venue's grid, rounded away from the market.

    A level whose price or amount the venue would not take is left out.
    """
    ladder = []
    for (side, level), drawn in draws.items():
        quote = wanted_quote(reference, settings, rules, (side, level), drawn)
        if quote.price > 0 and rules.min_amount <= quote.amount <= rules.max_amount:
            ladder.append(quote)
    return ladder


def wanted_quote(
    reference: Reference,
    settings: QuoteSettings,
    rules: MarketRules,
    place: Place,
    drawn: Draw,
) -> WantedQuote:
    """One level, on the venue's grid."""
    side, level = place
    distance = distance_bps(settings, level, drawn.shift) * BPS
    price = reference.bid * (1 - distance) if side is Side.BUY else reference.ask * (1 + distance)
    span = settings.amount.max - settings.amount.min
    amount = rules.round_amount(settings.amount.min + span * drawn.amount)
    return WantedQuote(side, level, rules.round_price(price, side), amount)
