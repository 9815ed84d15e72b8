"""One life story of a pair's orders in virtual time: the real worker, the real client logic and
the real engine, with faults, fills and kills at random moments; then the accounts are compared.

`python -m tests.orders.trial --runs 10000` tells a story for each seed and stops at the first
that does not come out right.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from mmd.cells.layouts import (
    BOOK,
    HEALTH,
    PARENT,
    QUOTES,
    WANTED,
    BookState,
    BookStatus,
    Layout,
    ParentState,
    StateCell,
)
from mmd.cells.wake import Bell, Watch
from mmd.config.model import PairSettings
from mmd.config.secrets import AceKey
from mmd.decide.ledger import Entry
from mmd.processes.context import ChildContext, Heart, ParentLink, Stop
from mmd.processes.pair import PairJob, Worker
from mmd.processes.sweep import SweepPlan, sweep_async
from mmd.records.pnl import results
from mmd.records.store import Store
from mmd.sim.ace import PAPER_KEY, PAPER_SECRET, paper_accounts
from mmd.sim.ace.crowd import CrowdOptions
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.faults import Fault, FaultKind
from mmd.sim.ace.venue import VenueRules
from mmd.sim.virtual import EPOCH_MS, VirtualClient, VirtualLoop
from mmd.venues.ace import calls, listing
from mmd.venues.ace.budget import Budget, BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import MmdError
from mmd.words.market import MarketRules, OwnTrade, Pair

PAIR = Pair("BTC", "TWD")
INSTANCE = "abc123"
STEP_S = 0.1
ACTIVE_S = 8.0
QUIET_S = 7.0
ORPHAN_LIMIT_S = 6.0
"""Reconcile interval and patience: by then every order has a living process that knows it."""


S = TypeVar("S")


@dataclass
class Story:
    """One seed's story, and what is wrong with it."""

    seed: int
    faults: list[str] = field(default_factory=list)
    lives: int = 0
    orders: int = 0
    fills: int = 0


@dataclass
class Life:
    """One run of the worker, from its start to its kill or its orderly end."""

    worker: Worker
    client: VirtualClient
    stop: Stop
    task: asyncio.Task[None]


class Stage:
    """Venue, cells and records, which outlive every worker."""

    def __init__(self, seed: int, folder: Path, loop: VirtualLoop, stack: ExitStack) -> None:
        self.random = random.Random(seed)
        self.folder, self.loop, self.stack = folder, loop, stack
        self.price = 61_000.0
        self.exchange = Exchange(
            paper_accounts(),
            VenueRules(),
            self.fair,
            (PAIR,),
            seed,
            lambda _entry: None,
            CrowdOptions(takes_per_s=1.0, take_value_twd=800, level_value_twd=3_000),
        )
        self.exchange.open(loop.wall_ms())
        self.endpoint = AceEndpoint("http://venue", AceKey(PAPER_KEY, PAPER_SECRET), timeout_s=1.0)
        self.book, self.health = cell(BOOK), cell(HEALTH)
        self.quotes, self.wanted, self.parent = cell(QUOTES), cell(WANTED), cell(PARENT)
        self.price_bell, self.account_bell = Bell(), Bell()
        stack.callback(self.price_bell.close)
        stack.callback(self.account_bell.close)
        self.store = stack.enter_context(Store.open(folder / "account.sqlite"))
        self.clerk = self.make_client()
        self.markets: dict[Pair, MarketRules] = {}

    def fair(self, _pair: Pair, _now_ms: int) -> Decimal:
        return Decimal(repr(round(self.price, 2)))

    def make_client(self) -> VirtualClient:
        latency = random.Random(self.random.random())
        return VirtualClient(
            self.endpoint, self.exchange, self.loop, lambda: latency.uniform(0.002, 0.02)
        )

    def move(self) -> None:
        """One step of prices, participants and the parent's heart. The others are a step late,
        so that our own mistakes reach the book before they take them away."""
        self.exchange.step(self.loop.wall_ms())
        calm = self.random.random() < 0.98
        self.price *= 1 + self.random.gauss(0, 0.0002 if calm else 0.006)
        now_ns = self.loop.clock_ns()
        self.parent.write(ParentState(1, now_ns))
        self.book.write(
            BookState(
                status=BookStatus.VALID,
                bid_price=round(self.price, 2),
                ask_price=round(self.price + 0.01, 2),
                last_frame_ns=now_ns,
            )
        )
        self.price_bell.ring()

    async def account_round(self) -> None:
        """What the account process does, in virtual time."""
        try:
            asked_ns = self.loop.clock_ns()
            cursor = self.store.cursor(EPOCH_MS)
            trades = await self.clerk.run(listing.trades_since(cursor.trade_no, cursor.since_ms))
            self.store.add_fills(trades)
            orders = await self.clerk.run(listing.all_open_orders())
            self.store.set_open_orders(orders, self.loop.wall_ms(), asked_ns, self.loop.clock_ns())
        except MmdError:
            return
        self.account_bell.ring()

    def begin_life(self) -> Life:
        """A new worker, as after a start or a kill."""
        stop = Stop()
        self.stack.callback(_close_fd, stop.fd)
        pidfd = Bell()
        self.stack.callback(pidfd.close)
        link = ParentLink(self.parent, 1, pidfd.fd, lease_s=1e6)
        context = ChildContext("pairs:btc_twd", Heart(self.health), stop, link, self.folder)
        settings = PairSettings.model_validate(
            {
                "binance": "BTCTWD",
                "rate": None,
                "quote": {
                    "levels": 3,
                    "amount": {"min": "0.01", "max": "0.02"},
                    "refresh_s": {"min": 3, "max": 8},
                    "max_price_age_s": 30,
                    "spread_bps": "8",
                    "step_bps": "6",
                },
            }
        )
        job = PairJob(
            pair=PAIR,
            settings=settings,
            ace=self.endpoint,
            instance=INSTANCE,
            settle_s=0.5,
            stop_limit_s=20,
            seed=self.random.randrange(1 << 30),
            book=self.book,
            rate=None,
            rate_settings=None,
            quotes=self.quotes,
            wanted=self.wanted,
            price_bells=(self.price_bell,),
            account_bell=self.account_bell,
            budget=BudgetSpec(self.folder, None, 1),
            store=self.folder / "account.sqlite",
        )
        client = self.make_client()
        prices = self.stack.enter_context(closing(Watch(self.price_bell)))
        account = self.stack.enter_context(closing(Watch(self.account_bell)))
        budget = self.stack.enter_context(Budget(job.budget, PAPER_KEY))
        worker = Worker(
            job,
            self.markets[PAIR],
            context,
            client,
            budget,
            prices,
            account,
            self.loop.wall_ms(),
            self.loop.clock_ns,
        )
        return Life(worker, client, stop, self.loop.create_task(worker.run()))


