"""How a ladder is built, priced, sized, bounded and refreshed: the keys under `quote`."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from mmd.config.base import AmountRange, Fault, Number, SecondsRange, Strict, plain

MOST_BPS = Decimal(5000)
MOST_LEVELS = 50
_WHOLE_BPS = Decimal(10_000)
_MOST_AMOUNT = Decimal("1e12")
_MOST_PRICE = Decimal("1e15")
_MOST_PLACES = 18
_DEPTHS = (0, 5, 10, 20)
_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


class ReferenceKind(Enum):
    """Which price of Binance's book the ladder stands around."""

    TOP = "top"
    MICRO = "micro"
    VWAP = "vwap"


class SizeShape(Enum):
    """How amounts go from the touch outwards."""

    RANDOM = "random"
    STEP = "step"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    LIST = "list"


class VenueBest(Enum):
    """How a quote stands to the best orders of others on the venue."""

    IGNORE = "ignore"
    BEHIND = "behind"
    JOIN = "join"
    IMPROVE = "improve"


def _check_depth(levels: int) -> int:
    if levels not in _DEPTHS:
        raise PydanticCustomError("depth", "must be 0, 5, 10 or 20")
    return levels


Depth = Annotated[
    int, AfterValidator(_check_depth), WithJsonSchema({"type": "integer", "enum": list(_DEPTHS)})
]


def _numbers(value: object) -> tuple[Decimal, ...]:
    """Positive numbers, as a list. Raises PydanticCustomError for anything else."""
    wrong = PydanticCustomError(
        "numbers", f"must be a list of 1 to {MOST_LEVELS} numbers > 0, such as [20, 30, 50]"
    )
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_LEVELS:
        raise wrong
    try:
        numbers = tuple(Decimal(str(item)) for item in value)
    except ArithmeticError:
        raise wrong from None
    for number in numbers:
        if not number.is_finite() or not Decimal("1e-18") <= number <= _MOST_AMOUNT:
            raise wrong
        exponent = number.as_tuple().exponent
        if isinstance(exponent, int) and abs(exponent) > _MOST_PLACES:
            raise wrong
    return numbers


Numbers = Annotated[
    tuple[Decimal, ...],
    PlainValidator(_numbers),
    PlainSerializer(lambda numbers: [str(number) for number in numbers]),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": ["number", "string"]},
            "minItems": 1,
            "maxItems": MOST_LEVELS,
        }
    ),
]


def _hours(value: object) -> tuple[str, ...]:
    """Times of day as `09:00-17:30`; one that ends before it begins goes over midnight."""
    items = value if isinstance(value, list | tuple) else [value]
    texts = tuple(str(item).strip() for item in items)
    if not 0 < len(texts) <= MOST_LEVELS or not all(map(_is_hours, texts)):
        raise PydanticCustomError("hours", "must be times of day, such as [09:00-17:30]")
    return texts


def _is_hours(text: str) -> bool:
    match = _HOURS.fullmatch(text)
    if match is None:
        return False
    begin, end = ((int(match[part]), int(match[part + 1])) for part in (1, 3))
    return begin != end and begin < (24, 0) and end <= (24, 0)


Hours = Annotated[
    tuple[str, ...],
    PlainValidator(_hours),
    PlainSerializer(list),
    WithJsonSchema({"type": "array", "items": {"type": "string", "pattern": _HOURS.pattern}}),
]


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise PydanticCustomError("time_zone", "must be a time zone such as Asia/Taipei") from None
    return name


class SizeSettings(Strict):
    """How the amounts of the levels differ."""

    shape: SizeShape = SizeShape.RANDOM
    """random: each between min and max; step: min, and `step` more with each level; linear: from
    min at the first level to max at the last; exponential: min, and `factor` times as much with
    each level; list: as given. Never more than max, except by a list."""
    step: Number = Field(default=Decimal(0), ge=0, le=_MOST_AMOUNT)
    """Further amount of each next level, in base currency; for the shape step."""
    factor: Number = Field(default=Decimal("1.5"), ge=Decimal("0.1"), le=10)
    """Amount of each next level as a multiple of the one before; for the shape exponential."""
    amounts: Numbers | None = None
    """Amounts of the levels, in base currency; the last holds for all further levels."""
    jitter_pct: Number = Field(default=Decimal(0), ge=0, le=50)
    """By how much chance takes from each amount at most, in %; for all shapes but random."""

    def faults(self) -> list[Fault]:
        if self.shape is SizeShape.LIST and self.amounts is None:
            return [Fault(("amounts",), "must be given for the shape list", (("shape",),))]
        return []


