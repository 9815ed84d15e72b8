"""The life cycle of one child: a state machine that touches nothing.

Events go in as method calls with the time as argument (seconds of the monotonic clock), actions
come out as a list. Every change of state goes through `_change`, which asserts that the arrow is
legal. Who carries the actions out is `mmd.supervision.keeper`.

    stopped ──▶ backing_off ──▶ starting ──▶ ready ──▶ running
       ▲          ▲    ▲            │          │          │
       │          │    └────────────┴── dies ──┴──────────┤
    parked ───────┘      stalled ◀── silent, frozen ──────┤
       ▲                 stopping ◀── TERM ───────────────┘

Whatever has died goes to `stopped` when it is not wanted, to `parked` when a restart cannot help,
else to `backing_off`, which the first failure leaves at once.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from mmd.supervision.limits import Limits, Tally, backoff
from mmd.supervision.sweeping import Alert, KillSweep, Sweep, Sweeping
from mmd.words.errors import Exit


class State(Enum):
    """Where a child is in its life."""

    STOPPED = "stopped"
    """Dead because nobody wants it."""
    BACKING_OFF = "backing_off"
    """Dead, and about to be started."""
    STARTING = "starting"
    """Forked; has not said yet that it does its job."""
    READY = "ready"
    """Does its job; earlier failures are not forgotten yet."""
    RUNNING = "running"
    """Has done its job for a healthy while."""
    STALLED = "stalled"
    """Found hanging; asked for its stacks, to be killed at the next pass."""
    STOPPING = "stopping"
    """Asked to leave by TERM."""
    PARKED = "parked"
    """Dead, and a restart cannot help: a person must act."""


ALIVE = frozenset({State.STARTING, State.READY, State.RUNNING, State.STALLED, State.STOPPING})
UP = frozenset({State.READY, State.RUNNING})

_DEATHS = frozenset({State.BACKING_OFF, State.PARKED, State.STOPPED})
LEGAL: dict[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.BACKING_OFF}),
    State.PARKED: frozenset({State.BACKING_OFF, State.STOPPED}),
    State.BACKING_OFF: frozenset({State.STARTING, State.STOPPED}),
    State.STARTING: frozenset({State.READY, State.STALLED, State.STOPPING}) | _DEATHS,
    State.READY: frozenset({State.RUNNING, State.STALLED, State.STOPPING}) | _DEATHS,
    State.RUNNING: frozenset({State.STALLED, State.STOPPING}) | _DEATHS,
    State.STALLED: _DEATHS,
    State.STOPPING: _DEATHS,
}

LATE_TICK_S = 0.5
"""A tick later than this was the parent's own fault, so it blames nobody."""
SWEEP_WORTH_S = 0.3
"""Orders of a child that stays away for longer are swept meanwhile."""
NO_RESTART = frozenset({Exit.CONFIG, Exit.USAGE})
"""Exit codes that mean: the same again would end the same."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Start the process, then call `started` or `fork_failed`."""


@dataclass(frozen=True, slots=True)
class Signal:
    number: signal.Signals


@dataclass(frozen=True, slots=True)
class DumpStacks:
    """Have the process write all its stacks into its log."""


Action = Fork | Signal | DumpStacks | Alert | Sweep | KillSweep
KILL = Signal(signal.SIGKILL)
TERM = Signal(signal.SIGTERM)


class Observation(NamedTuple):
    """What the parent sees of a living child; its counters start anew with each process."""

    ready: bool = False
    heartbeat: float = 0.0
    """Time of the last beat, on the clock of `now`."""
    progress: int = 0
    waiting: int = 0
    overflows: int = 0
    frozen: bool = False
    """Stopped by SIGSTOP or a debugger."""
    memory_mb: float = 0.0


SILENT = Observation()


def describe_exit(code: int) -> str:
    """How a process ended, from its exit code or negative signal number."""
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    try:
        name = Exit(code).name.lower().replace("_", " ")
    except ValueError:
        return f"exit code {code}"
    return f"exit code {code} ({name})"


