"""The other participants, in virtual time."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmd.sim.ace import AccountOptions, CrowdOptions
from mmd.sim.ace.engine import CROWD
from mmd.sim.ace.entries import Entry
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.paths import PairPaths, RatePath
from mmd.sim.ace.venue import VenueRules
from mmd.words.market import Pair
from tests.sim_ace.client import VirtualClient

BTC_TWD = Pair("BTC", "TWD")
USDT_TWD = Pair("USDT", "TWD")
START_MS = 1_700_000_000_000


class World:
    """An exchange with a crowd and a fair price that a test can move."""

    def __init__(
        self, seed: int = 1, options: CrowdOptions | None = None, fair: int | None = 2_000_000
    ) -> None:
        self.fair: Decimal | None = None if fair is None else Decimal(fair)
        self.entries: list[Entry] = []
        rich = {"TWD": Decimal(10**9), "BTC": Decimal(1000)}
        self.exchange = Exchange(
            {"k": AccountOptions("k-secret", rich)},
            VenueRules(),
            lambda pair, _ms: Decimal(32) if pair == USDT_TWD else self.fair,
            (BTC_TWD, USDT_TWD),
            seed,
            self.entries.append,
            options or CrowdOptions(),
        )
        self.exchange.open(START_MS)
        self.client = VirtualClient(self.exchange, now_ms=START_MS)

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.client.now_ms += 100
            self.exchange.step(self.client.now_ms)

    def top(self, pair: Pair = BTC_TWD) -> tuple[Decimal, Decimal] | None:
        book = self.exchange.engine.books[pair]
        bid, ask = book.bids.best(), book.asks.best()
        return None if bid is None or ask is None else (bid.price, ask.price)

    def distances_bps(self, pair: Pair = BTC_TWD) -> tuple[float, float]:
        top, fair = self.top(pair), Decimal(32) if pair == USDT_TWD else self.fair
        assert top is not None
        assert fair is not None
        return float((1 - top[0] / fair) * 10_000), float((top[1] / fair - 1) * 10_000)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), moves=st.lists(st.integers(-40, 40), max_size=8))
def test_book_follows_the_fair_price_with_room_for_a_maker(seed: int, moves: list[int]) -> None:
    world = World(seed)
    for bps in [0, *moves]:
        assert world.fair is not None
        world.fair = (world.fair * (1 + Decimal(bps) / 10_000)).quantize(Decimal(1))
        world.run(8)
        below, above = world.distances_bps()
        assert 14 < below < 60
        assert 14 < above < 60
        below, above = world.distances_bps(USDT_TWD)
        assert 3 < below < 15
        assert 3 < above < 15


@pytest.mark.parametrize(("side", "price"), [("buy", 2_000_001), ("sell", 1_999_999)])
def test_quote_off_the_fair_price_is_taken_at_once(side: str, price: int) -> None:
    world = World()
    world.run(1)
    number = world.client.order(side, price, "0.37")
    order = world.exchange.engine.account("k").find(number)
    assert order is not None
    assert not order.status.is_open
    assert order.average_price == price


def test_resting_quote_is_taken_when_the_fair_price_passes_it() -> None:
    world = World(options=CrowdOptions(takes_per_s=0))
    world.run(1)
    world.client.order("buy", 1_998_000, "0.37")
    world.run(5)
    assert len(world.client.open_numbers()) == 1
    world.fair = Decimal(1_997_000)
    world.run(0.1)
    assert world.client.open_numbers() == []


def test_fair_quotes_are_left_alone_except_by_market_orders() -> None:
    calm = World(options=CrowdOptions(takes_per_s=0))
    lively = World(options=CrowdOptions(takes_per_s=1))
    for world in (calm, lively):
        world.client.order("buy", 1_998_000, "5")
        world.client.order("sell", 2_002_000, "5")
        world.run(60)
    assert len(calm.exchange.engine.account("k").fills) == 0
    fills = lively.exchange.engine.account("k").fills
    assert 20 < len(fills) < 120
    assert {fill.side.name for fill in fills} == {"BUY", "SELL"}
    assert all(fill.is_maker for fill in fills)


def test_without_a_fair_price_the_crowd_withdraws() -> None:
    world = World()
    world.run(2)
    assert world.top() is not None
    world.fair = None
    world.run(0.1)
    assert world.top() is None
    assert world.top(USDT_TWD) is not None
    world.exchange.crowd.active = False
    world.run(0.1)
    assert not world.exchange.engine.account(CROWD).open


def test_same_seed_makes_the_same_world() -> None:
    worlds = [World(seed=7), World(seed=7), World(seed=8)]
    for world in worlds:
        world.client.order("buy", 1_999_000, "3")
        world.run(60)
    first, second, other = (
        [(f.price, f.amount, f.time_ms) for f in w.exchange.engine.account("k").fills]
        for w in worlds
    )
    assert first == second
    assert first != other


def test_crowd_of_three_markets_costs_little() -> None:
    world = World(options=CrowdOptions())
    start = time.process_time()
    world.run(60)
    cost = (time.process_time() - start) / 60 * 3 / 2
    assert cost < 0.03


@given(seed=st.integers(0, 10**9), now=st.integers(0, 4 * 10**12))
def test_paths_stay_near_their_middle_and_move_without_jumps(seed: int, now: int) -> None:
    rate = RatePath(seed)
    assert abs(rate.at(now) / 32 - 1) < Decimal("0.005")
    assert abs(rate.at(now + 1000) / rate.at(now) - 1) < Decimal("0.0001")
    paths = PairPaths(seed)
    here, soon = paths.at(BTC_TWD, now), paths.at(BTC_TWD, now + 1000)
    assert here is not None
    assert soon is not None
    assert abs(soon / here - 1) < Decimal("0.001")
    assert paths.at(Pair("NIX", "TWD"), now) is None


def test_crowd_joins_a_market_that_a_client_names() -> None:
    world = World()
    eth = Pair("ETH", "TWD")
    world.run(1)
    assert world.top(eth) is None
    world.client.post("/open/v2/order/getOrderList", baseCurrencyId=4, quoteCurrencyId=1)
    world.run(1)
    assert world.top(eth) is not None
    nonsense = world.client.post("/open/v2/order/getOrderList", baseCurrencyId=1, quoteCurrencyId=1)
    assert nonsense.status == 200
    world.run(1)
