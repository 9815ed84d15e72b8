"""A conversion rate: the top of ACE's own USDT/TWD order book, asked for again and again.

Our own orders in that market are left out, else our quotes would make the rate that makes them.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from mmd.cells.layouts import BookCell, BookState, BookStatus
from mmd.cells.wake import Bell
from mmd.config.model import RateSettings
from mmd.processes.attended import AttendedClient, Leave
from mmd.processes.context import ChildContext
from mmd.records.store import Store
from mmd.venues.ace import calls
from mmd.venues.ace.budget import Budget, BudgetSpec, Priority
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.throttle import Throttled
from mmd.words.errors import (
    ConfigError,
    MmdError,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)
from mmd.words.ids import Owner, owner_of
from mmd.words.market import Level, MarketRules, Order, OrderBook, Pair, Side

log = logging.getLogger("rate")

_FIRST_RETRY_S = 0.25


@dataclass(frozen=True)
class RateJob:
    """What the process must know."""

    pair: Pair
    ace: AceEndpoint
    instance: str
    settings: RateSettings
    budget: BudgetSpec
    book: BookCell
    bell: Bell
    store: Path | None = None
    """Where our open orders are recorded; None: nobody of us quotes this market."""


def run(job: RateJob, context: ChildContext) -> None:
    """Polls until it is asked to leave. Raises ConfigError when there is no such market."""
    context.stop.on_term()
    with ExitStack() as stack:
        client = stack.enter_context(closing(AttendedClient(job.ace, context)))
        budget = stack.enter_context(closing(Budget(job.budget, job.ace.key.api_key)))
        store = stack.enter_context(Store.open(job.store)) if job.store else None
        stack.callback(_mark_stopped, job)
        try:
            _Poller(job, context, client, budget, store).run()
        except Leave:
            log.info("%s leaves", context.name)


def without_own(book: OrderBook, own: Iterable[Order]) -> OrderBook:
    """The book less what remains of our own orders; emptied levels vanish."""
    ours: defaultdict[tuple[Side, Decimal], Decimal] = defaultdict(Decimal)
    for order in own:
        ours[order.side, order.price] += order.remaining

    def foreign(levels: tuple[Level, ...], side: Side) -> tuple[Level, ...]:
        rest = (Level(lv.price, lv.amount - ours.get((side, lv.price), 0)) for lv in levels)
        return tuple(level for level in rest if level.amount > 0)

    return OrderBook(foreign(book.bids, Side.BUY), foreign(book.asks, Side.SELL))


def book_state(before: BookState, book: OrderBook, asked_ns: int) -> BookState:
    """The cell's next state. The answer proves the price for the time when it was asked for."""
    nothing = Level(Decimal(0), Decimal(0))
    bid = book.bids[0] if book.bids else nothing
    ask = book.asks[0] if book.asks else nothing
    return before._replace(
        status=_status(book),
        bid_price=float(bid.price),
        bid_qty=float(bid.amount),
        ask_price=float(ask.price),
        ask_qty=float(ask.amount),
        update_id=before.update_id + 1,
        last_frame_ns=asked_ns,
        last_data_ns=asked_ns,
    )


def _status(book: OrderBook) -> BookStatus:
    if not book.bids or not book.asks:
        return BookStatus.ONE_SIDED
    if book.bids[0].price >= book.asks[0].price:
        return BookStatus.CROSSED
    return BookStatus.VALID


def is_news(before: BookState, after: BookState) -> bool:
    """Whether readers must be woken: a price or the status has changed."""
    return before[:2] != after[:2] or before.ask_price != after.ask_price


def _mark_stopped(job: RateJob) -> None:
    job.book.write(job.book.read()._replace(status=BookStatus.STOPPED))
    job.bell.ring()


class _Poller:
    """The loop: ask, publish, wait."""

    def __init__(
        self,
        job: RateJob,
        context: ChildContext,
        client: AttendedClient,
        budget: Budget,
        store: Store | None,
    ) -> None:
        self._job = job
        self._heart = context.heart
        self._client = client
        self._caller = Throttled(client, budget, Priority.TOUCH, client.pause)
        self._store = store
        self._state = job.book.read()

    def run(self) -> None:
        rules: MarketRules | None = None
        while True:
            asked_ns = time.monotonic_ns()
            try:
                rules = rules or self._learn_rules()
                self._poll(rules)
            except (Unavailable, OutcomeUnknown, Refused) as error:
                self._note(error)
                wait_s = _retry_after_s(error)
            else:
                wait_s = self._job.settings.poll_s
            self._client.pause(wait_s - (time.monotonic_ns() - asked_ns) / 1e9)

    def _learn_rules(self) -> MarketRules:
        for rules in self._caller.call(calls.markets()):
            if rules.pair == self._job.pair:
                return rules
        raise ConfigError(f"rates.{self._job.pair}: the venue has no such market")

    def _poll(self, rules: MarketRules) -> None:
        asked_ns = time.monotonic_ns()
        book = without_own(self._caller.call(calls.order_book(rules)), self._own_orders())
        self._publish(book_state(self._state, book, asked_ns))
        state = self._heart.state
        self._heart.beat(connected=1, messages=state.messages + 1, progress=state.progress + 1)
        self._heart.ready()

    def _own_orders(self) -> list[Order]:
        snapshot = self._store.newest_open_orders() if self._store else None
        if snapshot is None:
            return []
        job = self._job
        return [
            order
            for order in snapshot.orders
            if order.pair == job.pair and owner_of(order.client_id, job.instance) is Owner.OURS
        ]

    def _publish(self, state: BookState) -> None:
        before, self._state = self._state, state
        self._job.book.write(state)
        if is_news(before, state):
            self._job.bell.ring()

    def _note(self, error: MmdError) -> None:
        """One lost poll only lets the price age; once it is too old, the cell says why."""
        log.warning("%s: %s", self._job.pair, error)
        self._heart.beat(connected=0)
        self._heart.count_error(str(error))
        age_ns = self._state.age_ns(time.monotonic_ns())
        if age_ns > self._job.settings.max_age_s * 1e9:
            self._publish(self._state._replace(status=BookStatus.UNREACHABLE))


def _retry_after_s(error: MmdError) -> float:
    return error.retry_after_s if isinstance(error, RateLimited) else _FIRST_RETRY_S