class WidenSettings(Strict):
    """How uncertainty widens the spread of every level, on both sides."""

    volatility_factor: Number = Field(default=Decimal(1), ge=0, le=100)
    """bps of further spread for each bps of volatility: the standard deviation of the price's
    move within one second."""
    half_life_s: float = Field(default=30, ge=1, le=86_400)
    """Time after which a move counts half in the volatility."""
    age_bps_per_s: Number = Field(default=Decimal(0), ge=0, le=MOST_BPS)
    """Further spread for each second since Binance's price was last confirmed."""
    max_bps: Number = Field(default=Decimal(100), ge=0, le=MOST_BPS)
    """The most by which both together widen."""


class InventorySettings(Strict):
    """What is held, how prices and amounts lean on it, and where it must end.

    The position counts what our own fills bought (+) and sold (-). The lean is from -1 to 1: 1
    with all of max_long held, or with the share of base in the account's value `range_pct` over
    its target; -1 likewise for the other direction. Without a limit or target it is 0.
    """

    max_long: Number | None = Field(default=None, gt=0, le=_MOST_AMOUNT)
    """Position at which buying ends, in base currency; resting bids count as if filled."""
    max_short: Number | None = Field(default=None, gt=0, le=_MOST_AMOUNT)
    """The same for selling: how much may be sold beyond what was bought, as a positive number."""
    target_pct: Number | None = Field(default=None, ge=0, le=100)
    """Wanted share of base in the account's value of base and quote currency; not given: the
    lean follows the position."""
    range_pct: Number = Field(default=Decimal(25), ge=1, le=100)
    """Percentage points off the target at which the lean is full."""
    skew_bps: Number = Field(default=Decimal(10), ge=0, le=MOST_BPS)
    """Shift of both sides' prices at full lean: down when too much is held, up when too little."""
    skew_size_pct: Number = Field(default=Decimal(50), ge=0, le=100)
    """By how much a full lean shrinks the amounts of the side that would increase it, in %."""


class BoundsSettings(Strict):
    """What no quote may cross, whatever else says so."""

    min_spread_bps: Number | None = Field(default=None, ge=0, le=MOST_BPS)
    """Least distance of any order from its side of the reference, after all shifts; not given:
    half of the first level's spread."""
    price_floor: Number | None = Field(default=None, gt=0, le=_MOST_PRICE)
    """No ask below this price, in quote currency."""
    price_ceiling: Number | None = Field(default=None, gt=0, le=_MOST_PRICE)
    """No bid above this price, in quote currency."""
    band_bps: Number | None = Field(default=None, gt=0, le=MOST_BPS)
    """No bid above and no ask below the reference's moving average by more than this."""
    band_half_life_s: float = Field(default=600, ge=1, le=86_400)
    """Time after which a price counts half in that average."""
    venue_best: VenueBest = VenueBest.BEHIND
    """Against others' best orders on ACE. behind: never at or through the other side's best, so
    that no quote takes; join: nor better than the own side's best; improve: nor better than one
    tick in front of it; ignore: no bound."""
    venue_ignore: Number = Field(default=Decimal(0), ge=0, le=_MOST_AMOUNT)
    """join and improve overlook others' best orders up to so much in all, in base currency, so
    that nobody leads us with a tiny order."""
    venue_max_age_s: float = Field(default=15, ge=0.1, le=300)
    """ACE's order book bounds nothing when it is older than this."""

    def faults(self) -> list[Fault]:
        low, high = self.price_floor, self.price_ceiling
        if low is not None and high is not None and high <= low:
            must = f"must be more than price_floor, which is {plain(low)}"
            return [Fault(("price_ceiling",), must, (("price_floor",),))]
        return []


class AfterFillSettings(Strict):
    """What follows a fill."""

    replenish_s: float = Field(default=0, ge=0, le=86_400)
    """Time after a fill in which its side gets no new order."""
    pause_s: float = Field(default=0, ge=0, le=86_400)
    """Time after a fill in which neither side gets a new order."""
    ping_pong: bool = False
    """Quote only the other side once a side was filled by an order's least amount more than it."""
    hanging_bps: Number | None = Field(default=None, gt=0, le=MOST_BPS)
    """The order opposite to a filled one stays where it is, in spite of its age and of moves away
    from it, as long as it is this near to the reference; not given: it is replaced as others."""


