"""What no quote may cross: price bands, others' best orders on the venue, hours of the day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from mmd.config.quoting import BoundsSettings, SessionSettings, VenueBest
from mmd.decide.ledger import Ledger
from mmd.decide.reference import BPS
from mmd.words.market import Level, OrderBook, Side

_MINUTES_A_DAY = 1440
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class VenueBook:
    """ACE's order book of the pair, our own orders in it."""

    book: OrderBook
    seen_ns: int
    """When it was asked for."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A price that the quotes of a side must not be better than."""

    price: Decimal
    name: str
    """The key that says so."""


def band(settings: BoundsSettings, average: float, side: Side) -> Limit | None:
    """The tightest of the fixed and the moving band: the highest bid or the lowest ask."""
    fixed, name = (
        (settings.price_ceiling, "price_ceiling")
        if side is Side.BUY
        else (settings.price_floor, "price_floor")
    )
    limits = [] if fixed is None else [Limit(fixed, name)]
    if settings.band_bps is not None and average > 0:
        reach = settings.band_bps * BPS
        factor = 1 + reach if side is Side.BUY else 1 - reach
        limits.append(Limit(Decimal(repr(average)) * factor, "band_bps"))
    if not limits:
        return None
    choose = min if side is Side.BUY else max
    return choose(limits, key=lambda limit: limit.price)


def is_better(price: Decimal, than: Decimal, side: Side) -> bool:
    """Whether a price is nearer to the other side than another: higher for bids."""
    return price > than if side is Side.BUY else price < than


def venue_limit(
    settings: BoundsSettings,
    venue: VenueBook | None,
    ledger: Ledger,
    side: Side,
    tick: Decimal,
    now_ns: int,
) -> Limit | None:
    """The best price that a side may have for the sake of others' best orders."""
    choice = settings.venue_best
    if venue is None or choice is VenueBest.IGNORE:
        return None
    if now_ns - venue.seen_ns > settings.venue_max_age_s * 1e9:
        return None
    rows = {Side.BUY: venue.book.bids, Side.SELL: venue.book.asks}
    own, opposite = rows[side], rows[side.opposite]
    inwards = tick if side is Side.BUY else -tick
    limits = []
    other_best = others_best(opposite, ledger, side.opposite)
    if other_best is not None:
        limits.append(Limit(other_best - inwards, "behind the other side's best on ACE"))
    own_best = None
    if choice is not VenueBest.BEHIND:
        own_best = others_best(own, ledger, side, settings.venue_ignore)
    if own_best is not None:
        is_join = choice is VenueBest.JOIN
        name = "joins the best on ACE" if is_join else "a tick before the best on ACE"
        limits.append(Limit(own_best if is_join else own_best + inwards, name))
    if not limits:
        return None
    choose = min if side is Side.BUY else max
    return choose(limits, key=lambda limit: limit.price)


def others_best(
    rows: Iterable[Level], ledger: Ledger, side: Side, ignore: Decimal = _ZERO
) -> Decimal | None:
    """The best price of a side at which others have more than `ignore` in all: what rests there
    and better, less what we may have there ourselves."""
    others = _ZERO
    for row in rows:
        own = (entry.remaining for entry in ledger.live(side) if entry.price == row.price)
        others += max(row.amount - sum(own), _ZERO)
        if others > ignore:
            return row.price
    return None


class Session:
    """Whether the hours of quoting are on."""

    def __init__(self, settings: SessionSettings) -> None:
        self._spans = settings.spans()
        self._zone = ZoneInfo(settings.time_zone)
        self._text = ", ".join(settings.hours or ())
        self._minute = -1
        self._fault: str | None = None

    def fault(self, wall_s: float | None) -> str | None:
        """Why nothing is quoted at a time (seconds since 1970), or None. Unknown time: closed
        hours, if there are any."""
        if not self._spans:
            return None
        if wall_s is None:
            return "the time of day is not known"
        minute = int(wall_s // 60)
        if minute != self._minute:
            self._minute = minute
            self._fault = None if self._is_open(wall_s) else f"outside of hours: {self._text}"
        return self._fault

    def _is_open(self, wall_s: float) -> bool:
        local = datetime.fromtimestamp(wall_s, self._zone)
        now = local.hour * 60 + local.minute
        for begin, end in self._spans:
            length = (end - begin) % _MINUTES_A_DAY or _MINUTES_A_DAY
            if (now - begin) % _MINUTES_A_DAY < length:
                return True
        return False
