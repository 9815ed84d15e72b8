"""Runs the real workers over a market, in virtual time on the simulated venue, and measures them.

Everything is decided by the job: the recording or the seed of the prices, the seed of chance, the
settings. Two runs come to the same, byte for byte.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random

from mmd.config.model import RateSettings, Settings
from mmd.config.secrets import AceKey
from mmd.decide.ledger import Ledger
from mmd.faces.self_trade_watch import SelfTradeReport, SelfTradeWatch
from mmd.faces.stage import Place, Stage
from mmd.faces.world import ace_endpoint
from mmd.processes.rate import book_state, is_news
from mmd.sim.ace import PAPER_KEY, PAPER_SECRET, CrowdOptions, paper_accounts
from mmd.sim.ace.entries import Entry
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.ledger import Account
from mmd.sim.ace.venue import BatchPaths, VenueRules
from mmd.sim.binance import Market, RecordedSource, SeededSource
from mmd.sim.fair import FairHistory
from mmd.sim.meter import Meter, Prices
from mmd.sim.outcome import Outcome, outcome
from mmd.sim.tape import Tick, ticks
from mmd.sim.virtual import EPOCH_MS, VirtualLoop
from mmd.venues.ace import calls
from mmd.venues.ace.budget import BudgetSpec, Priority
from mmd.words.errors import ConfigError, MmdError
from mmd.words.market import Pair, Side

FIRST_TICK_NS = 3_000_000_000
"""Virtual time of the market's first message: before it, the venue's other participants and the
rate get ready."""
TAKES_PER_S = 1.0
"""Market orders of others, a second and market on average; half of them below 4,000 TWD."""
INFORMED = 0.25
"""Share of them whose sender knows the fair price …"""
FORESIGHT_S = 10
"""… this far ahead."""
_PULSE_S = 0.1
"""How often the others act, as on the served venue."""
_LATENCY_S = (0.002, 0.02)
_SETTLE_S = 60.0
_MAIN_LOGS = ("mmaker", "selftrader")


@dataclass(frozen=True, kw_only=True)
class ReplayJob:
    """What to replay, and how. Complete: nothing else has a say."""

    settings: Settings
    pairs: tuple[Pair, ...]
    """Which of the configured pairs quote."""
    files: tuple[Path, ...] = ()
    """Recordings; none: prices on the path of the seed."""
    minutes: float | None = None
    """How long; recordings are played again and again. None: once, to their end."""
    speed: float = 1.0
    """How many times as fast the prices move; all else keeps its pace."""
    seed: int = 1
    takes_per_s: float = TAKES_PER_S
    informed: float = INFORMED


@dataclass(frozen=True)
class PairReport:
    """How one pair fared."""

    pair: Pair
    seconds: float
    result: Outcome
    both_sides: float
    """Share of the time with quotes on both sides."""
    distance_bps: float | None
    """Of the best quotes from the fair price, time-weighted mean."""
    distance_p99_bps: float | None
    risk_s: float
    """Time with a quote on the wrong side of the fair price, both sides summed up."""
    mean_position: float
    """Absolute, time-weighted, in base currency."""
    p95_position: float
    """Absolute; 95 % of the time it is at most this."""
    most_position: float
    drawdown: float
    """The worst fall of profit, the position at its fair price, below its best so far."""
    self_trades: SelfTradeReport | None
    """None where there are to be none."""


@dataclass(frozen=True)
class Report:
    """How a replay went."""

    pairs: tuple[PairReport, ...]
    requests: Mapping[str, int]
    """Sent to the venue, by what for."""
    ticks: int
    """Changes of Binance's prices, or of its traded volume."""
    left: int
    """Open orders after the orderly end: must be 0."""
    unbooked: int
    """Fills that our records lack, or have otherwise than the venue: must be 0."""


def symbols_in(files: Sequence[Path]) -> tuple[str, ...]:
    """The symbols that recordings have. Raises ConfigError for what is no recording."""
    return RecordedSource(files, once=True).symbols


