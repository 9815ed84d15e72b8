"""What start and stop do, joining configuration, outside world and service."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from mmd.config.model import Settings
from mmd.config.paths import Paths
from mmd.faces import service
from mmd.faces.site import WEB, Site, ensure_world
from mmd.faces.status import look
from mmd.processes.sweep import SweepPlan, sweep
from mmd.records import killed
from mmd.sim import paper
from mmd.venues.ace.client import AceClient
from mmd.words.errors import MmdError, Unavailable

REPLAY = "MMD_REPLAY"
"""Recordings that the simulated world plays, for the parent under supervisord."""
CONSOLE = "MMD_CONSOLE"
"""Where logs are shown when supervisord stays in the foreground."""
_PROOF_PATIENCE_S = 20.0


def start(
    site: Site, replay: Sequence[Path], *, foreground: bool, page: bool, wait_s: float
) -> None:
    """Starts everything and waits until every pair quotes. `page`: the page with it.

    Raises AlreadyRunning, ConfigError, Unavailable, NotQuoting.
    """
    settings = site.settings()
    site.key(settings)
    service.refuse_second(site.paths)
    had_world = paper.running_pid(site.paths.home) is not None
    environment = {
        **site.environ,
        "MMD_CONFIG": str(site.config),
        "MMD_HOME": str(site.paths.home),
        REPLAY: os.pathsep.join(str(path.absolute()) for path in replay),
    }
    if page:
        environment[WEB] = "1"
    if foreground:
        # supervisord takes this very process over, and with it its standard error.
        ensure_world(site, settings, replay)
        environment[CONSOLE] = f"/proc/{os.getpid()}/fd/2"
        service.start_in_foreground(site.paths, environment)
    try:
        service.start(
            site.paths,
            lambda: not_quoting(site.paths, settings),
            environment,
            timeout_s=wait_s,
            meanwhile=lambda: ensure_world(site, settings, replay),
        )
    except MmdError:
        if not had_world:
            paper.stop(site.paths.home)
        raise


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
        killed_by = killed.read(killed.latch_of(paths.records, name.slug))
        excused = row.state == "stopped" or quotes.paused or not chosen.quote.enabled or killed_by
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
