"""The quoter: the whole decision of one pair, from the newest books to what is to be sent.

Holds what one decision must know of the former ones (the reference decided on, the draws) and
nothing else; given the same books, ledger, clock and random source it decides the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from mmd.cells.layouts import BookState, BookStatus, DepthState
from mmd.config.model import QuoteSettings
from mmd.config.quoting import ReferenceKind
from mmd.decide.after_fill import Hanging, is_silent, waits_until_ns
from mmd.decide.bounds import Session, VenueBook, band, venue_limit
from mmd.decide.depth import hedge_costs_bps
from mmd.decide.inventory import Holdings, lean, room, size_factor
from mmd.decide.ladder import (
    Draw,
    Ladder,
    LeftOut,
    Part,
    Place,
    Shape,
    SideTerms,
    WantedQuote,
    draw,
    draw_all,
    parts_of,
    wanted_ladder,
    wanted_quote,
)
from mmd.decide.ledger import SELF_TRADE_LEVEL, Ledger
from mmd.decide.market import Market
from mmd.decide.plan import Action, Keep, SideRules, cancel_all, plan
from mmd.decide.reference import BPS, AgeLimits, Leg, NoReference, Reference, moved_bps
from mmd.words.market import MarketRules, Side

_ZERO, _ONE = Decimal(0), Decimal(1)
_LEAST_MOVE_BPS = Decimal("1e-9")
_LEAST_DRIFT_BPS = 0.5
"""A smaller change of the widening alone causes no decision."""
_DEPTH_EVERY_NS = 1_000_000_000
"""Costs of hedging are looked at anew this often, though the best prices stand still."""
_SPARE = Decimal("1.25")
"""An order may be this much larger than the largest that is wanted now."""


_NOTHING = Holdings()


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a decision may know beside the books. Whatever is None is not known."""

    holdings: Holdings = _NOTHING
    depth: DepthState | None = None
    """Binance's order book; needed for the reference vwap."""
    venue: VenueBook | None = None
    """ACE's order book of the pair."""
    wall_s: float | None = None
    """Time of day, seconds since 1970; needed for session hours."""
    leg: Leg | None = None
    """Of a cross, the second book of Binance."""
    may_spare: bool = True
    """Whether spare orders may rest; not while orders are refused, perhaps for want of money."""


