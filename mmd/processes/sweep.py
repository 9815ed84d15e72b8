"""Cancels what must not rest on the venue, and proves that nothing is left.

Proof = two complete lists from the venue, alike and empty of what was to go, `settle_s` apart.
Written as a script, so that a synchronous process, the command line and the pair's asyncio loop
all play the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum

from mmd.processes.attended import AttendedClient
from mmd.processes.context import ChildContext
from mmd.venues.ace import batch, calls, listing
from mmd.venues.ace.budget import Budget, BudgetSpec, Priority
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import Caller
from mmd.venues.ace.script import AsyncCaller, Pause, Script, one, play, play_async
from mmd.venues.ace.throttle import Throttled
from mmd.words.errors import (
    ConfigError,
    Fatal,
    MmdError,
    OrderGone,
    OrdersLeft,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)
from mmd.words.ids import Owner, owner_of
from mmd.words.market import MarketRules, Order, Pair

log = logging.getLogger("sweep")

_CHUNK = 20
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 1.0


class Whose(Enum):
    """Which orders are to go."""

    OURS = "ours"
    """Those of this instance, from whatever run."""
    ALL = "all"
    """Every order of the account."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep did. Holds order numbers."""

    cancelled: tuple[str, ...]
    already_gone: tuple[str, ...]
    """Filled or cancelled before our cancel came: look their fills up."""
    proven: bool
    """Nothing is left, and that is proven."""
    left: tuple[str, ...]
    """Seen last and not known to be gone."""
    trouble: str = ""
    """The last error, for people."""

    def __str__(self) -> str:
        outcome = "proven" if self.proven else f"left: {', '.join(self.left) or 'unknown'}"
        return f"{len(self.cancelled)} cancelled, {len(self.already_gone)} already gone, {outcome}"

    def require_proof(self) -> None:
        """Raises OrdersLeft when it is not proven that nothing is left."""
        if self.proven:
            return
        what = f"orders left: {', '.join(self.left)}" if self.left else "no proof that none is left"
        raise OrdersLeft(f"{what}; {self.trouble}" if self.trouble else what, self.left)


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What to sweep, and for how long."""

    pair: Pair | None
    """None: all markets."""
    instance: str
    settle_s: float
    deadline_s: float
    """Moment of `clock` after which nothing new is tried."""
    whose: Whose = Whose.OURS

    def concerns(self, order: Order) -> bool:
        """Whether an order is to go."""
        if self.pair is not None and order.pair != self.pair:
            return False
        if self.whose is Whose.ALL:
            return True
        return owner_of(order.client_id, self.instance) is Owner.OURS


@dataclass(slots=True)
class _Tally:
    cancelled: dict[str, None] = field(default_factory=dict)
    gone: dict[str, None] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    """What was to go in the last list."""
    trouble: str = ""

    def note(self, order_no: str, outcome: MmdError | None) -> None:
        """Books the outcome of one cancel. Raises Fatal."""
        if outcome is None:
            self.cancelled[order_no] = None
        elif isinstance(outcome, OrderGone):
            self.gone[order_no] = None
        elif isinstance(outcome, Fatal):
            raise outcome
        else:
            self.trouble = str(outcome)

    def result(self, proven: bool) -> SweepResult:
        gone = tuple(number for number in self.gone if number not in self.cancelled)
        ended = {*self.cancelled, *self.gone}
        left = tuple(number for number in self.listed if number not in ended)
        return SweepResult(tuple(self.cancelled), gone, proven, left, self.trouble)


def sweep(
    client: Caller,
    endpoint: AceEndpoint,
    plan: SweepPlan,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> SweepResult:
    """Sweeps until proven or the deadline. Raises Fatal: a rejected key, an unknown market."""
    return play(client, sweep_script(endpoint, plan, clock), sleep)


async def sweep_async(
    client: AsyncCaller,
    endpoint: AceEndpoint,
    plan: SweepPlan,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> SweepResult:
    """As `sweep`, with cancels side by side."""
    return await play_async(client, sweep_script(endpoint, plan, clock), sleep)


def sweep_script(
    endpoint: AceEndpoint, plan: SweepPlan, clock: Callable[[], float]
) -> Script[SweepResult]:
    """The sweep itself: list, cancel, list again; waits and goes on through every outage."""
    tally = _Tally()
    rules: MarketRules | None = None
    empty: frozenset[str] | None = None  # the last list, if nothing in it concerned us
    retry_s = _FIRST_RETRY_S
    while clock() < plan.deadline_s:
        try:
            if plan.pair is not None and rules is None:
                rules = yield from _find_rules(plan.pair)
            orders = yield from listing.all_open_orders(rules)
        except (Unavailable, OutcomeUnknown, Refused) as error:
            tally.trouble, empty = str(error), None
            yield Pause(min(_retry_after_s(error, retry_s), plan.deadline_s - clock()))
            retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
            continue
        retry_s = _FIRST_RETRY_S
        tally.listed = [order.order_no for order in orders if plan.concerns(order)]
        if tally.listed:
            empty = None
            yield from _cancel(endpoint, tally.listed, tally, lambda: plan.deadline_s - clock())
            continue
        listed = frozenset(order.order_no for order in orders)
        if listed == empty:
            return tally.result(proven=True)
        empty = listed
        yield Pause(plan.settle_s)
    return tally.result(proven=False)


def _cancel(
    endpoint: AceEndpoint, order_numbers: list[str], tally: _Tally, time_left_s: Callable[[], float]
) -> Script[None]:
    """Cancels in chunks; stops early when the venue can't be reached or asks to slow down."""
    for at in range(0, len(order_numbers), _CHUNK):
        if time_left_s() <= 0:
            return
        chunk = order_numbers[at : at + _CHUNK]
        outcomes = yield from batch.cancel(endpoint, chunk)
        for order_no, outcome in zip(chunk, outcomes, strict=True):
            tally.note(order_no, outcome)
        failures = [outcome for outcome in outcomes if outcome and not _ends(outcome)]
        if failures:
            wait_s = max(_retry_after_s(failure, _FIRST_RETRY_S) for failure in failures)
            yield Pause(max(0.0, min(wait_s, time_left_s())))
            return


