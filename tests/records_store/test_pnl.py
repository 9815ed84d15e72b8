"""Position, average cost and profit, counted by hand and against the plain cash account."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from mmd.records.pnl import Result, results
from mmd.words.market import OwnTrade, Pair, Side

BTC, ETH = Pair("BTC", "TWD"), Pair("ETH", "TWD")


def trade(
    side: Side,
    amount: str,
    price: str,
    fee: str = "0",
    pair: Pair = BTC,
    is_self: bool = False,
) -> OwnTrade:
    return OwnTrade(
        1, "1", "", pair, side, Decimal(price), Decimal(amount), Decimal(fee), True, is_self, 0
    )


def after(*trades: OwnTrade) -> Result:
    return results(trades).get(BTC, Result())


def test_buying_more_averages_the_cost() -> None:
    result = after(trade(Side.BUY, "1", "100"), trade(Side.BUY, "3", "200"))
    assert result.position == 4
    assert result.average_cost == 175
    assert result.realised == 0


def test_selling_part_realises_its_share_and_keeps_the_average() -> None:
    result = after(trade(Side.BUY, "4", "100"), trade(Side.SELL, "1", "130", fee="0.5"))
    assert (result.position, result.average_cost) == (3, 100)
    assert result.realised == Decimal("29.5")
    assert result.unrealised(Decimal(110)) == 30


def test_a_short_position_profits_from_falling_prices() -> None:
    result = after(trade(Side.SELL, "2", "100"), trade(Side.BUY, "1", "90"))
    assert (result.position, result.average_cost, result.realised) == (-1, 100, 10)
    assert result.unrealised(Decimal(80)) == 20


def test_turning_from_long_to_short_starts_a_new_cost() -> None:
    result = after(trade(Side.BUY, "1", "100"), trade(Side.SELL, "3", "110"))
    assert (result.position, result.average_cost, result.realised) == (-2, 110, 10)


def test_a_flat_position_has_no_cost() -> None:
    result = after(trade(Side.BUY, "3", "100"), trade(Side.SELL, "3", "101", fee="1"))
    assert (result.position, result.cost, result.average_cost) == (0, 0, None)
    assert result.realised == 2


def test_self_matches_are_left_out() -> None:
    selves = [trade(side, "5", "100", fee="9", is_self=True) for side in Side]
    result = after(*selves, trade(Side.BUY, "1", "100"))
    assert replace(result, self_fees=Decimal(0)) == after(trade(Side.BUY, "1", "100"))
    assert result.self_fees == 18


def test_fills_that_close_at_a_loss_are_counted_until_one_closes_with_profit() -> None:
    rows = []
    fills = [
        trade(Side.BUY, "4", "100"),
        trade(Side.SELL, "1", "99"),
        trade(Side.BUY, "1", "90"),  # opens more: neither counts nor ends the row
        trade(Side.SELL, "1", "97.6", fee="1"),  # a profit that the fee eats
        trade(Side.SELL, "1", "120"),
        trade(Side.SELL, "4", "10"),  # turns from long to short
    ]
    for count in range(len(fills)):
        rows.append(after(*fills[: count + 1]).losing_in_a_row)
    assert rows == [0, 1, 1, 2, 0, 1]


def test_volume_is_what_was_bought_and_sold() -> None:
    assert after(trade(Side.BUY, "2", "100"), trade(Side.SELL, "1", "50")).volume == 250


def test_pairs_are_accounted_apart() -> None:
    found = results([trade(Side.BUY, "1", "100"), trade(Side.SELL, "1", "50", pair=ETH)])
    assert (found[BTC].position, found[ETH].position) == (1, -1)


AMOUNTS = st.integers(1, 10**6).map(lambda n: Decimal(n) / 1000)
TRADES = st.lists(
    st.tuples(st.sampled_from(Side), AMOUNTS, AMOUNTS, AMOUNTS).map(
        lambda t: OwnTrade(1, "1", "", BTC, t[0], t[1], t[2], t[3], True, False, 0)
    ),
    min_size=1,
    max_size=30,
)


@given(TRADES, AMOUNTS)
def test_all_profit_together_is_what_the_cash_account_says(
    trades: list[OwnTrade], price: Decimal
) -> None:
    result = after(*trades)
    signed = [t.amount if t.side is Side.BUY else -t.amount for t in trades]
    position = sum(signed, Decimal(0))
    cash = sum((-s * t.price - t.fee for s, t in zip(signed, trades, strict=True)), Decimal(0))
    assert result.position == position
    worth = cash + position * price
    assert abs(result.realised + result.unrealised(price) - worth) < Decimal("1e-9")


@given(TRADES)
def test_the_average_cost_lies_between_the_prices_paid(trades: list[OwnTrade]) -> None:
    average = after(*trades).average_cost
    if average is not None:
        prices = [t.price for t in trades]
        assert min(prices) - Decimal("1e-9") <= average <= max(prices) + Decimal("1e-9")
