"""The plan: what to send now so that the venue's book comes to hold the wanted ladder.

Only differences are sent. The plan is made anew on the newest price each time something can be
sent, so nothing waits in a queue to go out stale. Order of sending: cancels that prevent harm,
then quotes at the touch, then the far ones, then cancels that merely tidy up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from operator import attrgetter
from typing import NamedTuple

from mmd.decide.bounds import is_better
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Entry, Ledger, State
from mmd.decide.reference import BPS
from mmd.words.market import Side

_ZERO, _INFINITE = Decimal(0), Decimal("Infinity")
_LIMIT = "the position would pass its limit"
_NOT_WANTED = "not wanted"


class Urgency(IntEnum):
    """What goes first when not everything may be sent."""

    HARM = 0
    """An order that may be filled at a price worse than wanted."""
    TOUCH = 1
    FAR = 2
    TIDY = 3


class Cancel(NamedTuple):
    """An order that has to go."""

    entry: Entry
    urgency: Urgency
    reason: str


class Place(NamedTuple):
    """A quote that is missing."""

    quote: WantedQuote
    urgency: Urgency
    reason: str


Action = Cancel | Place

Renew = Callable[[WantedQuote], WantedQuote | None]
_urgency = attrgetter("urgency")


@dataclass(frozen=True, slots=True)
class Keep:
    """When an order that rests is as good as the wanted one."""

    tolerance_bps: Decimal
    least: Decimal
    """Less than this left of an order, and it is replaced."""
    most: Decimal = _INFINITE
    """More than this left of an order, and it is replaced."""
    step_bps: Decimal = _ZERO
    """Further tolerance of each next level."""

    def within(self, quote: WantedQuote) -> Decimal:
        """How far an order's price may be from the quote's."""
        bps = self.tolerance_bps
        if self.step_bps:
            bps += quote.level * self.step_bps
        return quote.price * bps * BPS

    def is_usable(self, entry: Entry, now_ns: int) -> bool:
        """Whether an order may stay at all, for a quote that it is near to."""
        return now_ns < entry.expires_ns and self.least <= entry.remaining <= self.most


@dataclass(frozen=True, slots=True)
class SideRules:
    """What holds for the orders of one side, now."""

    keep: Keep
    max_orders: int
    """Live orders, those on their way out included."""
    room: Decimal | None = None
    """Most that may rest in all, in base currency."""
    waits: str = ""
    """Why nothing new is placed now, though what rests may stay."""
    hanging: Collection[str] = ()
    """Orders that stay where they are, by customOrderId …"""
    hanging_to: Decimal | None = None
    """… as long as they are no further from the market than this price."""
    spares: int = 0
    """So many orders may stay though no quote needs them now."""


@dataclass(slots=True)
class SidePlan:
    """What becomes of one side: of each quote, and of each order."""

    kept: list[tuple[WantedQuote, Entry]] = field(default_factory=list)
    placed: list[Place] = field(default_factory=list)
    held: list[tuple[WantedQuote, str]] = field(default_factory=list)
    """Wanted and not there, but not to be placed now, with the reason."""
    cancels: list[Cancel] = field(default_factory=list)
    hanging: list[Entry] = field(default_factory=list)
    spares: list[Entry] = field(default_factory=list)
    """Not wanted now, but not in the way: when the price comes back they are there already."""


def keep_draw(quote: WantedQuote) -> WantedQuote | None:
    """Places a quote as it is wanted."""
    return quote


def plan(
    wanted: Sequence[WantedQuote],
    ledger: Ledger,
    rules: Mapping[Side, SideRules],
    now_ns: int,
    renew: Renew = keep_draw,
) -> list[Action]:
    """What to send now, most urgent first.

    `wanted` is sorted best first on each side. A quote that has to be placed goes through
    `renew` first, which may draw its price and amount anew, or find that it is wanted no more.
    A bid is never placed at or above the price that any of our asks has or may have, whatever
    state that ask is in, and the other way round: our own orders can't meet, not even in passing.
    """
    actions: list[Action] = []
    for side in Side:
        quotes = [quote for quote in wanted if quote.side is side]
        done = plan_side(quotes, ledger, side, rules[side], now_ns, renew)
        actions += done.cancels
        actions += done.placed
    actions.sort(key=_urgency)
    return actions


def cancel_all(ledger: Ledger, reason: str, spare: int | None = None) -> list[Action]:
    """Pulls every order that can be cancelled now, nearest to the market first; those of the
    level `spare` are somebody else's business."""
    entries = [e for e in ledger.live() if e.state.rests and e.level != spare]
    entries.sort(key=lambda entry: entry.level)
    return [Cancel(entry, Urgency.HARM, reason) for entry in entries]


