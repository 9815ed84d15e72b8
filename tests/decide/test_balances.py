"""Balances against fills: what is explained is no difference, what is not is told once."""

from __future__ import annotations

from decimal import Decimal

from mmd.decide.balances import BalanceCheck
from mmd.words.market import Balance, OwnTrade, Pair, Side

D = Decimal


def have(**totals: str) -> dict[str, Balance]:
    return {name: Balance(name, D(total), D(total)) for name, total in totals.items()}


def fill(side: Side, amount: str, price: str, fee: str) -> OwnTrade:
    pair = Pair("BTC", "TWD")
    return OwnTrade(1, "1", "", pair, side, D(price), D(amount), D(fee), True, False, 0)


def test_what_fills_explain_is_no_difference() -> None:
    check = BalanceCheck()
    assert check.look(have(BTC="1", TWD="1000")) == []
    check.explain([fill(Side.BUY, "0.5", "100", "2"), fill(Side.SELL, "0.1", "110", "1")])
    for _ in range(3):
        assert check.look(have(BTC="1.4", TWD="958")) == []


def test_a_fill_that_is_on_its_way_to_us_is_waited_for() -> None:
    check = BalanceCheck()
    check.look(have(BTC="1", TWD="1000"))
    assert check.look(have(BTC="1.5", TWD="950")) == []
    check.explain([fill(Side.BUY, "0.5", "100", "0")])
    for _ in range(3):
        assert check.look(have(BTC="1.5", TWD="950")) == []


def test_what_nothing_explains_is_told_once_and_then_believed() -> None:
    check = BalanceCheck()
    check.look(have(BTC="1", TWD="1000"))
    taken = have(BTC="1", TWD="900")
    found = [check.look(taken) for _ in range(4)]
    assert [len(differences) for differences in found] == [0, 1, 0, 0]
    (difference,) = found[1]
    assert (difference.currency, difference.amount, difference.total) == ("TWD", -100, 900)
    assert "TWD: the venue has 900, -100 of it" in str(difference)
    check.explain([fill(Side.SELL, "1", "50", "0")])
    assert [check.look(have(BTC="0", TWD="950")) for _ in range(2)] == [[], []]


def test_a_difference_that_goes_on_changing_is_told_when_it_stands() -> None:
    check = BalanceCheck()
    check.look(have(TWD="1000"))
    found = [check.look(have(TWD=total)) for total in ("990", "980", "970", "970")]
    assert [len(differences) for differences in found] == [0, 0, 0, 1]
    assert found[3][0].amount == -30


def test_rounding_of_fees_is_no_difference() -> None:
    check = BalanceCheck()
    check.look(have(TWD="1000000"))
    assert [check.look(have(TWD="1000000.9")) for _ in range(3)] == [[], [], []]


def test_a_currency_that_is_new_is_counted_from_then_on() -> None:
    check = BalanceCheck()
    check.look(have(TWD="1"))
    assert [check.look(have(TWD="1", ETH="5")) for _ in range(3)] == [[], [], []]
