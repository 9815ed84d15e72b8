"""No figure of the benchmark may get worse by half. Ratios within one run, with wide margins, so
that a slow or busy machine is not taken for slow code; `bin/bench` has the real figures."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from bench import market
from bench.environment import BARE, BARE_CUT, MMD, WEBSOCKET_CLIENT
from bench.report import median
from bench.rows import cell, decision, feed, ticks, wake

pytestmark = [pytest.mark.timeout(120), pytest.mark.quiet]


def test_the_feed_stays_ahead_in_bursts() -> None:
    size = feed.Size(rounds=2, burst=8_000, small_bursts=5)
    readers = [MMD, BARE_CUT, BARE, WEBSOCKET_CLIENT]
    source = market.load(synthetic=True)
    figures, broken = feed.measure(readers, source, None, size, sys.executable)
    assert broken == {}
    cpu = {reader: min(figures[reader].cpu_us) for reader in readers}
    assert cpu[WEBSOCKET_CLIENT] >= 4 * cpu[MMD]
    assert cpu[BARE] >= 1.1 * cpu[MMD]
    assert cpu[MMD] <= 8 * cpu[BARE_CUT]
    assert min(figures[MMD].last_ms) <= 1.5 * min(figures[BARE].last_ms)


def test_a_cell_costs_little_more_than_its_struct() -> None:
    figures = {name: min(values) for name, values in cell.measure(rounds=5).items()}
    assert figures["cell read"] <= 4.5 * figures["bare struct read"]
    assert figures["cell write"] <= 6 * figures["bare struct write"]
    assert figures["cell read, contended"] <= 12 * figures["bare struct read"]


def test_a_bell_wakes_about_as_fast_as_a_bare_eventfd() -> None:
    bare, bell = wake.measure_bells(rings=100)
    assert median(bell) <= 3 * median(bare)


def test_a_decision_costs_little_more_than_its_signatures() -> None:
    figures = decision.measure(rounds=15)
    assert min(figures.requote) <= 16 * min(figures.bare)
    assert min(figures.nothing) <= min(figures.requote) / 50


@pytest.mark.skipif(find_spec("binance") is None, reason="needs python-binance (extra: peers)")
def test_the_last_request_of_a_ladder_is_ahead_of_the_classic_script() -> None:
    course = ticks.Course("floor", 100, 10, 47, every_s=0.08)
    mmd = ticks.measure(ticks.Mmd(), course, 30)
    classic = ticks.measure(ticks.Classic(sys.executable), course, 30)
    assert mmd.incomplete == 0
    assert median(mmd.last_request) <= median(classic.last_request)
    assert median(mmd.first_order) <= 3 * median(classic.first_order)
