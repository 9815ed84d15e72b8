"""The budget holds for all processes together, and hangs on none of them."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmd.venues.ace.budget import Bucket, Budget, BudgetSpec, Priority, left
from mmd.venues.ace.calls import balances, cancel
from mmd.venues.ace.protocol import Call
from mmd.venues.ace.throttle import Throttled
from mmd.words.errors import RateLimited

SECOND = 10**9
FORK = multiprocessing.get_context("fork")


def spec(folder: Path, rate: str | None = "10", burst: int = 20) -> BudgetSpec:
    return BudgetSpec(folder, None if rate is None else Decimal(rate), burst)


def take_all(budget: Budget, priority: Priority, now_ns: int) -> int:
    """How many requests of a class are granted at a moment."""
    count = 0
    while budget.try_take(priority, now_ns):
        count += 1
    return count


def test_each_class_leaves_to_its_betters_what_is_theirs(tmp_path: Path) -> None:
    with Budget(spec(tmp_path), "key") as budget:
        assert take_all(budget, Priority.POLL, SECOND) == 12
        assert take_all(budget, Priority.FAR, SECOND) == 4
        assert take_all(budget, Priority.TOUCH, SECOND) == 4
        assert take_all(budget, Priority.HARM_CANCEL, SECOND) == 20
        assert not budget.try_take(Priority.HARM_CANCEL, SECOND)


@pytest.mark.parametrize("priority", Priority)
def test_even_a_burst_of_one_serves_every_class(tmp_path: Path, priority: Priority) -> None:
    with Budget(spec(tmp_path, burst=1), "key") as budget:
        assert budget.try_take(priority, SECOND)


def test_tokens_come_back_at_the_rate(tmp_path: Path) -> None:
    with Budget(spec(tmp_path), "key") as budget:
        assert take_all(budget, Priority.TOUCH, SECOND) == 20
        assert take_all(budget, Priority.TOUCH, SECOND + SECOND // 2) == 5
        assert take_all(budget, Priority.TOUCH, 100 * SECOND) == 20


def test_without_a_rate_everything_is_granted(tmp_path: Path) -> None:
    with Budget(spec(tmp_path, rate=None), "key") as budget:
        assert all(budget.try_take(Priority.POLL, 0) for _ in range(1000))


def test_keys_have_budgets_of_their_own_and_are_not_shown(tmp_path: Path) -> None:
    with Budget(spec(tmp_path), "one") as one, Budget(spec(tmp_path), "two") as two:
        assert take_all(one, Priority.TOUCH, SECOND) == 20
        assert take_all(two, Priority.TOUCH, SECOND) == 20
    assert len(list(tmp_path.iterdir())) == 2
    assert not any("one" in path.name or "two" in path.name for path in tmp_path.iterdir())


def test_the_budget_outlives_the_process_that_used_it(tmp_path: Path) -> None:
    with Budget(spec(tmp_path), "key") as budget:
        assert take_all(budget, Priority.TOUCH, SECOND) == 20
    with Budget(spec(tmp_path), "key") as budget:
        assert take_all(budget, Priority.TOUCH, SECOND) == 0


def test_a_file_of_another_boot_is_a_full_bucket(tmp_path: Path) -> None:
    """The monotonic clock starts anew with the machine."""
    with Budget(spec(tmp_path), "key") as budget:
        assert take_all(budget, Priority.TOUCH, 10**6 * SECOND) == 20
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"\1" * 8 + path.read_bytes()[8:])
    with Budget(spec(tmp_path), "key") as budget:
        assert take_all(budget, Priority.TOUCH, SECOND) == 20


def test_slowing_down_stops_all_but_harm_cancels(tmp_path: Path) -> None:
    with Budget(spec(tmp_path), "key") as budget:
        budget.slow_down(3.0, SECOND)
        assert not budget.try_take(Priority.TOUCH, 3 * SECOND)
        assert budget.try_take(Priority.HARM_CANCEL, 3 * SECOND)
        assert budget.try_take(Priority.TOUCH, 5 * SECOND)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(Priority), st.integers(0, 2 * SECOND), st.integers(1, 3))),
    st.integers(1, 30),
    st.integers(1, 50),
)
def test_never_more_is_granted_than_burst_and_rate_allow(
    asks: list[tuple[Priority, int, int]], burst: int, rate: int
) -> None:
    token = 10**12
    now, bucket = 0, Bucket(burst * token, 0, 0)
    granted: list[tuple[int, Priority, int]] = []
    for priority, step, n in asks:
        now += step
        bucket = bucket.at(now, rate * 1000, burst * token)
        after = bucket.take(priority, now, n * token, burst * token)
        if after is not None:
            bucket = after
            granted.append((now, priority, n))
    for at, (since, _, _) in enumerate(granted):
        seconds = (granted[-1][0] - since) / SECOND
        window = granted[at:]
        gentle = sum(n for _, priority, n in window if priority is not Priority.HARM_CANCEL)
        assert gentle <= burst + rate * seconds + 1e-6
        assert sum(n for _, _, n in window) <= 2 * burst + rate * seconds + 1e-6


def _taker(folder: Path, now_ns: int, rounds: int, out: Connection) -> None:
    with Budget(spec(folder, burst=200), "key") as budget:
        out.send(sum(budget.try_take(Priority.TOUCH, now_ns) for _ in range(rounds)))


def test_processes_share_one_bucket(tmp_path: Path) -> None:
    ends = []
    for _ in range(4):
        here, there = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_taker, args=(tmp_path, SECOND, 100, there))
        process.start()
        there.close()
        ends.append((process, here))
    taken = [here.recv() for _, here in ends]
    for process, here in ends:
        process.join()
        here.close()
    assert sum(taken) == 200


def _hold(path: Path, ready: Connection) -> None:
    fd = os.open(path, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    ready.send(True)
    time.sleep(60)


@contextmanager
def holder(path: Path) -> Iterator[int]:
    """Another process, frozen while it holds the lock; yields its pid."""
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_hold, args=(path, there))
    process.start()
    there.close()
    assert here.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()
        here.close()


def test_a_frozen_holder_delays_no_harm_cancel_and_opens_no_floodgate(tmp_path: Path) -> None:
    with Budget(spec(tmp_path), "key") as budget:
        assert budget.try_take(Priority.TOUCH, SECOND)
        (path,) = tmp_path.iterdir()
        with holder(path):
            began = time.monotonic()
            assert budget.try_take(Priority.HARM_CANCEL, SECOND)
            assert time.monotonic() - began < 0.2
            began = time.monotonic()
            assert not budget.try_take(Priority.TOUCH, SECOND)
            budget.slow_down(1, SECOND)
            assert take_all(budget, Priority.HARM_CANCEL, SECOND) == 19
            assert time.monotonic() - began < 0.2
        assert budget.try_take(Priority.TOUCH, SECOND)


class _Venue:
    """Answers at once; the first answer may be to slow down."""

    def __init__(self, *errors: RateLimited) -> None:
        self.errors = list(errors)
        self.asked: list[Call[object]] = []

    def call(self, call: Call[object]) -> object:
        self.asked.append(call)
        if self.errors:
            raise self.errors.pop(0)
        return None


def test_a_throttled_caller_waits_for_leave_but_not_with_a_cancel(tmp_path: Path) -> None:
    naps: list[float] = []
    with Budget(spec(tmp_path, rate="0.001", burst=5), "key") as budget:
        take_all(budget, Priority.TOUCH, time.monotonic_ns())
        venue = _Venue()

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                budget.try_take(Priority.TOUCH, 0)
                raise TimeoutError

        throttled = Throttled(venue, budget, Priority.POLL, sleep)  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            throttled.call(balances())
        assert venue.asked == []
        throttled.call(cancel("1"))
        assert len(venue.asked) == 1


def test_who_waited_long_is_not_starved_by_busy_pairs(tmp_path: Path) -> None:
    """The pairs leave nothing above what only touch orders may take."""
    now = [SECOND]
    with Budget(spec(tmp_path), "key") as budget:
        take_all(budget, Priority.FAR, now[0])

        def sleep(seconds: float) -> None:
            now[0] += int(seconds * SECOND)
            take_all(budget, Priority.FAR, now[0])

        venue = _Venue()
        throttled = Throttled(venue, budget, Priority.POLL, sleep, lambda: now[0])  # type: ignore[arg-type]
        throttled.call(balances())
    assert len(venue.asked) == 1
    assert SECOND < now[0] - SECOND < 2 * SECOND


def test_a_throttled_caller_tells_the_others_to_slow_down(tmp_path: Path) -> None:
    with Budget(spec(tmp_path), "key") as budget:
        venue = _Venue(RateLimited("slow", 30))
        throttled = Throttled(venue, budget, Priority.POLL)  # type: ignore[arg-type]
        with pytest.raises(RateLimited):
            throttled.call(balances())
        assert not budget.try_take(Priority.TOUCH, time.monotonic_ns())


def test_who_merely_looks_sees_what_is_left_even_while_the_lock_is_held(tmp_path: Path) -> None:
    chosen = spec(tmp_path)
    now_ns = time.monotonic_ns()
    assert left(chosen, now_ns) is None, "nobody has used it yet"
    with closing(Budget(chosen, "key")) as budget:
        assert take_all(budget, Priority.TOUCH, now_ns) == 20
        file = next(tmp_path.glob("budget-*"))
        with file.open("r+b") as held:
            fcntl.lockf(held, fcntl.LOCK_EX)
            assert left(chosen, now_ns) == 0
            assert left(chosen, now_ns + SECOND) == 10
            assert left(chosen, now_ns + 60 * SECOND) == 20
    assert left(spec(tmp_path, None), now_ns) is None
