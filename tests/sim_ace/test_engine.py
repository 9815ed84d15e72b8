"""What must hold in the engine, whatever is sent to it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmd.sim.ace.engine import STRANGER, Engine
from mmd.sim.ace.ledger import spent_currency
from mmd.sim.ace.orders import (
    MAKER_FEE,
    TAKER_FEE,
    Filled,
    OrderRequest,
    OrderType,
    Rejected,
    Status,
)
from mmd.words.market import OrderStatus, Pair, Side

BTC_TWD = Pair("BTC", "TWD")
USDT_TWD = Pair("USDT", "TWD")
START = {"TWD": Decimal(3_000_000), "BTC": Decimal(3), "USDT": Decimal(50_000)}
PRICES = st.integers(19_990, 20_010).map(lambda n: Decimal(n) * 100)
AMOUNTS = st.integers(100, 900_000).map(lambda n: Decimal(n).scaleb(-6))
SIDES = st.sampled_from(list(Side))


def engine_with(*names: str) -> Engine:
    engine = Engine()
    for name in names:
        engine.add_account(name)
        for currency, total in START.items():
            engine.set_balance(name, currency, total)
    engine.take_outcome()
    return engine


def limit(side: Side, price: object, amount: object, client_id: str | None = None) -> OrderRequest:
    price, amount = Decimal(str(price)), Decimal(str(amount))
    return OrderRequest(BTC_TWD, side, price=price, amount=amount, client_id=client_id)


class Trading(RuleBasedStateMachine):
    """Two accounts and an unlimited stranger trade at random; a twin follows by events alone."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = engine_with("a", "b")
        self.twin = engine_with("a", "b")
        self.now = 1_700_000_000_000
        self.last_trade_no = ""

    def act(self, account: str, request: OrderRequest) -> None:
        self.now += 1
        try:
            self.engine.place(account, request, self.now)
        except Rejected as error:
            refusal: Rejected | None = error
        else:
            refusal = None
        if refusal is None:
            self.follow()
            return
        assert refusal.status is Status.INSUFFICIENT_BALANCE
        assert not self.engine.take_outcome().events

    def follow(self) -> None:
        outcome = self.engine.take_outcome()
        for event in outcome.events:
            self.twin.replay(event)
            if isinstance(event, Filled):
                assert event.fill.trade_no >= self.last_trade_no
                self.last_trade_no = event.fill.trade_no

    @rule(account=st.sampled_from(["a", "b", STRANGER]), side=SIDES, price=PRICES, amount=AMOUNTS)
    def place_limit(self, account: str, side: Side, price: Decimal, amount: Decimal) -> None:
        self.act(account, limit(side, price, amount))

    @rule(account=st.sampled_from(["a", "b"]), side=SIDES, amount=AMOUNTS)
    def place_market(self, account: str, side: Side, amount: Decimal) -> None:
        self.act(account, OrderRequest(BTC_TWD, side, OrderType.MARKET, amount=amount))

    @rule(account=st.sampled_from(["a", "b"]), value=st.integers(1, 500_000))
    def place_value(self, account: str, value: int) -> None:
        order = OrderRequest(BTC_TWD, Side.BUY, OrderType.MARKET_VALUE, value=Decimal(value))
        self.act(account, order)

    @precondition(lambda self: any(self.engine.account(n).open for n in "ab"))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([n for n in "ab" if self.engine.account(n).open]))
        number = data.draw(st.sampled_from(list(self.engine.account(name).open)))
        self.now += 1
        self.engine.cancel(name, number, self.now)
        self.follow()
        with pytest.raises(Rejected) as refusal:
            self.engine.cancel(name, number, self.now)
        assert refusal.value.status is Status.ORDER_GONE

    @invariant()
    def money_is_conserved(self) -> None:
        ledger = self.engine.ledger
        for currency, start in START.items():
            held = sum(
                account.totals.get(currency, Decimal(0)) for account in ledger.accounts.values()
            )
            assert held + ledger.fees.get(currency, Decimal(0)) == 2 * start

    @invariant()
    def book_is_not_crossed(self) -> None:
        book = self.engine.books[BTC_TWD]
        bid, ask = book.bids.best(), book.asks.best()
        if bid is not None and ask is not None:
            assert bid.price < ask.price

    @invariant()
    def holds_equal_open_orders(self) -> None:
        for name in "ab":
            account = self.engine.account(name)
            for currency in START:
                needed = sum(
                    order.remaining * order.price * (1 + TAKER_FEE)
                    if order.side is Side.BUY
                    else order.remaining
                    for order in account.open.values()
                    if spent_currency(order) == currency
                )
                assert account.held.get(currency, Decimal(0)) == needed
                assert account.free(currency) >= 0

    @invariant()
    def open_orders_are_those_in_the_book(self) -> None:
        book = self.engine.books[BTC_TWD]
        resting = {order.order_no for half in (book.bids, book.asks) for order in half}
        names = ("a", "b", STRANGER)
        assert resting == {number for n in names for number in self.engine.account(n).open}
        assert all(o.remaining > 0 for half in (book.bids, book.asks) for o in half)

    @invariant()
    def orders_rest_by_price_then_time(self) -> None:
        book = self.engine.books[BTC_TWD]
        for half, sign in ((book.bids, -1), (book.asks, 1)):
            keys = [(sign * order.price, order.order_no) for order in half]
            assert keys == sorted(keys)

    @invariant()
    def events_tell_all(self) -> None:
        for name in "ab":
            mine, twins = self.engine.account(name), self.twin.account(name)
            assert mine.totals == twins.totals
            assert mine.open == twins.open
            assert mine.finished == twins.finished
            assert list(mine.fills) == list(twins.fills)
            assert {c: h for c, h in mine.held.items() if h} == {
                c: h for c, h in twins.held.items() if h
            }