def _ends(outcome: MmdError) -> bool:
    return isinstance(outcome, OrderGone)


def _find_rules(pair: Pair) -> Script[MarketRules]:
    markets = yield from one(calls.markets())
    for rules in markets:
        if rules.pair == pair:
            return rules
    raise ConfigError(f"the venue has no market {pair}")


def _retry_after_s(error: MmdError, otherwise_s: float) -> float:
    return error.retry_after_s if isinstance(error, RateLimited) else otherwise_s


@dataclass(frozen=True)
class SweepJob:
    """What a one-shot sweep process must know."""

    pair: Pair
    ace: AceEndpoint
    instance: str
    settle_s: float
    time_s: float
    """How long it may take."""
    budget: BudgetSpec
    whose: Whose = Whose.OURS


def run(job: SweepJob, context: ChildContext) -> None:
    """Sweeps what a dead or parked pair left. It goes on though it is asked to leave: nobody else
    would do it. The parent's side holds the pair's lock for it.

    Raises OrdersLeft when nothing is proven in its time.
    """
    context.stop.on_term()
    plan = SweepPlan(job.pair, job.instance, job.settle_s, time.monotonic() + job.time_s, job.whose)
    with (
        closing(AttendedClient(job.ace, context, stays=True)) as client,
        closing(Budget(job.budget, job.ace.key.api_key)) as budget,
    ):
        context.heart.ready()
        throttled = Throttled(client, budget, Priority.TOUCH, client.pause)
        result = sweep(throttled, job.ace, plan, sleep=client.pause)
    log.info("sweep of %s: %s", job.pair, result)
    result.require_proof()
