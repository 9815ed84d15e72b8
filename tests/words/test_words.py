"""The words: pairs, rounding away from the market, and order ids that tell whose they are."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.words.ids import ClientIds, Owner, owner_of
from mmd.words.market import MarketRules, Pair, Side

RULES = MarketRules(
    Pair("BTC", "TWD"), 2, 1, Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(10)
)
money = st.decimals(Decimal("0.0001"), Decimal("1e9"), places=6)


@pytest.mark.parametrize("text", ["BTC/TWD", "btc_twd", "Btc/twd"])
def test_a_pair_is_read_in_every_spelling(text: str) -> None:
    pair = Pair.parse(text)
    assert (str(pair), pair.slug, pair.folder) == ("BTC/TWD", "btc_twd", "BTC_TWD")


@pytest.mark.parametrize("text", ["", "BTCTWD", "BTC/", "/TWD", "BTC/TWD/X", "B!C/TWD"])
def test_what_is_no_pair_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(ValueError, match="write it as BTC/TWD"):
        Pair.parse(text)


@given(price=money)
def test_prices_round_away_from_the_market(price: Decimal) -> None:
    bid, ask = RULES.round_price(price, Side.BUY), RULES.round_price(price, Side.SELL)
    assert bid <= price <= ask
    assert ask - bid in (0, RULES.tick)
    assert bid % RULES.tick == ask % RULES.tick == 0


@given(amount=money)
def test_amounts_round_down(amount: Decimal) -> None:
    rounded = RULES.round_amount(amount)
    assert amount - RULES.lot < rounded <= amount
    assert rounded % RULES.lot == 0


def test_an_id_tells_whose_order_it_is() -> None:
    ids = ClientIds("abc123", Pair("BTC", "TWD"), 1_800_000_000_000)
    client_id = ids.make()
    assert len(client_id) <= 32
    assert owner_of(client_id, "abc123") is Owner.OURS
    assert owner_of(client_id, "abc124") is Owner.OTHER_MMD
    for foreign in ("", "mmd1", "x" * 29, client_id + "0"):
        assert owner_of(foreign, "abc123") is Owner.FOREIGN


@given(
    runs=st.lists(
        st.integers(1_735_000_000_000, 3_000_000_000_000), min_size=2, max_size=5, unique=True
    )
)
def test_no_two_runs_pairs_or_orders_share_an_id(runs: list[int]) -> None:
    makers = [
        ClientIds("abc123", Pair(base, "TWD"), run) for run in runs for base in ("BTC", "ETH")
    ]
    made = [maker.make() for maker in makers for _ in range(3)]
    assert len(set(made)) == len(made)
    assert all(id_.startswith(m.run_prefix) for m in makers for id_ in [m.make()])
