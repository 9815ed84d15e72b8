"""Puts the processes together: from a configuration to the children that the parent keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from mmd.cells.layouts import BOOK, DEPTH, QUOTES, WANTED, BookCell
from mmd.cells.segment import Segment
from mmd.cells.wake import Bell
from mmd.config.model import PairSettings, Settings
from mmd.config.paths import Paths
from mmd.config.secrets import AlertTargets, Secret
from mmd.decide.agenda import Paces
from mmd.faces.sight import command_child, sight
from mmd.faces.status import describe_book, describe_pair
from mmd.faces.world import World
from mmd.processes import account, feed, notifier, pair, rate, sweep, web
from mmd.processes.brake import Member
from mmd.processes.context import ChildContext, Entry
from mmd.records import logs
from mmd.records.store import FILE as STORE_FILE
from mmd.supervision.limits import Limits
from mmd.supervision.names import group_of, member_of
from mmd.supervision.spec import ChildSpec, Planned
from mmd.venues.ace.budget import BudgetSpec
from mmd.words.market import Pair

_E8 = Decimal("1e8")
_VOLUME_STEPS = 10
"""A feed rings at so many parts of the smallest volume that somebody waits for."""

_QUOTED_RATE = Paces(orders_s=2.0)
"""Where a rate's own market is quoted: the rate process leaves out the orders last listed."""


@dataclass(frozen=True)
class Outfit:
    """Secrets of those who merely look."""

    alerts: AlertTargets = field(default_factory=AlertTargets)
    web_token: Secret | None = None


def _no_outfit(_settings: Settings) -> Outfit:
    return Outfit()


@dataclass
class Assembly:
    """Makes the parent's plan, again and again; bells live as long as the parent."""

    read: Callable[[], tuple[Settings, World]]
    """The configuration as it is now. Raises ConfigError."""
    paths: Paths
    outfit: Callable[[Settings], Outfit] = _no_outfit
    """Secrets as they are now. Raises ConfigError."""
    extra: list[ChildSpec] = field(default_factory=list)
    """Children that no configuration speaks of."""
    bells: dict[str, Bell] = field(default_factory=dict)

    def plan(self, segment: Segment, former: Sequence[str]) -> Planned:
        """Which children there shall be, and which earlier pairs must only be swept."""
        settings, world = self.read()
        plan = _Plan(self, segment, settings, world)
        children = [*plan.feeds(), *plan.rates(), plan.account(), *plan.pairs()]
        children += [*plan.lookers(self.outfit(settings)), *self.extra]
        names = {child.name for child in children}
        gone = [name for name in former if group_of(name) == "pairs" and name not in names]
        return Planned(children, [plan.retired(name) for name in gone])

    def bell(self, name: str) -> Bell:
        """The bell of that name, made once."""
        if name not in self.bells:
            self.bells[name] = Bell()
        return self.bells[name]