Trading.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestTrading = Trading.TestCase


def test_better_price_trades_first_and_then_the_earlier_order() -> None:
    engine = engine_with("a", "b")
    late = engine.place("a", limit(Side.SELL, 2_000_100, "0.1"), 1)
    first = engine.place("a", limit(Side.SELL, 2_000_000, "0.1"), 2)
    second = engine.place("a", limit(Side.SELL, 2_000_000, "0.1"), 3)
    taker = engine.place("b", limit(Side.BUY, 2_000_100, "0.25"), 4)
    assert (first.filled, second.filled, late.filled) == (
        Decimal("0.1"),
        Decimal("0.1"),
        Decimal("0.05"),
    )
    assert taker.status is OrderStatus.FILLED
    assert taker.traded_value == Decimal("0.2") * 2_000_000 + Decimal("0.05") * 2_000_100


def test_trade_is_at_the_makers_price_with_each_sides_fee() -> None:
    engine = engine_with("a", "b")
    engine.place("a", limit(Side.SELL, 2_000_000, "0.5"), 1)
    engine.place("b", limit(Side.BUY, 2_000_500, "0.5"), 2)
    seller, buyer = engine.account("a"), engine.account("b")
    assert seller.totals["TWD"] == START["TWD"] + 1_000_000 * (1 - MAKER_FEE)
    assert buyer.totals["TWD"] == START["TWD"] - 1_000_000 * (1 + TAKER_FEE)
    assert seller.fills[0].is_maker
    assert not buyer.fills[0].is_maker
    assert seller.fills[0].trade_no == buyer.fills[0].trade_no


