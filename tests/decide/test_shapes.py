"""The ladder's own shape: how many levels, how far apart, how large."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from mmd.decide.ladder import Shape
from mmd.decide.ledger import Ledger
from mmd.decide.plan import Cancel
from mmd.words.market import Side
from tests.decide.samples import BOOK, S, bps_off, make_quoter, moved, prices, quote_settings, run


def distances(**changes: Any) -> list[float]:
    chosen = quote_settings(levels=4, jitter_bps=0, **changes)
    return [float(bps) for bps in Shape.of(chosen).distances]


def test_levels_step_away_from_the_reference_evenly_or_by_a_factor_or_as_listed() -> None:
    assert distances(spread_bps=20, step_bps=10) == [20, 30, 40, 50]
    assert distances(spread_bps=20, step_bps=10, step_factor=2) == [20, 30, 50, 90]
    assert distances(distances_bps=[5, 8, 20, 100]) == [5, 8, 20, 100]


def test_extra_distance_moves_one_side_alone() -> None:
    quoter, ledger = make_quoter(jitter_bps=0, widen={"volatility_factor": 0}), Ledger()
    run(quoter, ledger, S)
    before = {side: prices(ledger, side) for side in Side}
    extra = make_quoter(jitter_bps=0, bid_extra_bps=5, widen={"volatility_factor": 0})
    moved_ledger = Ledger()
    run(extra, moved_ledger, S)
    offs = [float(bps_off(extra, price, Side.BUY)) for price in prices(moved_ledger, Side.BUY)]
    assert offs == pytest.approx([25, 35, 45], abs=0.01)
    assert prices(moved_ledger, Side.SELL) == before[Side.SELL]


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"distances_bps": [5, 8]}, "distances_bps must have a distance for each of the 4 levels"),
        ({"distances_bps": [5, 8, 7, 9]}, "distances_bps must rise"),
        ({"distances_bps": []}, "must be a list of 1 to 50 numbers > 0"),
        ({"distances_bps": [5, "x", 9, 10]}, "must be a list of 1 to 50 numbers > 0"),
        ({"distances_bps": [5, 6, 7, 8], "jitter_bps": 1}, "jitter_bps must be less than half"),
        ({"step_factor": "0.1", "jitter_bps": 1}, "jitter_bps must be less than half"),
        ({"step_bps": 4000}, "levels must be fewer"),
        ({"bid_levels": 0, "ask_levels": 0}, "bid_levels must be at least 1"),
        ({"fewest_levels": 5}, "fewest_levels must be at most the number of levels, which is 4"),
        ({"reference": "vwap"}, "depth must be 5, 10 or 20"),
        ({"size": {"shape": "list"}}, "amounts must be given"),
        ({"bounds": {"price_floor": 2, "price_ceiling": 1}}, "price_ceiling must be more"),
        ({"session": {"hours": ["9-17"]}}, "must be times of day"),
        ({"session": {"hours": ["09:00-25:00"]}}, "must be times of day"),
        ({"session": {"time_zone": "Mars"}}, "must be a time zone"),
    ],
)
def test_what_can_not_be_a_ladder_is_refused_with_the_reason(
    changes: dict[str, Any], at: str
) -> None:
    with pytest.raises(ValidationError, match=at):
        quote_settings(levels=4, **changes)


def amounts(size: dict[str, Any]) -> list[tuple[float, float]]:
    chosen = quote_settings(levels=4, amount={"min": "0.01", "max": "0.04"}, size=size)
    return [(float(low), float(high)) for low, high in Shape.of(chosen).amounts]


def test_amounts_follow_their_shape_and_never_pass_max() -> None:
    assert amounts({}) == [(0.01, 0.04)] * 4
    assert amounts({"shape": "linear"}) == [(a, a) for a in (0.01, 0.02, 0.03, 0.04)]
    assert amounts({"shape": "step", "step": "0.02"}) == [(a, a) for a in (0.01, 0.03, 0.04, 0.04)]
    assert amounts({"shape": "exponential", "factor": 2}) == [
        (a, a) for a in (0.01, 0.02, 0.04, 0.04)
    ]
    assert amounts({"shape": "list", "amounts": ["0.5", "0.2"]}) == [
        (a, a) for a in (0.5, 0.2, 0.2, 0.2)
    ]
    jittered = amounts({"shape": "linear", "jitter_pct": 50})
    assert jittered == [(0.005, 0.01), (0.01, 0.02), (0.015, 0.03), (0.02, 0.04)]


def test_orders_have_the_amounts_of_the_shape() -> None:
    ledger = Ledger()
    quoter = make_quoter(size={"shape": "linear"})
    run(quoter, ledger, S)
    by_level = {(e.side, e.level): e.order.amount for e in ledger.live()}
    for side in Side:
        assert [by_level[side, level] for level in range(3)] == [
            Decimal("0.01"),
            Decimal("0.015"),
            Decimal("0.02"),
        ]


def test_each_side_has_its_own_number_of_levels() -> None:
    ledger = Ledger()
    run(make_quoter(bid_levels=1, ask_levels=4), ledger, S)
    assert [len(prices(ledger, side)) for side in Side] == [1, 4]
    ledger = Ledger()
    quoter = make_quoter(bid_levels=0)
    run(quoter, ledger, S)
    assert [len(prices(ledger, side)) for side in Side] == [0, 3]
    assert quoter.note == ""


def test_the_number_of_levels_changes_at_random_within_its_bounds() -> None:
    ledger, seen = Ledger(), set()
    quoter = make_quoter(fewest_levels=1, refresh_s={"min": 1, "max": 2})
    for second in range(1, 60):
        run(quoter, ledger, second * S, dirty=False)
        run(quoter, ledger, second * S + S // 2)
        seen |= {(side, len(prices(ledger, side))) for side in Side}
    assert seen == {(side, count) for side in Side for count in (1, 2, 3)}


def test_jitter_shifts_each_level_within_its_bound() -> None:
    ledger = Ledger()
    quoter = make_quoter(jitter_bps=4, widen={"volatility_factor": 0})
    run(quoter, ledger, S)
    offs = [
        bps_off(quoter, price, side) - 20 - 10 * level
        for side in Side
        for level, price in enumerate(prices(ledger, side))
    ]
    assert len(set(offs)) == 6
    assert all(abs(off) <= Decimal("4.01") for off in offs)


def test_tolerance_may_grow_with_the_level() -> None:
    ledger = Ledger()
    quoter = make_quoter(tolerance_bps=1, tolerance_step_bps=10, jitter_bps=0, step_bps=30)
    run(quoter, ledger, S)
    actions = run(quoter, ledger, 2 * S, price=moved(BOOK, 5))
    cancelled = {action.entry.level for action in actions if isinstance(action, Cancel)}
    assert cancelled == {0}  # 5 bps are within the tolerance of 11 and 21 bps further out
