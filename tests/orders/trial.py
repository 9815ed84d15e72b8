"""One life story of a pair's orders in virtual time: the real worker, the real client logic and
the real engine, with faults and fills; worker, account process and parent end at random moments;
then the accounts are compared.

`python -m tests.orders.trial --runs 10000` tells a story for each seed and names those that do not
come out right.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from mmd.cells.layouts import PARENT, BookState, BookStatus
from mmd.config.model import PairSettings
from mmd.config.secrets import AceKey
from mmd.decide.agenda import Paces
from mmd.decide.ledger import Entry
from mmd.faces.stage import INSTANCE, Life, Place, Stage, cell
from mmd.processes.sweep import SweepPlan, sweep_async
from mmd.records.pnl import results
from mmd.sim.ace import PAPER_KEY, PAPER_SECRET, paper_accounts
from mmd.sim.ace.crowd import CrowdOptions
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.faults import Fault, FaultKind
from mmd.sim.ace.venue import VenueRules
from mmd.sim.virtual import VirtualLoop
from mmd.venues.ace.budget import BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.market import OwnTrade, Pair

PAIR = Pair("BTC", "TWD")
STEP_S = 0.1
SETTINGS = PairSettings.model_validate(
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
KILLS, ACCOUNT_KILLS, PARENT_DEATHS = 0.01, 0.005, 0.004
"""How likely within a step: of the worker, of the account process, of the parent."""
ACTIVE_S = 8.0
QUIET_S = 4.0
"""Longer than patience with a lost order: by its end all is known."""
ORPHAN_LIMIT_S = Paces().orders_s
"""The reconcile interval: by then every order has a living process that knows it."""


@dataclass
class Story:
    """One seed's story, and what is wrong with it."""

    seed: int
    faults: list[str] = field(default_factory=list)
    lives: int = 0
    parents: int = 0
    orders: int = 0
    fills: int = 0


class Drama(Stage):
    """One pair on the venue, prices that wander, and a hand that draws what goes wrong."""

    def __init__(self, seed: int, folder: Path, loop: VirtualLoop, stack: ExitStack) -> None:
        self.random = random.Random(seed)
        self.price = 61_000.0
        self.is_calm = False
        exchange = Exchange(
            paper_accounts(),
            VenueRules(),
            self.fair,
            (PAIR,),
            seed,
            lambda _entry: None,
            CrowdOptions(takes_per_s=1.0, take_value_twd=800, level_value_twd=3_000),
        )
        exchange.open(loop.wall_ms())
        endpoint = AceEndpoint("http://venue", AceKey(PAPER_KEY, PAPER_SECRET), timeout_s=1.0)
        latency = random.Random(self.random.random())
        super().__init__(
            exchange,
            loop,
            folder,
            stack,
            endpoint,
            BudgetSpec(folder, None, 1),
            lambda: latency.uniform(0.002, 0.02),
        )
        self.place = Place(self, PAIR, SETTINGS, self.feed())

    def fair(self, _pair: Pair, _now_ms: int) -> Decimal:
        return Decimal(repr(round(self.price, 2)))

    def move(self) -> None:
        """One step of prices, participants and the parent's heart. The others are a step late,
        so that our own mistakes reach the book before they take them away."""
        self.exchange.step(self.loop.wall_ms())
        self.price *= 1 + self.random.gauss(0, self.step())
        self.beat()
        feed = self.place.feed
        feed.book.write(
            BookState(
                status=BookStatus.VALID,
                bid_price=round(self.price, 2),
                ask_price=round(self.price + 0.01, 2),
                last_frame_ns=self.loop.clock_ns(),
            )
        )
        feed.bell.ring()

    def step(self) -> float:
        """How far a price wanders at once: trouble comes with jumps."""
        if self.is_calm:
            return 0.00003
        return 0.0002 if self.random.random() < 0.98 else 0.006

    async def kill_account(self, under_way: asyncio.Task[float] | None) -> None:
        """The account process ends as by SIGKILL, and another takes over."""
        self.clerk.is_cut = True
        if under_way is not None:
            under_way.cancel()
            await asyncio.wait([under_way])
        self.store.close()
        self.begin_account()

    def renew_parent(self) -> None:
        """Another parent makes cells and bells of its own; who still lives has the old ones."""
        self.parent = cell(PARENT)
        self.account_bell, self.trouble_bell = self.bell(), self.bell()
        self.place = Place(self, PAIR, self.place.settings, self.feed())
        self.beat()

    def begin_life(self) -> Life:
        """A new worker, as after a start or a kill."""
        return self.place.begin(self.random.randrange(1 << 30))