def plan_side(
    quotes: Sequence[WantedQuote],
    ledger: Ledger,
    side: Side,
    rules: SideRules,
    now_ns: int,
    renew: Renew = keep_draw,
) -> SidePlan:
    """What becomes of one side, for `plan` and for people who want to know why."""
    done = SidePlan()
    live = [entry for entry in ledger.live(side) if entry.level != SELF_TRADE_LEVEL]
    best = quotes[0].price if quotes else None
    candidates = [entry for entry in live if entry.state is not State.CANCELLING]
    if rules.hanging_to is not None:
        done.hanging = [entry for entry in live if _hangs(entry, rules, best)]
        kept_out = {entry.order.client_id for entry in done.hanging}
        candidates = [entry for entry in candidates if entry.order.client_id not in kept_out]
    missing, unmatched = _match(quotes, candidates, rules, now_ns, done)
    too_near = None if best is None else _too_near(side, best, rules.keep)
    cancels = [_cancel(entry, too_near, now_ns) for entry in unmatched if entry.state.rests]
    if rules.spares:
        cancels = _spare(cancels, missing, rules, done)
    done.cancels += cancels
    done.cancels.sort(key=lambda cancel: cancel.entry.order.price, reverse=side is Side.BUY)
    _place(missing, unmatched, live, ledger.best_live_price(side.opposite), rules, done, renew)
    return done


def _match(
    quotes: Sequence[WantedQuote],
    candidates: list[Entry],
    rules: SideRules,
    now_ns: int,
    done: SidePlan,
) -> tuple[list[WantedQuote], list[Entry]]:
    """Finds the order that may stay for each quote; what is left over on either side.

    Within the room for resting orders, the quotes nearest to the market come first.
    """
    keep, missing = rules.keep, []
    # While nothing new may be placed, an old order is better than none.
    age_ns = 0 if rules.waits else now_ns
    usable = [(entry.order.price, entry) for entry in candidates if keep.is_usable(entry, age_ns)]
    prices = sorted(price for price, _ in usable)
    room = rules.room
    if room is not None:
        room -= sum((entry.remaining for entry in done.hanging), _ZERO)
    taken: set[str] = set()
    for quote in quotes:
        within = keep.within(quote)
        near = bisect_left(prices, quote.price - within)
        match = None
        # A price is near only if the next one up is; after a great move none is.
        if near < len(prices) and prices[near] <= quote.price + within:
            match = _take_nearest(usable, quote.price, within)
        if match is not None:
            taken.add(match.order.client_id)
        amount = quote.amount if match is None else match.remaining
        if room is not None and amount > room:
            done.held.append((quote, _LIMIT))
            if match is not None and match.state.rests:
                done.cancels.append(Cancel(match, Urgency.HARM, _LIMIT))
            continue
        if room is not None:
            room -= amount
        if match is None:
            missing.append(quote)
        else:
            done.kept.append((quote, match))
    return missing, [entry for entry in candidates if entry.order.client_id not in taken]


def _take_nearest(
    usable: list[tuple[Decimal, Entry]], price: Decimal, within: Decimal
) -> Entry | None:
    """Takes the order nearest to a price out of the list, if one is near enough."""
    found, nearest = -1, within
    for index, (other, _) in enumerate(usable):
        off = abs(other - price)
        if off <= nearest and (off < nearest or found < 0):
            found, nearest = index, off
    return usable.pop(found)[1] if found >= 0 else None