async def tell(stage: Stage, story: Story) -> None:
    """The story itself: trouble, then quiet, then an orderly end."""
    markets = await stage.clerk.call(calls.markets())
    stage.markets = {rules.pair: rules for rules in markets}
    watch = OrphanWatch(stage)
    life = await play(stage, story, watch, None, ACTIVE_S, trouble=True)
    stage.exchange.faults.clear()
    life = await play(stage, story, watch, life, QUIET_S, trouble=False)
    stage.wanted.write(stage.wanted.read()._replace(paused=1))
    life = await play(stage, story, watch, life, 2.0, trouble=False)
    if left := list(life.worker.ledger.live()):
        story.faults.append(f"the paused ledger holds {left}")
    if left_there := ours(stage):
        story.faults.append(f"the paused venue holds {left_there}")
    stage.wanted.write(stage.wanted.read()._replace(paused=0))
    life = await play(stage, story, watch, life, 3.0, trouble=False)
    compare_at_rest(stage, life, story)
    life.stop.request()
    while not life.task.done():
        stage.move()
        await asyncio.sleep(STEP_S)
    life.task.result()
    deadline_s = stage.loop.time() + 20
    plan = SweepPlan(PAIR, INSTANCE, 0.5, deadline_s)
    swept = await sweep_async(stage.clerk, stage.endpoint, plan, stage.loop.time)
    if not swept.proven or swept.cancelled:
        story.faults.append(f"after an orderly end: {swept}")
    await stage.account_round()
    story.faults += watch.found
    judge(stage, story)


async def play(
    stage: Stage,
    story: Story,
    watch: OrphanWatch,
    life: Life | None,
    seconds: float,
    *,
    trouble: bool,
) -> Life:
    """Lets time pass. With trouble, faults come and go and the worker is killed now and then."""
    end = stage.loop.time() + seconds
    round_due = stage.loop.time()
    account: asyncio.Task[None] | None = None
    while stage.loop.time() < end:
        if life is None:
            life = stage.begin_life()
            story.lives += 1
        if trouble:
            vary_faults(stage)
            if stage.random.random() < 0.01:
                await kill(life)
                life = None
        if stage.loop.time() >= round_due and (account is None or account.done()):
            round_due = stage.loop.time() + 1.0
            account = stage.loop.create_task(stage.account_round())
        stage.move()
        if life is not None and life.task.done():
            life.task.result()
            raise AssertionError("the worker left by itself")
        await asyncio.sleep(STEP_S)
        watch.look(life)
    if account is not None:
        await account
    return life or stage.begin_life()


async def kill(life: Life) -> None:
    """As SIGKILL: nothing more is sent; what has left is carried out."""
    life.client.is_cut = True
    life.task.cancel()
    life.worker.ledger.entries.clear()  # nobody is left to wait for
    await asyncio.wait([life.task])


_TROUBLES = (
    FaultKind.DELAY,
    FaultKind.ERROR_BEFORE,
    FaultKind.ERROR_AFTER,
    FaultKind.LOST_REPLY,
    FaultKind.RESET,
    FaultKind.MALFORMED,
    FaultKind.FREEZE,
)


