"""The process: watches over all others, and keeps a courier for each address.

It works for nobody but people. When it is dead or hangs, alerts wait on the spool.
"""

from __future__ import annotations

import logging
import select
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmd.config.model import AlertSettings
from mmd.config.secrets import AlertTargets
from mmd.processes.context import BEAT_EVERY_S, ChildContext
from mmd.processes.notifier.channels import Channel, channels
from mmd.processes.notifier.courier import Courier
from mmd.processes.notifier.digest import Pace
from mmd.processes.notifier.watchman import Account, Watchman
from mmd.processes.sight import Look
from mmd.records import killed
from mmd.records.alerts import Kind, Spool, open_troubles
from mmd.records.store import Store
from mmd.words.errors import Unavailable
from mmd.words.market import Balance

log = logging.getLogger("notifier")

_WATCH_EVERY_S = 0.5
_ACCOUNT_EVERY_S = 5.0
_TIDY_EVERY_S = 3600.0
_MOMENT_S = 0.3
_LAST_WORDS_S = 4.0
"""How long the last message may take when mmd stops."""


@dataclass(frozen=True)
class NotifierJob:
    """What the process must know."""

    settings: AlertSettings
    targets: AlertTargets
    mode: str
    keep_days: int
    look: Look
    store: Path
    """Where the account process records balances."""


def run(job: NotifierJob, context: ChildContext) -> None:
    """Watches and tells until asked to leave. Raises ConfigError for an impossible address."""
    context.stop.on_term()
    _Notifier(job, context, channels(job.targets)).run()


class _Notifier:
    def __init__(self, job: NotifierJob, context: ChildContext, found: Sequence[Channel]) -> None:
        self._job, self._context = job, context
        self._spool = Spool.of_home(context.home)
        alerts, self._place = self._spool.read_all()
        self._watchman = Watchman(job.settings, open_troubles(alerts))
        name = f"mmd ({job.mode}) on {socket.gethostname()}"
        chosen = job.settings
        pace = Pace(chosen.group_s, chosen.pause_s, chosen.repeat_s)
        self._couriers = [Courier(self._spool, channel, pace, name) for channel in found]
        self._account = Account()
        self._account_due_s = self._tidy_due_s = 0.0

    def run(self) -> None:
        context = self._context
        for courier in self._couriers:
            courier.start()
        context.heart.ready()
        due_s = 0.0
        while not context.stop.requested and context.parent.is_alive(time.monotonic_ns()):
            now_s = time.monotonic()
            if now_s >= due_s:
                due_s = now_s + _WATCH_EVERY_S
                self._watch(now_s)
            self._check_couriers()
            context.heart.beat()
            select.select([context.stop.fd, context.parent.pidfd], [], [], BEAT_EVERY_S)
        self._leave()

    def _watch(self, now_s: float) -> None:
        self._hear()
        if now_s >= self._tidy_due_s:
            self._tidy_due_s = now_s + _TIDY_EVERY_S
            self._spool.remove_old(self._job.keep_days)
        if now_s >= self._account_due_s:
            self._account_due_s = now_s + _ACCOUNT_EVERY_S
            self._account = self._look_at_account()
        self._account = self._account._replace(thrown=self._thrown())
        sight = self._job.look()
        if sight.parent_state != "running":
            return
        for news in self._watchman.watch(sight, self._account):
            over = " is over" if news.is_recovery else ""
            log.warning("%s%s: %s: %s", news.kind.value, over, news.subject, news.text)
            told = self._spool.put(news.kind, news.subject, news.text, is_recovery=news.is_recovery)
            if not told:
                self._context.heart.count_error("an alert could not be written to the spool")
        self._hear()

    def _hear(self) -> None:
        alerts, self._place = self._spool.read(self._place)
        self._watchman.heard(alerts)

    def _look_at_account(self) -> Account:
        free_bytes = shutil.disk_usage(self._context.home).free
        return Account(self._balances(), free_bytes)

    def _thrown(self) -> dict[str, str]:
        """Pairs whose kill switch is thrown, and why; `all` for all together."""
        latches = self._job.store.parent.glob(killed.latch_of(Path(), "*").name)
        prefix = killed.latch_of(Path(), "").stem
        found = {latch.stem.removeprefix(prefix): killed.read(latch) for latch in latches}
        return {slug: thrown.reason for slug, thrown in found.items() if thrown}

    def _balances(self) -> dict[str, Balance]:
        if not self._job.settings.min_balances or not self._job.store.exists():
            return {}
        try:
            with Store.look(self._job.store) as store:
                return store.balances()
        except Unavailable:
            return {}  # not made yet, or busy: the next look is soon

    def _check_couriers(self) -> None:
        """A courier never ends by itself: its error has gone to the error log."""
        dead = [courier for courier in self._couriers if not courier.is_alive]
        if dead:
            raise RuntimeError(f"{len(dead)} couriers have died")

    def _leave(self) -> None:
        """When mmd stops, this is the last that people hear; else the next life goes on."""
        is_stopping = self._job.look().parent_state == "stopping"
        if is_stopping:
            self._spool.put(Kind.STOP, "mmd", "mmd stops; the pairs have left the venue")
        for courier in self._couriers:
            (courier.finish if is_stopping else courier.leave)()
        until_s = time.monotonic() + (_LAST_WORDS_S if is_stopping else _MOMENT_S)
        for courier in self._couriers:
            courier.join(max(0.0, until_s - time.monotonic()))
