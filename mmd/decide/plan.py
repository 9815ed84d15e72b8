"""The plan: what to send now so that the venue's book comes to hold the wanted ladder.

Only differences are sent. The plan is made anew on the newest price each time something can be
sent, so nothing waits in a queue to go out stale. Order of sending: cancels that prevent harm,
then quotes at the touch, then the far ones, then cancels that merely tidy up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Entry, Ledger, State
from mmd.decide.reference import BPS
from mmd.words.market import Side


class Urgency(IntEnum):
    """What goes first when not everything may be sent."""

    HARM = 0
    """An order that may be filled at a price worse than wanted."""
    TOUCH = 1
    FAR = 2
    TIDY = 3


@dataclass(frozen=True, slots=True)
class Cancel:
    """An order that has to go."""

    entry: Entry
    urgency: Urgency
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """A quote that is missing."""

    quote: WantedQuote
    urgency: Urgency
    reason: str


Action = Cancel | Place


@dataclass(frozen=True, slots=True)
class Keep:
    """When an order that rests is as good as the wanted one."""

    tolerance_bps: Decimal
    min_remaining: Decimal
    """Less than this left of an order, and it is replaced."""

    def holds(self, entry: Entry, quote: WantedQuote, now_ns: int) -> bool:
        """Whether the order may stay for the quote."""
        return (
            now_ns < entry.expires_ns
            and entry.remaining >= self.min_remaining
            and abs(entry.price - quote.price) <= quote.price * self.tolerance_bps * BPS
        )


def plan(
    wanted: Sequence[WantedQuote],
    ledger: Ledger,
    keep: Keep,
    max_per_side: int,
    now_ns: int,
    renew: Callable[[WantedQuote], WantedQuote] = lambda quote: quote,
) -> list[Action]:
    """What to send now, most urgent first.

    `wanted` is sorted best first on each side. A quote that has to be placed goes through
    `renew` first, which may draw its price and amount anew.
    A bid is never placed at or above the price that any of our asks has or may have, whatever
    state that ask is in, and the other way round: our own orders can't meet, not even in passing.
    `max_per_side` bounds the live orders of a side, those on their way out included.
    """
    actions: list[Action] = []
    for side in Side:
        quotes = [quote for quote in wanted if quote.side is side]
        actions += _plan_side(quotes, ledger, side, keep, max_per_side, now_ns, renew)
    actions.sort(key=lambda action: action.urgency)
    return actions


def cancel_all(ledger: Ledger, reason: str, spare: int | None = None) -> list[Action]:
    """Pulls every order that can be cancelled now, nearest to the market first; those of the
    level `spare` are somebody else's business."""
    entries = [e for e in ledger.live() if e.state.rests and e.level != spare]
    entries.sort(key=lambda entry: entry.level)
    return [Cancel(entry, Urgency.HARM, reason) for entry in entries]


def _plan_side(
    quotes: list[WantedQuote],
    ledger: Ledger,
    side: Side,
    keep: Keep,
    max_per_side: int,
    now_ns: int,
    renew: Callable[[WantedQuote], WantedQuote],
) -> list[Action]:
    live = [entry for entry in ledger.live(side) if entry.level != SELF_TRADE_LEVEL]
    unmatched = [entry for entry in live if entry.state is not State.CANCELLING]
    missing = []
    for quote in quotes:
        match = _nearest(unmatched, quote, keep, now_ns)
        if match is None:
            missing.append(quote)
        else:
            unmatched.remove(match)
    actions: list[Action] = [_cancel(e, quotes, keep, now_ns) for e in unmatched if e.state.rests]
    busy_levels = {entry.level for entry in unmatched if not entry.state.rests}
    opposite = ledger.best_live_price(side.opposite)
    room = max_per_side - len(live)
    for quote in map(renew, missing):
        if room <= 0:
            break
        if quote.level in busy_levels or would_meet(side, quote.price, opposite):
            continue
        urgency = Urgency.TOUCH if quote.level == 0 else Urgency.FAR
        actions.append(Place(quote, urgency, "missing"))
        room -= 1
    return actions


def would_meet(side: Side, price: Decimal, opposite: Decimal | None) -> bool:
    """Whether an order could be matched with one of ours that rests at `opposite`."""
    if opposite is None:
        return False
    return price >= opposite if side is Side.BUY else price <= opposite


def _nearest(entries: Iterable[Entry], quote: WantedQuote, keep: Keep, now_ns: int) -> Entry | None:
    fitting = [entry for entry in entries if keep.holds(entry, quote, now_ns)]
    return min(fitting, key=lambda entry: abs(entry.price - quote.price), default=None)


def _cancel(entry: Entry, quotes: list[WantedQuote], keep: Keep, now_ns: int) -> Cancel:
    if not quotes:
        return Cancel(entry, Urgency.HARM, "no quote wanted on this side")
    best = quotes[0].price
    too_near = best * keep.tolerance_bps * BPS
    beyond = entry.price - best if entry.side is Side.BUY else best - entry.price
    if beyond > too_near:
        return Cancel(entry, Urgency.HARM, "nearer to the market than wanted")
    if now_ns >= entry.expires_ns:
        return Cancel(entry, Urgency.TIDY, "old")
    return Cancel(entry, Urgency.TIDY, "not wanted")
