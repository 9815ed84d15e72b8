"""The virtual stage: real workers on one account of the simulated venue, in virtual time.

Everything that outlives a worker is here: the venue, the cells and bells, the account's records.
Nobody's clock runs but the loop's, and nothing goes over a socket.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mmd.cells.layouts import (
    BOOK,
    DEPTH,
    HEALTH,
    PARENT,
    QUOTES,
    WANTED,
    BookCell,
    DepthCell,
    Layout,
    ParentState,
    StateCell,
)
from mmd.cells.wake import Bell, Watch
from mmd.config.model import Mode, PairSettings, RateSettings
from mmd.decide.agenda import Agenda, Paces, Topic
from mmd.processes.context import ChildContext, Heart, ParentLink, Stop
from mmd.processes.pair import PairJob, Worker
from mmd.records.store import FILE as STORE_FILE
from mmd.records.store import Store
from mmd.sim.ace.exchange import Exchange
from mmd.sim.virtual import VirtualClient, VirtualLoop
from mmd.venues.ace import calls, listing
from mmd.venues.ace.budget import Budget, BudgetSpec, Priority
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import MmdError
from mmd.words.market import Balance, MarketRules, Order, Pair

INSTANCE = "abc123"
_PARENT_PID = 1
_FOR_EVER_S = 1e6
_POLL_NAP_S = 0.02
_RETRY_S = 0.5
S = TypeVar("S")


def cell(layout: Layout[S]) -> StateCell[S]:
    """A cell in this process's own memory."""
    return StateCell(layout, memoryview(bytearray(layout.size)), 0)


@dataclass
class Feed:
    """What one process would publish: a book, perhaps its depth, and the bell that announces it."""

    book: BookCell
    bell: Bell
    depth: DepthCell | None = None


@dataclass
class Life:
    """One run of a worker, from its start to its kill or its orderly end."""

    worker: Worker
    client: VirtualClient
    stop: Stop
    task: asyncio.Task[None]


@dataclass
class Stage:
    """One account on the venue."""

    exchange: Exchange
    loop: VirtualLoop
    folder: Path
    stack: ExitStack
    """Closes what the stage opens."""
    endpoint: AceEndpoint
    budget: BudgetSpec
    latency_s: Callable[[], float]
    """Of one way of one request."""
    paces: Paces = field(default_factory=Paces)
    markets: dict[Pair, MarketRules] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began_ms = self.loop.wall_ms()
        self.parent = cell(PARENT)
        self.account_bell, self.trouble_bell = self.bell(), self.bell()
        self.store_path = self.folder / STORE_FILE
        self.begin_account()
        self.beat()

    def begin_account(self) -> None:
        """A new account process, as after a start or a kill."""
        self.store = self.stack.enter_context(Store.open(self.store_path))
        self.clerk = self.client()
        self.clerk_budget = self.open_budget()
        self.trouble = self.stack.enter_context(closing(Watch(self.trouble_bell)))
        self.agenda = Agenda(self.paces)

    def bell(self) -> Bell:
        """A bell that the stage closes."""
        bell = Bell()
        self.stack.callback(bell.close)
        return bell

    def feed(self, *, has_depth: bool = False) -> Feed:
        """Cells and bell for one book."""
        return Feed(cell(BOOK), self.bell(), cell(DEPTH) if has_depth else None)

    def client(self) -> VirtualClient:
        """One process's connection to the venue."""
        return VirtualClient(self.endpoint, self.exchange, self.loop, self.latency_s)

    def open_budget(self) -> Budget:
        """One process's hand on the account's budget."""
        return self.stack.enter_context(Budget(self.budget, self.endpoint.key.api_key))

    def beat(self) -> None:
        """The parent's heartbeat, on which all workers wait."""
        self.parent.write(ParentState(_PARENT_PID, self.loop.clock_ns()))

    async def learn_markets(self) -> None:
        """Asks the venue for its markets, as every worker does before its first quote."""
        self.markets = {rules.pair: rules for rules in await self.clerk.call(calls.markets())}

    async def account_round(self) -> float:
        """What the account process does; returns after how many seconds it does it again."""
        try:
            await self._ask(self.loop.clock_ns(), self.loop.time())
        except MmdError:
            self.agenda.trouble(self.loop.time())
            return _RETRY_S
        return self.paces.trades_s

    async def _ask(self, asked_ns: int, asked_s: float) -> None:
        agenda, clerk = self.agenda, self.clerk
        if self.trouble.consume():
            agenda.trouble(asked_s)
        due = agenda.due(asked_s)
        orders: list[Order] = []
        if Topic.ORDERS in due:
            await self.may_ask()
            orders = await clerk.run(listing.all_open_orders())
        answered_ns = self.loop.clock_ns()
        await self.may_ask()
        cursor = self.store.cursor(self.began_ms)
        trades = await clerk.run(listing.trades_since(cursor.trade_no, cursor.since_ms))
        if self.store.add_fills(trades):
            agenda.filled()
        if Topic.PRICES in due:
            await self.may_ask()
            agenda.asked(Topic.PRICES, asked_s)
            self.store.set_prices(await clerk.call(calls.prices()), self.loop.wall_ms())
        balances: list[Balance] = []
        if Topic.BALANCES in due:
            await self.may_ask()
            balances = await clerk.call(calls.balances())
            agenda.asked(Topic.BALANCES, asked_s)
        if Topic.ORDERS in due:
            now_ms = self.loop.wall_ms()
            self.store.set_open_orders(orders, now_ms, asked_ns, answered_ns, balances)
            agenda.asked(Topic.ORDERS, asked_s)
        self.account_bell.ring()

    async def may_ask(self, priority: Priority = Priority.POLL) -> None:
        """Waits for the budget."""
        while True:
            if self.clerk_budget.try_take(priority, self.loop.clock_ns()):
                return
            await asyncio.sleep(_POLL_NAP_S)


