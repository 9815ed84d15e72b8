"""The process: samples what is to be seen once a second, and serves it to browsers.

All browsers are served from the same bytes, so that fifty of them cost little more than one; one
that does not read is dropped. Nobody but the page is held up by anything here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from mmd.config.paths import Paths
from mmd.config.secrets import Secret
from mmd.processes.context import BEAT_EVERY_S, ChildContext
from mmd.processes.earned import Earned
from mmd.processes.pace import Pace
from mmd.processes.sight import Look, Sight
from mmd.processes.web import view
from mmd.processes.web.account import Account, OwnLadders, Records, Thread, VenueBooks
from mmd.processes.web.guard import Guard
from mmd.processes.web.hub import Hub
from mmd.processes.web.pages import Pages
from mmd.records.alerts import Spool
from mmd.records.today import Today
from mmd.venues.ace import budget
from mmd.venues.ace.budget import BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import Unavailable
from mmd.words.market import OrderBook, Pair

log = logging.getLogger("web")

_ERRAND_EVERY_S = 2.0


@dataclass(frozen=True)
class WebJob:
    """What the process must know."""

    host: str
    port: int
    """0: any free one; `run/web.address` says which."""
    token: Secret | None
    mode: str
    time_zone: str
    instance: str
    look: Look
    command: Callable[[str, str], Mapping[str, Any]]
    """Has the parent do something to a child; blocks. Raises Unavailable."""
    store: Path
    ace: AceEndpoint
    budget: BudgetSpec
    sample_s: float = 1.0
    """How often the present is looked at and told."""


def run(job: WebJob, context: ChildContext) -> None:
    """Serves until asked to leave. Raises Unavailable when the port is taken."""
    context.stop.on_term()
    asyncio.run(_serve(job, context))


async def _serve(job: WebJob, context: ChildContext) -> None:
    sampler = Sampler(job, context.home)
    guard = Guard(job.token)
    pages = Pages(guard, sampler.hub, sampler.state, job.look, job.command)
    runner = web.AppRunner(
        pages.application(), access_log=None, handle_signals=False, shutdown_timeout=0.5
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, job.host, job.port)
        try:
            await site.start()
        except OSError as error:
            raise Unavailable(f"web: {job.host}:{job.port}: {error.strerror}") from None
        _note_address(context.home, runner.addresses[0])
        context.heart.ready()
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(sampler.run())
            await _beat_until_leaving(context, sampling)
            sampling.cancel()
    finally:
        sampler.close()
        await runner.cleanup()


async def _beat_until_leaving(context: ChildContext, sampling: asyncio.Task[None]) -> None:
    """The heart beats in the very loop that serves."""
    stop, parent = context.stop, context.parent
    while not stop.requested and parent.is_alive(time.monotonic_ns()) and not sampling.done():
        context.heart.beat()
        await asyncio.sleep(BEAT_EVERY_S)


def _note_address(home: Path, address: tuple[Any, ...]) -> None:
    host, port = address[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("serving on http://%s:%d", shown, port)
    Paths(home).web_address.write_text(f"http://{shown}:{port}\n")


@dataclass
class State:
    """What a browser that connects is told at once."""

    mode: str
    time_zone: str
    history: view.History = field(default_factory=view.History)
    present: view.Json = field(default_factory=dict)
    ladders: dict[str, view.Json] = field(default_factory=dict)
    balances: list[view.Json] = field(default_factory=list)

    @property
    def currencies(self) -> set[str]:
        """Those that our pairs trade."""
        pairs = [Pair.parse(pair["slug"]) for pair in self.present.get("pairs", [])]
        return {currency for pair in pairs for currency in (pair.base, pair.quote)}

    def hello(self) -> view.Json:
        return {
            "zone": self.time_zone,
            "mode": self.mode,
            "events": list(self.history.events),
            "balances": self.balances,
            "now": self.present,
        }


class Sampler:
    """Looks once a second, remembers, and tells all browsers."""

    def __init__(self, job: WebJob, home: Path) -> None:
        self._job = job
        self.hub = Hub()
        self.state = State(job.mode, job.time_zone)
        today = Today(job.instance, ZoneInfo(job.time_zone))
        self._records = Records(job.store, Spool.of_home(home), today)
        self._pace = Pace()
        self._earned = Earned()
        self._books = VenueBooks(job.ace, job.budget)
        self._ladders = OwnLadders(home / "run")
        self._record_thread, self._venue_thread = Thread("records"), Thread("venue")
        self._asking: asyncio.Future[None] | None = None
        self._next_errand_s = 0.0
        self._venue: dict[Pair, OrderBook] = {}
        self._own: dict[Pair, view.Json | None] = {}
        self._account = Account()

    def close(self) -> None:
        self._record_thread.close(self._records.close)
        self._venue_thread.close(self._books.close)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            self._take_sight(self._job.look())
            await self._take_account()
            self._ask_around()
            due_s = max(due_s + self._job.sample_s, loop.time())
            await asyncio.sleep(due_s - loop.time())

    def _take_sight(self, sight: Sight) -> None:
        state = self.state
        happened = state.history.take(sight)
        self._pace.take(sight)
        left = budget.left(self._job.budget, sight.now_ns)
        extras = view.Extras(self._job.mode, self._earned, self._pace, left, self._job.budget)
        state.present = view.present(sight, extras)
        self._send("now", state.present)
        if happened:
            self._send("events", happened)

    async def _take_account(self) -> None:
        loop = asyncio.get_running_loop()
        account = await loop.run_in_executor(self._record_thread.executor, self._records.look)
        state = self.state
        if account.earned.is_known:
            self._earned = account.earned
        if account.alerts:
            self._send("events", state.history.hear(account.alerts))
        if account.fills:
            fills = [view.fill(one) for one in account.fills]
            state.history.fills.extend(fills)
            self._send("fills", fills[-view.MOST_FILLS :])
        balances = view.balances(account.balances.values(), state.currencies)
        if balances and balances != state.balances:
            state.balances = balances
            self._send("balances", balances)
        if account.snapshot is not None:
            self._account = account
            self._tell_ladders()

    def _tell_ladders(self) -> None:
        """Each pair's ladder, to those who look at it."""
        snapshot = self._account.snapshot
        orders = snapshot.orders if snapshot else ()
        for slug in self.hub.watched | set(self.state.ladders):
            pair = Pair.parse(slug)
            book, own = self._venue.get(pair), self._own.get(pair)
            found = view.ladder(pair, orders, self._job.instance, book, own)
            if found != self.state.ladders.get(slug):
                self.state.ladders[slug] = found
                self._send("ladder", {"slug": slug, **found}, slug)

    def _ask_around(self) -> None:
        """Has the venue's books and our orders of watched pairs fetched; one errand at a time."""
        if self._asking is not None:
            if not self._asking.done():
                return
            self._asking.result()
            self._asking = None
            self._tell_ladders()
        loop = asyncio.get_running_loop()
        watched = sorted(self.hub.watched)
        pairs = [Pair.parse(slug) for slug in watched]
        is_new = any(pair not in self._own for pair in pairs)
        if pairs and (is_new or loop.time() >= self._next_errand_s):
            self._next_errand_s = loop.time() + _ERRAND_EVERY_S
            self._asking = loop.run_in_executor(self._venue_thread.executor, self._errand, pairs)

    def _errand(self, pairs: list[Pair]) -> None:
        """Runs in the thread; who waits for it reads what it found."""
        self._own = self._ladders.ask(pairs)
        self._venue.update(self._books.ask(pairs))

    def _send(self, kind: str, document: object, pair: str | None = None) -> None:
        for listener in self.hub.send(view.event(kind, document), pair):
            log.info("dropped a browser that does not read (%s)", listener.pair or "overview")
