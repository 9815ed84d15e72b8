"""The quoter: the whole decision of one pair, from the newest books to what is to be sent.

Holds what one decision must know of the former ones (the reference decided on, the draws) and
nothing else; given the same books, ledger, clock and random source it decides the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from mmd.cells.layouts import BookState
from mmd.config.model import QuoteSettings
from mmd.decide.ladder import Draw, Place, WantedQuote, draw, draw_all, wanted_ladder, wanted_quote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Ledger
from mmd.decide.plan import Action, Keep, cancel_all, plan
from mmd.decide.reference import (
    AgeLimits,
    JumpFilter,
    NoReference,
    Reference,
    moved_bps,
    reference_of,
)
from mmd.words.market import MarketRules

_CONFIRM_JUMP_NS = 1_000_000_000


@dataclass(slots=True)
class Quoter:
    """Decides for one pair."""

    settings: QuoteSettings
    rules: MarketRules
    limits: AgeLimits
    random: Random
    reference: Reference | None = None
    """The reference of the last decision; None while nothing may be quoted."""
    note: str = "no decision yet"
    """Why nothing is quoted; empty while quoting."""
    decided_ns: int = 0
    _draws: dict[Place, Draw] = field(default_factory=dict)
    _jumps: JumpFilter = field(init=False)
    _keep: Keep = field(init=False)

    def __post_init__(self) -> None:
        self.use(self.settings, self.limits)

    def use(self, settings: QuoteSettings, limits: AgeLimits) -> None:
        """Takes new parameters over; the next decision follows them."""
        self.settings, self.limits = settings, limits
        self._draws = draw_all(settings, self.random)
        self._jumps = JumpFilter(settings.max_jump_bps, _CONFIRM_JUMP_NS)
        least = max(self.rules.min_amount, settings.amount.min / 2)
        self._keep = Keep(settings.tolerance_bps, least)
        self.reference = None

    def expiry_ns(self, now_ns: int) -> int:
        """When an order placed now is to be replaced: a random time, so that none can be read."""
        refresh = self.settings.refresh_s
        return now_ns + int(self.random.uniform(refresh.min, refresh.max) * 1e9)

    def decide(
        self,
        book: BookState,
        rate: BookState | None,
        ledger: Ledger,
        now_ns: int,
        dirty: bool,
        stop_reason: str | None = None,
    ) -> list[Action]:
        """What to send now. `dirty`: the ledger changed, or the last plan could not all be sent.
        `stop_reason`: pull all quotes, whatever the price."""
        found: Reference | NoReference
        if stop_reason is not None:
            found = NoReference(stop_reason)
        else:
            found = reference_of(book, rate, now_ns, self.limits)
        if isinstance(found, Reference):
            found = self._jumps.check(found, now_ns)
        if isinstance(found, NoReference):
            self.reference, self.note = None, found.reason
            return cancel_all(ledger, found.reason, spare=SELF_TRADE_LEVEL)
        if not self._is_due(found, ledger, now_ns, dirty):
            return []
        self.reference, self.note, self.decided_ns = found, "", now_ns
        wanted = wanted_ladder(found, self.settings, self.rules, self._draws)
        if not wanted:
            self.note = "no level's amount or price is within the venue's limits"
        most = 2 * self.settings.levels
        return plan(wanted, ledger, self._keep, most, now_ns, self._renew)

    def _is_due(self, found: Reference, ledger: Ledger, now_ns: int, dirty: bool) -> bool:
        if self.reference is None or dirty:
            return True
        if now_ns - self.decided_ns < self.settings.min_interval_ms * 1_000_000:
            return False
        return moved_bps(self.reference, found) >= max(
            self.settings.move_bps, Decimal("1e-9")
        ) or any(entry.expires_ns <= now_ns for entry in ledger.live())

    def _renew(self, quote: WantedQuote) -> WantedQuote:
        """Draws a level anew that is about to be placed."""
        assert self.reference is not None
        place = (quote.side, quote.level)
        self._draws[place] = drawn = draw(self.random)
        return wanted_quote(self.reference, self.settings, self.rules, place, drawn)