@dataclass
class Place:
    """What one pair's workers have in common, one after the other."""

    stage: Stage
    pair: Pair
    settings: PairSettings
    feed: Feed
    rate: Feed | None = None
    rate_settings: RateSettings | None = None
    mode: Mode = Mode.PAPER
    settle_s: float = 0.5
    stop_limit_s: float = 20.0
    leg: Feed | None = None

    def __post_init__(self) -> None:
        self.health, self.quotes, self.wanted = cell(HEALTH), cell(QUOTES), cell(WANTED)

    def begin(self, seed: int) -> Life:
        """A new worker, as after a start or a kill."""
        stage, stack = self.stage, self.stage.stack
        stop, pidfd = Stop(), stage.bell()
        stack.callback(os.close, stop.fd)
        link = ParentLink(stage.parent, _PARENT_PID, pidfd.fd, _FOR_EVER_S)
        name = f"pairs:{self.pair.slug}"
        context = ChildContext(name, Heart(self.health), stop, link, stage.folder)
        job = self._job(seed)
        client = stage.client()
        worker = Worker(
            job,
            stage.markets[self.pair],
            context,
            client,
            stage.open_budget(),
            stack.enter_context(closing(Watch(*job.price_bells))),
            stack.enter_context(closing(Watch(job.account_bell))),
            stage.loop.wall_ms(),
            stage.loop.clock_ns,
        )
        return Life(worker, client, stop, stage.loop.create_task(worker.run()))

    def _job(self, seed: int) -> PairJob:
        stage, rate, leg = self.stage, self.rate, self.leg
        feeds = [feed for feed in (self.feed, leg, rate) if feed is not None]
        return PairJob(
            pair=self.pair,
            settings=self.settings,
            ace=stage.endpoint,
            instance=INSTANCE,
            settle_s=self.settle_s,
            stop_limit_s=self.stop_limit_s,
            seed=seed,
            book=self.feed.book,
            rate=rate.book if rate else None,
            rate_settings=self.rate_settings,
            quotes=self.quotes,
            wanted=self.wanted,
            price_bells=tuple(feed.bell for feed in feeds),
            account_bell=stage.account_bell,
            trouble_bell=stage.trouble_bell,
            budget=stage.budget,
            store=stage.store_path,
            leg=leg.book if leg else None,
            depth=self.feed.depth,
            mode=self.mode,
        )
