"""The kill switch: when losses or refusals are too much to go on. Pure.

Once thrown it holds until a person resumes: whoever asks it keeps that on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mmd.config.risk import KillLevel, KillSettings

_SEVERITY = (KillLevel.PAUSE, KillLevel.CANCEL, KillLevel.STOP)


@dataclass(frozen=True, slots=True)
class Thrown:
    """What is to happen, and why."""

    level: KillLevel
    reason: str

    def is_graver_than(self, other: Thrown | None) -> bool:
        return other is None or _SEVERITY.index(self.level) > _SEVERITY.index(other.level)


@dataclass(frozen=True, slots=True)
class Tally:
    """What must survive restarts."""

    peak: Decimal | None = None
    """The highest profit since the switch was last in place; None: none was seen yet."""
    forgiven: int = 0
    """Losing fills in a row that somebody resumed in spite of."""


@dataclass(slots=True)
class KillSwitch:
    """Watches one pair, or all together."""

    settings: KillSettings
    currency: str
    tally: Tally = Tally()

    def look(self, profit: Decimal | None, losing: int, refused: int) -> Thrown | None:
        """Why the switch is to be thrown now, by the gravest of its reasons.

        `profit`: realised and unrealised; None while there is no price to tell it by. `losing`:
        fills in a row that closed at a loss; `refused`: orders in a row that the venue refused.
        """
        if losing < self.tally.forgiven:
            self.tally = Tally(self.tally.peak, 0)
        found = [
            thrown
            for thrown in (
                self._loss(profit),
                self._losing(losing - self.tally.forgiven),
                self._refused(refused),
            )
            if thrown is not None
        ]
        return max(found, key=lambda thrown: _SEVERITY.index(thrown.level), default=None)

    def reset(self, losing: int) -> None:
        """Begins anew: what was lost before is known."""
        self.tally = Tally(None, losing)

    def _loss(self, profit: Decimal | None) -> Thrown | None:
        if profit is None:
            return None
        peak = self.tally.peak
        if peak is None or profit > peak:
            self.tally = Tally(profit, self.tally.forgiven)
            return None
        loss, most = peak - profit, self.settings.max_loss
        if most is None or loss < most:
            return None
        reason = f"lost {loss:,.0f} {self.currency} from the peak; {most:,.0f} are allowed"
        return Thrown(self.settings.on_loss, reason)

    def _losing(self, losing: int) -> Thrown | None:
        most = self.settings.max_losing_fills
        if most is None or losing < most:
            return None
        return Thrown(self.settings.on_losing_fills, f"{losing} fills in a row closed at a loss")

    def _refused(self, refused: int) -> Thrown | None:
        most = self.settings.max_refused
        if most is None or refused < most:
            return None
        return Thrown(self.settings.on_refused, f"{refused} orders in a row were refused")
