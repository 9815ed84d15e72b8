"""The rate: what stands in the book but for our own orders, and why it does not hold."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.cells.layouts import BookState, BookStatus
from mmd.cells.wake import Watch
from mmd.config.model import RateSettings
from mmd.processes import rate
from mmd.processes.rate import RateJob, book_state, without_own
from mmd.records.store import Store
from mmd.sim.ace import FaultKind
from mmd.venues.ace import calls
from mmd.venues.ace.budget import BudgetSpec
from mmd.venues.ace.client import AceClient
from mmd.words.errors import ConfigError
from mmd.words.ids import ClientIds
from mmd.words.market import Level, NewOrder, Order, OrderBook, OrderStatus, Pair, Side
from tests.ace_processes.conftest import House
from tests.venues_ace.conftest import Exchange, unreachable

USDT_TWD = Pair("USDT", "TWD")
INSTANCE = "abc123"


def level(price: str, amount: str) -> Level:
    return Level(Decimal(price), Decimal(amount))


def own(side: Side, price: str, amount: str, filled: str = "0") -> Order:
    numbers = (Decimal(price), Decimal(amount), Decimal(filled))
    return Order("1", "mmd1", USDT_TWD, side, *numbers, OrderStatus.OPEN, 0)


def job(house: House, exchange: Exchange, store: Path | None = None) -> RateJob:
    return RateJob(
        pair=USDT_TWD,
        ace=exchange.endpoint,
        instance=INSTANCE,
        settings=RateSettings(poll_s=0.1, max_age_s=0.3),
        budget=BudgetSpec(house.context.home, Decimal(100), 20),
        book=house.book,
        bell=house.bell,
        store=store,
    )


def test_our_own_orders_are_taken_out_of_the_book() -> None:
    book = OrderBook(
        bids=(level("32.1", "5"), level("32.0", "100")),
        asks=(level("32.2", "5"), level("32.3", "100")),
    )
    ours = [
        own(Side.BUY, "32.1", "5"),
        own(Side.SELL, "32.2", "2"),
        own(Side.SELL, "32.20", "4", filled="3"),
        own(Side.SELL, "32.1", "5"),
    ]
    assert without_own(book, ours) == OrderBook(
        bids=(level("32.0", "100"),), asks=(level("32.2", "2"), level("32.3", "100"))
    )


LEVELS = st.lists(
    st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda t: level(str(t[0]), str(t[1]))),
    max_size=6,
    unique_by=lambda lv: lv.price,
).map(tuple)


@given(LEVELS, LEVELS, st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 20))))
def test_only_levels_that_we_quote_shrink(
    bids: tuple[Level, ...], asks: tuple[Level, ...], ours: list[tuple[Side, int]]
) -> None:
    left = without_own(OrderBook(bids, asks), [own(side, str(p), "1") for side, p in ours])
    for side, before, after in ((Side.BUY, bids, left.bids), (Side.SELL, asks, left.asks)):
        foreign = [lv for lv in before if (side, int(lv.price)) not in ours]
        assert [lv for lv in after if lv in foreign] == foreign
        assert all(lv.amount > 0 for lv in after)


@pytest.mark.parametrize(
    ("bids", "asks", "status"),
    [
        (["32.1"], ["32.2"], BookStatus.VALID),
        (["32.1"], [], BookStatus.ONE_SIDED),
        ([], ["32.2"], BookStatus.ONE_SIDED),
        ([], [], BookStatus.ONE_SIDED),
        (["32.2"], ["32.2"], BookStatus.CROSSED),
        (["32.3"], ["32.2"], BookStatus.CROSSED),
    ],
)
def test_a_book_says_whether_its_prices_hold(
    bids: list[str], asks: list[str], status: BookStatus
) -> None:
    book = OrderBook(tuple(level(p, "1") for p in bids), tuple(level(p, "1") for p in asks))
    state = book_state(BookState(update_id=7), book, asked_ns=17)
    assert (state.status, state.update_id, state.last_frame_ns) == (status, 8, 17)
    assert state.bid_price == (float(bids[0]) if bids else 0)
    assert state.ask_price == (float(asks[0]) if asks else 0)


def test_the_process_publishes_the_top_of_the_book_and_wakes_readers(
    house: House, exchange: Exchange
) -> None:
    exchange.stranger("buy", "10", "32.1", "USDT/TWD")
    exchange.stranger("sell", "10", "32.2", "USDT/TWD")
    watch = Watch(house.bell)
    before_ns = time.monotonic_ns()
    house.run(
        lambda: rate.run(job(house, exchange), house.context),
        until=lambda: house.book.read().is_valid and house.health.read().messages >= 3,
    )
    state = house.book.read()
    assert (state.bid_price, state.bid_qty) == (32.1, 10.0)
    assert (state.ask_price, state.ask_qty) == (32.2, 10.0)
    assert before_ns < state.last_frame_ns < time.monotonic_ns()
    assert state.status == BookStatus.STOPPED
    assert watch.consume()
    watch.close()
    health = house.health.read()
    assert (health.ready, health.connected, health.errors) == (1, 1, 0)


def test_our_own_orders_make_no_rate(house: House, exchange: Exchange, tmp_path: Path) -> None:
    exchange.stranger("buy", "10", "32.1", "USDT/TWD")
    exchange.stranger("sell", "10", "32.3", "USDT/TWD")
    path = tmp_path / "account.sqlite"
    with AceClient(exchange.endpoint) as client, Store.open(path) as store:
        rules = next(r for r in client.call(calls.markets()) if r.pair == USDT_TWD)
        name = ClientIds(INSTANCE, USDT_TWD, 1_710_000_000_000).make()
        client.call(calls.new_order(rules, NewOrder(name, Side.BUY, Decimal("32.2"), Decimal(5))))
        foreign = NewOrder("by hand", Side.SELL, Decimal("32.25"), Decimal(5))
        client.call(calls.new_order(rules, foreign))
        store.set_open_orders(client.call(calls.open_orders()), 0, 0, 0)
    house.run(
        lambda: rate.run(job(house, exchange, path), house.context),
        until=lambda: house.book.read().is_valid,
    )
    state = house.book.read()
    assert (state.bid_price, state.ask_price) == (32.1, 32.25)


def test_one_lost_poll_changes_nothing_but_the_age(house: House, exchange: Exchange) -> None:
    exchange.stranger("buy", "10", "32.1", "USDT/TWD")
    exchange.stranger("sell", "10", "32.2", "USDT/TWD")
    exchange.fault(FaultKind.ERROR_BEFORE, path="getOrderBook", skip=1, count=1)
    seen: set[int] = set()

    def until() -> bool:
        state = house.book.read()
        seen.add(state.status)
        return state.update_id >= 4

    slow = replace(job(house, exchange), settings=RateSettings(poll_s=0.1, max_age_s=5))
    house.run(functools.partial(rate.run, slow, house.context), until)
    assert seen <= {BookStatus.EMPTY, BookStatus.VALID}
    assert house.health.read().errors == 1


def test_a_venue_that_stays_away_makes_the_rate_unreachable(
    house: House, exchange: Exchange
) -> None:
    exchange.stranger("buy", "10", "32.1", "USDT/TWD")
    exchange.stranger("sell", "10", "32.2", "USDT/TWD")
    exchange.fault(FaultKind.ERROR_BEFORE, path="getOrderBook", skip=2)
    house.run(
        lambda: rate.run(job(house, exchange), house.context),
        until=lambda: house.book.read().status == BookStatus.UNREACHABLE,
    )
    assert house.health.read().connected == 0


def test_a_market_that_does_not_exist_is_a_fault_of_the_configuration(
    house: House, exchange: Exchange
) -> None:
    wrong = replace(job(house, exchange), pair=Pair("USDT", "EUR"))
    with pytest.raises(ConfigError, match="USDT/EUR"):
        rate.run(wrong, house.context)


def test_the_heart_beats_while_the_venue_is_silent(house: House, exchange: Exchange) -> None:
    exchange.fault(FaultKind.FREEZE, seconds=2)
    beats: set[int] = set()

    def until() -> bool:
        beats.add(house.health.read().heartbeat_ns)
        return len(beats) > 8

    before = time.monotonic()
    house.run(lambda: rate.run(job(house, exchange), house.context), until)
    gaps = [b - a for a, b in zip(sorted(beats), sorted(beats)[1:], strict=False)]
    assert max(gaps) < 0.5e9
    assert time.monotonic() - before < 1.0, "leaving must not wait for the venue"


def test_a_silent_parent_is_left(house: House, exchange: Exchange) -> None:
    away = replace(job(house, exchange), ace=unreachable(exchange.endpoint))
    house.parent.write(house.parent.read()._replace(heartbeat_ns=0))
    rate.run(away, house.context)
    assert house.book.read().status == BookStatus.STOPPED