async def tell(stage: Drama, story: Story) -> None:
    """The story itself: trouble, then quiet, then an orderly end."""
    await stage.learn_markets()
    watch = OrphanWatch(stage)
    life = await play(stage, story, watch, None, ACTIVE_S, trouble=True)
    stage.exchange.faults.clear()
    stage.is_calm = True
    life = await play(stage, story, watch, life, QUIET_S, trouble=False)
    stage.place.wanted.write(stage.place.wanted.read()._replace(paused=1))
    life = await play(stage, story, watch, life, 2.0, trouble=False)
    if left := list(life.worker.ledger.live()):
        story.faults.append(f"the paused ledger holds {left}")
    if left_there := ours(stage):
        story.faults.append(f"the paused venue holds {left_there}")
    stage.place.wanted.write(stage.place.wanted.read()._replace(paused=0))
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
    stage: Drama,
    story: Story,
    watch: OrphanWatch,
    life: Life | None,
    seconds: float,
    *,
    trouble: bool,
) -> Life:
    """Lets time pass. With trouble, faults come and go, and so do the processes."""
    end = stage.loop.time() + seconds
    round_due = stage.loop.time()
    account: asyncio.Task[float] | None = None
    while stage.loop.time() < end:
        if life is not None and life.task.done():
            life.task.result()
            if not life.stop.requested:
                raise AssertionError("the worker left by itself")
            life = None
        if life is None:
            life = stage.begin_life()
            story.lives += 1
        if trouble:
            vary_faults(stage)
            draw = stage.random.random()
            if draw < KILLS:
                await kill(life)
                life = None
            elif draw < KILLS + ACCOUNT_KILLS:
                await stage.kill_account(account)
            elif draw < KILLS + ACCOUNT_KILLS + PARENT_DEATHS and not life.stop.requested:
                life.stop.request()  # the kernel's signal at the parent's death
                stage.renew_parent()
                await stage.kill_account(account)
                story.parents += 1
        if account is not None and account.done():
            round_due = stage.loop.time() + (0 if account.cancelled() else account.result())
            account = None
        if account is None and stage.loop.time() >= round_due:
            account = stage.loop.create_task(stage.account_round())
        stage.move()
        await asyncio.sleep(STEP_S)
        watch.look(life)
    if account is not None:
        await asyncio.wait([account])
    while life is not None and life.stop.requested and not life.task.done():
        stage.move()
        await asyncio.sleep(STEP_S)
    return stage.begin_life() if life is None or life.task.done() else life


async def kill(life: Life) -> None:
    """As SIGKILL: nothing more is sent; what has left is carried out."""
    life.client.is_cut = True
    life.task.cancel()
    life.worker.ledger.entries.clear()  # nobody is left to wait for
    await asyncio.wait([life.task])
    await life.worker.desk.abandon()  # it may have been on its way out already


_TROUBLES = (
    FaultKind.DELAY,
    FaultKind.ERROR_BEFORE,
    FaultKind.ERROR_AFTER,
    FaultKind.LOST_REPLY,
    FaultKind.RESET,
    FaultKind.MALFORMED,
    FaultKind.FREEZE,
)


def vary_faults(stage: Drama) -> None:
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

    def __init__(self, stage: Drama) -> None:
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


def ours(stage: Drama) -> dict[str, Decimal]:
    """What rests on the venue for us: order number → remaining amount."""
    account = stage.exchange.engine.account(PAPER_KEY)
    return {number: order.remaining for number, order in account.open.items()}


def compare_at_rest(stage: Drama, life: Life, story: Story) -> None:
    """The ledger equals the venue, once everything under way has arrived."""
    there = ours(stage)
    here: dict[str, Decimal] = {}
    in_flight: list[Entry] = []
    for entry in life.worker.ledger.live():
        if entry.state.rests:
            here[entry.order_no] = entry.remaining
        else:
            in_flight.append(entry)
    # The venue may have an order whose number is still on its way to us.
    ids = {entry.order.client_id for entry in in_flight}
    account = stage.exchange.engine.account(PAPER_KEY)
    moving = {number for number, order in account.open.items() if order.client_id in ids}
    if here.keys() - there.keys() or there.keys() - here.keys() - moving:
        # An order may have been filled within the last second, before the next list.
        late = {n for n in here.keys() - there.keys() if _filled_lately(stage, n)}
        if here.keys() - there.keys() - late or there.keys() - here.keys() - moving:
            story.faults.append(f"at rest the ledger has {here}, the venue {there}")


def _filled_lately(stage: Drama, order_no: str) -> bool:
    now_ms = stage.loop.wall_ms()
    fills = stage.exchange.engine.account(PAPER_KEY).fills
    return any(f.order_no == order_no and now_ms - f.time_ms < 2_000 for f in fills)


def judge(stage: Drama, story: Story) -> None:
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


def run_story(seed: int, folder: Path) -> Story:
    """Tells the story of a seed; `faults` is empty when all came out right."""
    story = Story(seed)
    loop = VirtualLoop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        stage = Drama(seed, folder, loop, stack)
        loop.run_until_complete(tell(stage, story))
    return story


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for one story, in memory where that is to be had: a story never loses power."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="mmd-trial-", dir=memory if memory.is_dir() else None)


def told(seed: int) -> Story:
    """A story in a folder of its own."""
    logging.getLogger("mmaker").setLevel(logging.CRITICAL)
    with scratch() as folder:
        return run_story(seed, Path(folder))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    options = parser.parse_args()
    since, wrong, total = time.monotonic(), 0, Story(options.seed)
    with ProcessPoolExecutor(options.jobs) as pool:
        seeds = range(options.seed, options.seed + options.runs)
        for seed, telling in [(seed, pool.submit(told, seed)) for seed in seeds]:
            error = telling.exception()
            story = Story(seed, [f"broken off: {error!r}"]) if error else telling.result()
            total.lives, total.parents = total.lives + story.lives, total.parents + story.parents
            total.orders, total.fills = total.orders + story.orders, total.fills + story.fills
            if story.faults:
                wrong += 1
                print(f"seed {seed}:", *story.faults, sep="\n  ", flush=True)
    print(
        f"{options.runs} stories, {wrong} of them wrong; {total.lives} lives, "
        f"{total.parents} deaths of the parent, {total.orders} orders, {total.fills} fills, "
        f"{time.monotonic() - since:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