def test_self_match_has_two_rows_that_say_so() -> None:
    engine = engine_with("a")
    engine.place("a", limit(Side.SELL, 2_000_000, "0.5", "x"), 1)
    engine.place("a", limit(Side.BUY, 2_000_000, "0.2", "y"), 2)
    rows = list(engine.account("a").fills)
    assert [(row.is_self, row.is_maker, row.client_id) for row in rows] == [
        (True, True, "x"),
        (True, False, "y"),
    ]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (limit(Side.BUY, 2_000_000, "0.00009"), Status.AMOUNT_TOO_SMALL),
        (limit(Side.BUY, 2_000_000, "120.1"), Status.AMOUNT_TOO_LARGE),
        (limit(Side.BUY, 2_000_000, "0.1234567"), Status.AMOUNT_PRECISION),
        (limit(Side.BUY, "2000000.05", "0.1"), Status.PRICE_PRECISION),
        (limit(Side.BUY, 0, "0.1"), Status.BAD_PRICE),
        (limit(Side.BUY, -1, "0.1"), Status.BAD_PRICE),
        (limit(Side.BUY, "1e13", "0.1"), Status.BAD_PRICE),
        (OrderRequest(BTC_TWD, Side.BUY, amount=Decimal(1)), Status.BAD_PRICE),
        (OrderRequest(BTC_TWD, Side.BUY, price=Decimal(1)), Status.AMOUNT_TOO_SMALL),
        (limit(Side.BUY, 2_000_000, "0.1", "x" * 33), Status.BAD_CLIENT_ID),
        (limit(Side.SELL, 2_000_000, "3.000001"), Status.INSUFFICIENT_BALANCE),
        (limit(Side.BUY, 3_000_000, "1"), Status.INSUFFICIENT_BALANCE),
        (OrderRequest(Pair("TWD", "BTC"), Side.BUY), Status.UNKNOWN_MARKET),
        (
            OrderRequest(BTC_TWD, Side.SELL, OrderType.MARKET_VALUE, value=Decimal(1)),
            Status.BAD_ORDER,
        ),
    ],
)
def test_order_that_breaks_a_rule_is_refused_by_its_status(
    request_: OrderRequest, status: Status
) -> None:
    engine = engine_with("a")
    with pytest.raises(Rejected) as refusal:
        engine.place("a", request_, 1)
    assert refusal.value.status is status
    assert not engine.account("a").open


def test_largest_order_that_balance_and_fee_allow_is_accepted() -> None:
    engine = engine_with("a")
    engine.set_balance("a", "TWD", Decimal(2_000_000) * (1 + TAKER_FEE))
    engine.place("a", limit(Side.BUY, 2_000_000, "1"), 1)
    assert engine.account("a").free("TWD") == 0


def test_market_order_drops_what_finds_no_counter_offer() -> None:
    engine = engine_with("a", "b")
    engine.place("a", limit(Side.SELL, 2_000_000, "0.2"), 1)
    order = OrderRequest(BTC_TWD, Side.BUY, OrderType.MARKET, amount=Decimal("0.5"))
    partly = engine.place("b", order, 2)
    none = engine.place("b", order, 3)
    assert partly.status is OrderStatus.PARTLY_FILLED_CANCELLED
    assert partly.filled == Decimal("0.2")
    assert none.status is OrderStatus.CANCELLED
    assert engine.account("b").held["TWD"] == 0


def test_market_order_by_value_spends_no_more_than_its_value() -> None:
    engine = engine_with("a", "b")
    engine.place("a", limit(Side.SELL, 2_000_000, "0.2"), 1)
    value = Decimal("123456.7")
    order = OrderRequest(BTC_TWD, Side.BUY, OrderType.MARKET_VALUE, value=value)
    bought = engine.place("b", order, 2)
    assert bought.status is OrderStatus.FILLED
    assert value - 2_000_000 * Decimal("0.000001") < bought.traded_value <= value


@given(times=st.lists(st.integers(0, 10**13 - 1), min_size=2, max_size=20))
def test_numbers_grow_even_when_the_clock_goes_back(times: list[int]) -> None:
    engine = engine_with("a")
    numbers = [engine.place("a", limit(Side.BUY, 1_000_000, "0.0001"), t).order_no for t in times]
    assert numbers == sorted(set(numbers))
    assert all(len(number) == 32 for number in numbers)


def test_markets_cover_every_coin_against_both_currencies_and_a_cross() -> None:
    coins = ["BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "BNB", "LTC", "LINK", "AVAX", "DOT"]
    expected = {Pair(coin, quote) for coin in coins for quote in ("TWD", "USDT")}
    expected |= {USDT_TWD, Pair("ETH", "BTC")}
    assert set(Engine().markets) == expected
