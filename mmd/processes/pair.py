"""The worker of one ACE pair: book cells in, quotes on the venue out.

A loop on uvloop, woken by the cells' bells, by outcomes of its own requests, and by a timer. Each
turn it reads the newest prices, decides in pure functions and sends what was decided. It starts
by adopting what an earlier run left, and ends by cancelling all and proving it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import uvloop

from mmd.cells.layouts import (
    BookState,
    QuoteState,
    from_text,
)
from mmd.cells.wake import Watch
from mmd.config.model import CleanStart, PairSettings
from mmd.config.quoting import BoundsSettings
from mmd.decide.inventory import Holdings
from mmd.decide.picture import picture
from mmd.decide.plan import cancel_all
from mmd.decide.quoter import Inputs
from mmd.decide.reference import AgeLimits, Leg, prices_fault
from mmd.processes.attended import AttendedClient, Leave
from mmd.processes.brake import is_stopped, require_in_place
from mmd.processes.context import ChildContext
from mmd.processes.desk import Desk, describe_trade
from mmd.processes.inquiry import Inquiry
from mmd.processes.pair_job import PairJob as PairJob
from mmd.processes.pair_job import learn_rules
from mmd.processes.safeguards import Safeguards
from mmd.processes.selftrader import SelfTradeJob, SelfTrader, require_allowed
from mmd.processes.sweep import SweepPlan, Whose, sweep
from mmd.processes.venue_view import VenueView
from mmd.records.alerts import Kind, Spool
from mmd.records.journal import Clocks, because
from mmd.records.logs import HeldBack
from mmd.records.reader import AccountReader
from mmd.records.selftrade import path_of
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.budget import Budget
from mmd.words.errors import Unavailable
from mmd.words.ids import ClientIds
from mmd.words.market import MarketRules, Side

log = logging.getLogger("mmaker")

_TIMER_S = 0.05
"""Safety net for lost wake-ups, and the pace of the heartbeat and of staleness checks."""
_LATE_SEND_NS = 250_000_000
"""An order decided longer ago than this is not sent: the process was frozen in between."""
_LIST_GRACE_NS = 500_000_000
"""An order that changed this shortly before a list was asked for was in flight."""


def run(job: PairJob, context: ChildContext) -> None:
    """Quotes one pair until told to leave; then cancels all orders and proves it.

    Raises KeyRejected, ConfigError or KillSwitchThrown when a person must act, OrdersLeft when
    orders may remain, Unavailable when it left in haste, without proof: returning means that
    nothing is left.
    """
    require_allowed(job.settings.self_trade, job.mode, job.ace.base_url)
    records = job.store.parent
    require_in_place(records, job.pair)
    context.stop.on_term()
    client = AttendedClient(job.ace, context)
    try:
        rules = learn_rules(job, client, context)
        if job.settings.clean_start is CleanStart.ALL:
            _sweep(job, client, Whose.ALL)
    except Leave:
        log.info("leaving before the first quote")
    else:
        client.close()
        uvloop.run(_work(job, rules, context))
    client = AttendedClient(job.ace, context, stays=True)
    is_asked = context.stop.requested or is_stopped(records, job.pair)
    if not is_asked or context.parent.is_dead:
        # Whoever comes next proves it, and must not wait for us.
        _sweep(replace(job, settle_s=0), client, Whose.OURS)
        raise Unavailable("left in haste: nothing is listed, but that is not proven")
    _sweep(job, client, Whose.OURS)
    require_in_place(records, job.pair)


def _sweep(job: PairJob, client: AttendedClient, whose: Whose) -> None:
    """Cancels what is left and proves it. Raises OrdersLeft at the deadline."""
    deadline_s = time.monotonic() + job.stop_limit_s / 2
    plan = SweepPlan(job.pair, job.instance, job.settle_s, deadline_s, whose)
    result = sweep(client, job.ace, plan, sleep=client.pause)
    log.info("cancelled all orders: %s", result)
    result.require_proof()


async def _work(job: PairJob, rules: MarketRules, context: ChildContext) -> None:
    with (
        closing(Watch(*job.price_bells)) as prices,
        closing(Watch(job.account_bell)) as account,
        closing(HeldBack(log)) as lines,
        Budget(job.budget, job.ace.key.api_key) as budget,
    ):
        async with AsyncAceClient(job.ace) as client:
            started_ms = time.time_ns() // 1_000_000
            worker = Worker(job, rules, context, client, budget, prices, account, started_ms)
            worker.after_turn = lines.let_go
            await worker.run()


class Worker:
    """The loop of one pair: every wake-up is one `turn`."""

    def __init__(
        self,
        job: PairJob,
        rules: MarketRules,
        context: ChildContext,
        client: AsyncAceClient,
        budget: Budget,
        prices: Watch,
        account: Watch,
        started_ms: int,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        quote = job.settings.quote
        self.job, self.context, self.prices, self.account = job, context, prices, account
        self.settings = job.settings
        self.clock_ns = clock_ns
        self.generation = job.wanted.read().generation
        self.limits = self.age_limits()
        self.started_ms, self.started_ns = started_ms, clock_ns()
        self.mark: Decimal | None = None
        self.books_kept = AccountReader(job.store, job.pair, job.instance)
        self.spool = Spool.of_home(context.home)
        self.guards = Safeguards(
            job,
            Clocks(clock_ns, lambda: int(self.wall_s() * 1000)),
            context.name,
            rules,
            self.limits,
            client,
            self.books_kept,
            self.spool,
            self.send_fault,
        )
        self.quoter, self.ledger = self.guards.quoter, self.guards.ledger
        self.desk = Desk(
            client=self.guards.client,
            rules=rules,
            ledger=self.ledger,
            ids=ClientIds(job.instance, job.pair, started_ms),
            budget=budget,
            max_in_flight=quote.max_orders_in_flight,
            on_change=self.outcome,
            may_send=self.send_fault,
            gate=self.guards.gate,
            on_unclear=job.trouble_bell.ring,
            clock_ns=clock_ns,
        )
        self.guards.watch(self.desk)
        self.holdings = Holdings()
        self.venue = VenueView(self.desk, self.bounds)
        self.selftrader = SelfTrader(self.self_trade_job(), self.desk, self.settings)
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[str] = self.loop.create_future()
        """Why the worker leaves."""
        self.inquiry = Inquiry(context.home / "run", context.name)
        self.dirty = True
        self.is_turn_due = False
        self.left_out = 0
        self.after_turn: Callable[[], None] = _nothing
        """Called when a turn's requests are sent and its state is shown."""
        self.turn_ns = self.clock_ns()

    def self_trade_job(self) -> SelfTradeJob:
        """What the self-trader is told. Its draws are its own: the quotes' stay the same."""
        job = self.job
        file = path_of(job.store.parent, job.pair)
        random = Random(None if job.seed is None else f"{job.seed} self-trade")
        return SelfTradeJob(
            job.mode, job.ace.base_url, file, random, self.self_trade_fault, self.wall_s
        )

    def wall_s(self) -> float:
        """Seconds since 1970."""
        return self.started_ms / 1000 + (self.clock_ns() - self.started_ns) / 1e9

    def age_limits(self) -> AgeLimits:
        """How old what is quoted on may be."""
        rate_age_s = self.job.rate_settings.max_age_s if self.job.rate_settings else 0.0
        return AgeLimits(int(self.settings.quote.max_price_age_s * 1e9), int(rate_age_s * 1e9))

    async def run(self) -> None:
        """Quotes until something says leave, then cancels everything."""
        wakers: dict[int, Callable[[], None]] = {
            self.prices.fileno(): self.turn,
            self.account.fileno(): self.hear_account,
            self.context.stop.fd: self.turn,
            self.context.parent.pidfd: self.turn,
        }
        self.loop.set_exception_handler(self.fail)
        self.catch_up()
        self.job.trouble_bell.ring()  # what an earlier run sent may still arrive
        try:
            self.guards.begin()
            if await self.adopt():
                self.context.heart.ready()
                for fd, waker in wakers.items():
                    self.loop.add_reader(fd, waker)
                with because("the venue's book"):
                    self.desk.spawn(self.venue.run())
                self.tick()
                log.info("leaving: %s", await self.done)
        finally:
            for fd in wakers:
                self.loop.remove_reader(fd)
            try:
                await self.leave()
            finally:
                self.guards.close()
                self.books_kept.close()

    def catch_up(self) -> None:
        """Adds up the fills of earlier runs; they are old news to the log."""
        try:
            self.guards.hear(self.books_kept.read())
        except Unavailable as error:
            self.context.heart.count_error(str(error))
        self.holdings = self.books_kept.holdings()
        self.ledger.carry_over(self.holdings.position)

    async def adopt(self) -> bool:
        """Takes over what an earlier run left on the venue; the first plan keeps or cancels it.
        False when told to leave before the venue answered."""
        while self.leave_reason() is None:
            self.context.heart.beat()
            asked_ns = self.clock_ns()
            try:
                with because("adoption"):
                    listed = await self.desk.list_open()
            except Unavailable as error:
                self.context.heart.count_error(str(error))
                await asyncio.sleep(_TIMER_S)
                continue
            self.desk.take_list(listed, asked_ns, _LIST_GRACE_NS, self.quoter.expiry_ns(asked_ns))
            self.turn_ns = self.clock_ns()
            return True
        return False

    def tick(self) -> None:
        """The timer: a turn although nothing rang."""
        if not self.done.done():
            self.loop.call_later(_TIMER_S, self.tick)
            self.dirty = self.guards.turn() or self.dirty or self.left_out > 0
            self.turn()
            self.loop.call_soon(self.show)  # requests that were just begun go first
            if self.inquiry.is_asked():
                self.inquiry.answer(self.picture())

    def picture(self) -> dict[str, Any]:
        """The present ladder, for who asks why it is so."""
        now = picture(self.quoter, self.ledger, self.clock_ns())
        return {**now, "source": str(self.settings.binance)}

    def outcome(self) -> None:
        """A request has its outcome: plan anew, once for all outcomes of this round of the loop.
        A plan for each of ten would keep the last of them waiting for nine."""
        self.dirty = True
        if not self.is_turn_due:
            self.is_turn_due = True
            self.loop.call_soon(self.turn)

    def fail(self, _loop: asyncio.AbstractEventLoop, report: dict[str, Any]) -> None:
        """Whatever goes wrong in a callback ends the worker."""
        error = report.get("exception") or RuntimeError(report["message"])
        if not self.done.done():
            self.done.set_exception(error)

    def turn(self) -> None:
        """One look at everything, and what follows from it."""
        self.is_turn_due = False
        now_ns = self.clock_ns()
        frozen_ns, self.turn_ns = now_ns - self.turn_ns, now_ns
        if self.done.done():
            return
        reason = self.leave_reason() or self.frozen_reason(frozen_ns)
        if reason is not None:
            self.done.set_result(reason)
            return
        self.prices.consume()
        self.decide(now_ns)
        for evidence in self.ledger.take_impossible():
            log.error("impossible: %s", evidence)
            self.spool.put(Kind.DIFFERENCE, self.context.name, str(evidence))

    def decide(self, now_ns: int) -> None:
        """Asks the quoter and sends what it says."""
        self.follow_parameters()
        book, rate = self.books()
        dirty, self.dirty = self.dirty, False
        actions = self.quoter.decide(
            book, rate, self.ledger, now_ns, dirty, self.stop_reason(), self.inputs()
        )
        self.left_out = self.desk.carry_out(actions, now_ns, lambda: self.quoter.expiry_ns(now_ns))
        self.selftrader.turn(book)

    def inputs(self) -> Inputs:
        """What a decision may know beside the prices."""
        depth = self.job.depth.read() if self.job.depth and self.quoter.needs_depth else None
        may_spare = not (self.guards.gate.note or self.desk.refused_in_a_row)
        venue = self.venue.book
        return Inputs(self.holdings, depth, venue, self.wall_s(), self.leg(), may_spare)

    def leg(self) -> Leg | None:
        """Of a cross, the second book of Binance."""
        if self.job.leg is None:
            return None
        return Leg(self.job.leg.read(), self.settings.binance.divides)

    def bounds(self) -> BoundsSettings | None:
        """How the venue's own book binds the quotes; None while there are none."""
        quote = self.settings.quote
        return quote.bounds if quote.enabled else None

    def follow_parameters(self) -> None:
        """Takes over what a reload changed; what rests is kept where the new ladder wants it."""
        generation = self.job.wanted.read().generation
        if generation == self.generation:
            return
        self.generation = generation
        text = self.context.parameters.read_text()
        self.settings = PairSettings.model_validate_json(text)
        self.limits = self.age_limits()
        self.quoter.use(self.settings.quote, self.limits)
        self.desk.max_in_flight = self.settings.quote.max_orders_in_flight
        self.selftrader.use(self.settings)
        self.guards.use(self.settings)
        log.info("new parameters: %s", text)

    def books(self) -> tuple[BookState, BookState | None]:
        """The newest price and rate."""
        return self.job.book.read(), self.job.rate.read() if self.job.rate else None

    def stop_reason(self) -> str | None:
        """Why all quotes are to be pulled although the process lives on."""
        if self.job.wanted.read().paused:
            return "paused"
        if self.guards.brake.reason is not None:
            return self.guards.brake.reason
        return None if self.settings.quote.enabled else "quoting is off in the configuration"

    def send_fault(self) -> str | None:
        """Asked immediately before an order is sent: why it must not be."""
        now_ns = self.clock_ns()
        if self.done.done():
            return "leaving"
        if now_ns - self.turn_ns > _LATE_SEND_NS:
            return "decided too long ago"
        if not self.context.parent.is_alive(now_ns):
            return "the parent is silent"
        return prices_fault(*self.books(), now_ns, self.limits, self.leg())

    def self_trade_fault(self) -> str | None:
        """Why no order of a self-trade may be sent now. It does not need quotes, but a price that
        quotes could stand on."""
        if self.job.wanted.read().paused:
            return "paused"
        if self.guards.brake.reason is not None:
            return self.guards.brake.reason
        if self.settings.quote.enabled and self.quoter.reference is None:
            return self.quoter.note
        return self.send_fault()

    def leave_reason(self) -> str | None:
        """Why the worker must go; None while it may stay."""
        if self.context.stop.requested:
            return "asked to stop"
        if not self.context.parent.is_alive(self.clock_ns()):
            return "the parent is dead or silent"
        if self.desk.fatal is not None:
            raise self.desk.fatal
        if self.guards.brake.is_to_leave:
            return self.guards.brake.reason
        return None

    def frozen_reason(self, frozen_ns: int) -> str | None:
        """A process that was frozen for long may have been swept and replaced meanwhile."""
        if frozen_ns <= self.context.parent.lease_s * 1e9:
            return None
        return f"was frozen for {frozen_ns / 1e9:.1f} s"

    def hear_account(self) -> None:
        """Takes over what the account process found out."""
        self.account.consume()
        now_ns = self.clock_ns()
        try:
            news = self.books_kept.read()
        except Unavailable as error:
            self.context.heart.count_error(str(error))
            return
        self.guards.hear(news)
        self.holdings = self.books_kept.holdings()
        for client_id, filled in news.filled.items():
            self.ledger.book_fill(client_id, filled, now_ns)
        for trade in news.trades:
            if not trade.is_self:  # those have a log of their own
                log.info("filled %s", describe_trade(trade))
        if news.listed is not None:
            self.desk.take_list(
                news.listed, news.asked_ns, _LIST_GRACE_NS, self.quoter.expiry_ns(now_ns)
            )
        self.outcome()

    async def leave(self) -> None:
        """Cancels everything; what can't be settled in time is left to a sweep."""
        await self.selftrader.stop()
        deadline_ns = self.clock_ns() + int(self.job.stop_limit_s / 2 * 1e9)
        while self.ledger.entries and self.clock_ns() < deadline_ns:
            self.context.heart.beat()
            actions = cancel_all(self.ledger, "leaving")
            self.desk.carry_out(actions, self.clock_ns(), lambda: 0)
            await asyncio.sleep(0.01)
        await self.desk.abandon()
        self.show()

    def show(self) -> None:
        """Publishes the pair's state and the heartbeat, at the timer's pace."""
        reference, ledger, book = self.quoter.reference, self.ledger, self.job.book.read()
        now_ns, leg = self.clock_ns(), self.leg()
        age_ns = max(book.age_ns(now_ns), leg.book.age_ns(now_ns) if leg else 0)
        best = {side: self.best_resting(side) for side in Side}
        self.job.quotes.write(
            QuoteState(
                reference_bid=float(reference.bid) if reference else 0.0,
                reference_ask=float(reference.ask) if reference else 0.0,
                rate_bid=float(reference.rate_bid) if reference else 0.0,
                rate_ask=float(reference.rate_ask) if reference else 0.0,
                best_bid=best[Side.BUY],
                best_ask=best[Side.SELL],
                open_orders=sum(1 for entry in ledger.live() if entry.order_no),
                position=float(self.books_kept.result.position),
                pnl=self.profit(),
                fills=self.books_kept.result.fills,
                requests=self.desk.requests,
                price_age_ms=max(0, age_ns // 1_000_000),
                paused=self.job.wanted.read().paused or int(bool(self.guards.brake.thrown)),
                note=from_text(self.quoter.note or self.guards.gate.note),
                self_trades=self.selftrader.done.count,
                self_traded_amount=float(self.selftrader.done.amount),
                refused=self.guards.refused,
                mark=float(self.mark or 0),
                volatility_bps=self.quoter.market.volatility.bps(now_ns),
            )
        )
        self.context.heart.beat(progress=self.job.book.counter)
        self.after_turn()

    def profit(self) -> float:
        """Realised and unrealised profit in quote currency, at the newest reference's middle."""
        result, reference = self.books_kept.result, self.quoter.reference
        if reference is not None:
            self.mark = (reference.bid + reference.ask) / 2
        if self.mark is None:
            return float(result.realised)
        return float(result.realised + result.unrealised(self.mark))

    def best_resting(self, side: Side) -> float:
        """Our best price of a side that rests on the venue; 0 if none does."""
        prices = [float(entry.price) for entry in self.ledger.live(side) if entry.state.rests]
        if not prices:
            return 0.0
        return max(prices) if side is Side.BUY else min(prices)


def _nothing() -> None:
    """Nothing is to be done after a turn."""
