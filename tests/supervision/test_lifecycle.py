"""The life cycle, under a hand-set clock."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmd.supervision.lifecycle import (
    ALIVE,
    KILL,
    LEGAL,
    TERM,
    Action,
    DumpStacks,
    Fork,
    Life,
    Observation,
    Signal,
    State,
    describe_exit,
)
from mmd.supervision.limits import Limits, backoff
from mmd.supervision.sweeping import Alert, KillSweep, Sweep
from mmd.words.errors import Exit

LIMITS = Limits()


class Subject:
    """A life and its clock. Forks succeed at once."""

    def __init__(self, limits: Limits = LIMITS, *, sweeps: bool = False, luck: float = 0.5) -> None:
        self.life = Life(limits, lambda: luck, sweeps=sweeps)
        self.now = 1000.0
        self.actions: list[Action] = []
        self.beats = True
        self.progress = 0
        self._pid = 100

    def take(self, actions: list[Action]) -> list[Action]:
        self.actions += actions
        for action in actions:
            if isinstance(action, Fork):
                self._pid += 1
                self.life.started(self.now, self._pid)
            if isinstance(action, Sweep):
                self.life.sweep_started(self.now, 7)
        return actions

    def start(self) -> None:
        self.take(self.life.start(self.now))

    def stop(self) -> None:
        self.take(self.life.stop(self.now))

    def restart(self) -> None:
        self.take(self.life.restart(self.now))

    def die(self, code: int) -> list[Action]:
        return self.take(self.life.exited(self.now, code))

    def see(self, after_s: float = 0.1, **changes: object) -> list[Action]:
        """One tick, `after_s` later, of a child that is ready and beats."""
        self.now += after_s
        seen = Observation(ready=True, heartbeat=self.now)._replace(**changes)  # type: ignore[arg-type]
        return self.take(self.life.tick(self.now, seen))

    def run(self, seconds: float, **changes: object) -> list[Action]:
        """Ticks ten times a second."""
        before = len(self.actions)
        for _ in range(round(seconds * 10)):
            self.see(**changes)
        return self.actions[before:]

    def ready(self) -> None:
        self.start()
        self.see()
        assert self.life.state is State.READY


def alerts(actions: list[Action]) -> list[str]:
    return [action.text for action in actions if isinstance(action, Alert)]


def test_a_started_child_becomes_ready_when_it_says_so_and_running_after_a_healthy_while() -> None:
    subject = Subject()
    subject.start()
    assert subject.actions == [Fork()]
    subject.see(ready=False)
    assert subject.life.state is State.STARTING
    subject.see()
    assert subject.life.state is State.READY
    subject.run(LIMITS.healthy_s + 0.2)
    assert subject.life.state is State.RUNNING


def test_the_first_restart_comes_at_once() -> None:
    subject = Subject()
    subject.ready()
    assert subject.die(-signal.SIGKILL) == [Fork()]
    assert subject.life.state is State.STARTING


def test_later_restarts_wait_twice_as_long_each_time_with_jitter_and_a_cap() -> None:
    waits = [backoff(failures, LIMITS, 1.0) for failures in range(1, 10)]
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert backoff(5, LIMITS, 0.5) == 1.0
    assert backoff(5, LIMITS, 0.0) == 0.05, "never a hot loop"
    assert backoff(10_000, LIMITS, 1.0) == 10.0


def test_a_backing_off_child_starts_when_its_time_has_come_and_not_before() -> None:
    subject = Subject(luck=1.0)
    subject.ready()
    subject.die(1)
    subject.die(1)
    assert subject.life.state is State.BACKING_OFF
    subject.see(0.2)
    assert subject.life.state is State.BACKING_OFF
    assert subject.see(0.1) == [Fork()]


def test_failures_are_forgotten_after_a_healthy_while_only() -> None:
    subject = Subject()
    subject.ready()
    subject.die(1)
    subject.run(LIMITS.healthy_s - 1)
    assert subject.life.failures == 1
    subject.run(2)
    assert subject.life.failures == 0
    assert Fork() in subject.die(1)


def test_too_many_deaths_in_a_while_park_it_with_an_alert() -> None:
    subject = Subject(Limits(restarts=3, within_s=60))
    subject.start()
    for _ in range(3):
        subject.die(1)
        subject.run(5, ready=False)
    actions = subject.die(1)
    assert subject.life.state is State.PARKED
    assert len(alerts(actions)) == 1
    assert Fork() not in subject.run(300)


def test_deaths_far_apart_do_not_park_it() -> None:
    subject = Subject(Limits(restarts=3, within_s=10))
    subject.start()
    for _ in range(20):
        subject.die(1)
        subject.run(11)
    assert subject.life.state in ALIVE


def test_an_unreachable_venue_backs_off_but_is_never_parked() -> None:
    subject = Subject(Limits(restarts=3))
    subject.start()
    for _ in range(30):
        subject.die(Exit.UNREACHABLE)
        subject.run(11, ready=False)
    assert subject.life.state is State.STARTING


@pytest.mark.parametrize("code", [Exit.CONFIG, Exit.USAGE])
def test_exit_codes_that_a_restart_cannot_help_park_it_at_once(code: int) -> None:
    subject = Subject()
    subject.ready()
    assert alerts(subject.die(code))
    assert subject.life.state is State.PARKED


def test_a_parked_child_comes_back_by_command_with_a_clean_record() -> None:
    subject = Subject()
    subject.ready()
    subject.die(Exit.CONFIG)
    subject.start()
    assert subject.life.state is State.STARTING
    assert subject.life.failures == 0


def test_a_commanded_stop_is_never_undone() -> None:
    subject = Subject()
    subject.ready()
    subject.stop()
    assert subject.actions[-1] == TERM
    assert subject.life.state is State.STOPPING
    subject.die(-signal.SIGTERM)
    assert subject.life.state is State.STOPPED
    assert Fork() not in subject.run(600)


@pytest.mark.parametrize("code", [0, 1, Exit.CONFIG, -signal.SIGKILL])
def test_a_stopped_child_stays_down_however_it_died(code: int) -> None:
    subject = Subject()
    subject.ready()
    subject.stop()
    subject.die(code)
    assert subject.life.state is State.STOPPED


def test_a_stop_while_backing_off_prevents_the_start() -> None:
    subject = Subject(luck=1.0)
    subject.ready()
    subject.die(1)
    subject.die(1)
    subject.stop()
    assert Fork() not in subject.run(60)


def test_a_start_while_stopping_brings_it_back_without_counting_a_failure() -> None:
    subject = Subject()
    subject.ready()
    subject.stop()
    subject.start()
    assert subject.die(0) == [Fork()]
    assert subject.life.failures == 0


def test_a_commanded_restart_counts_no_failure_and_does_not_wait() -> None:
    subject = Subject(Limits(restarts=1))
    subject.ready()
    for _ in range(10):
        subject.restart()
        assert subject.actions[-1] == TERM
        assert subject.die(-signal.SIGTERM) == [Fork()]
        subject.see()
    assert subject.life.failures == 0


def test_a_child_that_does_not_leave_in_time_is_killed() -> None:
    subject = Subject()
    subject.ready()
    subject.stop()
    assert KILL not in subject.run(LIMITS.stop_s - 0.2)
    assert KILL in subject.run(0.5)


def test_a_silent_child_dumps_its_stacks_and_is_killed_at_the_next_pass() -> None:
    subject = Subject()
    subject.ready()
    silent_since = subject.now
    assert subject.run(LIMITS.stall_s - 0.1, heartbeat=silent_since) == []
    actions = subject.see(0.15, heartbeat=silent_since)
    assert DumpStacks() in actions
    assert KILL not in actions
    assert subject.see(heartbeat=silent_since) == [KILL]
    subject.die(-signal.SIGKILL)
    assert subject.life.failures == 1


def test_a_frozen_child_is_killed_straight_away() -> None:
    subject = Subject()
    subject.ready()
    actions = subject.see(0.4, frozen=True, heartbeat=subject.now)
    assert actions == [], "frozen, but not for longer than its limit"
    actions = subject.run(0.8, frozen=True, heartbeat=subject.now - 0.4)
    assert DumpStacks() not in actions
    assert KILL in actions


def test_a_starting_child_may_be_silent_for_longer() -> None:
    subject = Subject()
    subject.start()
    assert subject.run(LIMITS.start_s - 0.5, ready=False, heartbeat=0.0) == []
    assert DumpStacks() in subject.run(1, ready=False, heartbeat=0.0)


def test_a_child_that_beats_but_is_long_in_getting_ready_is_told_of_and_left_alone() -> None:
    subject = Subject()
    subject.start()
    actions = subject.run(10 * LIMITS.start_s, ready=False)
    assert len(alerts(actions)) == 1
    assert subject.life.state is State.STARTING


def test_work_that_waits_without_progress_is_a_stall_though_the_heart_beats() -> None:
    subject = Subject()
    subject.ready()
    assert subject.run(LIMITS.progress_s - 0.5, waiting=3, progress=1) == []
    assert DumpStacks() in subject.run(1.5, waiting=3, progress=1)


def test_no_progress_without_work_is_no_stall() -> None:
    subject = Subject()
    subject.ready()
    assert subject.run(10 * LIMITS.progress_s, waiting=0, progress=1) == []


def test_progress_under_load_is_no_stall() -> None:
    subject = Subject()
    subject.ready()
    for progress in range(int(10 * LIMITS.progress_s)):
        assert subject.see(1 / 3, waiting=9, progress=progress) == []


def test_the_parents_own_late_tick_blames_nobody() -> None:
    subject = Subject()
    subject.ready()
    silent_since = subject.now
    assert subject.see(60, heartbeat=silent_since, waiting=1) == []
    assert subject.run(LIMITS.stall_s - 0.2, heartbeat=silent_since) == []
    assert DumpStacks() in subject.run(0.4, heartbeat=silent_since), "but a silence after it counts"


def test_a_late_tick_gives_a_stopping_child_its_time_anew() -> None:
    subject = Subject()
    subject.ready()
    subject.stop()
    assert subject.see(10 * LIMITS.stop_s) == []
    assert KILL in subject.run(LIMITS.stop_s + 0.2)


def test_a_stopping_child_that_is_frozen_is_killed_at_once() -> None:
    subject = Subject()
    subject.ready()
    subject.stop()
    silent_since = subject.now
    subject.now += LIMITS.stall_s + 0.01
    assert subject.life.looks_silent(subject.now, Observation(heartbeat=silent_since))
    assert subject.see(0.1, heartbeat=silent_since, frozen=True) == [KILL]


def test_it_is_told_when_a_silence_will_be_too_long() -> None:
    subject = Subject()
    subject.start()
    assert subject.life.silent_at(Observation()) == subject.now + LIMITS.start_s
    subject.see()
    beat = subject.now
    assert subject.life.silent_at(Observation(heartbeat=beat)) == beat + LIMITS.stall_s


def test_overflows_that_persist_restart_it() -> None:
    subject = Subject(Limits(overflows=5, overflow_within_s=10))
    subject.start()
    subject.see(overflows=100)
    assert TERM not in subject.run(20, overflows=105)
    actions: list[Action] = []
    for count in range(106, 112):
        actions += subject.see(overflows=count)
    assert TERM in actions
    assert alerts(actions)


def test_overflows_of_an_earlier_process_are_not_held_against_it() -> None:
    subject = Subject(Limits(overflows=5))
    subject.start()
    assert TERM not in subject.run(5, overflows=1000)


def test_a_child_that_outgrows_its_memory_is_restarted() -> None:
    subject = Subject()
    subject.ready()
    assert TERM in subject.see(memory_mb=LIMITS.memory_mb + 1)


def test_a_fork_that_fails_is_tried_again() -> None:
    subject = Subject()
    life = subject.life
    assert life.start(subject.now) == [Fork()]
    assert life.fork_failed(subject.now, "no memory") == [Fork()]
    life.fork_failed(subject.now, "no memory")
    assert life.state is State.BACKING_OFF
    assert "no memory" in life.reason


def test_what_a_dead_pair_left_is_swept_when_it_stays_away() -> None:
    subject = Subject(sweeps=True)
    subject.ready()
    assert Sweep() in subject.die(Exit.CONFIG)
    subject.take(subject.life.sweep_exited(subject.now, 0))
    assert subject.life.is_settled
    assert Sweep() not in subject.run(60)


def test_a_pair_that_left_in_good_order_needs_no_sweep() -> None:
    subject = Subject(sweeps=True)
    subject.ready()
    subject.stop()
    assert Sweep() not in subject.die(0)
    assert subject.life.is_settled


def test_a_pair_that_is_back_at_once_needs_no_sweep() -> None:
    subject = Subject(sweeps=True)
    subject.ready()
    assert subject.die(-signal.SIGKILL) == [Fork()]


def test_a_stopped_pair_of_an_earlier_life_is_swept() -> None:
    subject = Subject(sweeps=True)
    assert subject.see() == [Sweep()]


def test_a_start_ends_the_sweep_first_and_waits_for_its_death() -> None:
    subject = Subject(sweeps=True)
    subject.see()
    subject.start()
    assert subject.actions[-1] == KillSweep()
    assert subject.life.state is State.BACKING_OFF, "never two workers of one pair at a time"
    actions = subject.take(subject.life.sweep_exited(subject.now, -signal.SIGKILL))
    assert actions == [Fork()]


def test_a_sweep_is_tried_until_it_is_proven() -> None:
    subject = Subject(sweeps=True)
    subject.see()
    for _ in range(5):
        subject.take(subject.life.sweep_exited(subject.now, Exit.ORDERS_LEFT))
        assert not subject.life.is_settled
        assert Sweep() in subject.run(31)
    subject.take(subject.life.sweep_exited(subject.now, 0))
    assert subject.life.is_settled


def test_a_sweep_that_takes_too_long_is_killed() -> None:
    subject = Subject(sweeps=True)
    subject.see()
    assert KillSweep() in subject.run(LIMITS.sweep_s + 1)


def test_every_death_is_told_in_words() -> None:
    assert describe_exit(-9) == "killed by SIGKILL"
    assert describe_exit(3) == "exit code 3 (config)"
    assert describe_exit(77) == "exit code 77"


@given(st.sampled_from(State), st.sampled_from(State))
def test_no_change_but_the_legal_ones_is_possible(before: State, after: State) -> None:
    life = Life(LIMITS, lambda: 0.5)
    life.state = before
    if after in LEGAL[before]:
        life._change(after, 1.0, "")
        assert life.state is after
        return
    with pytest.raises(AssertionError, match="legal"):
        life._change(after, 1.0, "")


class AnyStory(RuleBasedStateMachine):
    """Whatever happens, in whatever order: no illegal arrow, and these always hold."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(Limits(restarts=4), lambda: 0.5, sweeps=True)
        self.now = 0.0
        self.worker = False
        self.sweep = False
        self.wanted = False

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Fork():
                    assert not self.worker, "two workers"
                    assert not self.sweep, "a worker beside a sweep"
                    assert self.wanted, "a start that nobody wants"
                    self.worker = True
                    self.life.started(self.now, 1)
                case Sweep():
                    assert not self.worker, "a sweep beside a worker"
                    assert not self.sweep, "two sweeps"
                    self.sweep = True
                    self.life.sweep_started(self.now, 2)
                case Signal() | DumpStacks():
                    assert self.worker, "a signal to nobody"
                case KillSweep():
                    assert self.sweep

    @rule()
    def start(self) -> None:
        self.wanted = True
        self.take(self.life.start(self.now))

    @rule()
    def stop(self) -> None:
        self.wanted = False
        self.take(self.life.stop(self.now))

    @rule()
    def restart(self) -> None:
        self.wanted = True
        self.take(self.life.restart(self.now))

    @rule(
        seconds=st.sampled_from([0.1, 0.1, 0.4, 2.0, 40.0]),
        ready=st.booleans(),
        silence=st.sampled_from([0.0, 0.5, 5.0, 100.0]),
        waiting=st.integers(0, 1),
        frozen=st.booleans(),
        overflows=st.integers(0, 50),
        memory=st.sampled_from([10.0, 1000.0]),
    )
    def tick(
        self,
        seconds: float,
        ready: bool,
        silence: float,
        waiting: int,
        frozen: bool,
        overflows: int,
        memory: float,
    ) -> None:
        self.now += seconds
        seen = Observation(ready, self.now - silence, 0, waiting, overflows, frozen, memory)
        self.take(self.life.tick(self.now, seen))

    @precondition(lambda self: self.worker)
    @rule(code=st.sampled_from([0, 1, 2, 3, 4, 5, -9, -15]))
    def worker_dies(self, code: int) -> None:
        self.worker = False
        self.take(self.life.exited(self.now, code))

    @precondition(lambda self: self.sweep)
    @rule(code=st.sampled_from([0, 1, 5, -9]))
    def sweep_dies(self, code: int) -> None:
        self.sweep = False
        self.take(self.life.sweep_exited(self.now, code))

    @invariant()
    def a_process_lives_exactly_in_the_living_states(self) -> None:
        assert self.worker == (self.life.state in ALIVE) == (self.life.pid is not None)

    @invariant()
    def nothing_settles_while_wanted_but_a_parked_one(self) -> None:
        if self.life.is_settled and self.wanted:
            assert self.life.state is State.PARKED


TestAnyStory = AnyStory.TestCase
