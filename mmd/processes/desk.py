"""The order desk of one pair: carries out a plan at the venue and keeps the ledger.

A request leaves in the very turn that decided it, one after the other; a task of its own hears
its answer. When the outcome is known the ledger is moved and `on_change` called, so that the pair
plans anew. Nothing is queued: what can't be sent now is left to the next plan.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import takewhile
from typing import Any, Protocol, TypeVar

from mmd.decide.guard import Approved
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Entry, Event, Ledger, State
from mmd.decide.plan import Action, Cancel, Place, Urgency
from mmd.decide.reconcile import Differences, reconcile, settle
from mmd.records.journal import because
from mmd.venues.ace import calls, listing
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.budget import Budget, Priority
from mmd.venues.ace.calls import plain
from mmd.venues.ace.protocol import Call
from mmd.words.errors import (
    Fatal,
    InsufficientBalance,
    MmdError,
    OrderGone,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)
from mmd.words.ids import ClientIds, Owner, owner_of
from mmd.words.market import MarketRules, NewOrder, Order, OwnTrade, Side

log = logging.getLogger("mmaker")
self_trade_log = logging.getLogger("selftrader")

T = TypeVar("T")
A = TypeVar("A", Action, Cancel | Approved)

_PRIORITY = {
    Urgency.HARM: Priority.HARM_CANCEL,
    Urgency.TOUCH: Priority.TOUCH,
    Urgency.FAR: Priority.FAR,
    Urgency.TIDY: Priority.FAR,
}
_HOLD_OFF_NS = 1_000_000_000
_HOLD_OFF_BALANCE_NS = 5_000_000_000
_NEVER_NS = 1 << 62
_BUDGET_NAP_S = 0.05
_PATIENCE_S = 3.0
"""How long an order with a lost reply may take to arrive before it counts as never arrived."""


class Guarded(Protocol):
    """What stands between a plan and the venue."""

    def pass_plan(self, actions: Sequence[Action]) -> list[Cancel | Approved]:
        """What of a plan may be carried out, in its order."""

    def pass_together(self, places: Sequence[Place]) -> list[Approved]:
        """Orders that make sense together only: all of them, or none."""

    def count_sent(self, approved: Approved, now_ns: int) -> None:
        """An order is about to be sent."""


@dataclass
class Desk:
    """Sends orders and cancels, finds out lost outcomes, and reconciles."""

    client: AsyncAceClient
    rules: MarketRules
    ledger: Ledger
    ids: ClientIds
    budget: Budget
    max_in_flight: int
    on_change: Callable[[], None]
    may_send: Callable[[], str | None]
    """Asked immediately before each order is sent: the reason not to, or None."""
    gate: Guarded
    on_unclear: Callable[[], None]
    """Called when an order has no clear outcome."""
    clock_ns: Callable[[], int] = time.monotonic_ns
    requests: int = 0
    refused_in_a_row: int = 0
    fatal: Fatal | None = None
    """Set when a person must act: the pair leaves."""
    hold_off_until_ns: dict[Side, int] = field(default_factory=dict)
    last_error: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _trading: int = 0
    _finding: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        """Orders and cancels that the venue has not answered."""
        return self._trading

    def carry_out(self, actions: list[Action], now_ns: int, expires_ns: Callable[[], int]) -> int:
        """Sends what may be sent now, in the order given; returns how many were left out."""
        wanted = [action for action in actions if not self._held_off(action, now_ns)]
        if not wanted:
            return 0
        left = len(wanted)
        # The first request goes before the guard has looked at the rest.
        head = self._first_request(wanted)
        for part in (head, wanted[len(head) :]):
            passed = self.gate.pass_plan(part)
            unsent = self._send(passed, now_ns, expires_ns)
            left -= len(part)
            if unsent:
                return left + unsent
        return left

    def _send(
        self,
        actions: list[Cancel | Approved],
        now_ns: int,
        expires_ns: Callable[[], int],
    ) -> int:
        """Sends what the budget allows now; returns how many actions were left out."""
        requests = self._requests(actions)
        room = max(self.max_in_flight - self._trading, 0)
        priorities = [_PRIORITY[request[0].urgency] for request in requests[:room]]
        granted = self.budget.grant(priorities, now_ns)
        begun = [self._start(request, now_ns, expires_ns) for request in requests[:granted]]
        for request, work in zip(requests, begun, strict=False):  # only now: all are on their way
            if work is None:
                self.on_change()
                continue
            with _because(request):
                self._trade(work)
        return sum(map(len, requests[granted:]))

    async def place_opposites(
        self, first: WantedQuote, second: WantedQuote, may_send: Callable[[], str | None]
    ) -> list[Entry]:
        """Sends two orders that are to meet: in one batch where the venue allows, else the second
        as soon as the first rests. Returns both when all is answered; none when it can't be now.

        Both are in the ledger before either is sent, so that no quote is placed in their way.
        """
        now_ns, endpoint = self.clock_ns(), self.client.endpoint
        together = endpoint.submit_path is not None and endpoint.max_orders >= 2
        if self._trading >= self.max_in_flight:
            return []
        if not self.budget.try_take(Priority.TOUCH, now_ns, 1 if together else 2):
            return []
        places = [Place(quote, Urgency.TOUCH, "self-trade") for quote in (first, second)]
        approved = self.gate.pass_together(places)
        if not approved:
            return []
        entries = [self._want(place, now_ns, _NEVER_NS) for place in approved]
        groups = [entries] if together else [[entry] for entry in entries]
        await asyncio.wait({self._trade(self._place_in_turn(groups, may_send))})
        return entries

    async def ask(self, call: Call[T], priority: Priority = Priority.TOUCH) -> T:
        """Asks the venue. Raises Unavailable when the budget does not allow it now, and what the
        call ends with."""
        if not self.budget.try_take(priority, self.clock_ns()):
            raise Unavailable(f"{call.kind}: no request is left in the budget")
        return await self._call(call)

    async def settle_down(self) -> None:
        """Waits until every request under way has its outcome."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def abandon(self) -> None:
        """Gives up what is under way; a sweep finds out what became of it."""
        await asyncio.sleep(0)  # a task that never began would leave its reply lying about
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take_list(
        self, listed: list[Order], asked_ns: int, grace_ns: int, expires_ns: int
    ) -> Differences:
        """Reconciles with a complete list of the pair's open orders, and looks up the missing."""
        mine = [o for o in listed if owner_of(o.client_id, self.ids.instance) is Owner.OURS]
        differences = reconcile(self.ledger, mine, asked_ns, grace_ns, expires_ns)
        for entry in differences.missing:
            log.warning("order %s is not listed any more; looking it up", entry.order_no)
            with because("not listed any more"):
                self.spawn(self._look_up(entry))
        for entry in differences.adopted:
            log.info("adopted %s", describe(entry))
        return differences

    async def list_open(self) -> list[Order]:
        """A complete list of the pair's open orders."""
        self.requests += 1
        return await self.client.run(listing.all_open_orders(self.rules))

    def _held_off(self, action: Action, now_ns: int) -> bool:
        if isinstance(action, Cancel):
            return False
        return now_ns < self.hold_off_until_ns.get(action.quote.side, 0)

    def _requests(self, actions: list[A]) -> list[list[A]]:
        """Which actions go in one request: several of a kind where the venue allows."""
        endpoint = self.client.endpoint
        if not endpoint.submit_path and not endpoint.cancel_path:
            return [[action] for action in actions]
        requests = []
        while actions:
            request = self._first_request(actions)
            requests.append(request)
            actions = actions[len(request) :]
        return requests

    def _first_request(self, actions: list[A]) -> list[A]:
        first, endpoint = actions[0], self.client.endpoint
        path = endpoint.cancel_path if isinstance(first, Cancel) else endpoint.submit_path
        if not path:
            return [first]
        alike = takewhile(lambda action: type(action) is type(first), actions)
        return list(alike)[: endpoint.max_orders]

    def _start(
        self, request: list[Cancel | Approved], now_ns: int, expires_ns: Callable[[], int]
    ) -> Coroutine[Any, Any, None] | None:
        """Sends a request. What is returned hears the answer; None: it must not be sent now."""
        with _because(request):
            cancels = [action for action in request if isinstance(action, Cancel)]
            if cancels:
                return self._cancel(cancels, now_ns)
            places = [action for action in request if isinstance(action, Approved)]
            return self._place([self._want(one, now_ns, expires_ns()) for one in places])

    def _want(self, action: Approved, now_ns: int, expires_ns: int) -> Entry:
        quote = action.quote
        self.gate.count_sent(action, now_ns)
        order = NewOrder(self.ids.make(), quote.side, quote.price, quote.amount)
        return self.ledger.want(order, quote.level, now_ns, expires_ns)

    def _trade(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._trading += 1
        task = self.spawn(work)
        task.add_done_callback(self._traded)
        return task

    def _traded(self, _task: asyncio.Task[None]) -> None:
        self._trading -= 1
        self.on_change()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs something beside the loop, until `abandon`; its failure is the worker's."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # what went wrong unexpectedly ends the worker, through its loop

    async def _call(self, call: Call[T]) -> T:
        self.requests += 1
        try:
            return await self.client.call(call)
        except MmdError as error:
            self._heed(error)
            raise

    async def _place_in_turn(
        self, groups: list[list[Entry]], may_send: Callable[[], str | None]
    ) -> None:
        """Places each group only while all of those before it rest."""
        sent: list[Entry] = []

        def fault() -> str | None:
            gone = next((entry for entry in sent if not entry.state.rests), None)
            return f"{describe(gone)} does not rest" if gone else may_send()

        for group in groups:
            work = self._place(group, fault)
            if work is not None:
                await work
            sent += group

    def _place(
        self, entries: list[Entry], may_send: Callable[[], str | None] | None = None
    ) -> Coroutine[Any, Any, None] | None:
        """Sends orders. What is returned hears the answer; None: they must not be sent now."""
        fault = (may_send or self.may_send)()
        if fault is not None:
            _log(entries[0]).info("not sent: %s: %s", ", ".join(map(describe, entries)), fault)
            for entry in entries:
                self._apply(entry, Event.DROPPED)
            return None
        for entry in entries:
            self._apply(entry, Event.SENT)
        self.requests += 1
        orders = [entry.order for entry in entries]
        return self._hear_placed(entries, self.client.submit_batch_order(self.rules, orders))

    async def _hear_placed(
        self, entries: list[Entry], awaited: Coroutine[Any, Any, list[str | MmdError]]
    ) -> None:
        for entry, answer in zip(entries, await awaited, strict=True):
            self._placed(entry, answer)

    def _placed(self, entry: Entry, answer: str | MmdError) -> None:
        if isinstance(answer, str):
            entry.order_no = answer
            self._apply(entry, Event.ACCEPTED)
            self.refused_in_a_row = 0
            _log(entry).info("placed %s", describe(entry))
            return
        self._heed(answer)
        self._note("order %s: %s", describe(entry), answer)
        if isinstance(answer, OutcomeUnknown):
            self._apply(entry, Event.LOST)
            self._find_out()
        elif isinstance(answer, Refused):
            self._apply(entry, Event.REFUSED)
            self.refused_in_a_row += 1
            no_money = isinstance(answer, InsufficientBalance)
            self._hold_off(entry, _HOLD_OFF_BALANCE_NS if no_money else _HOLD_OFF_NS)
        else:
            self._apply(entry, Event.DROPPED)
            self._hold_off(entry, _HOLD_OFF_NS)

    def _cancel(self, actions: list[Cancel], now_ns: int) -> Coroutine[Any, Any, None]:
        """Sends cancels. What is returned hears the answer."""
        for action in actions:
            self.ledger.apply(action.entry.order.client_id, Event.CANCEL_SENT, now_ns)
        self.requests += 1
        numbers = [action.entry.order_no for action in actions]
        return self._hear_cancelled(actions, self.client.cancel_batch_orders(numbers))

    async def _hear_cancelled(
        self, actions: list[Cancel], awaited: Coroutine[Any, Any, list[MmdError | None]]
    ) -> None:
        for action, answer in zip(actions, await awaited, strict=True):
            await self._cancelled(action, answer)

    async def _cancelled(self, action: Cancel, answer: MmdError | None) -> None:
        entry = action.entry
        if answer is None:
            self._apply(entry, Event.CANCELLED)
            _log(entry).info("%s: %s", describe(entry), action.reason)
        elif isinstance(answer, OrderGone):
            await self._look_up(entry)
        else:
            # A cancel harms nobody twice: the next plan sends it again.
            self._heed(answer)
            self._note("cancel of %s: %s", describe(entry), answer)
            self._apply(entry, Event.CANCEL_FAILED)

    def _heed(self, error: MmdError) -> None:
        """What one request's error means for all that follow."""
        if isinstance(error, RateLimited):
            self.budget.slow_down(error.retry_after_s, self.clock_ns())
        elif isinstance(error, Fatal):
            self.fatal = error

    async def _look_up(self, entry: Entry) -> None:
        """Asks what became of an order whose number we know, once the budget allows it."""
        await self._wait_for_budget()
        try:
            found = await self._call(calls.order_status(entry.order_no))
        except MmdError as error:
            self._note("look-up of %s failed: %s", describe(entry), error)
            if entry.state is State.CANCELLING:
                self._apply(entry, Event.CANCEL_FAILED)
            return
        settle(self.ledger, entry, found, self.clock_ns())
        log.info("looked up: %s", describe(entry))
        self.on_change()

    async def _wait_for_budget(self) -> None:
        while True:
            if self.budget.try_take(Priority.TOUCH, self.clock_ns()):
                return
            await asyncio.sleep(_BUDGET_NAP_S)

    def _find_out(self) -> None:
        """Sees to it that lost outcomes are found out; one search serves all of them."""
        self.on_unclear()
        if self._finding is None or self._finding.done():
            with because("lost reply"):
                self._finding = self.spawn(self._find_out_all())

    async def _find_out_all(self) -> None:
        """Finds orders with a lost reply by their customOrderId: in the open orders, then in our
        own trades; only after both lack one for the whole patience does it count as not there."""
        pause_s = 0.1
        while lost := [entry for entry in self.ledger.live() if entry.state is State.UNKNOWN]:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)
            asked_ns = self.clock_ns()
            if not self.budget.try_take(Priority.TOUCH, asked_ns, 2):
                continue
            try:
                listed = {order.client_id: order for order in await self.list_open()}
                trades = await self._call(calls.own_trades(self.rules))
            except MmdError as error:
                self._note("finding out about %d orders: %s", len(lost), error)
                continue
            for entry in lost:
                self._found_out(entry, listed.get(entry.order.client_id), trades, asked_ns)
            self.on_change()

    def _found_out(
        self, entry: Entry, order: Order | None, trades: list[OwnTrade], asked_ns: int
    ) -> None:
        if entry.state is not State.UNKNOWN:
            return  # other news came first
        client_id, now_ns, lost_at_ns = entry.order.client_id, self.clock_ns(), entry.changed_ns
        filled = sum((t.amount for t in trades if t.client_id == client_id), Decimal(0))
        if order is not None:
            entry.order_no = order.order_no
            self._apply(entry, Event.SEEN_OPEN)
            self.ledger.book_fill(client_id, order.filled, now_ns)
        elif filled:
            self.ledger.book_fill(client_id, filled, now_ns)
            if entry.remaining > 0:
                self._apply(entry, Event.CANCELLED)  # not listed as open: the rest is gone
        elif asked_ns - lost_at_ns >= _PATIENCE_S * 1e9:
            self._apply(entry, Event.PROVEN_ABSENT)
        else:
            return
        log.info("found out: %s", describe(entry))

    def _apply(self, entry: Entry, event: Event) -> None:
        self.ledger.apply(entry.order.client_id, event, self.clock_ns())

    def _hold_off(self, entry: Entry, for_ns: int) -> None:
        """No quotes on the order's side for a while, since the venue did not take it."""
        if entry.level != SELF_TRADE_LEVEL:
            self.hold_off_until_ns[entry.side] = self.clock_ns() + for_ns

    def _note(self, text: str, *values: object) -> None:
        self.last_error = text % values
        log.warning(text, *values)


def _because(request: Sequence[Cancel | Approved]) -> because:
    """The reasons of a request, for its journal."""
    if len(request) == 1:
        return because(request[0].reason)
    return because("; ".join(dict.fromkeys(action.reason for action in request)))


def _log(entry: Entry) -> logging.Logger:
    """Where an order's doings are told: the quotes' log, or that of the self-trades."""
    return self_trade_log if entry.level == SELF_TRADE_LEVEL else log


def describe(entry: Entry) -> str:
    """An order as the log shows it."""
    order = entry.order
    number = entry.order_no or order.client_id
    return (
        f"{order.side.name.lower()} {plain(order.amount)} @ {plain(order.price)} "
        f"(level {entry.level}, {entry.state.value}, {number})"
    )


def describe_trade(trade: OwnTrade) -> str:
    """A fill as the log shows it."""
    role = "maker" if trade.is_maker else "taker"
    return (
        f"{trade.side.name.lower()} {plain(trade.amount)} @ {plain(trade.price)} as {role}, "
        f"fee {plain(trade.fee)} (trade {trade.trade_no} of order {trade.order_no})"
    )