class SessionSettings(Strict):
    """When the pair is quoted."""

    hours: Hours | None = Field(default=None, examples=[["09:00-17:30"]])
    """Times of day; one that ends before it begins goes over midnight. Not given: always."""
    time_zone: Annotated[str, AfterValidator(_check_time_zone)] = "Asia/Taipei"
    """Time zone of the hours."""

    def spans(self) -> tuple[tuple[int, int], ...]:
        """The hours as minutes of the day."""
        found = []
        for text in self.hours or ():
            begin, end = (part.split(":") for part in text.split("-"))
            found.append((int(begin[0]) * 60 + int(begin[1]), int(end[0]) * 60 + int(end[1])))
        return tuple(found)


class QuoteSettings(Strict):
    """The ladder of bids and asks around the reference price. 100 bps are 1 %."""

    enabled: bool = True
    """Whether the pair is quoted."""
    levels: int = Field(default=5, ge=1, le=MOST_LEVELS)
    """Orders on each side."""
    bid_levels: int | None = Field(default=None, ge=0, le=MOST_LEVELS)
    """Bids; not given: as many as levels says."""
    ask_levels: int | None = Field(default=None, ge=0, le=MOST_LEVELS)
    """Asks; not given: as many as levels says."""
    fewest_levels: int | None = Field(default=None, ge=1, le=MOST_LEVELS)
    """If given, each side has a random number of levels, from this to its full number, drawn anew
    after a random time as in refresh_s."""
    spread_bps: Number = Field(default=Decimal(20), gt=0, le=MOST_BPS)
    """Distance of the first level from the reference price, on each side."""
    step_bps: Number = Field(default=Decimal(10), ge=0, le=MOST_BPS)
    """Further distance of each next level."""
    step_factor: Number = Field(default=Decimal(1), ge=Decimal("0.1"), le=10)
    """Each step as a multiple of the one before."""
    bid_extra_bps: Number = Field(default=Decimal(0), ge=0, le=MOST_BPS)
    """Further distance of all bids."""
    ask_extra_bps: Number = Field(default=Decimal(0), ge=0, le=MOST_BPS)
    """Further distance of all asks."""
    distances_bps: Numbers | None = None
    """Distances of the levels, rising, instead of spread_bps, step_bps and step_factor."""
    amount: AmountRange = Field(examples=[{"min": "0.002", "max": "0.01"}])
    """Amount of each order, drawn at random, in base currency."""
    size: SizeSettings = SizeSettings()
    """How the amounts of the levels differ."""
    jitter_bps: Number = Field(default=Decimal(2), ge=0, le=MOST_BPS)
    """Largest random shift of a level; less than half of step_bps, so that levels never cross."""
    reference: ReferenceKind = ReferenceKind.TOP
    """top: Binance's best bid and ask; micro: between them, nearer to the side with less on it;
    vwap: best bid and ask, and each level as much further away as hedging it in Binance's order
    book costs after all nearer levels."""
    depth: Depth = 0
    """Levels of Binance's order book to read; 0: best bid and ask only."""
    tolerance_bps: Number = Field(default=Decimal("1.7"), ge=0, le=MOST_BPS)
    """An order nearer than this to its wanted price is kept."""
    tolerance_step_bps: Number = Field(default=Decimal(5), ge=0, le=MOST_BPS)
    """Further tolerance of each next level."""
    spare_orders: int = Field(default=2, ge=0, le=MOST_LEVELS)
    """Orders on each side that may stay although none of the levels needs them now, because they
    are there already when the price comes back. They are never nearer to the market than wanted,
    and never in the way of what is wanted."""
    move_bps: Number = Field(default=Decimal("0.25"), ge=0, le=MOST_BPS)
    """A reference move of at least this causes a new decision."""
    refresh_s: SecondsRange = SecondsRange(min=120, max=600)
    """An order is replaced at an age drawn at random from this range."""
    min_interval_ms: int = Field(default=50, ge=0, le=60_000)
    """Least time between two decisions."""
    calm_interval_ms: int | None = Field(default=None, ge=0, le=60_000)
    """The same while prices stand still; it falls to min_interval_ms as the volatility rises to
    half of spread_bps. Not given: always min_interval_ms."""
    max_price_age_s: float = Field(default=3, ge=0.1, le=60)
    """Quotes are pulled when the Binance price was not confirmed for this long."""
    max_jump_bps: Number = Field(default=Decimal(300), gt=0, le=MOST_BPS)
    """A reference price that jumps further than this at once is not believed at first."""
    max_rate_jump_bps: Number = Field(default=Decimal(100), gt=0, le=MOST_BPS)
    """The same for the conversion rate."""
    sweep_bps: Number = Field(default=Decimal(5), gt=0, le=MOST_BPS)
    """A trade on Binance this far beyond its best price moves that side of the reference at once,
    before the book follows."""
    widen: WidenSettings = WidenSettings()
    """Wider when prices are uncertain."""
    inventory: InventorySettings = InventorySettings()
    """What may be held."""
    bounds: BoundsSettings = BoundsSettings()
    """What no quote may cross."""
    after_fill: AfterFillSettings = AfterFillSettings()
    """What follows a fill."""
    session: SessionSettings = SessionSettings()
    """When the pair is quoted."""
    max_orders_in_flight: int = Field(default=20, ge=1, le=100)
    """Requests to the venue that may be under way at once."""

    @property
    def most_levels(self) -> int:
        """Levels of the longer side."""
        return max(self._bids, self._asks)

    @property
    def _bids(self) -> int:
        return self.levels if self.bid_levels is None else self.bid_levels

    @property
    def _asks(self) -> int:
        return self.levels if self.ask_levels is None else self.ask_levels

    def side_levels(self, is_buy: bool) -> int:
        """Levels of one side."""
        return self._bids if is_buy else self._asks

    def extra_bps(self, is_buy: bool) -> Decimal:
        """Further distance of one side."""
        return self.bid_extra_bps if is_buy else self.ask_extra_bps

    def distance_table(self) -> tuple[Decimal, ...]:
        """Distance of each level of the longer side from the reference, in bps, before jitter."""
        count = self.most_levels
        if self.distances_bps is not None:
            return self.distances_bps[:count]
        table, step = [self.spread_bps], self.step_bps
        while len(table) < count:
            table.append(table[-1] + step)
            step *= self.step_factor
        return tuple(table[:count])

    def faults(self) -> list[Fault]:
        found = self._level_faults()
        table = self.distance_table()
        gaps = [far - near for near, far in pairwise(table)]
        if gaps and self.distances_bps is not None and min(gaps) < 0:
            found.append(Fault(("distances_bps",), "must rise from level to level"))
        elif gaps and self.jitter_bps and self.jitter_bps * 2 >= min(gaps):
            must = f"must be less than half of step_bps, which is {plain(min(gaps))}"
            given = (("step_bps",), ("levels",), ("step_factor",), ("distances_bps",))
            found.append(Fault(("jitter_bps",), must, given))
        further = self.jitter_bps + max(self.bid_extra_bps, self.ask_extra_bps)
        if table and table[-1] + further >= _WHOLE_BPS:
            reach = plain(table[-1] + further)
            must = f"must be fewer: the last level would lie {reach} bps away, over 10000"
            given = (("spread_bps",), ("step_bps",), ("jitter_bps",), ("step_factor",))
            found.append(Fault(("levels",), must, (*given, ("distances_bps",))))
        if self.reference is ReferenceKind.VWAP and not self.depth:
            must = "must be 5, 10 or 20 for the reference vwap"
            found.append(Fault(("depth",), must, (("reference",),)))
        return found

    def _level_faults(self) -> list[Fault]:
        found = []
        if not self.most_levels:
            found.append(Fault(("bid_levels",), "must be at least 1, or ask_levels must"))
        if self.distances_bps is not None and len(self.distances_bps) < self.most_levels:
            must = f"must have a distance for each of the {self.most_levels} levels"
            found.append(Fault(("distances_bps",), must, (("levels",),)))
        sides = [count for count in (self._bids, self._asks) if count]
        if self.fewest_levels is not None and sides and self.fewest_levels > min(sides):
            must = f"must be at most the number of levels, which is {min(sides)}"
            found.append(Fault(("fewest_levels",), must, (("levels",),)))
        return found
