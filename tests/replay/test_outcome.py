"""Profit splits into parts that add up, whatever the fills."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from mmd.sim.ace.orders import OwnFill
from mmd.sim.outcome import outcome
from mmd.words.market import Pair, Side

PAIR = Pair("BTC", "TWD")


def fill(side: Side, price: str, amount: str, time_ms: int, fee: str = "0") -> OwnFill:
    return OwnFill(
        trade_no=str(time_ms),
        order_no="1",
        client_id=None,
        pair=PAIR,
        side=side,
        price=Decimal(price),
        amount=Decimal(amount),
        fee=Decimal(fee),
        is_maker=True,
        is_self=False,
        time_ms=time_ms,
    )


def test_a_buy_below_fair_that_then_falls_and_recovers() -> None:
    def fair_at(at_ms: int) -> Decimal:
        if at_ms < 5_000:
            return Decimal(100)
        return Decimal(97) if at_ms < 30_000 else Decimal(101)

    found = outcome([fill(Side.BUY, "99", "2", 1_000, fee="0.1")], fair_at, 120_000)
    assert found.spread == 2  # bought 2 at 99, worth 100
    assert found.adverse == -6  # 10 s later worth 97
    assert found.inventory == 8  # 101 at the end
    assert found.profit == Decimal("3.9")
    assert [round(mark or 0) for mark in found.markouts_bps] == [101, -202, 202]
    assert found.captured == -4


def test_a_horizon_beyond_the_end_is_no_markout() -> None:
    found = outcome([fill(Side.SELL, "101", "1", 95_000)], lambda _at_ms: Decimal(100), 100_000)
    assert found.markouts_bps[0] is not None
    assert found.markouts_bps[1:] == (None, None)
    assert found.profit == 1


def test_no_fills_no_profit() -> None:
    found = outcome([], lambda _at_ms: Decimal(100), 1_000)
    assert found.profit == found.fills == 0
    assert found.markouts_bps == (None, None, None)
    assert found.bps(found.profit) is None


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 30))
def test_the_parts_are_the_cash_plus_what_is_held(seed: int, count: int) -> None:
    random = Random(seed)
    prices = [Decimal(random.randrange(90_00, 110_00)) / 100 for _ in range(200)]
    fills = [
        fill(
            random.choice(list(Side)),
            str(Decimal(random.randrange(90_00, 110_00)) / 100),
            str(Decimal(random.randrange(1, 1000)) / 1000),
            random.randrange(100_000),
            str(Decimal(random.randrange(100)) / 1000),
        )
        for _ in range(count)
    ]
    end_ms = 120_000
    found = outcome(fills, lambda at_ms: prices[at_ms // 1000], end_ms)
    cash = position = Decimal(0)
    for done in fills:
        signed = done.amount if done.side is Side.BUY else -done.amount
        cash -= signed * done.price + done.fee
        position += signed
    assert found.profit == cash + position * prices[end_ms // 1000]
    assert found.position == position
