"""Inventory: prices and amounts lean on what is held, and limits hold whatever is filled."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmd.config.quoting import InventorySettings
from mmd.decide.inventory import Holdings, lean, room, size_factor
from mmd.decide.ledger import Ledger
from mmd.decide.plan import Cancel, Urgency
from mmd.decide.quoter import Inputs
from mmd.words.market import Side
from tests.decide.samples import BOOK, S, bps_off, fill, make_quoter, moved, prices, run

LIMITS = InventorySettings(max_long=Decimal(2), max_short=Decimal(4))
CALM = {"volatility_factor": 0}


@pytest.mark.parametrize(("position", "leaning"), [(0, 0), (1, 0.5), (9, 1), (-1, -0.25), (-9, -1)])
def test_the_lean_follows_the_position_between_its_limits(position: int, leaning: float) -> None:
    assert lean(LIMITS, Holdings(Decimal(position)), Decimal(100)) == Decimal(str(leaning))


def test_without_limits_nothing_leans() -> None:
    assert lean(InventorySettings(), Holdings(Decimal(10)), Decimal(100)) == 0


@pytest.mark.parametrize(
    ("base", "leaning"), [("5", "0"), ("6.25", "0.5"), ("10", "1"), ("3.75", "-0.5"), ("0", "-1")]
)
def test_the_lean_follows_the_share_of_base_in_the_account(base: str, leaning: str) -> None:
    target = InventorySettings(target_pct=Decimal(50), range_pct=Decimal(25))
    held = Holdings(base=Decimal(base), quote=(10 - Decimal(base)) * 100)
    assert lean(target, held, Decimal(100)) == Decimal(leaning)


def test_an_unknown_or_empty_account_does_not_lean() -> None:
    target = InventorySettings(target_pct=Decimal(50))
    assert lean(target, Holdings(Decimal(3)), Decimal(100)) == 0
    assert lean(target, Holdings(base=Decimal(0), quote=Decimal(0)), Decimal(100)) == 0


def test_room_ends_at_the_limits() -> None:
    assert room(LIMITS, Holdings(Decimal("0.5")), Side.BUY) == Decimal("1.5")
    assert room(LIMITS, Holdings(Decimal("0.5")), Side.SELL) == Decimal("4.5")
    assert room(LIMITS, Holdings(Decimal(5)), Side.BUY) == 0
    assert room(InventorySettings(), Holdings(Decimal(5)), Side.BUY) is None


def test_only_the_side_that_would_increase_the_lean_shrinks() -> None:
    assert size_factor(LIMITS, Decimal("0.5"), Side.BUY) == Decimal("0.75")
    assert size_factor(LIMITS, Decimal("0.5"), Side.SELL) == 1
    assert size_factor(LIMITS, Decimal(-1), Side.SELL) == Decimal("0.5")


def held(position: str) -> Inputs:
    return Inputs(Holdings(Decimal(position)))


def test_too_much_held_moves_both_sides_down_and_shrinks_the_bids() -> None:
    inventory = {"max_long": 1, "skew_bps": 8, "skew_size_pct": 50}
    size = {"shape": "linear"}
    quoter, ledger = make_quoter(jitter_bps=0, inventory=inventory, size=size, widen=CALM), Ledger()
    run(quoter, ledger, S, inputs=held("0.5"))
    offs = {side: float(bps_off(quoter, prices(ledger, side)[0], side)) for side in Side}
    assert offs == pytest.approx({Side.BUY: 24, Side.SELL: 16}, abs=0.01)
    amounts = {(e.side, e.level): e.order.amount for e in ledger.live()}
    assert amounts[Side.BUY, 0] == Decimal("0.0075")
    assert amounts[Side.SELL, 0] == Decimal("0.01")


def test_the_skew_never_brings_a_quote_nearer_than_the_minimum() -> None:
    inventory = {"max_long": 1, "skew_bps": 100}
    quoter, ledger = make_quoter(jitter_bps=0, inventory=inventory, widen=CALM), Ledger()
    run(quoter, ledger, S, inputs=held("0.9"))
    assert bps_off(quoter, prices(ledger, Side.SELL)[0], Side.SELL) >= 10
    bounds = {"min_spread_bps": 15}
    quoter, ledger = make_quoter(inventory=inventory, bounds=bounds, widen=CALM), Ledger()
    run(quoter, ledger, S, inputs=held("0.9"))
    assert bps_off(quoter, prices(ledger, Side.SELL)[0], Side.SELL) >= 15


def test_at_its_limit_only_the_other_side_is_quoted() -> None:
    quoter, ledger = make_quoter(inventory={"max_long": 1, "max_short": 1}), Ledger()
    run(quoter, ledger, S, inputs=held("0"))
    assert [len(prices(ledger, side)) for side in Side] == [3, 3]
    run(quoter, ledger, 2 * S, inputs=held("1"))
    assert [len(prices(ledger, side)) for side in Side] == [0, 3]
    assert quoter.note == "no bids: the position is at its limit"
    run(quoter, ledger, 3 * S, inputs=held("-1.5"))
    assert [len(prices(ledger, side)) for side in Side] == [3, 0]


def test_near_the_limit_the_nearest_levels_have_the_room() -> None:
    inventory = {"max_long": "1", "skew_size_pct": 0}
    quoter, ledger = make_quoter(inventory=inventory, size={"shape": "linear"}), Ledger()
    run(quoter, ledger, S, inputs=held("0.97"))
    assert sorted(e.level for e in ledger.live(Side.BUY)) == [0, 1]  # 0.01 + 0.015 of 0.03


def test_resting_orders_that_would_pass_the_limit_are_pulled_first() -> None:
    inventory = {"max_long": 1, "skew_size_pct": 0, "skew_bps": 0}
    quoter, ledger = make_quoter(inventory=inventory, size={"shape": "linear"}), Ledger()
    run(quoter, ledger, S, inputs=held("0"))
    actions = run(quoter, ledger, 2 * S, inputs=held("0.97"))
    assert [(a.entry.level, a.urgency, a.reason) for a in actions if isinstance(a, Cancel)] == [
        (2, Urgency.HARM, "the position would pass its limit")
    ]


def test_an_order_much_larger_than_the_side_may_have_now_is_replaced() -> None:
    inventory = {"max_long": 1, "skew_size_pct": 80, "skew_bps": 0}
    size = {"shape": "list", "amounts": ["0.02"]}
    quoter, ledger = make_quoter(inventory=inventory, size=size), Ledger()
    run(quoter, ledger, S, inputs=held("0"))
    run(quoter, ledger, 2 * S, inputs=held("0.5"))
    run(quoter, ledger, 3 * S, inputs=held("0.5"))
    assert {e.remaining for e in ledger.live(Side.BUY)} == {Decimal("0.012")}
    assert {e.remaining for e in ledger.live(Side.SELL)} == {Decimal("0.02")}


@settings(max_examples=80, deadline=None)
@given(
    story=st.lists(
        st.tuples(
            st.sampled_from(["buy", "sell", "part", "move"]), st.floats(-60, 60), st.booleans()
        ),
        max_size=25,
    )
)
def test_the_position_never_passes_its_limits_whatever_is_filled(
    story: list[tuple[str, float, bool]],
) -> None:
    """The worst case: all that rests or may rest on a side is filled before anything is heard."""
    inventory = {"max_long": "0.05", "max_short": "0.04"}
    quoter, ledger, now_ns = make_quoter(inventory=inventory), Ledger(), S
    for what, bps, _ in story:
        now_ns += S
        side = Side.SELL if what == "sell" else Side.BUY
        if what != "move" and prices(ledger, side):
            fill(ledger, side, now_ns, "0.003" if what == "part" else None)
        position = ledger.fills[Side.BUY].amount - ledger.fills[Side.SELL].amount
        run(quoter, ledger, now_ns, moved(BOOK, bps), inputs=Inputs(Holdings(position)))
        longest = position + sum(e.remaining for e in ledger.live(Side.BUY))
        shortest = position - sum(e.remaining for e in ledger.live(Side.SELL))
        assert longest <= Decimal("0.05")
        assert shortest >= Decimal("-0.04")