@dataclass(frozen=True)
class _Plan:
    """One reading of the configuration, turned into children."""

    assembly: Assembly
    segment: Segment
    settings: Settings
    world: World

    @property
    def limits(self) -> Limits:
        supervision = self.settings.supervision
        return Limits(
            stall_s=supervision.stall_limit_s,
            start_s=supervision.start_limit_s,
            stop_s=supervision.stop_limit_s,
            sweep_s=2 * supervision.stop_limit_s,
            healthy_s=supervision.healthy_s,
            restarts=supervision.intensity.count,
            within_s=supervision.intensity.within_s,
            backoff_s=supervision.backoff_s.min,
            backoff_cap_s=supervision.backoff_s.max,
            memory_mb=supervision.memory_limit_mb,
        )

    @property
    def budget(self) -> BudgetSpec:
        ace = self.settings.ace
        return BudgetSpec(self.assembly.paths.run, ace.rate_limit_per_s, ace.burst)

    def feeds(self) -> list[ChildSpec]:
        by_symbol: dict[str, list[PairSettings]] = {}
        for chosen in self.settings.pairs.values():
            for symbol in chosen.binance.symbols:
                by_symbol.setdefault(symbol, []).append(chosen)
        return [self.feed(symbol, followers) for symbol, followers in by_symbol.items()]

    def feed(self, symbol: str, followers: list[PairSettings]) -> ChildSpec:
        member = symbol.lower()
        depth = max(follower.quote.depth for follower in followers)
        thresholds = [
            follower.self_trade.volume_threshold
            for follower in followers
            if follower.self_trade.enabled and follower.binance.symbol == symbol
        ]
        step_e8 = int(min(thresholds) * _E8) // _VOLUME_STEPS if thresholds else 0
        bell = self.assembly.bell(member)
        job = feed.FeedJob(
            symbol=symbol,
            stream_url=self.world.stream_url,
            rest_url=self.world.rest_url,
            trades=self.settings.binance.trades,
            depth_levels=depth,
            book=self.segment.add(BOOK, member),
            depth=self.segment.add(DEPTH, member) if depth else None,
            bell=bell,
            volume_step_e8=step_e8,
        )
        return self.child(
            f"feeds:{member}",
            partial(feed.run, job),
            keeps=(bell.fd,),
            identity=(self.world.stream_url, self.world.rest_url, job.trades, depth, step_e8),
            describe=lambda: describe_book(job.book.read(), time.monotonic_ns()),
        )

    def rates(self) -> list[ChildSpec]:
        used = {self.settings.rate_of(name) for name in self.settings.pairs}
        return [self.rate(name) for name in self.settings.rates if name in used]

    def rate(self, name: Pair) -> ChildSpec:
        chosen = self.settings.rates[name]
        bell = self.assembly.bell(name.slug)
        job = rate.RateJob(
            pair=name,
            ace=self.world.ace,
            instance=self.assembly.paths.instance(),
            settings=chosen,
            budget=self.budget,
            book=self.segment.add(BOOK, name.slug),
            bell=bell,
            store=self.store if name in self.settings.pairs else None,
        )
        return self.child(
            f"rates:{name.slug}",
            partial(rate.run, job),
            keeps=(bell.fd,),
            identity=(self.venue_identity, chosen, job.store),
            describe=lambda: describe_book(job.book.read(), time.monotonic_ns()),
        )

    def account(self) -> ChildSpec:
        quotes_rate = any(rate in self.settings.pairs for rate in self.settings.rates)
        bell, trouble = self.assembly.bell("account"), self.assembly.bell("trouble")
        job = account.AccountJob(
            ace=self.world.ace,
            instance=self.assembly.paths.instance(),
            store=self.store,
            budget=self.budget,
            bell=bell,
            trouble=trouble,
            paces=_QUOTED_RATE if quotes_rate else Paces(),
            risk=self.settings.risk,
            members=tuple(
                Member(pair, self.segment.add(QUOTES, pair.slug)) for pair in self.settings.pairs
            ),
        )
        return self.child(
            "jobs:account",
            partial(account.run, job),
            keeps=(bell.fd, trouble.fd),
            identity=(self.venue_identity, job.risk, [member.pair for member in job.members]),
        )

    def lookers(self, outfit: Outfit) -> list[ChildSpec]:
        """Those who trade nothing and only look."""
        found = [self.notifier(outfit)]
        return [*found, self.web(outfit)] if self.settings.web.enabled else found

    def notifier(self, outfit: Outfit) -> ChildSpec:
        job = notifier.NotifierJob(
            settings=self.settings.alerts,
            targets=outfit.alerts,
            mode=self.settings.mode.value,
            keep_days=self.settings.logs.keep_days,
            look=partial(sight, self.assembly.paths),
            store=self.store,
        )
        return self.child(
            "jobs:notifier",
            partial(notifier.run, job),
            identity=(job.settings, job.targets, job.mode, job.keep_days),
        )

    def web(self, outfit: Outfit) -> ChildSpec:
        paths, chosen = self.assembly.paths, self.settings.web
        job = web.WebJob(
            host=chosen.host,
            port=chosen.port,
            token=outfit.web_token,
            mode=self.settings.mode.value,
            time_zone=self.settings.time_zone,
            instance=paths.instance(),
            look=partial(sight, paths),
            command=partial(command_child, paths),
            store=self.store,
            ace=self.world.ace,
            budget=self.budget,
        )
        return self.child(
            "jobs:web",
            partial(web.run, job),
            identity=(chosen, job.token, job.mode, self.venue_identity),
        )

    def pairs(self) -> list[ChildSpec]:
        return [self.pair(name, chosen) for name, chosen in self.settings.pairs.items()]

    def pair(self, name: Pair, chosen: PairSettings) -> ChildSpec:
        rate_pair = self.settings.rate_of(name)
        symbol, *others = (name.lower() for name in chosen.binance.symbols)
        account_bell, trouble_bell = self.assembly.bell("account"), self.assembly.bell("trouble")
        bells = [self.assembly.bell(name) for name in (symbol, *others)]
        rate_cell: BookCell | None = None
        if rate_pair is not None:
            bells.append(self.assembly.bell(rate_pair.slug))
            rate_cell = self.segment.add(BOOK, rate_pair.slug)
        quotes = self.segment.add(QUOTES, name.slug)
        job = pair.PairJob(
            pair=name,
            settings=chosen,
            ace=self.world.ace,
            instance=self.assembly.paths.instance(),
            settle_s=self.settings.ace.settle_s,
            stop_limit_s=self.settings.supervision.stop_limit_s,
            seed=None,
            book=self.segment.add(BOOK, symbol),
            leg=self.segment.add(BOOK, others[0]) if others else None,
            rate=rate_cell,
            rate_settings=self.settings.rates[rate_pair] if rate_pair else None,
            quotes=quotes,
            wanted=self.segment.add(WANTED, f"pairs:{name.slug}"),
            price_bells=tuple(bells),
            account_bell=account_bell,
            trouble_bell=trouble_bell,
            budget=self.budget,
            store=self.store,
            depth=self.segment.add(DEPTH, symbol) if chosen.quote.depth else None,
            mode=self.settings.mode,
            journal=self.settings.journal,
        )
        rate_identity = self.settings.rates[rate_pair] if rate_pair else None
        return self.child(
            f"pairs:{name.slug}",
            self.with_own_log(
                "selftrader", f"{name.folder}/selftrader.log", partial(pair.run, job)
            ),
            keeps=tuple(bell.fd for bell in (*bells, account_bell, trouble_bell)),
            drains=True,
            sweep=self.sweep(name),
            log=f"*/{name.folder}/mmaker.log",
            identity=(
                self.venue_identity,
                chosen.binance,
                rate_pair,
                rate_identity,
                chosen.quote.depth,
                job.journal,
            ),
            parameters=chosen.model_dump_json(),
            describe=lambda: describe_pair(quotes.read()),
        )

    def retired(self, child_name: str) -> ChildSpec:
        """A pair that is configured no more: it may only be swept."""
        name = Pair.parse(member_of(child_name))
        return self.child(child_name, _never, drains=True, sweep=self.sweep(name))

    def sweep(self, name: Pair) -> Entry:
        job = sweep.SweepJob(
            pair=name,
            ace=self.world.ace,
            instance=self.assembly.paths.instance(),
            settle_s=self.settings.ace.settle_s,
            time_s=self.limits.sweep_s - 1,
            budget=self.budget,
        )
        return self.logged(f"{name.folder}/mmaker.log", partial(sweep.run, job))

    def child(
        self,
        name: str,
        entry: Entry,
        *,
        keeps: tuple[int, ...] = (),
        drains: bool = False,
        sweep: Entry | None = None,
        log: str = "",
        identity: object = None,
        parameters: str = "",
        describe: Callable[[], str] | None = None,
    ) -> ChildSpec:
        file = log.removeprefix("*/") or f"{group_of(name).removesuffix('s')}-{member_of(name)}.log"
        return ChildSpec(
            name=name,
            entry=self.logged(file, entry),
            keeps=keeps,
            drains=drains,
            limits=self.limits,
            sweep=sweep,
            log=f"*/{file}",
            identity=(identity, self.settings.time_zone),
            parameters=parameters,
            describe=describe,
        )

    def with_own_log(self, logger: str, file: str, entry: Entry) -> Entry:
        """The entry, with one logger's records in a file of their own and nowhere else."""
        root, zone = self.assembly.paths.log, ZoneInfo(self.settings.time_zone)
        keep_days = self.settings.logs.keep_days

        def run(context: ChildContext) -> None:
            logs.set_up(root, file, zone, keep_days, logger=logger).propagate = False
            entry(context)

        return run

    def logged(self, file: str, entry: Entry) -> Entry:
        """The entry, with its log set up in its own process."""
        root, zone = self.assembly.paths.log, ZoneInfo(self.settings.time_zone)
        keep_days = self.settings.logs.keep_days

        def run(context: ChildContext) -> None:
            logs.set_up(root, file, zone, keep_days)
            entry(context)

        return run

    @property
    def store(self) -> Path:
        return self.assembly.paths.records / STORE_FILE

    @property
    def venue_identity(self) -> tuple[object, ...]:
        """What a client of the venue can't change while it runs."""
        return (self.world.ace, self.settings.ace)


def _never(_context: ChildContext) -> None:
    raise AssertionError("a retired child is never started")
