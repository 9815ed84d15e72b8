"""The parent: one thread and one selector, over children, control socket, signals and a timer.

It does no business work and never waits for anybody. It is crash-only: what it must remember is
on disk before it matters, and a new life starts by ending what the last one left.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import logging
import os
import random
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mmd.cells.layouts import PARENT, ParentState
from mmd.cells.segment import Segment
from mmd.supervision.child import DUMP_SIGNAL
from mmd.supervision.commands import Commands
from mmd.supervision.control import ControlServer
from mmd.supervision.household import Household
from mmd.supervision.keeper import House
from mmd.supervision.lock import Lock
from mmd.supervision.nursery import Nursery
from mmd.supervision.proc import Roll
from mmd.supervision.spec import Plan
from mmd.supervision.status_block import StatusWriter
from mmd.supervision.wants import Wants
from mmd.words.errors import ConfigError, Exit, Unavailable

log = logging.getLogger(__name__)

TICK_S = 0.1
HASTY_TICK_S = 0.01
"""While a child is about to have been silent for too long, so that it is noticed in time."""
STATUS_EVERY_S = 0.4
LOCK_FILE = "parent.lock"
CONTROL_SOCKET = "control.sock"
STATUS_FILE = "status"
PRELOAD = ("asyncio", "encodings.idna", "json", "logging.handlers", "ssl", "uvloop")
"""Loaded before the first fork, beside all that the entry points have imported."""


@dataclass(frozen=True)
class ParentJob:
    """What the parent is to do."""

    home: Path
    """The folder that holds run-time files (`var/`)."""
    plan: Plan
    lease_s: float = 2.0
    """A parent silent for this long counts as dead with its children."""
    alert: Callable[[str], None] = log.warning
    supervised: bool = False
    """It is supervisord's child, and drains when that dies."""
    has_terminal: bool = False
    """Hang-up means leaving, not reloading."""
    preload: Sequence[str] = PRELOAD


def run(job: ParentJob) -> Exit:
    """Runs the parent to its end: DONE, or ORDERS_LEFT when that is not disproven.

    Raises LockHeld when another parent runs on this home, ConfigError when the plan can't be made.
    """
    for module in job.preload:
        importlib.import_module(module)
    run_folder = job.home / "run"
    run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as stack:
        lock = Lock(run_folder / LOCK_FILE)
        stack.callback(lock.release)
        roll = Roll(run_folder / "children.json")
        if killed := roll.end_leftovers():
            log.warning("ended what an earlier life left alive: processes %s", killed)
        segment = Segment.create(run_folder)
        stack.callback(segment.remove, run_folder)
        return _Parent(job, run_folder, segment, roll, stack).run()


class _Parent:
    def __init__(
        self, job: ParentJob, run_folder: Path, segment: Segment, roll: Roll, stack: ExitStack
    ) -> None:
        self._job = job
        self._since = time.time()
        self._selector = selectors.DefaultSelector()
        stack.callback(self._selector.close)
        self._heart = segment.add(PARENT, "parent")
        self._status = StatusWriter(run_folder / STATUS_FILE, is_supervised=job.supervised)
        stack.callback(self._status.close)
        self._status_due = 0.0
        house = House(
            home=job.home,
            segment=segment,
            nursery=Nursery(self._selector, roll),
            lease_s=job.lease_s,
            alert=job.alert,
            note=log.info,
            luck=random.random,
            clock=_clock,
            beat=self._beat,
        )
        self._household = Household(house, Wants(run_folder / "wanted.json"), job.plan)
        self._commands = Commands(self._household, _clock, shutdown=self._leave, show=self._show)
        self._leaving = ""
        self._stack = stack
        self._control_path = run_folder / CONTROL_SOCKET

    def run(self) -> Exit:
        faulthandler.enable()
        faulthandler.register(DUMP_SIGNAL, all_threads=True)
        self._beat()
        gc.collect()
        gc.freeze()  # so that a child's first collection does not copy every page
        self._stack.enter_context(self._signals())
        if self._job.supervised:
            self._watch_supervisor()
        self._household.move_in()
        server = ControlServer(self._selector, self._control_path, self._commands.handle)
        self._stack.callback(server.close)
        self._show()
        self._loop()
        self._show("stopped")
        left = self._household.left_orders
        if left:
            log.error("orders may be left on the venue: %s", ", ".join(left))
        return Exit.ORDERS_LEFT if left else Exit.DONE

    def _loop(self) -> None:
        due = _clock()
        while True:
            for key, _ in self._selector.select(max(0.0, due - _clock())):
                key.data()
            now = _clock()
            if now >= due:
                due = min(now + TICK_S, max(now + HASTY_TICK_S, self._tick(now)))
            self._commands.settle()
            if self._leaving and self._household.leave(now):
                return

    def _tick(self, now: float) -> float:
        """Returns when the next one is due at the latest."""
        self._beat()
        due = self._household.tick(now)
        if now >= self._status_due:
            self._status_due = now + STATUS_EVERY_S
            self._show()
        return due

    def _beat(self) -> None:
        self._heart.write(ParentState(os.getpid(), time.monotonic_ns()))

    def _show(self, state: str = "") -> None:
        state = state or ("stopping" if self._leaving else "running")
        self._status.write(state, self._since, self._household.rows())

    def _leave(self, why: str) -> None:
        if self._leaving:
            log.info("%s, and stopping already (%s)", why, self._leaving)
            return
        log.info("stopping: %s", why)
        self._leaving = why
        self._show()  # before any child is asked to leave: it tells a restart from the end by this

    # Signals and the death of supervisord.

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals become bytes on a socket that the loop watches."""
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, _ignore) for number in numbers}
        wakeup_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._take_signals(reader))
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            reader.close()
            writer.close()

    def _take_signals(self, reader: socket.socket) -> None:
        for number in reader.recv(256):
            if number == signal.SIGHUP and not self._job.has_terminal:
                self._reload()
            elif number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                self._leave(f"got {signal.Signals(number).name}")

    def _reload(self) -> None:
        if self._leaving:
            return
        try:
            difference = self._household.move_in()
        except (ConfigError, Unavailable) as error:
            self._job.alert(f"reload refused, nothing has changed: {error}")
            return
        log.info("reload: %s", "; ".join(difference.lines()) or "nothing has changed")

    def _watch_supervisor(self) -> None:
        try:
            pidfd = os.pidfd_open(os.getppid())
        except ProcessLookupError:
            self._leave("supervisord is dead")
            return
        self._stack.callback(os.close, pidfd)

        def dead() -> None:
            self._selector.unregister(pidfd)
            self._leave("supervisord has died")

        self._selector.register(pidfd, selectors.EVENT_READ, dead)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor has told the loop already."""


def _clock() -> float:
    return time.monotonic_ns() / 1e9
