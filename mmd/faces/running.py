"""The parent in the foreground: what `mmd run` and `mmd pair` do."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from mmd.config.model import CleanStart, Settings
from mmd.config.paths import Paths
from mmd.config.secrets import load_alert_targets, load_web_token
from mmd.faces import console, service
from mmd.faces.assembly import Assembly, Outfit
from mmd.faces.operate import CONSOLE, REPLAY
from mmd.faces.sight import parents_alerts
from mmd.faces.site import Site, ensure_world
from mmd.faces.world import World
from mmd.records import logs
from mmd.records.alerts import Kind, Spool
from mmd.supervision import lock, parent, status_block
from mmd.supervision.spec import ChildSpec
from mmd.words.errors import ConfigError, Exit
from mmd.words.market import Pair
from mmd.words.source import Source

log = logging.getLogger("mmd")


def run(site: Site, chosen: Settings | None = None) -> Exit:
    """The parent, in the foreground. `chosen`: a configuration made by hand, not read anew.

    Raises AlreadyRunning when another one runs on this home, ConfigError, Unavailable.
    """
    if pid := lock.holder(site.paths.parent_lock):
        raise service.AlreadyRunning(
            f"mmd is running already on {site.paths.home} (process {pid}); `mmd stop` ends it, "
            "and MMD_HOME gives a second one a folder of its own"
        )
    settings = chosen or site.settings()
    replay = site.environ.get(REPLAY, "")
    ensure_world(site, settings, [Path(name) for name in replay.split(os.pathsep) if name])
    supervised = "SUPERVISOR_ENABLED" in site.environ
    has_terminal = sys.stdin is not None and sys.stdin.isatty() and not supervised
    zone = ZoneInfo(settings.time_zone)
    logs.set_up(site.paths.log, "mmd.log", zone, settings.logs.keep_days, console=not supervised)

    def read() -> tuple[Settings, World]:
        return (chosen, site.world(chosen)) if chosen else site.read()

    assembly = Assembly(read, site.paths, partial(outfit, site))
    fd = _console(site.environ, supervised)
    if fd is not None:
        entry = console.follow(site.paths.log, zone, fd)
        assembly.extra.append(ChildSpec("jobs:console", entry, keeps=(fd,)))
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
    shown_on = environ.get(CONSOLE)
    return os.open(shown_on, os.O_WRONLY | os.O_APPEND) if shown_on else None


def single_pair(settings: Settings, pair: Pair, binance: str | None) -> Settings:
    """The configuration with one pair alone, following the given symbol, cleaning all orders of
    the pair first, as the classic single-pair bot did. Raises ConfigError for an unknown pair."""
    if pair not in settings.pairs:
        known = ", ".join(map(str, settings.pairs))
        raise ConfigError(f"{pair} is not in the configuration; it has {known}")
    chosen = settings.pairs[pair]
    try:
        source = Source.parse(binance) if binance else chosen.binance
    except ValueError as error:
        raise ConfigError(f"--binance: {error}") from None
    changes = {"binance": source, "clean_start": CleanStart.ALL}
    alone = settings.model_copy(update={"pairs": {pair: chosen.model_copy(update=changes)}})
    if problems := [f"{pair}: {'.'.join(map(str, f.at))} {f.must}" for f in alone.faults()]:
        raise ConfigError(*problems)
    return alone


def outfit(site: Site, settings: Settings) -> Outfit:
    """The secrets of alerts and page. Raises ConfigError."""
    return Outfit(
        load_alert_targets(site.paths, site.environ),
        load_web_token(settings, site.paths, site.environ),
    )


def announce(paths: Paths, settings: Settings) -> None:
    """Tells people that mmd starts, and whether its last life ended as it should."""
    before = status_block.read(paths.status)
    fell = before is not None and before.parent_state != "stopped"
    how = "; its last life ended without a stop" if fell else ""
    pairs = ", ".join(map(str, settings.pairs))
    text = f"mmd starts in {settings.mode.value} mode: {pairs}{how}"
    Spool(paths.records).put(Kind.START, "mmd", text)