NO_INPUTS = Inputs()


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
    """Why nothing, or one side only, is quoted; else empty."""
    decided_ns: int = 0
    lean: Decimal = _ZERO
    """How far off its target the inventory is, from -1 to 1."""
    terms: tuple[SideTerms, ...] = ()
    """What the last decision rests on."""
    ladder: Ladder = field(default_factory=Ladder)
    side_rules: dict[Side, SideRules] = field(default_factory=dict)
    market: Market = field(init=False)
    _shape: Shape = field(init=False)
    _session: Session = field(init=False)
    _hanging: Hanging = field(default_factory=Hanging)
    _rules_for: dict[Side, tuple[object, ...]] = field(default_factory=dict)
    """What each side's rules were made for: they seldom change."""
    _draws: dict[Place, Draw] = field(default_factory=dict)
    _levels: dict[Side, int] = field(default_factory=dict)
    _levels_until_ns: int = 0
    _followed_ns: int = 0
    """When a decision last followed the price."""
    _again_ns: int = 0
    """When to decide anew although nothing has changed."""
    _widened: float = 0.0
    _venue: VenueBook | None = None

    def __post_init__(self) -> None:
        self.market = Market(self.settings, self.limits)
        self.use(self.settings, self.limits)

    def use(self, settings: QuoteSettings, limits: AgeLimits) -> None:
        """Takes new parameters over; the next decision follows them."""
        self.settings, self.limits = settings, limits
        self.market.use(settings, limits)
        self._draws = draw_all(settings, self.random)
        self._shape = Shape.of(settings)
        self._session = Session(settings.session)
        self._levels_until_ns = 0
        self.reference = None

    @property
    def needs_depth(self) -> bool:
        """Whether a decision looks at Binance's order book."""
        return self.settings.reference is ReferenceKind.VWAP

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
        inputs: Inputs = NO_INPUTS,
    ) -> list[Action]:
        """What to send now. `dirty`: the ledger changed, or the last plan could not all be sent.
        `stop_reason`: pull all quotes, whatever the price."""
        found = self._find(book, rate, now_ns, stop_reason, inputs)
        if isinstance(found, NoReference):
            self.reference, self.note = None, found.reason
            return cancel_all(ledger, found.reason, spare=SELF_TRADE_LEVEL)
        has_moved = self._has_moved(found)
        if not dirty and not self._is_due(has_moved, ledger, now_ns, inputs):
            return []
        if has_moved:
            self._followed_ns = now_ns
        self.reference, self.decided_ns, self._venue = found, now_ns, inputs.venue
        self._prepare(found, ledger, now_ns, inputs)
        self.ladder = wanted_ladder(self.terms, self._shape, self.rules, self._draws)
        self.note = self._note()
        return plan(self.ladder.quotes, ledger, self.side_rules, now_ns, self._renew)

    def _find(
        self,
        book: BookState,
        rate: BookState | None,
        now_ns: int,
        stop_reason: str | None,
        inputs: Inputs,
    ) -> Reference | NoReference:
        stop_reason = stop_reason or self._session.fault(inputs.wall_s)
        if stop_reason is None and self.needs_depth:
            stop_reason = _depth_fault(inputs.depth)
        if stop_reason is not None:
            return NoReference(stop_reason)
        return self.market.look(book, rate, now_ns, inputs.leg)

    def _has_moved(self, found: Reference) -> bool:
        if self.reference is None:
            return True
        return moved_bps(self.reference, found) >= max(self.settings.move_bps, _LEAST_MOVE_BPS)

    def _is_due(self, has_moved: bool, ledger: Ledger, now_ns: int, inputs: Inputs) -> bool:
        if self.reference is None or (has_moved and self.market.is_swept):
            return True
        # Decisions that followed no price don't count, or news of an order would delay the next.
        if now_ns - self._followed_ns < self.market.interval_ns(now_ns):
            return False
        if has_moved or inputs.venue is not self._venue or now_ns >= self._again_ns:
            return True
        drift_bps = abs(sum(self.market.widening(now_ns)) - self._widened)
        if drift_bps >= max(float(self.settings.move_bps), _LEAST_DRIFT_BPS):
            return True
        hanging = self._hanging.client_ids
        return any(
            entry.expires_ns <= now_ns
            for client_id, entry in ledger.entries.items()
            if client_id not in hanging
        )

    def _prepare(self, reference: Reference, ledger: Ledger, now_ns: int, inputs: Inputs) -> None:
        """What both sides' ladders and plans rest on."""
        settings, again = self.settings, [1 << 62]
        if settings.fewest_levels is not None:
            self._draw_levels(now_ns)
            again.append(self._levels_until_ns)
        if self.needs_depth:
            again.append(now_ns + _DEPTH_EVERY_NS)
        if settings.after_fill.hanging_bps is not None:
            self._hanging.look(ledger)
        self.lean = lean(settings.inventory, inputs.holdings, reference.middle)
        volatility, age = self.market.widening(now_ns)
        self._widened = volatility + age
        widening = _parts(("volatility", _bps(volatility)), ("price age", _bps(age)))
        self.terms = tuple(
            self._side_terms(side, reference, widening, ledger, now_ns, inputs) for side in Side
        )
        for terms in self.terms:
            side = terms.side
            until_ns = waits_until_ns(settings.after_fill, ledger.fills, side)
            if until_ns > now_ns:
                again.append(until_ns)
            seen = (inputs.holdings, inputs.may_spare)
            made_for = (settings, terms.size_factor, seen, until_ns > now_ns)
            if settings.after_fill.hanging_bps is not None or made_for != self._rules_for.get(side):
                self._rules_for[side] = made_for
                self.side_rules[side] = self._side_rules(terms, until_ns > now_ns, inputs)
        self._again_ns = min(again)

    def _side_terms(
        self,
        side: Side,
        reference: Reference,
        widening: tuple[Part, ...],
        ledger: Ledger,
        now_ns: int,
        inputs: Inputs,
    ) -> SideTerms:
        settings, leaning = self.settings, self.lean
        price = reference.bid if side is Side.BUY else reference.ask
        skew = settings.inventory.skew_bps * leaning
        towards = skew if side is Side.BUY else -skew
        extra = settings.extra_bps(side is Side.BUY)
        silent = ""
        if room(settings.inventory, inputs.holdings, side) == _ZERO:
            silent = "the position is at its limit"
        elif is_silent(settings.after_fill, ledger.fills, side, settings.amount.min):
            silent = "ping-pong: the other side is to be filled first"
        bounds, tick = settings.bounds, self.rules.tick
        return SideTerms(
            side=side,
            reference=price,
            levels=self._side_levels(side),
            parts=(*widening, *_parts(("extra", extra), ("inventory", towards))),
            costs=self._costs(side, inputs.depth),
            size_factor=size_factor(settings.inventory, leaning, side) if leaning else _ONE,
            limit=band(bounds, self.market.average.value, side),
            venue=venue_limit(bounds, inputs.venue, ledger, side, tick, now_ns),
            silent=silent,
        )

    def _side_rules(self, terms: SideTerms, waits: bool, inputs: Inputs) -> SideRules:
        settings, side, factor = self.settings, terms.side, terms.size_factor
        least = max(self.rules.min_amount, self._shape.least * factor / 2)
        keep = Keep(
            settings.tolerance_bps,
            least,
            self._shape.most * min(factor * _SPARE, _ONE),
            settings.tolerance_step_bps,
        )
        to = settings.after_fill.hanging_bps
        if to is not None:
            away = to * BPS
            to = terms.reference * (1 - away if side is Side.BUY else 1 + away)
        return SideRules(
            keep,
            2 * settings.most_levels,
            room(settings.inventory, inputs.holdings, side),
            "the side was filled a moment ago" if waits else "",
            self._hanging.client_ids,
            to,
            settings.spare_orders if inputs.may_spare else 0,
        )

    def _costs(self, side: Side, depth: DepthState | None) -> Sequence[Decimal] | None:
        """What hedging costs: what our bid buys is sold to Binance's bids."""
        if not self.needs_depth or depth is None:
            return None
        rows = depth.bids if side is Side.BUY else depth.asks
        return hedge_costs_bps(rows, [most for _, most in self._shape.amounts])

    def _side_levels(self, side: Side) -> int:
        full = self.settings.side_levels(side is Side.BUY)
        return min(self._levels.get(side, full), full)

    def _draw_levels(self, now_ns: int) -> None:
        """A random number of levels for each side, for a random time."""
        fewest = self.settings.fewest_levels
        if fewest is None or now_ns < self._levels_until_ns:
            return
        for side in Side:
            full = self.settings.side_levels(side is Side.BUY)
            self._levels[side] = self.random.randint(min(fewest, full), full)
        self._levels_until_ns = self.expiry_ns(now_ns)

    def _note(self) -> str:
        """Why there is nothing on a side, if so."""
        notes = {}
        for terms in self.terms:
            if terms.levels and not any(q.side is terms.side for q in self.ladder.quotes):
                why = next(gap.reason for gap in self.ladder.left_out if gap.side is terms.side)
                notes["bids" if terms.side is Side.BUY else "asks"] = why
        return "; ".join(f"no {name}: {why}" for name, why in notes.items())

    def parts(self, quote: WantedQuote, terms: SideTerms) -> list[Part]:
        """Why a quote of the present ladder lies where it does."""
        return parts_of(quote, terms, self._shape, self.ladder.shifts[quote.side])

    def _renew(self, quote: WantedQuote) -> WantedQuote | None:
        """Draws a level anew that is about to be placed."""
        side, level = quote.side, quote.level
        self._draws[side, level] = drawn = draw(self.random)
        terms = self.terms[0] if self.terms[0].side is side else self.terms[1]
        shift = self.ladder.shifts[side]
        fresh = wanted_quote(terms, self._shape, self.rules, level, drawn, shift)
        return None if isinstance(fresh, LeftOut) else fresh


def _parts(*parts: Part) -> tuple[Part, ...]:
    return tuple(part for part in parts if part[1])


def _bps(number: float) -> Decimal:
    """A hundredth of a bp is as fine as a spread needs to be."""
    return Decimal(round(number * 100)) / 100


def _depth_fault(depth: DepthState | None) -> str | None:
    """Why the costs of hedging can't be told."""
    if depth is None or depth.status == BookStatus.EMPTY:
        return "Binance's order book is not known yet"
    if depth.status != BookStatus.VALID:
        status = BookStatus(depth.status).name.lower().replace("_", " ")
        return f"Binance's order book is {status}"
    return None
