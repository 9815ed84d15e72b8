"""The market as a pair sees it: a price to trust, and how uncertain it is.

Holds what one look must know of the former ones; given the same books and clock it finds the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmd.cells.layouts import BookState
from mmd.config.model import QuoteSettings
from mmd.decide.reference import (
    AgeLimits,
    JumpFilter,
    Leg,
    NoReference,
    Reference,
    reference_of,
)
from mmd.decide.trade_through import TradeThrough
from mmd.decide.volatility import MovingAverage, Volatility

_CONFIRM_JUMP_NS = 1_000_000_000


@dataclass(slots=True)
class Market:
    """Follows one price."""

    settings: QuoteSettings
    limits: AgeLimits
    volatility: Volatility = field(init=False)
    average: MovingAverage = field(init=False)
    age_s: float = 0.0
    """Time since the price of the last look was confirmed."""
    _through: TradeThrough = field(init=False)
    _leg_through: TradeThrough = field(init=False)
    _jumps: JumpFilter = field(init=False)
    _rate_jumps: JumpFilter = field(init=False)

    def __post_init__(self) -> None:
        sweep_bps = float(self.settings.sweep_bps)
        self._through, self._leg_through = TradeThrough(sweep_bps), TradeThrough(sweep_bps)
        self._jumps = JumpFilter(self.settings.max_jump_bps, _CONFIRM_JUMP_NS)
        most = self.settings.max_rate_jump_bps
        self._rate_jumps = JumpFilter(most, _CONFIRM_JUMP_NS, "the rate")
        self.volatility = Volatility(self.settings.widen.half_life_s)
        self.average = MovingAverage(self.settings.bounds.band_half_life_s)

    def use(self, settings: QuoteSettings, limits: AgeLimits) -> None:
        """Takes new parameters over; what was learnt of the price stays."""
        self.settings, self.limits = settings, limits
        self.volatility.half_life_s = settings.widen.half_life_s
        self.average.half_life_s = settings.bounds.band_half_life_s
        for through in (self._through, self._leg_through):
            through.threshold_bps = float(settings.sweep_bps)
        self._jumps.max_jump_bps = settings.max_jump_bps
        self._rate_jumps.max_jump_bps = settings.max_rate_jump_bps

    @property
    def is_swept(self) -> bool:
        """Whether a trade went through Binance's best price and its book has not followed yet."""
        return self._through.is_active or self._leg_through.is_active

    def look(
        self, book: BookState, rate: BookState | None, now_ns: int, leg: Leg | None = None
    ) -> Reference | NoReference:
        """The reference, if the books can be trusted. `leg`: of a cross, the second book."""
        swept = self._through.apply(book, now_ns)
        swept_leg = leg and Leg(self._leg_through.apply(leg.book, now_ns), leg.divides)
        kind = self.settings.reference
        found = reference_of(swept, rate, now_ns, self.limits, kind, swept_leg)
        if isinstance(found, NoReference):
            return found
        # Both are asked at once: their waits run together, not one after the other.
        rate_jump, checked = self._rate_jump(found, now_ns), self._jumps.check(found, now_ns)
        if rate_jump is not None:
            return rate_jump
        if isinstance(checked, NoReference):
            return checked
        self.age_s = max(book.age_ns(now_ns), leg.book.age_ns(now_ns) if leg else 0, 0) / 1e9
        self.volatility.update(_middle(book, leg), now_ns)
        if self.settings.bounds.band_bps is not None:
            self.average.update(float(checked.middle), now_ns)
        return checked

    def _rate_jump(self, found: Reference, now_ns: int) -> NoReference | None:
        """Why the rate is not believed, if so."""
        accepted = self._rate_jumps.accepted
        if (
            accepted is not None
            and found.rate_bid == accepted.bid
            and found.rate_ask == accepted.ask
        ):
            return None
        rate = Reference(found.rate_bid, found.rate_ask, found.rate_bid, found.rate_ask)
        checked = self._rate_jumps.check(rate, now_ns)
        return checked if isinstance(checked, NoReference) else None

    def widening(self, now_ns: int) -> tuple[float, float]:
        """By how many bps volatility and the price's age widen the spread, within their bound."""
        widen = self.settings.widen
        most = float(widen.max_bps)
        restless = min(float(widen.volatility_factor) * self.volatility.bps(now_ns), most)
        return restless, min(float(widen.age_bps_per_s) * self.age_s, most - restless)

    def interval_ns(self, now_ns: int) -> int:
        """Least time between two decisions."""
        settings = self.settings
        least = settings.min_interval_ms
        if settings.calm_interval_ms is None:
            return least * 1_000_000
        calm = max(0.0, 1 - 2 * self.volatility.bps(now_ns) / float(settings.spread_bps))
        return int((least + max(settings.calm_interval_ms - least, 0) * calm) * 1_000_000)


def _middle(book: BookState, leg: Leg | None) -> float:
    """Binance's own middle, unswept and unconverted."""
    middle = (book.bid_price + book.ask_price) / 2
    if leg is None:
        return middle
    other = (leg.book.bid_price + leg.book.ask_price) / 2
    return middle / other if leg.divides else middle * other
