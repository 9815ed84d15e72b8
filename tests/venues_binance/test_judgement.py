"""Overload, quietness, waiting times and refusals: the pure judgements about a connection."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.venues.binance.overload import Overload
from mmd.venues.binance.quiet import Quiet
from mmd.venues.binance.refusal import refusal
from mmd.venues.binance.retry import Retry
from mmd.words.errors import Fatal, RateLimited, Refused, Unavailable

SECOND = 1_000_000_000
TOP = (1.0, 1.0, 2.0, 1.0)


def test_a_constant_lag_is_a_difference_of_clocks() -> None:
    overload = Overload()
    for second in range(100):
        overload.lag(second * 1000 + 1_273, second * 1000, second * SECOND)
        assert overload.reason(second * SECOND) is None


def test_lag_that_stays_grown_is_an_overload() -> None:
    overload = Overload()
    overload.lag(0, 50, 0)
    overload.lag(1_000, 2_100, 1 * SECOND)
    assert overload.reason(3 * SECOND) is None
    overload.lag(2_000, 4_000, 3 * SECOND)
    assert overload.reason(3 * SECOND + 1) == "what arrives is old"


def test_lag_that_recovers_is_none() -> None:
    overload = Overload()
    overload.lag(0, 0, 0)
    overload.lag(1_000, 3_000, 1 * SECOND)
    overload.lag(2_500, 3_100, 2 * SECOND)
    assert overload.reason(20 * SECOND) is None


def test_a_backlog_that_stays_is_an_overload() -> None:
    overload = Overload()
    for tenth in range(21):
        overload.read(True, tenth * SECOND // 10)
    assert overload.reason(2 * SECOND) is None
    assert overload.reason(2 * SECOND + 1) == "more arrives than can be read"
    overload.read(False, 3 * SECOND)
    assert overload.reason(30 * SECOND) is None


def test_a_quiet_symbol_is_asked_about_now_and_then() -> None:
    quiet = Quiet(quiet_ns=30 * SECOND, recheck_ns=2 * SECOND, asked_ns=0)
    assert not quiet.wants_check(1 * SECOND, 30 * SECOND)
    assert quiet.wants_check(1 * SECOND, 31 * SECOND)
    quiet.asked(31 * SECOND)
    assert not quiet.is_dead(TOP, TOP, 1 * SECOND)
    assert not quiet.wants_check(1 * SECOND, 60 * SECOND)
    assert quiet.wants_check(1 * SECOND, 61 * SECOND)


def test_a_price_that_differs_twice_proves_a_dead_stream() -> None:
    quiet = Quiet(quiet_ns=30 * SECOND, recheck_ns=2 * SECOND, asked_ns=0)
    quiet.asked(31 * SECOND)
    assert not quiet.is_dead(TOP, (1.5, 1.0, 2.0, 1.0), 1)
    assert not quiet.wants_check(1, 32 * SECOND)
    assert quiet.wants_check(1, 33 * SECOND)
    quiet.asked(33 * SECOND)
    assert quiet.is_dead(TOP, (1.5, 1.0, 2.0, 1.0), 1)


def test_a_ticker_between_the_questions_clears_the_stream() -> None:
    quiet = Quiet(quiet_ns=30 * SECOND, recheck_ns=2 * SECOND, asked_ns=0)
    quiet.asked(31 * SECOND)
    assert not quiet.is_dead(TOP, (1.5, 1.0, 2.0, 1.0), 1)
    spoke = 32 * SECOND
    assert not quiet.wants_check(spoke, 34 * SECOND)
    quiet.asked(62 * SECOND)
    assert not quiet.is_dead(TOP, (1.5, 1.0, 2.0, 1.0), spoke)


def test_a_ticker_during_the_question_clears_the_stream() -> None:
    quiet = Quiet(quiet_ns=30 * SECOND, recheck_ns=2 * SECOND, asked_ns=0)
    for asked in (31, 33):
        quiet.asked(asked * SECOND)
        assert not quiet.is_dead(TOP, (1.5, 1.0, 2.0, 1.0), asked * SECOND + 1)


@given(st.integers(0, 100))
def test_the_first_retry_is_at_once_and_later_ones_stay_under_a_doubling_bound(seed: int) -> None:
    retry = Retry(Random(seed))
    delays = [retry.delay_s(Unavailable("x")) for _ in range(100)]
    assert delays[0] == 0
    for failures, delay in enumerate(delays[1:]):
        assert 0 <= delay <= min(30.0, 0.25 * 2.0**failures)
    assert max(delays) > 15


def test_a_reset_makes_the_next_retry_immediate() -> None:
    retry = Retry(Random(1))
    for _ in range(5):
        retry.delay_s(Unavailable("x"))
    retry.reset()
    assert retry.delay_s(Unavailable("x")) == 0


def test_a_rate_limit_is_waited_out_even_the_first_time() -> None:
    assert 60 <= Retry(Random(1)).delay_s(RateLimited("x", 60)) <= 90


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait_s"),
    [
        (429, {}, RateLimited, 60),
        (429, {"retry-after": "240"}, RateLimited, 240),
        (429, {"retry-after": "soon"}, RateLimited, 60),
        (418, {}, RateLimited, 120),
        (418, {"retry-after": "7200"}, RateLimited, 7200),
        (403, {}, RateLimited, 300),
        (451, {}, Fatal, None),
        (400, {}, Refused, None),
        (404, {}, Refused, None),
        (500, {}, Unavailable, None),
        (503, {}, Unavailable, None),
        (302, {}, Unavailable, None),
    ],
)
def test_each_status_says_what_to_do(
    status: int, headers: dict[str, str], kind: type[Exception], wait_s: float | None
) -> None:
    error = refusal(status, headers, "text")
    assert type(error) is kind
    if isinstance(error, RateLimited):
        assert error.retry_after_s == wait_s
