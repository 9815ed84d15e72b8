"""What start, stop, run and pair do, joining configuration, outside world, service and parent."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from mmd.config.load import load
from mmd.config.model import CleanStart, Settings
from mmd.config.paths import Paths
from mmd.config.secrets import AceKey, load_alert_targets, load_key, load_web_token
from mmd.faces import console, service
from mmd.faces.assembly import Assembly, Outfit
from mmd.faces.sight import parents_alerts
from mmd.faces.status import View, look
from mmd.faces.world import World, needs_paper, resolve
from mmd.processes.sweep import SweepPlan, sweep
from mmd.records import logs
from mmd.records.alerts import Kind, Spool
from mmd.sim import paper
from mmd.supervision import lock, parent, status_block
from mmd.supervision.spec import ChildSpec
from mmd.venues.ace.client import AceClient
from mmd.words.errors import ConfigError, Exit, MmdError, Unavailable
from mmd.words.market import Pair

log = logging.getLogger("mmd")

_PROOF_PATIENCE_S = 20.0
_REPLAY = "MMD_REPLAY"
"""Recordings that the simulated world plays, for the parent under supervisord."""
_CONSOLE = "MMD_CONSOLE"
"""Where logs are shown when supervisord stays in the foreground."""


@dataclass(frozen=True)
class Site:
    """One installation: its files, its configuration file, the environment it was given."""

    paths: Paths
    config: Path
    environ: Mapping[str, str]

    def settings(self) -> Settings:
        """Raises ConfigError."""
        return load(self.config)

    def key(self, settings: Settings) -> AceKey:
        """Raises ConfigError."""
        return load_key(settings, self.paths, self.environ)

    def world(self, settings: Settings) -> World:
        """Raises ConfigError, Unavailable."""
        home = self.paths.home
        running = paper.running_pid(home) is not None
        return resolve(settings, self.key(settings), paper.address(home) if running else None)

    def read(self) -> tuple[Settings, World]:
        """The configuration as it is now, for the parent's plan."""
        settings = self.settings()
        return settings, self.world(settings)

    def outfit(self, settings: Settings) -> Outfit:
        """Raises ConfigError."""
        return Outfit(
            load_alert_targets(self.paths, self.environ),
            load_web_token(settings, self.paths, self.environ),
        )


def announce(paths: Paths, settings: Settings) -> None:
    """Tells people that mmd starts, and whether its last life ended as it should."""
    before = status_block.read(paths.status)
    fell = before is not None and before.parent_state != "stopped"
    how = "; its last life ended without a stop" if fell else ""
    pairs = ", ".join(map(str, settings.pairs))
    text = f"mmd starts in {settings.mode.value} mode: {pairs}{how}"
    Spool(paths.records).put(Kind.START, "mmd", text)


def ensure_world(site: Site, settings: Settings, replay: Sequence[Path]) -> World:
    """Starts the simulated world where the configuration needs one, and says where it is."""
    site.paths.make()
    key = site.key(settings)
    if not needs_paper(settings):
        return resolve(settings, key, None)
    options = paper.PaperOptions(
        seed=settings.paper.seed,
        speed=settings.paper.speed,
        replay=tuple(replay),
        balances=settings.paper.balances,
        pairs={name: chosen.binance for name, chosen in settings.pairs.items()},
        batch=settings.ace.batch.submit_path is not None,
        live_rest_url=settings.rest_url,
    )
    return resolve(settings, key, paper.ensure_running(site.paths.home, options))


def start(site: Site, replay: Sequence[Path], foreground: bool, wait_s: float) -> View:
    """Starts everything and waits until every pair quotes.

    Raises AlreadyRunning, ConfigError, Unavailable, NotQuoting.
    """
    settings = site.settings()
    service.refuse_second(site.paths)
    had_world = paper.running_pid(site.paths.home) is not None
    ensure_world(site, settings, replay)
    environment = {
        **site.environ,
        "MMD_CONFIG": str(site.config),
        "MMD_HOME": str(site.paths.home),
        _REPLAY: os.pathsep.join(str(path.absolute()) for path in replay),
    }
    if foreground:
        # supervisord takes this very process over, and with it its standard error.
        environment[_CONSOLE] = f"/proc/{os.getpid()}/fd/2"
        service.start_in_foreground(site.paths, environment)
    try:
        service.start(
            site.paths,
            lambda: not_quoting(site.paths, settings),
            environment,
            timeout_s=wait_s,
        )
    except MmdError:
        if not had_world:
            paper.stop(site.paths.home)
        raise
    return look(site.paths)


