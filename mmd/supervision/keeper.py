"""Keeps one child: carries out what its life cycle asks for, and shows how it is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path

from mmd.cells.layouts import HEALTH, PARENT, WANTED, HealthState, from_text
from mmd.cells.segment import Segment
from mmd.records import killed
from mmd.supervision import proc
from mmd.supervision.child import DUMP_SIGNAL, Birth
from mmd.supervision.lifecycle import (
    ALIVE,
    SILENT,
    UP,
    Action,
    DumpStacks,
    Fork,
    Life,
    Observation,
    Signal,
    State,
    describe_exit,
)
from mmd.supervision.names import PAIRS
from mmd.supervision.nursery import Nursery
from mmd.supervision.spec import ChildSpec
from mmd.supervision.status_block import Row
from mmd.supervision.sweeping import Alert, KillSweep, Sweep
from mmd.supervision.wants import Want
from mmd.words.errors import Exit

MEMORY_EVERY_S = 5.0
DRAIN_MARGIN_S = 0.5
"""How much later than the parent's KILL the kernel ends a child that drains."""


@dataclass(frozen=True)
class House:
    """What all keepers share."""

    home: Path
    segment: Segment
    nursery: Nursery
    lease_s: float
    alert: Callable[[str], None]
    note: Callable[[str], None]
    """Takes a line for the log."""
    luck: Callable[[], float]
    clock: Callable[[], float]
    """Seconds of the monotonic clock, as in heartbeats."""
    beat: Callable[[], None]
    """The parent's own heartbeat."""

    def fork(self, birth: Birth, on_death: Callable[[int], None]) -> int:
        """Starts a child. Beats the parent's heart first: many forks in a row take long on a
        loaded machine. Raises OSError."""
        self.beat()
        return self.nursery.fork(birth, on_death)