def _spare(
    cancels: list[Cancel], missing: Sequence[WantedQuote], rules: SideRules, done: SidePlan
) -> list[Cancel]:
    """Lets orders stay that merely have no quote, nearest to the market first, where there is
    room for them beside what is wanted; what is still to be cancelled."""
    room = rules.room
    if room is not None:
        room -= sum((entry.remaining for entry in done.hanging), _ZERO)
        room -= sum((entry.remaining for _, entry in done.kept), _ZERO)
        room -= sum((quote.amount for quote in missing), _ZERO)
    least, most = rules.keep.least, rules.keep.most
    idle = [
        cancel.entry
        for cancel in cancels
        if cancel.reason == _NOT_WANTED and least <= cancel.entry.remaining <= most
    ]
    idle.sort(key=_price, reverse=bool(idle) and idle[0].side is Side.BUY)
    for entry in idle[: rules.spares]:
        if room is not None:
            room -= entry.remaining
            if room < 0:
                break
        done.spares.append(entry)
    return [cancel for cancel in cancels if cancel.entry not in done.spares]


def _price(entry: Entry) -> Decimal:
    return entry.order.price


def _place(
    missing: Sequence[WantedQuote],
    unmatched: Sequence[Entry],
    live: Sequence[Entry],
    opposite: Decimal | None,
    rules: SideRules,
    done: SidePlan,
    renew: Renew,
) -> None:
    """Places what is missing, as far as it may be placed now."""
    busy_levels = {entry.level for entry in unmatched if not entry.state.rests}
    places = rules.max_orders - len(live)
    room = rules.room
    if room is not None and missing:
        # What is on its way out may still be filled.
        room -= sum((entry.remaining for entry in live), _ZERO)
    for wanted in missing:
        if rules.waits or places <= 0:
            done.held.append((wanted, rules.waits or "the side has too many live orders"))
            continue
        if wanted.level in busy_levels:
            done.held.append((wanted, "its last order has no outcome yet"))
            continue
        quote = renew(wanted)
        if quote is None:
            done.held.append((wanted, "drawn anew, it is beyond its bounds"))
        elif would_meet(quote.side, quote.price, opposite):
            done.held.append((quote, "one of our own orders is in the way"))
        elif room is not None and quote.amount > room:
            done.held.append((quote, _LIMIT))
        else:
            urgency = Urgency.TOUCH if quote.level == 0 else Urgency.FAR
            done.placed.append(Place(quote, urgency, "missing"))
            places -= 1
            room = None if room is None else room - quote.amount


def would_meet(side: Side, price: Decimal, opposite: Decimal | None) -> bool:
    """Whether an order could be matched with one of ours that rests at `opposite`."""
    if opposite is None:
        return False
    return price >= opposite if side is Side.BUY else price <= opposite


def _hangs(entry: Entry, rules: SideRules, best: Decimal | None) -> bool:
    """Whether an order stays where it is: neither nearer to the market than the best quote, nor
    too far away."""
    to = rules.hanging_to
    if to is None or entry.order.client_id not in rules.hanging or not entry.state.rests:
        return False
    if best is None or is_better(entry.price, best, entry.side):
        return False
    return not is_better(to, entry.price, entry.side)


def _too_near(side: Side, best: Decimal, keep: Keep) -> Decimal:
    """An order with a better price than this is nearer to the market than wanted."""
    room = best * keep.tolerance_bps * BPS
    return best + room if side is Side.BUY else best - room


def _cancel(entry: Entry, too_near: Decimal | None, now_ns: int) -> Cancel:
    if too_near is None:
        return Cancel(entry, Urgency.HARM, "no quote wanted on this side")
    if is_better(entry.order.price, too_near, entry.order.side):
        return Cancel(entry, Urgency.HARM, "nearer to the market than wanted")
    if now_ns >= entry.expires_ns:
        return Cancel(entry, Urgency.TIDY, "old")
    return Cancel(entry, Urgency.TIDY, _NOT_WANTED)
