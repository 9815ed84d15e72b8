"""A decision is quick: its time is part of every quote's age."""

from __future__ import annotations

import time
from collections.abc import Callable

from mmd.decide.ledger import Ledger
from tests.decide.samples import BOOK, RATE, S, make_quoter, moved, run

REPEATS, SLACK = 300, 3
"""The best of many is free of other processes' doings; the slack is for slower machines."""


def best_us(decide: Callable[[], object]) -> float:
    """CPU time of the quickest of many calls, in microseconds."""
    times = []
    for _ in range(REPEATS):
        began_ns = time.thread_time_ns()
        decide()
        times.append(time.thread_time_ns() - began_ns)
    return min(times) / 1000


def test_a_full_decision_takes_300_us_and_none_30_us() -> None:
    quoter, ledger = make_quoter(step_bps=30), Ledger()
    quoter.use(quoter.settings.model_copy(update={"levels": 10}), quoter.limits)
    run(quoter, ledger, S)
    assert len(ledger.entries) == 20
    ladders = [book._replace(last_frame_ns=S) for book in (moved(BOOK, 90), BOOK)]
    rate = RATE._replace(last_frame_ns=S)

    def full() -> None:
        ladders.reverse()
        quoter.decide(ladders[0], rate, ledger, S, dirty=False)

    def idle() -> None:
        quoter.decide(ladders[0], rate, ledger, S, dirty=False)

    assert best_us(full) < 300 * SLACK
    assert best_us(idle) < 30 * SLACK
