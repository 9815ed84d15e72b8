"""What watches over one pair's worker and keeps its record: the gate, the kill switch, the
markouts and the journal, with what they must know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random, SystemRandom

from mmd.config.model import KillLevel, PairSettings
from mmd.decide.guard import Funds, Guard, View, funds_of
from mmd.decide.killswitch import Thrown
from mmd.decide.reference import AgeLimits, Reference
from mmd.processes.brake import Brake, Seen
from mmd.processes.desk import Desk
from mmd.processes.gate import Gate
from mmd.processes.pair_job import PairJob
from mmd.processes.sweep import SweepPlan, sweep_async
from mmd.records.alerts import Kind, Spool
from mmd.records.journal import Clocks, Journal, folder_of
from mmd.records.markout import Markouts, path_of
from mmd.records.reader import AccountReader, News
from mmd.records.recorded import RecordedClient, RecordedLedger, RecordedQuoter, checkpoint
from mmd.venues.ace.aio import AsyncAceClient
from mmd.words.errors import Unavailable
from mmd.words.market import MarketRules, Order, Side

log = logging.getLogger("mmaker")

_CANCELS_S = 0.5
"""Time for the worker's own cancels, before the venue's list is asked for."""
_LAST_PRICE_MS = 60_000
"""A last price that the venue said longer ago than this bounds nothing."""


class Safeguards:
    """Made before the desk, which it is told before the first turn."""

    def __init__(
        self,
        job: PairJob,
        clocks: Clocks,
        name: str,
        rules: MarketRules,
        limits: AgeLimits,
        client: AsyncAceClient,
        reader: AccountReader,
        spool: Spool,
        fault: Callable[[], str | None],
    ) -> None:
        """`name`: of the process; `fault`: why no price may be trusted now."""
        self._job, self._clocks, self._name, self._spool = job, clocks, name, spool
        self._reader, self._fault = reader, fault
        records, settings, seed = job.store.parent, job.settings, job.seed
        folder = folder_of(records, job.pair)
        self.journal = Journal(folder, job.journal, clocks)
        random = Random(SystemRandom().getrandbits(64) if seed is None else seed)
        self.quoter = RecordedQuoter(self.journal, settings.quote, rules, limits, random)
        self.ledger = RecordedLedger(self.journal)
        self.client = RecordedClient(client, self.journal)
        guard = Guard(rules, settings.risk, settings.quote.inventory)
        clock_ns = clocks.monotonic_ns
        self.gate = Gate(guard, self.ledger, self._view, clock_ns, self.journal)
        self.markouts = Markouts(path_of(records, job.pair))
        self._funds: Funds | None = None
        self._proof: asyncio.Task[None] | None = None
        self.brake = Brake(
            records,
            job.pair,
            settings.risk,
            Seen(self._profit, lambda: reader.result.losing_in_a_row, self._refused_in_a_row),
            spool,
            clock_ns,
            clocks.wall_ms,
        )

    def watch(self, desk: Desk) -> None:
        """Which desk to watch."""
        self._desk = desk

    def begin(self) -> None:
        """Opens the journal. Whoever calls it must close."""
        self.journal.begin(lambda: checkpoint(self.quoter, self.ledger))

    def use(self, settings: PairSettings) -> None:
        """Takes new parameters over."""
        self.gate.guard.use(settings.risk, settings.quote.inventory)
        self.brake.use(settings.risk)

    def hear(self, news: News) -> None:
        """Takes in what the account process found out."""
        self.markouts.add(news.trades, self._venue_ms())
        self.journal.filled(news.trades)
        if news.listed is not None and news.has_balances:
            self._funds = self._reckon(news.listed)

    def turn(self) -> bool:
        """Several times a second; whether the worker should plan anew."""
        is_changed = self.brake.turn()
        if is_changed:
            self._follow(self.brake.thrown)
        now_ms, reference = self._venue_ms(), self.quoter.reference
        self.markouts.trail.note(now_ms, None if reference is None else reference.middle)
        try:
            self.markouts.turn(now_ms)
        except Unavailable as error:
            log.warning("%s", error)
        self.journal.flush()
        return self.gate.is_to_try_again() or is_changed

    @property
    def refused(self) -> int:
        """Orders in a row that the venue refused, as others are to count them."""
        return 0 if self.brake.thrown else self._refused_in_a_row()

    def close(self) -> None:
        if self._proof is not None:
            self._proof.cancel()
        self.markouts.close()
        self.journal.close()

    def _follow(self, thrown: Thrown | None) -> None:
        """What a change of the kill switch asks for."""
        self.journal.note("text", self.brake.reason or "the kill switch is back in place")
        if self._proof is not None:
            self._proof.cancel()
            self._proof = None
        if thrown is None:
            self._desk.refused_in_a_row = 0
        elif thrown.level is KillLevel.CANCEL:
            self._proof = self._desk.spawn(self._prove())

    async def _prove(self) -> None:
        """After the quotes are pulled, has the venue show that nothing is left, and cancels what
        it still lists."""
        job, is_told = self._job, False
        while True:
            await asyncio.sleep(_CANCELS_S)
            deadline_s = self._now_s() + job.stop_limit_s
            plan = SweepPlan(job.pair, job.instance, job.settle_s, deadline_s)
            result = await sweep_async(self.client, job.ace, plan, self._now_s)
            log.warning("kill switch: %s", result)
            self.journal.note("text", f"kill switch: {result}")
            if result.proven:
                return
            if not is_told:
                is_told = True
                text = f"kill switch: {result}; {result.trouble}"
                self._spool.put(Kind.ORDERS_LEFT, self._name, text)

    def _view(self) -> View:
        return View(
            self._fault(),
            self.quoter.reference,
            self._reader.result.position,
            self._reader.last_price(self._clocks.wall_ms() - _LAST_PRICE_MS),
            self._funds,
        )

    def _reckon(self, listed: Sequence[Order]) -> Funds | None:
        """What may be spent, from balances as old as this list of the pair's open orders."""
        free = self._reader.free()
        if free is None:
            return None
        bids = [order for order in listed if order.side is Side.BUY]
        asks = [order for order in listed if order.side is Side.SELL]
        held = sum((order.remaining * order.price for order in bids), Decimal(0))
        return funds_of(free, held, sum((order.remaining for order in asks), Decimal(0)))

    def _profit(self) -> Decimal | None:
        reference: Reference | None = self.quoter.reference
        result = self._reader.result
        if reference is None and result.position:
            return None
        middle = Decimal(0) if reference is None else reference.middle
        return result.realised + result.unrealised(middle)

    def _refused_in_a_row(self) -> int:
        return self._desk.refused_in_a_row

    def _venue_ms(self) -> int:
        return self.client.clock.venue_ms(self._clocks.monotonic_ns())

    def _now_s(self) -> float:
        return self._clocks.monotonic_ns() / 1e9