class Life:
    """One child's life. See the module's text."""

    def __init__(self, limits: Limits, luck: Callable[[], float], *, sweeps: bool = False) -> None:
        """`luck` gives random numbers in [0, 1); `sweeps`: a death may leave orders behind."""
        self.limits = limits
        self.state = State.STOPPED
        self.wanted = False
        """Whether somebody wants it up. Only commands change this."""
        self.since = 0.0
        self.reason = ""
        """Why it is where it is, for people."""
        self.pid: int | None = None
        self.starts = 0
        self.failures = 0
        """Deaths in a row, without a healthy while in between."""
        self.due = 0.0
        """When a waiting child is started."""
        self.sweeping = Sweeping(limits.sweep_s) if sweeps else None
        self._luck = luck
        self._deaths = Tally(limits.within_s)
        self._overflows = Tally(limits.overflow_within_s)
        self._blameless = False
        """Whether the coming death is commanded and so counts against nobody."""
        self._ticked: float | None = None
        self._excused = 0.0
        self._progress = (0, 0.0)
        self._overflows_seen: int | None = None
        self._warned_not_ready = False

    # Commands. They alone decide what is wanted.

    def start(self, now: float) -> list[Action]:
        """Wants it up, and forgets why it was parked or backing off."""
        self.wanted = True
        if self.state in ALIVE:
            self._blameless = self.state is State.STOPPING
            return []
        self._forgive()
        return self._begin(now)

    def stop(self, now: float) -> list[Action]:
        """Wants it down, and keeps it there."""
        self.wanted = False
        if self.state in (State.STOPPED, State.STOPPING, State.STALLED):
            return []
        if self.state in ALIVE:
            return self._ask_to_leave(now, "asked to stop")
        self._change(State.STOPPED, now, "stopped")
        return self._sweep(now)

    def restart(self, now: float) -> list[Action]:
        """Wants it up anew: a living one leaves first."""
        if self.state not in ALIVE:
            return self.start(now)
        self.wanted = True
        self._forgive()
        self._blameless = True
        if self.state in (State.STOPPING, State.STALLED):
            return []
        return self._ask_to_leave(now, "asked to restart")

    # Events.

    def started(self, now: float, pid: int) -> None:
        """The fork that was asked for has been made."""
        assert self.state is State.STARTING
        self.pid = pid
        self.starts += 1
        self._progress = (0, now)
        self._overflows_seen = None
        self._overflows.clear()
        self._warned_not_ready = False
        self._blameless = False
        if self.sweeping:
            self.sweeping.soil()

    def fork_failed(self, now: float, text: str) -> list[Action]:
        """The fork that was asked for could not be made."""
        return self._died(now, Exit.FAILED, f"could not be started: {text}")

    def exited(self, now: float, code: int) -> list[Action]:
        """The process is dead and reaped. A negative code is a signal's number."""
        assert self.state in ALIVE
        if self.sweeping and code == Exit.DONE:
            self.sweeping.dirty = False  # it left in good order, and proved it
        return self._died(now, code, describe_exit(code))

    def sweep_started(self, now: float, pid: int) -> None:
        assert self.sweeping
        self.sweeping.started(now, pid)

    def sweep_exited(self, now: float, code: int) -> list[Action]:
        """The sweep is dead and reaped."""
        assert self.sweeping
        actions: list[Action] = list(self.sweeping.exited(now, code))
        return actions + self._pass_time(now)

    def tick(self, now: float, seen: Observation = SILENT) -> list[Action]:
        """Lets time pass. To be called several times a second."""
        if self._ticked is not None and now - self._ticked > LATE_TICK_S:
            self._excused = now
        self._ticked = now
        if self.state is State.STALLED:
            return [KILL]
        if self.state is State.STOPPING:
            overdue = self._patience_over(now, self.since, self.limits.stop_s)
            return [KILL] if overdue or seen.frozen else []
        if self.state in ALIVE:
            return self._judge(now, seen)
        return self._pass_time(now)

    def looks_silent(self, now: float, seen: Observation) -> bool:
        """Whether the heart has been silent too long; then a look at the process is worth it."""
        return self._patience_over(now, max(seen.heartbeat, self.since), self._silence_s)

    def silent_at(self, seen: Observation) -> float:
        """When the heart will have been silent too long, if it does not beat again."""
        return max(seen.heartbeat, self.since, self._excused) + self._silence_s

    @property
    def _silence_s(self) -> float:
        return self.limits.start_s if self.state is State.STARTING else self.limits.stall_s

    @property
    def is_settled(self) -> bool:
        """Dead for good, with nothing left to sweep."""
        swept = self.sweeping is None or not self.sweeping.is_needed
        return self.state in (State.STOPPED, State.PARKED) and swept

    # How a living child is judged.

    def _judge(self, now: float, seen: Observation) -> list[Action]:
        if seen.ready and self.state is State.STARTING:
            self._change(State.READY, now, "")
        if self.looks_silent(now, seen):
            silence = now - max(seen.heartbeat, self.since)
            return self._stalled(now, seen, f"no heartbeat for {silence:.1f} s")
        if self._stands_still(now, seen):
            return self._stalled(now, seen, f"{seen.waiting} waiting and no progress")
        if trouble := self._trouble(now, seen):
            return [Alert(f"restarted: {trouble}"), *self._ask_to_leave(now, trouble)]
        return self._ripen(now)

    def _ripen(self, now: float) -> list[Action]:
        age = now - self.since
        if self.state is State.READY and age >= self.limits.healthy_s:
            self._change(State.RUNNING, now, "")
            self.failures = 0
        if self.state is not State.STARTING or self._warned_not_ready:
            return []
        if not self._patience_over(now, self.since, self.limits.start_s):
            return []
        self._warned_not_ready = True  # its heart beats, so a restart would not help it
        return [Alert(f"is up but not ready for {age:.0f} s")]

    def _stalled(self, now: float, seen: Observation, text: str) -> list[Action]:
        if seen.frozen:
            self._change(State.STALLED, now, "frozen (stopped by a signal)")
            return [Alert(self.reason), KILL]
        self._change(State.STALLED, now, text)
        return [Alert(f"stalled: {text}"), DumpStacks()]

    def _stands_still(self, now: float, seen: Observation) -> bool:
        progress, moved = self._progress
        if seen.progress != progress or not seen.waiting:
            self._progress = (seen.progress, now)
            return False
        return self._patience_over(now, moved, self.limits.progress_s)

    def _trouble(self, now: float, seen: Observation) -> str:
        before = seen.overflows if self._overflows_seen is None else self._overflows_seen
        self._overflows_seen = seen.overflows
        grown = max(0, seen.overflows - before)
        if self._overflows.add(now, min(grown, 1000)) > self.limits.overflows:
            return "overflows persist"
        if seen.memory_mb > self.limits.memory_mb:
            return f"{seen.memory_mb:.0f} MB of memory, over its limit"
        return ""

    def _patience_over(self, now: float, since: float, limit_s: float) -> bool:
        return now - max(since, self._excused) > limit_s

    # How a dead one comes back, or not.

    def _died(self, now: float, code: int, how: str) -> list[Action]:
        if self.state in (State.STALLED, State.STOPPING) and self.reason:
            how = f"{self.reason}; {how}"
        self.pid = None
        blameless, self._blameless = self._blameless, False
        if not self.wanted:
            self._change(State.STOPPED, now, how)
            return self._sweep(now)
        if blameless:
            return self._begin(now)
        if code in NO_RESTART:
            return self._park(now, how)
        self.failures += 1
        # An unreachable venue is no fault of the child's: ride it out.
        if code != Exit.UNREACHABLE and self._deaths.add(now) > self.limits.restarts:
            return self._park(now, f"died more than {self.limits.restarts} times; {how}")
        self._change(State.BACKING_OFF, now, how)
        self.due = now + backoff(self.failures, self.limits, self._luck())
        return self._pass_time(now)

    def _park(self, now: float, why: str) -> list[Action]:
        self._change(State.PARKED, now, why)
        return [Alert(f"parked: {why}"), *self._sweep(now)]

    def _begin(self, now: float) -> list[Action]:
        """The only way up, as soon as no sweep is in the way."""
        if self.state is not State.BACKING_OFF:
            self._change(State.BACKING_OFF, now, "")
        self.due = now
        return self._pass_time(now)

    def _pass_time(self, now: float) -> list[Action]:
        """What the passing of time asks of a dead child: a start, or a sweep."""
        if self.state is not State.BACKING_OFF or now < self.due:
            return self._sweep(now)
        if self.sweeping and self.sweeping.pid is not None:
            return [KillSweep()]  # the child takes over; it starts once the sweep is reaped
        self._change(State.STARTING, now, self.reason)
        return [Fork()]

    def _sweep(self, now: float) -> list[Action]:
        if self.sweeping is None:
            return []
        stays_away = self.state is not State.BACKING_OFF or self.due - now > SWEEP_WORTH_S
        return list(self.sweeping.tick(now, may_begin=stays_away))

    def _ask_to_leave(self, now: float, why: str) -> list[Action]:
        self._change(State.STOPPING, now, why)
        return [TERM]

    def _forgive(self) -> None:
        self.failures = 0
        self._deaths.clear()

    def _change(self, to: State, now: float, reason: str) -> None:
        assert to in LEGAL[self.state], f"{self.state.value} -> {to.value} is not a legal arrow"
        self.state, self.since, self.reason = to, now, reason
