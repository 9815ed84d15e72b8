"""What the venue says of the account, asked once per key for all pairs, and kept on disk.

Each round asks for the own trades since the last one, and for the open orders, balances and last
prices where they are due, writes them, and rings the bell: the pairs read the records.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from mmd.cells.wake import Bell, Watch
from mmd.config.model import KillSettings
from mmd.decide.agenda import Agenda, Paces, Topic
from mmd.decide.balances import BalanceCheck
from mmd.processes.attended import AttendedClient, Leave
from mmd.processes.brake import CommonBrake, Member
from mmd.processes.context import ChildContext
from mmd.records.alerts import Kind, Spool
from mmd.records.store import Store
from mmd.venues.ace import calls, listing
from mmd.venues.ace.budget import Budget, BudgetSpec, Priority
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.script import play
from mmd.venues.ace.throttle import Throttled
from mmd.words.errors import MmdError, OutcomeUnknown, RateLimited, Refused, Unavailable
from mmd.words.ids import Owner, owner_of
from mmd.words.market import Balance, Order, OwnTrade, Pair

log = logging.getLogger("account")

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.25, 5.0
_BEFORE_START_MS = 60_000
"""A new store begins so long before its making: a pair may have traded before we came up."""


@dataclass(frozen=True)
class AccountJob:
    """What the process must know."""

    ace: AceEndpoint
    instance: str
    store: Path
    budget: BudgetSpec
    bell: Bell
    trouble: Bell
    """Rung by pairs: the open orders may be of interest."""
    paces: Paces = field(default_factory=Paces)
    risk: KillSettings = field(default_factory=KillSettings)
    """Of all pairs together."""
    members: tuple[Member, ...] = ()
    """The pairs that it counts."""


def run(job: AccountJob, context: ChildContext) -> None:
    """Asks until it is told to leave. Raises KeyRejected when a person must act."""
    context.stop.on_term()
    with ExitStack() as stack:
        client = stack.enter_context(closing(AttendedClient(job.ace, context)))
        budget = stack.enter_context(closing(Budget(job.budget, job.ace.key.api_key)))
        store = stack.enter_context(Store.open(job.store))
        trouble = stack.enter_context(closing(Watch(job.trouble)))
        try:
            _Clerk(job, context, client, budget, store, trouble).run()
        except Leave:
            log.info("account leaves")


@dataclass
class Intruders:
    """Notices orders of another mmd on this account, each once."""

    instance: str
    _known: set[str] = field(default_factory=set)

    def new(self, orders: list[Order]) -> list[Order]:
        """Orders of another mmd that were not there in the last list."""
        others = [o for o in orders if owner_of(o.client_id, self.instance) is Owner.OTHER_MMD]
        new = [order for order in others if order.order_no not in self._known]
        self._known = {order.order_no for order in others}
        return new


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class _Clerk:
    """The loop: ask, write down, ring, wait."""

    def __init__(
        self,
        job: AccountJob,
        context: ChildContext,
        client: AttendedClient,
        budget: Budget,
        store: Store,
        trouble: Watch,
    ) -> None:
        self._job = job
        self._trouble = trouble
        self._agenda = Agenda(job.paces)
        self._heart = context.heart
        self._client = client
        self._caller = Throttled(client, budget, Priority.POLL, client.pause)
        self._store = store
        self._intruders = Intruders(job.instance)
        self._spool = Spool.of_home(context.home)
        self._balances = BalanceCheck()
        self._prices: dict[Pair, Decimal] = {}
        self._brake = CommonBrake(job.store.parent, job.risk, job.members, self._spool, _wall_ms)
        self._brake.count(self._ours(fill.trade for fill in store.fills()))

    def run(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            began_s = time.monotonic()
            try:
                self._round()
            except (Unavailable, OutcomeUnknown, Refused) as error:
                self._note(error)
                self._agenda.trouble(time.monotonic())
                wait_s = max(retry_s, error.retry_after_s if isinstance(error, RateLimited) else 0)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
            else:
                wait_s, retry_s = self._job.paces.trades_s, _FIRST_RETRY_S
            self._client.pause(wait_s - (time.monotonic() - began_s))

    def _round(self) -> None:
        """The list is asked for first and written last: who reads it finds every fill that it
        reflects."""
        asked_ns, asked_s = time.monotonic_ns(), time.monotonic()
        if self._trouble.consume():
            self._agenda.trouble(asked_s)
        due = self._agenda.due(asked_s)
        orders: list[Order] = []
        if Topic.ORDERS in due:
            orders = play(self._caller, listing.all_open_orders(), self._client.pause)
        answered_ns = time.monotonic_ns()
        self._ask_trades()
        if Topic.PRICES in due:
            self._ask_prices(asked_s)
        balances: list[Balance] = []
        if Topic.BALANCES in due:
            balances = self._caller.call(calls.balances())
            self._agenda.asked(Topic.BALANCES, asked_s)
        if Topic.ORDERS in due:
            self._store.set_open_orders(orders, _wall_ms(), asked_ns, answered_ns, balances)
            self._agenda.asked(Topic.ORDERS, asked_s)
            self._check_balances(balances)
            self._report_intruders(orders)
        self._brake.turn(self._prices)
        state = self._heart.state
        self._heart.beat(connected=1, messages=state.messages + 1, progress=state.progress + 1)
        self._heart.ready()
        self._job.bell.ring()

    def _ask_prices(self, asked_s: float) -> None:
        """The venue's last prices; all else goes on without them."""
        self._agenda.asked(Topic.PRICES, asked_s)
        try:
            self._prices = self._caller.call(calls.prices())
        except (Unavailable, Refused) as error:
            log.warning("%s", error)
            self._heart.count_error(str(error))
        else:
            self._store.set_prices(self._prices, _wall_ms())

    def _check_balances(self, balances: list[Balance]) -> None:
        """The venue is believed; what our fills do not explain is told."""
        for difference in self._balances.look({b.currency: b for b in balances}):
            log.error("%s", difference)
            self._heart.count_error(str(difference))
            self._spool.put(Kind.DIFFERENCE, "mmd", str(difference))

    def _ours(self, trades: Iterable[OwnTrade]) -> list[OwnTrade]:
        return [t for t in trades if owner_of(t.client_id, self._job.instance) is Owner.OURS]

    def _report_intruders(self, orders: list[Order]) -> None:
        for order in self._intruders.new(orders):
            text = f"order {order.order_no} ({order.client_id}) is of another mmd on this account"
            log.error("%s", text)
            self._heart.count_error(text)
            self._spool.put(Kind.OTHER_MMD, "mmd", text)

    def _ask_trades(self) -> None:
        cursor = self._store.cursor(self._client.venue_ms() - _BEFORE_START_MS)
        since_ms = cursor.since_ms if cursor.trade_no is None else None
        script = listing.trades_since(cursor.trade_no, since_ms)
        trades = self._store.add_fills(play(self._caller, script, self._client.pause))
        self._balances.explain(trades)
        if trades:
            self._agenda.filled()
        self._brake.count(self._ours(trades))
        for trade in trades:
            log.info(
                "fill %d of order %s: %s %s %s @ %s",
                trade.trade_no,
                trade.order_no,
                trade.side.name.lower(),
                trade.amount,
                trade.pair,
                trade.price,
            )

    def _note(self, error: MmdError) -> None:
        log.warning("%s", error)
        self._heart.beat(connected=0)
        self._heart.count_error(str(error))