class Keeper:
    """One child and, when it is away, its sweep."""

    def __init__(self, house: House, spec: ChildSpec) -> None:
        self.spec = spec
        self.life = Life(spec.limits, house.luck, sweeps=spec.sweep is not None)
        self.retired = False
        """Planned no more; goes once nothing is left of it."""
        self._house = house
        self._health = house.segment.add(HEALTH, spec.name)
        self._wanted = house.segment.add(WANTED, spec.name)
        self._parent = house.segment.add(PARENT, "parent")
        self._since_wall = time.time()
        self._memory_due = 0.0
        self._memory_mb = 0.0
        self._logs = self._name_logs()

    # Commands.

    def start(self) -> None:
        self._write_parameters()
        self._do(self.life.start(self._house.clock()))

    def stop(self) -> None:
        self._do(self.life.stop(self._house.clock()))

    def restart(self) -> None:
        self._write_parameters()
        self._do(self.life.restart(self._house.clock()))

    def show_want(self, want: Want) -> None:
        """Tells the child whether it is paused."""
        self._wanted.write(self._wanted.read()._replace(paused=int(want.paused)))

    def release(self) -> bool:
        """Puts a pair's kill switch back in place, and lets a process come back that it kept
        away; False if it was in place. Raises Unavailable when the disk does not take it."""
        latch = killed.latch_of(self._house.home / "records", self.spec.member)
        if not killed.clear(latch):
            return False
        if self.life.state is State.PARKED:
            self.start()
        return True

    def renew(self, spec: ChildSpec) -> None:
        """Its next start follows the new spec."""
        self.spec = spec
        self.life.limits = spec.limits
        self._logs = self._name_logs()

    def tune(self, spec: ChildSpec) -> None:
        """Gives the child new parameters while it runs."""
        self.renew(spec)
        self._write_parameters()
        state = self._wanted.read()
        self._wanted.write(state._replace(generation=state.generation + 1))

    def signal(self, number: int) -> bool:
        """Sends a signal; False when there is no process."""
        if self.life.pid is None:
            return False
        os.kill(self.life.pid, number)  # not reaped yet, so the pid is still its own
        return True

    def end_sweep(self) -> None:
        """Kills its sweep, if one is running."""
        if self.life.sweeping and self.life.sweeping.pid is not None:
            os.kill(self.life.sweeping.pid, signal.SIGKILL)

    def tick(self, now: float) -> float:
        """Lets time pass; returns when a look is due at the latest."""
        seen = self._look(now)
        self._do(self.life.tick(now, seen))
        silent_at = self.life.silent_at(seen)
        return silent_at if self.life.state in ALIVE and silent_at >= now else inf

    @property
    def is_pausable(self) -> bool:
        return self.spec.group == PAIRS

    def row(self) -> Row:
        """How it is, for people."""
        return Row(
            self.spec.name,
            self.life.pid or 0,
            self.life.state.value,
            self._since_wall,
            max(0, self.life.starts - 1),
            self._describe(),
            *self._logs,
        )

    # What it sees.

    def _look(self, now: float) -> Observation:
        pid = self.life.pid
        if pid is None:
            return SILENT
        health = self._health.read()
        seen = SILENT
        if health.pid == pid:
            seen = Observation(
                ready=bool(health.ready),
                heartbeat=health.heartbeat_ns / 1e9,
                progress=health.progress,
                waiting=health.waiting,
                overflows=health.overflows,
                memory_mb=self._look_at_memory(now, pid),
            )
        if self.life.looks_silent(now, seen):  # the only time that a look at /proc is worth it
            seen = seen._replace(frozen=proc.is_frozen(pid))
        return seen

    def _look_at_memory(self, now: float, pid: int) -> float:
        if now >= self._memory_due:
            self._memory_due = now + MEMORY_EVERY_S
            self._memory_mb = proc.resident_mb(pid)
        return self._memory_mb

    def _describe(self) -> str:
        life, health = self.life, self._health.read()
        parts = [life.reason]
        if life.state in UP and self.spec.describe:
            parts.append(self.spec.describe())
        if life.state is State.STARTING or (life.state in UP and health.pid != life.pid):
            parts.append("not ready yet")
        if self._wanted.read().paused and "paused" not in parts:
            parts.append("paused")
        if life.sweeping and life.sweeping.pid:
            parts.append("sweeping its orders")
        elif life.sweeping and life.sweeping.is_needed and life.state not in ALIVE:
            parts.append("orders may be left")
        if health.overflows:
            parts.append(_count(health.overflows, "overflow"))
        if health.errors:
            parts.append(_count(health.errors, "error"))
        if health.error_text and life.state not in UP and health.error_text not in life.reason:
            parts.append(f"last: {health.error_text}")
        return "; ".join(part for part in parts if part)

    # What it does.

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Fork():
                    self._fork()
                case Signal(number):
                    self.signal(number)
                case DumpStacks():
                    self.signal(DUMP_SIGNAL)
                case Sweep():
                    self._sweep()
                case KillSweep():
                    self.end_sweep()
                case Alert(text):
                    self._house.alert(f"{self.spec.name} {text}")

    def _fork(self) -> None:
        now = self._house.clock()
        spec = self.spec
        birth = Birth(
            name=spec.name,
            entry=spec.entry,
            keeps=spec.keeps,
            drains=spec.drains,
            drain_s=spec.limits.stop_s + DRAIN_MARGIN_S,
            health=self._health,
            parent=self._parent,
            parent_pid=os.getpid(),
            lease_s=self._house.lease_s,
            home=self._house.home,
            error_log=self._error_log(spec.file_name),
            lock=self._lock if spec.drains else None,
        )
        try:
            pid = self._house.fork(birth, self._exited)
        except OSError as error:
            self._do(self.life.fork_failed(now, str(error)))
            return
        self._since_wall = time.time()
        self._memory_due = now + MEMORY_EVERY_S
        self._memory_mb = 0.0
        self.life.started(now, pid)

    def _exited(self, code: int) -> None:
        pid, how = self.life.pid, describe_exit(code)
        self._since_wall = time.time()
        actions = self.life.exited(self._house.clock(), code)
        self._do(actions)  # first of all: the replacement
        self._house.note(f"{self.spec.name} (process {pid}) has ended: {how}")
        if self.life.pid is None:
            self._mark_dead(how)

    def _mark_dead(self, how: str) -> None:
        """Nobody else writes the cell now: its owner is dead."""
        health: HealthState = self._health.read()
        error = health.last_error if health.last_error.rstrip(b"\0") else from_text(how)
        self._health.write(health._replace(pid=0, ready=0, connected=0, last_error=error))

    def _sweep(self) -> None:
        now = self._house.clock()
        entry = self.spec.sweep
        assert entry is not None
        name = f"sweeps:{self.spec.member}"
        birth = Birth(
            name=name,
            entry=entry,
            keeps=(),
            drains=False,
            drain_s=0,
            health=self._house.segment.add(HEALTH, name),
            parent=self._parent,
            parent_pid=os.getpid(),
            lease_s=self._house.lease_s,
            home=self._house.home,
            error_log=self._error_log(f"sweeps-{self.spec.member}"),
            lock=self._lock,
        )
        try:
            pid = self._house.fork(birth, self._sweep_exited)
        except OSError as error:
            self._house.note(f"{name} could not be started: {error}")
            self._do(self.life.sweep_exited(now, Exit.FAILED))
            return
        self.life.sweep_started(now, pid)

    def _sweep_exited(self, code: int) -> None:
        what = "nothing is left" if code == Exit.DONE else describe_exit(code)
        self._house.note(f"sweep of {self.spec.name} has ended: {what}")
        self._do(self.life.sweep_exited(self._house.clock(), code))

    def _write_parameters(self) -> None:
        if not self.spec.parameters:
            return
        path = self._house.home / "run" / f"{self.spec.file_name}.parameters"
        temporary = path.with_name(path.name + ".new")
        try:
            temporary.write_text(self.spec.parameters)
            temporary.rename(path)
        except OSError as error:
            self._house.alert(f"{self.spec.name} keeps its old parameters: {path}: {error}")

    @property
    def _lock(self) -> Path:
        return self._house.home / "run" / f"{self.spec.member}.lock"

    def _name_logs(self) -> tuple[str, str]:
        """Its log and its error log, as rows show them."""
        error_log = str(self._error_log(self.spec.file_name))
        log = str(self._house.home / "log" / self.spec.log) if self.spec.log else error_log
        return log, error_log

    def _error_log(self, file_name: str) -> Path:
        return self._house.home / "log" / "children" / f"{file_name}.log"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
