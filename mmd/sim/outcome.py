"""What an account's fills came to, and why: spread earned, adverse selection, inventory, fees.

    spread     each fill against the fair price of its moment
    adverse    what the fair price did in the next seconds, on what was filled
    inventory  what it did after those seconds, on the same, up to the end
    fees       what the venue took

Their sum is the profit, to the last digit: cash earned plus the position at the last fair price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from mmd.sim.ace.orders import OwnFill
from mmd.words.market import Side

FairAt = Callable[[int], Decimal]
"""The fair price at a time in ms since 1970."""
HORIZONS_S = (1, 10, 60)
ADVERSE_S = 10
"""What happens within this time after a fill is adverse selection; after it, inventory."""
_BPS = Decimal(10_000)
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sums over fills, in quote currency."""

    fills: int = 0
    volume: Decimal = _ZERO
    position: Decimal = _ZERO
    """In base currency, at the end."""
    spread: Decimal = _ZERO
    adverse: Decimal = _ZERO
    inventory: Decimal = _ZERO
    fees: Decimal = _ZERO
    markouts_bps: tuple[Decimal | None, ...] = ()
    """What is left of the spread after each horizon, on average over volume; fills whose horizon
    lies beyond the end are left out."""

    @property
    def profit(self) -> Decimal:
        return self.spread + self.adverse + self.inventory - self.fees

    @property
    def captured(self) -> Decimal:
        """Spread capture net of adverse selection, before fees."""
        return self.spread + self.adverse

    def bps(self, value: Decimal) -> Decimal | None:
        """A sum in bps of the volume."""
        return value / self.volume * _BPS if self.volume else None


def outcome(fills: Iterable[OwnFill], fair_at: FairAt, end_ms: int) -> Outcome:
    """The account of these fills. Self-trades count with their fees alone."""
    kept = list(fills)
    done = [fill for fill in kept if not fill.is_self]
    last = fair_at(end_ms)
    spread = adverse = inventory = position = volume = _ZERO
    for fill in done:
        signed = fill.amount if fill.side is Side.BUY else -fill.amount
        now = fair_at(fill.time_ms)
        later = fair_at(min(fill.time_ms + ADVERSE_S * 1000, end_ms))
        spread += signed * (now - fill.price)
        adverse += signed * (later - now)
        inventory += signed * (last - later)
        position += signed
        volume += fill.amount * fill.price
    fees = sum((fill.fee for fill in kept), _ZERO)
    marks = tuple(_markout_bps(done, fair_at, seconds * 1000, end_ms) for seconds in HORIZONS_S)
    return Outcome(len(done), volume, position, spread, adverse, inventory, fees, marks)


def _markout_bps(
    fills: list[OwnFill], fair_at: FairAt, after_ms: int, end_ms: int
) -> Decimal | None:
    earned = volume = _ZERO
    for fill in fills:
        if fill.time_ms + after_ms > end_ms:
            continue
        gain = fair_at(fill.time_ms + after_ms) - fill.price
        earned += fill.amount * (gain if fill.side is Side.BUY else -gain)
        volume += fill.amount * fill.price
    return earned / volume * _BPS if volume else None