def vary_faults(stage: Stage) -> None:
    if stage.random.random() < 0.03:
        stage.exchange.faults.clear()
    if stage.random.random() < 0.05:
        kind = stage.random.choice(_TROUBLES)
        stage.exchange.faults.add(
            Fault(
                kind=kind,
                probability=stage.random.uniform(0.05, 0.5),
                path=stage.random.choice(("", "/order/order", "/order/cancel", "List")),
                delay_ms=stage.random.uniform(0, 900) if kind is FaultKind.DELAY else 0,
                after=stage.random.random() < 0.5,
                seconds=1,
            )
        )


class OrphanWatch:
    """Whether every order on the venue is known to a living worker, soon enough."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._unknown_since: dict[str, float] = {}
        self.found: list[str] = []

    def look(self, life: Life | None) -> None:
        now = self._stage.loop.time()
        known = {e.order_no for e in life.worker.ledger.live()} if life else set()
        there = set(ours(self._stage))
        unknown = there - known
        self._unknown_since = {n: self._unknown_since.get(n, now) for n in unknown}
        for number, since in self._unknown_since.items():
            if now - since > ORPHAN_LIMIT_S:
                self.found.append(f"order {number} has been nobody's for {now - since:.1f} s")


def ours(stage: Stage) -> dict[str, Decimal]:
    """What rests on the venue for us: order number → remaining amount."""
    account = stage.exchange.engine.account(PAPER_KEY)
    return {number: order.remaining for number, order in account.open.items()}


def compare_at_rest(stage: Stage, life: Life, story: Story) -> None:
    """The ledger equals the venue, once everything under way has arrived."""
    there = ours(stage)
    here: dict[str, Decimal] = {}
    in_flight: list[Entry] = []
    for entry in life.worker.ledger.live():
        if entry.state.rests:
            here[entry.order_no] = entry.remaining
        else:
            in_flight.append(entry)
    moving = {entry.order_no for entry in in_flight}
    if here.keys() - there.keys() or there.keys() - here.keys() - moving:
        # An order may have been filled within the last second, before the next list.
        late = {n for n in here.keys() - there.keys() if _filled_lately(stage, n)}
        if here.keys() - there.keys() - late or there.keys() - here.keys() - moving:
            story.faults.append(f"at rest the ledger has {here}, the venue {there}")


def _filled_lately(stage: Stage, order_no: str) -> bool:
    now_ms = stage.loop.wall_ms()
    fills = stage.exchange.engine.account(PAPER_KEY).fills
    return any(f.order_no == order_no and now_ms - f.time_ms < 2_000 for f in fills)


def judge(stage: Stage, story: Story) -> None:
    """The venue's record against ours."""
    account = stage.exchange.engine.account(PAPER_KEY)
    booked = [fill.trade for fill in stage.store.fills()]
    traded = sorted((int(f.trade_no), f.order_no, f.amount) for f in account.fills)
    if sorted((t.trade_no, t.order_no, t.amount) for t in booked) != traded:
        story.faults.append(f"{len(booked)} fills are booked, the venue has {len(traded)}")
    position = sum((_signed(trade) for trade in booked), Decimal(0))
    ledger_position = results(booked)[PAIR].position if booked else Decimal(0)
    if position != ledger_position:
        story.faults.append(f"position {ledger_position} is not the sum of the fills {position}")
    report = stage.exchange.referee.report(stage.exchange.engine.ledger, stage.loop.wall_ms(), None)
    for what in ("duplicate_client_ids", "self_matches", "crossed_own_quotes", "open_orders"):
        if report[what]:
            story.faults.append(f"{what}: {report[what]}")
    story.orders = len(account.finished)
    story.fills = len(traded)


def _signed(trade: OwnTrade) -> Decimal:
    return trade.amount if trade.side.name == "BUY" else -trade.amount


def cell(layout: Layout[S]) -> StateCell[S]:
    """A cell in this process's own memory."""
    return StateCell(layout, memoryview(bytearray(layout.size)), 0)


def _close_fd(fd: int) -> None:
    os.close(fd)


def run_story(seed: int, folder: Path) -> Story:
    """Tells the story of a seed; `faults` is empty when all came out right."""
    story = Story(seed)
    loop = VirtualLoop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        stage = Stage(seed, folder, loop, stack)
        loop.run_until_complete(tell(stage, story))
    return story


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("mmaker").setLevel(logging.CRITICAL)
    since = time.monotonic()
    lives = orders = fills = 0
    for seed in range(options.seed, options.seed + options.runs):
        with tempfile.TemporaryDirectory(prefix="mmd-trial-") as folder:
            story = run_story(seed, Path(folder))
        lives, orders, fills = lives + story.lives, orders + story.orders, fills + story.fills
        if story.faults:
            print(f"seed {seed}:", *story.faults, sep="\n  ")
            return 1
    took = time.monotonic() - since
    print(f"{options.runs} stories, {lives} lives, {orders} orders, {fills} fills, {took:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