def replay(job: ReplayJob) -> Report:
    """Runs the job. Raises ConfigError for what can't be replayed."""
    loop = VirtualLoop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        stack.enter_context(_quiet())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmd-replay-")))
        stack.callback(_end_tasks, loop)
        return loop.run_until_complete(Run(job, loop, folder, stack).run())


def _end_tasks(loop: VirtualLoop) -> None:
    """Where something went wrong, its tasks must not outlive it."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))


@dataclass
class Counter:
    """Requests at the venue, by kind."""

    by_kind: dict[str, int] = field(
        default_factory=lambda: {"orders": 0, "cancels": 0, "account": 0, "market": 0}
    )

    def see(self, entry: Entry) -> None:
        if entry.cause == "api" and entry.path is not None:
            self.by_kind[_kind_of(entry.path)] += 1


def _kind_of(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    if name in ("order", "submit_batch_order"):
        return "orders"
    if name in ("cancel", "cancel_batch_orders"):
        return "cancels"
    return "market" if "/public/" in path or "/oapi/" in path else "account"


@dataclass(frozen=True)
class Player:
    """Who quotes a pair."""

    task: asyncio.Task[None]
    leave: Callable[[], None]
    """Asks it to cancel everything and end."""
    ledger: Ledger | None = None
    """What it meant its orders for."""


class Run:
    """One replay under way."""

    def __init__(self, job: ReplayJob, loop: VirtualLoop, folder: Path, stack: ExitStack) -> None:
        self.job, self.loop = job, loop
        settings, pairs = job.settings, job.pairs
        sources = {pair: settings.pairs[pair].binance for pair in pairs}
        self.market = _market(job)
        self.fair = FairHistory(sources, job.seed)
        self.counter = Counter()
        self.meters: dict[Pair, Meter] = {}
        self.self_trades: dict[Pair, SelfTradeWatch] = {}
        rates = {rate for pair in pairs if (rate := settings.rate_of(pair)) is not None}
        batch = settings.ace.batch.submit_path is not None
        exchange = Exchange(
            paper_accounts(settings.paper.balances),
            VenueRules(batch=BatchPaths() if batch else None),
            self.fair.at,
            sorted({*rates, *pairs}),
            job.seed,
            self.see,
            CrowdOptions(
                takes_per_s=job.takes_per_s, informed=job.informed, foresight_s=FORESIGHT_S
            ),
        )
        exchange.open(loop.wall_ms())
        latency = Random(f"{job.seed} latency")
        self.stage = Stage(
            exchange,
            loop,
            folder,
            stack,
            ace_endpoint(settings, AceKey(PAPER_KEY, PAPER_SECRET), "http://venue"),
            BudgetSpec(folder, settings.ace.rate_limit_per_s, settings.ace.burst),
            lambda: latency.uniform(*_LATENCY_S),
        )
        depths: dict[str, int] = {}
        for pair, source in sources.items():
            for symbol in source.symbols:
                depths[symbol] = max(depths.get(symbol, 0), settings.pairs[pair].quote.depth)
        self.feeds = {
            symbol: self.stage.feed(has_depth=depth > 0) for symbol, depth in depths.items()
        }
        self.rates = {rate: self.stage.feed() for rate in sorted(rates)}
        self.places = [self._place(pair) for pair in pairs]
        account = exchange.engine.account(PAPER_KEY)
        self.meters = {pair: self.meter(pair, account) for pair in pairs}
        self.self_trades = {
            pair: self._self_trade_watch(pair)
            for pair in pairs
            if settings.pairs[pair].self_trade.enabled
        }
        steps = _volume_steps(settings, pairs)
        self.ticks = self._foreseen(ticks(self.market, depths, FIRST_TICK_NS, steps, job.speed))
        self.shown = 0

    def see(self, entry: Entry) -> None:
        """Every entry of the venue's record."""
        self.counter.see(entry)
        if entry.events:
            for meter in self.meters.values():
                meter.see(entry, self.loop.clock_ns())
            for watch in self.self_trades.values():
                watch.see(entry)

    async def run(self) -> Report:
        """From the first message to the last, and to an orderly end."""
        stage, loop = self.stage, self.loop
        await stage.learn_markets()
        missing = [str(pair) for pair in self.job.pairs if pair not in stage.markets]
        if missing:
            raise ConfigError(f"ACE has no such market: {', '.join(missing)}")
        rounds = [
            loop.create_task(self._every(_PULSE_S, self._pulse)),
            loop.create_task(self._every(stage.paces.trades_s, self.account_round)),
            *(
                loop.create_task(self._every(self._rate_settings(rate).poll_s, poll))
                for rate in self.rates
                for poll in [self._rate_poll(rate)]
            ),
        ]
        players = await self._play()
        end_ns, end_ms = loop.clock_ns(), loop.wall_ms()
        for meter in self.meters.values():
            meter.turn(end_ns)
        reports = tuple(self._report(pair, end_ms) for pair in self.job.pairs)
        requests = dict(self.counter.by_kind)
        left = await self._end(players)
        for task in rounds:
            task.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)
        await stage.account_round()
        return Report(reports, requests, self.shown, left, self._unbooked())

    async def _play(self) -> list[Player]:
        """Shows the tape; those who quote begin with the first message."""
        players: list[Player] = []
        end_ns = None if self.job.minutes is None else int(self.job.minutes * 60e9) + FIRST_TICK_NS
        for tick in self.ticks:
            if end_ns is not None and tick.at_ns > end_ns:
                break
            await asyncio.sleep(tick.at_ns / 1e9 - self.loop.time())
            self._show(tick)
            if not players:
                for meter in self.meters.values():
                    meter.begin(self.loop.clock_ns())
                players = [self.begin(place) for place in self.places]
                for place, player in zip(self.places, players, strict=True):
                    if place.pair in self.self_trades and player.ledger is not None:
                        self.self_trades[place.pair].begin(player.ledger)
            for player in players:
                if player.task.done():
                    player.task.result()
                    raise MmdError("a worker left by itself")
        if not players:
            raise ConfigError("no prices of the pairs' symbols in the recording")
        return players

    def begin(self, place: Place) -> Player:
        """Somebody who quotes a pair: the worker."""
        life = place.begin(self.job.seed)
        return Player(life.task, life.stop.request, life.worker.ledger)

    def _foreseen(self, tape: Iterator[Tick]) -> Iterator[Tick]:
        """The tape, read so far ahead that those who know what comes can be told."""
        read: deque[Tick] = deque()
        ahead_ns = FORESIGHT_S * 1_000_000_000
        for tick in tape:
            if tick.rings:
                self.fair.note(tick.symbol, tick.book, EPOCH_MS + tick.at_ns // 1_000_000)
            read.append(tick)
            while tick.at_ns - read[0].at_ns > ahead_ns:
                yield read.popleft()
        yield from read

    def _show(self, tick: Tick) -> None:
        feed = self.feeds[tick.symbol]
        if tick.rings:
            self.shown += 1
            self._compare()
        feed.book.write(tick.book)
        if tick.depth is not None and feed.depth is not None:
            feed.depth.write(tick.depth)
        if tick.rings:
            feed.bell.ring()

    def _compare(self) -> None:
        now_ns = self.loop.clock_ns()
        for meter in self.meters.values():
            meter.turn(now_ns)
            meter.compare()

    async def _every(self, seconds: float, act: Callable[[], object]) -> None:
        """Acts again and again, late rather than twice at once."""
        while True:
            begun_s = self.loop.time()
            waiting = act()
            if asyncio.iscoroutine(waiting):
                await waiting
            await asyncio.sleep(max(0.0, begun_s + seconds - self.loop.time()))

    async def account_round(self) -> None:
        """What the account process does at its pace."""
        await self.stage.account_round()

    def _pulse(self) -> None:
        self.stage.beat()
        self.stage.exchange.step(self.loop.wall_ms())
        self._compare()

    def _rate_poll(self, rate: Pair) -> Callable[[], object]:
        """What a rate process does."""
        stage, feed, client = self.stage, self.rates[rate], self.stage.client()

        async def poll() -> None:
            await stage.may_ask(Priority.TOUCH)
            asked_ns = stage.loop.clock_ns()
            before = feed.book.read()
            found = await client.call(calls.order_book(stage.markets[rate]))
            after = book_state(before, found, asked_ns)
            feed.book.write(after)
            if is_news(before, after):
                feed.bell.ring()

        return poll

    async def _end(self, players: list[Player]) -> int:
        """Lets all leave; how many orders remain."""
        for player in players:
            player.leave()
        await asyncio.wait([player.task for player in players], timeout=_SETTLE_S)
        for player in players:
            player.task.result()
        return len(self.stage.exchange.engine.account(PAPER_KEY).open)

    def _unbooked(self) -> int:
        """Fills on one side's books and not, or otherwise, on the other's."""
        theirs = {
            (int(f.trade_no), f.order_no, f.amount, f.is_self)
            for f in self.stage.exchange.engine.account(PAPER_KEY).fills
        }
        booked = (fill.trade for fill in self.stage.store.fills())
        return len(theirs ^ {(t.trade_no, t.order_no, t.amount, t.is_self) for t in booked})

    def _self_trade_watch(self, pair: Pair) -> SelfTradeWatch:
        settings = self.job.settings.pairs[pair]
        book = self.feeds[settings.binance.symbol].book
        return SelfTradeWatch(PAPER_KEY, settings, lambda: book.read().volume)

    def _place(self, pair: Pair) -> Place:
        settings = self.job.settings
        rate, source = settings.rate_of(pair), settings.pairs[pair].binance
        return Place(
            self.stage,
            pair,
            settings.pairs[pair],
            self.feeds[source.symbol],
            self.rates[rate] if rate else None,
            self._rate_settings(rate) if rate else None,
            settings.mode,
            settings.ace.settle_s,
            settings.supervision.stop_limit_s,
            self.feeds[source.other] if source.other else None,
        )

    def _rate_settings(self, rate: Pair) -> RateSettings:
        return self.job.settings.rates.get(rate) or RateSettings()

    def meter(self, pair: Pair, account: Account) -> Meter:
        """What measures a pair: here, against the fair price."""

        def fair() -> float | None:
            value = self.fair.at(pair, self.loop.wall_ms())
            return None if value is None else float(value)

        def both() -> Prices | None:
            value = fair()
            return None if value is None else dict.fromkeys(Side, value)

        return Meter(pair, account, fair, both)

    def _report(self, pair: Pair, end_ms: int) -> PairReport:
        meter, watch = self.meters[pair], self.self_trades.get(pair)
        watched = max(meter.watched_ns, 1)

        def fair_at(at_ms: int) -> Decimal:
            value = self.fair.at(pair, at_ms)
            assert value is not None, "quotes come after the first price"
            return value

        return PairReport(
            pair=pair,
            seconds=meter.watched_ns / 1e9,
            result=outcome(meter.fills, fair_at, end_ms),
            both_sides=meter.both_ns / watched,
            distance_bps=meter.distances.mean,
            distance_p99_bps=meter.distances.percentile(99),
            risk_s=meter.risk_ns / 1e9,
            mean_position=meter.positions.mean or 0.0,
            p95_position=meter.positions.percentile(95) or 0.0,
            most_position=meter.most_position,
            drawdown=meter.drawdown,
            self_trades=watch.report(end_ms) if watch else None,
        )


def _market(job: ReplayJob) -> Market:
    if job.files:
        return Market(RecordedSource(job.files, once=job.minutes is None))
    if job.minutes is None:
        raise ConfigError("a made-up market has no end: say --minutes")
    return Market(SeededSource(job.seed, 0))


def _volume_steps(settings: Settings, pairs: tuple[Pair, ...]) -> dict[str, int]:
    """What must be traded of a symbol to wake its readers, as the feeds of these pairs have it."""
    return {
        chosen.binance.symbol: int(chosen.self_trade.volume_threshold * 10**7)
        for pair in pairs
        if (chosen := settings.pairs[pair]).self_trade.enabled
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """What the workers log of the ordinary concerns nobody here."""
    loggers = [logging.getLogger(name) for name in _MAIN_LOGS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