def not_quoting(paths: Paths, settings: Settings) -> list[str]:
    """What keeps the wanted pairs from quoting, a line each; empty when all quote."""
    view = look(paths)
    if view.parent_state != "running":
        return [f"the parent is {view.parent_state}"]
    rows = dict(view.rows("pairs"))
    missing = []
    for name, chosen in settings.pairs.items():
        row, quotes = rows.get(name.slug), view.quotes.get(name.slug)
        if row is None or quotes is None:
            missing.append(f"{name} has not started")
            continue
        excused = row.state == "stopped" or quotes.paused or not chosen.quote.enabled
        if not excused and not (quotes.best_bid and quotes.best_ask):
            health = view.health.get(row.name)
            why = quotes.note_text or (health.error_text if health else "") or row.health
            missing.append(f"{name} does not quote on both sides ({row.state}): {why}")
    return missing


def stop(site: Site) -> bool:
    """Stops everything, proves that no order of ours is left, and ends the simulated world.

    False when nothing ran. Raises OrdersLeft with the numbers of what is left.
    """
    ran = service.stop(site.paths)
    try:
        prove_nothing_left(site)
    finally:
        paper.stop(site.paths.home)
    return ran


def prove_nothing_left(site: Site) -> None:
    """Cancels whatever may still rest, and proves that nothing does. Raises OrdersLeft."""
    settings = site.settings()
    try:
        world = site.world(settings)
    except Unavailable:
        return  # the simulated world does not run, so nothing of it can be asked or left trading
    deadline_s = time.monotonic() + _PROOF_PATIENCE_S
    plan = SweepPlan(None, site.paths.instance(), settings.ace.settle_s, deadline_s)
    with closing(AceClient(world.ace)) as client:
        sweep(client, world.ace, plan).require_proof()


def run(site: Site, chosen: Settings | None = None) -> Exit:
    """The parent, in the foreground. `chosen`: a configuration made by hand, not read anew.

    Raises LockHeld when another one runs on this home, ConfigError, Unavailable.
    """
    settings = chosen or site.settings()
    replay = site.environ.get(_REPLAY, "")
    ensure_world(site, settings, [Path(name) for name in replay.split(os.pathsep) if name])
    supervised = "SUPERVISOR_ENABLED" in site.environ
    has_terminal = sys.stdin is not None and sys.stdin.isatty() and not supervised
    zone = ZoneInfo(settings.time_zone)
    logs.set_up(site.paths.log, "mmd.log", zone, settings.logs.keep_days, console=not supervised)

    def read() -> tuple[Settings, World]:
        return (chosen, site.world(chosen)) if chosen else site.read()

    assembly = Assembly(read, site.paths, site.outfit)
    fd = _console(site.environ, supervised)
    if fd is not None:
        entry = console.follow(site.paths.log, zone, fd)
        assembly.extra.append(ChildSpec("jobs:console", entry, keeps=(fd,)))
    if lock.holder(site.paths.parent_lock) is None:
        announce(site.paths, settings)
    return parent.run(
        parent.ParentJob(
            home=site.paths.home,
            plan=assembly.plan,
            lease_s=settings.supervision.lease_s,
            alert=parents_alerts(site.paths.records),
            supervised=supervised,
            has_terminal=has_terminal,
        )
    )


def _console(environ: Mapping[str, str], supervised: bool) -> int | None:
    """Where the logs of all processes are to be shown; None: nobody is looking."""
    if not supervised:
        return os.dup(sys.stderr.fileno())
    shown_on = environ.get(_CONSOLE)
    return os.open(shown_on, os.O_WRONLY | os.O_APPEND) if shown_on else None


def single_pair(settings: Settings, pair: Pair, binance: str | None) -> Settings:
    """The configuration with one pair alone, following the given symbol, cleaning all orders of
    the pair first, as the classic single-pair bot did. Raises ConfigError for an unknown pair."""
    if pair not in settings.pairs:
        known = ", ".join(map(str, settings.pairs))
        raise ConfigError(f"{pair} is not in the configuration; it has {known}")
    chosen = settings.pairs[pair]
    changes = {"binance": binance or chosen.binance, "clean_start": CleanStart.ALL}
    alone = settings.model_copy(update={"pairs": {pair: chosen.model_copy(update=changes)}})
    if problems := [f"{pair}: {'.'.join(map(str, f.at))} {f.must}" for f in alone.faults()]:
        raise ConfigError(*problems)
    return alone
