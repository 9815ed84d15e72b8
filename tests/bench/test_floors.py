"""No figure of the benchmark may get worse by half. Ratios within one run, of CPU time or of the
best of several tries, with wide margins, so that a slow or busy machine is not taken for slow
code; `bin/bench` has the real figures."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from bench import market
from bench.environment import BARE, BARE_CUT, MMD, WEBSOCKET_CLIENT
from bench.report import percentile
from bench.rows import cell, decision, feed, ticks, wake

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("bench")]


def test_the_feed_stays_ahead_in_bursts() -> None:
    size = feed.Size(rounds=2, burst=8_000, small_bursts=3)
    readers = [MMD, BARE_CUT, BARE, WEBSOCKET_CLIENT]
    source = market.load(synthetic=True)
    figures, broken = feed.measure(readers, source, None, size, sys.executable)
    assert broken == {}
    cpu = {reader: min(figures[reader].cpu_us) for reader in readers}
    assert cpu[WEBSOCKET_CLIENT] >= 4 * cpu[MMD]
    assert cpu[BARE] >= 1.1 * cpu[MMD]
    assert cpu[MMD] <= 8 * cpu[BARE_CUT]
    assert min(figures[MMD].last_ms) <= 2 * min(figures[BARE].last_ms)


def test_a_cell_costs_little_more_than_its_struct() -> None:
    figures = {name: min(values) for name, values in cell.measure(rounds=5).items()}
    assert figures["cell read, nothing new"] <= 1.5 * figures["bare struct read"]
    assert figures["cell read"] <= 6 * figures["bare struct read"]
    assert figures["cell write"] <= 6 * figures["bare struct write"]
    assert figures["cell read, contended"] <= 12 * figures["bare struct read"]


def test_a_bell_wakes_about_as_fast_as_a_bare_eventfd() -> None:
    bare, bell = wake.measure_bells(rings=60)
    assert percentile(bell, 20) <= 3 * percentile(bare, 20)


def test_a_decision_costs_little_more_than_its_signatures() -> None:
    figures = decision.measure(rounds=15)
    assert min(figures.requote) <= 9 * min(figures.bare)
    assert min(figures.deciding) <= 2.5 * min(figures.bare)
    assert min(figures.nothing) <= min(figures.bare) / 8


@pytest.mark.skipif(find_spec("binance") is None, reason="needs python-binance (extra: peers)")
def test_a_ladder_is_re_quoted_ahead_of_the_classic_script() -> None:
    course = ticks.Course("floor", 100, 10, 47, every_s=0.08)
    mmd = ticks.measure(ticks.Mmd(), course, 15)
    classic = ticks.measure(ticks.Classic(sys.executable), course, 15)
    assert mmd.incomplete == 0
    for theirs, ours in (
        (classic.last_request, mmd.last_request),
        (classic.last_order, mmd.last_order),
    ):
        assert percentile(ours, 20) <= percentile(theirs, 20) / 1.6
    assert percentile(mmd.first_order, 20) <= 2 * percentile(classic.first_order, 20)
