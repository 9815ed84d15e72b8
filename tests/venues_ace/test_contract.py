"""What both clients owe, tried against the simulated exchange over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mmd.config.secrets import AceKey
from mmd.sim.ace import FaultKind
from mmd.venues.ace import batch, calls, listing
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import (
    InsufficientBalance,
    InvalidOrder,
    KeyRejected,
    MmdError,
    OrderGone,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
    UnknownStatus,
)
from mmd.words.market import Level, MarketRules, NewOrder, OrderStatus, Pair, Side
from tests.venues_ace.conftest import BTC_TWD, Asker, Exchange, start, unreachable

Connect = Callable[[AceEndpoint], Asker]

ORDER_PATH = "/order/order"
CANCEL_PATH = "/order/cancel"
LIST_PATH = "/order/getOrderList"


def bid(name: str, price: str = "1000000", amount: str = "0.001") -> NewOrder:
    return NewOrder(name, Side.BUY, Decimal(price), Decimal(amount))


def ask(name: str, price: str = "3000000", amount: str = "0.001") -> NewOrder:
    return NewOrder(name, Side.SELL, Decimal(price), Decimal(amount))


def names(client: Asker) -> list[str]:
    """customOrderIds of all open orders, sorted."""
    return sorted(order.client_id for order in client.run(listing.all_open_orders()))


def test_markets_come_with_their_rules(client: Asker) -> None:
    rules = {r.pair: r for r in client.call(calls.markets())}[BTC_TWD]
    assert (rules.base_id, rules.quote_id) == (2, 1)
    assert (rules.tick, rules.lot) == (Decimal("0.1"), Decimal("0.000001"))
    assert rules.min_amount < rules.max_amount


def test_order_book_puts_price_and_volume_right(
    client: Asker, exchange: Exchange, rules: MarketRules
) -> None:
    exchange.stranger("buy", "0.5", "2000000")
    exchange.stranger("buy", "0.25", "1999999.9")
    exchange.stranger("sell", "0.75", "2000001")
    book = client.call(calls.order_book(rules))
    assert book.bids[0] == Level(Decimal(2000000), Decimal("0.5"))
    assert book.bids[1] == Level(Decimal("1999999.9"), Decimal("0.25"))
    assert book.asks == (Level(Decimal(2000001), Decimal("0.75")),)
    assert len(client.call(calls.order_book(rules, depth=1)).bids) == 1


def test_last_prices_name_their_pair(client: Asker, exchange: Exchange) -> None:
    exchange.stranger("buy", "0.5", "2000000")
    exchange.stranger("sell", "0.5", "2000000")
    assert client.call(calls.prices())[BTC_TWD] == Decimal(2000000)


def test_an_order_holds_back_balance(client: Asker, rules: MarketRules) -> None:
    before = {b.currency: b for b in client.call(calls.balances())}["TWD"]
    client.call(calls.new_order(rules, bid("one")))
    after = {b.currency: b for b in client.call(calls.balances())}["TWD"]
    assert before.total == after.total
    assert after.free <= before.free - 1000


def test_an_order_lives_and_is_cancelled(client: Asker, rules: MarketRules) -> None:
    number = client.call(calls.new_order(rules, bid("one", "1000000.1", "0.002")))
    (order,) = client.call(calls.open_orders(rules))
    assert (order.order_no, order.client_id, order.pair) == (number, "one", BTC_TWD)
    assert (order.side, order.price) == (Side.BUY, Decimal("1000000.1"))
    assert (order.amount, order.filled) == (Decimal("0.002"), 0)
    assert abs(order.time_ms - time.time() * 1000) < 5000
    client.call(calls.cancel(number))
    assert client.call(calls.open_orders(rules)) == []
    gone = client.call(calls.order_status(number))
    assert (gone.status, gone.amount) == (OrderStatus.CANCELLED, Decimal("0.002"))
    with pytest.raises(OrderGone):
        client.call(calls.cancel(number))


def test_a_fill_is_listed_as_own_trade(
    client: Asker, exchange: Exchange, rules: MarketRules
) -> None:
    number = client.call(calls.new_order(rules, bid("one", "2000000", "0.002")))
    exchange.stranger("sell", "0.0005", "2000000")
    (trade,) = client.call(calls.own_trades(rules))
    assert (trade.order_no, trade.client_id, trade.pair) == (number, "one", BTC_TWD)
    assert (trade.side, trade.price) == (Side.BUY, Decimal(2000000))
    assert trade.amount == Decimal("0.0005")
    assert trade.fee == Decimal("0.5")
    assert (trade.is_maker, trade.is_self) == (True, False)
    assert trade.trade_no > 2**63
    order, fills = client.call(calls.order_history(number))
    assert (order.status, order.filled) == (OrderStatus.PARTLY_FILLED, Decimal("0.0005"))
    assert fills == (Level(Decimal(2000000), Decimal("0.0005")),)


def test_own_trades_go_on_from_a_cursor(
    client: Asker, exchange: Exchange, rules: MarketRules
) -> None:
    client.call(calls.new_order(rules, bid("one", "2000000", "0.003")))
    for _ in range(3):
        exchange.stranger("sell", "0.001", "2000000")
    trades = client.run(listing.trades_since(None))
    assert [t.trade_no for t in trades] == sorted(t.trade_no for t in trades)
    assert len(trades) == 3
    later = client.run(listing.trades_since(trades[1].trade_no))
    assert later == trades[1:]
    assert client.run(listing.trades_since(None, int(time.time() * 1000) + 60_000)) == []


@pytest.mark.parametrize("order", [bid("x", amount="0.00000001"), bid("x", price="-5")])
def test_a_wrong_order_is_invalid(client: Asker, rules: MarketRules, order: NewOrder) -> None:
    with pytest.raises(InvalidOrder):
        client.call(calls.new_order(rules, order))


def test_money_that_is_missing_is_told_apart(client: Asker, rules: MarketRules) -> None:
    with pytest.raises(InsufficientBalance):
        client.call(calls.new_order(rules, bid("x", price="3000000", amount="100")))


def test_a_wrong_secret_is_rejected_and_not_shown(connect: Connect, exchange: Exchange) -> None:
    endpoint = replace(exchange.endpoint, key=AceKey("paper", "hunter2hunter2"))
    client = connect(endpoint)
    with pytest.raises(KeyRejected) as caught:
        client.call(calls.balances())
    assert "hunter2" not in repr(caught.value) + str(endpoint)


def test_an_unknown_status_keeps_its_number(client: Asker, exchange: Exchange) -> None:
    exchange.fault(FaultKind.REFUSE, status=31337, count=1)
    with pytest.raises(UnknownStatus, match="31337") as caught:
        client.call(calls.balances())
    assert caught.value.status == 31337


# What the network does. Each case: the fault, whether the order is on the venue afterwards.
LOST = [
    (FaultKind.LOST_REPLY, {}, True),
    (FaultKind.RESET, {}, False),
    (FaultKind.ERROR_BEFORE, {"http_status": 502}, False),
    (FaultKind.ERROR_AFTER, {"http_status": 504}, True),
    (FaultKind.MALFORMED, {}, True),
    (FaultKind.FREEZE, {"seconds": 0.6}, False),
]


@pytest.mark.parametrize(
    ("kind", "details", "executed"), LOST, ids=lambda v: getattr(v, "value", "")
)
def test_a_lost_reply_to_an_order_is_unknown_and_never_repeated(
    connect: Connect,
    exchange: Exchange,
    rules: MarketRules,
    kind: FaultKind,
    details: dict[str, float],
    executed: bool,
) -> None:
    client = connect(replace(exchange.endpoint, timeout_s=0.3))
    names(client)  # warm: a connection that is reused is the harder case
    exchange.fault(kind, path=ORDER_PATH, **details)
    with pytest.raises(OutcomeUnknown):
        client.call(calls.new_order(rules, bid("one")))
    exchange.clear_faults()
    assert names(client) == (["one"] if executed else [])
    assert exchange.executed(ORDER_PATH) == int(executed)


@pytest.mark.parametrize(
    ("kind", "details", "_executed"), LOST, ids=lambda v: getattr(v, "value", "")
)
def test_a_lost_reply_to_a_question_is_unavailable(
    connect: Connect,
    exchange: Exchange,
    kind: FaultKind,
    details: dict[str, float],
    _executed: bool,
) -> None:
    client = connect(replace(exchange.endpoint, timeout_s=0.3))
    names(client)
    exchange.fault(kind, path=LIST_PATH, **details)
    with pytest.raises(Unavailable):
        client.call(calls.open_orders())
    exchange.clear_faults()
    assert client.call(calls.open_orders()) == []


def test_too_many_requests_execute_nothing(
    client: Asker, exchange: Exchange, rules: MarketRules
) -> None:
    exchange.fault(FaultKind.RATE_LIMIT, path=ORDER_PATH, count=1)
    with pytest.raises(RateLimited) as caught:
        client.call(calls.new_order(rules, bid("one")))
    assert caught.value.retry_after_s > 0
    assert names(client) == []


def test_nobody_listening_leaves_no_outcome_open(
    connect: Connect, exchange: Exchange, rules: MarketRules
) -> None:
    client = connect(unreachable(exchange.endpoint))
    with pytest.raises(Unavailable):
        client.call(calls.new_order(rules, bid("one")))


def test_no_such_path_executes_nothing(
    connect: Connect, exchange: Exchange, rules: MarketRules
) -> None:
    client = connect(replace(exchange.endpoint, base_url=exchange.sim.root_url + "/elsewhere"))
    with pytest.raises(UnknownStatus):
        client.call(calls.new_order(rules, bid("one")))


@pytest.mark.parametrize("paging", ["page", "row"])
@pytest.mark.parametrize("count", [11, 500, 501, 1003])
def test_a_list_is_complete_whatever_start_counts(
    connect: Connect, paging: str, count: int
) -> None:
    with ExitStack() as stack:
        exchange = start(stack, paging=paging, batch=True)
        endpoint = replace(
            exchange.endpoint,
            submit_path="/open/v2/order/submit_batch_order",
            timeout_s=10,
        )
        client = connect(endpoint)
        rules = next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)
        orders = [bid(f"n{number:04}", amount="0.0001") for number in range(count)]
        placed = client.run(batch.submit(endpoint, rules, orders))
        assert all(isinstance(number, str) for number in placed)
        assert names(client) == [order.client_id for order in orders]


@pytest.mark.parametrize("skew_ms", [-3_600_000, 3_600_000])
def test_a_venue_with_another_clock_is_understood(
    client: Asker, exchange: Exchange, rules: MarketRules, skew_ms: int
) -> None:
    exchange.fault(FaultKind.SKEW, skew_ms=skew_ms)
    client.call(calls.new_order(rules, bid("one")))
    assert names(client) == ["one"]
    assert exchange.executed(ORDER_PATH) == 1


def test_a_request_that_came_too_late_is_no_fault_of_the_key(connect: Connect) -> None:
    """A frozen process or a slow network; the order is not repeated, since it is stale too."""
    with ExitStack() as stack:
        exchange = start(stack, window_ms=300)
        client = connect(replace(exchange.endpoint, timeout_s=5))
        rules = next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)
        exchange.fault(FaultKind.DELAY, path=ORDER_PATH, delay_ms=1100, count=1)
        with pytest.raises(Unavailable):
            client.call(calls.new_order(rules, bid("one")))
        assert names(client) == []


@pytest.fixture
def secure() -> Iterator[Exchange]:
    """An exchange behind TLS. Tests name it before `connect`, so that clients close first."""
    with ExitStack() as stack:
        yield start(stack, tls=True)


def test_tls_is_checked_against_the_given_authority(
    secure: Exchange, connect: Connect, tmp_path: Path
) -> None:
    assert secure.sim.certificate is not None
    authority = tmp_path / "ca.pem"
    authority.write_bytes(secure.sim.certificate.authority_pem)
    trusting = connect(replace(secure.endpoint, ca_file=authority))
    rules = next(r for r in trusting.call(calls.markets()) if r.pair == BTC_TWD)
    trusting.call(calls.new_order(rules, bid("one")))
    assert names(trusting) == ["one"]
    with pytest.raises(Unavailable):
        connect(secure.endpoint).call(calls.new_order(rules, bid("two")))
    assert names(trusting) == ["one"]


# Several at once.


@pytest.fixture(params=[False, True], ids=["singly", "together"])
def batches(request: pytest.FixtureRequest) -> Iterator[Exchange]:
    """An exchange whose endpoint names the batch calls, or not."""
    with ExitStack() as stack:
        exchange = start(stack, batch=request.param)
        if request.param:
            exchange.endpoint = replace(
                exchange.endpoint,
                submit_path="/open/v2/order/submit_batch_order",
                cancel_path="/open/v2/order/cancel_batch_orders",
                max_orders=3,
            )
        yield exchange


def test_orders_are_placed_and_cancelled_each_with_its_result(
    batches: Exchange, connect: Connect
) -> None:
    client = connect(batches.endpoint)
    rules = next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)
    orders = [bid("a"), bid("b", amount="0.00000001"), ask("c"), ask("d", amount="100"), bid("e")]
    a, b, c, d, e = client.run(batch.submit(batches.endpoint, rules, orders))
    assert isinstance(b, InvalidOrder)
    assert isinstance(d, InsufficientBalance)
    assert names(client) == ["a", "c", "e"]
    assert [type(n) for n in (a, c, e)] == [str, str, str]
    wanted = [str(a), "12345", str(c), str(e)]
    gone = client.run(batch.cancel(batches.endpoint, wanted))
    assert gone[0] is None
    assert isinstance(gone[1], MmdError)
    assert gone[2:] == [None, None]
    assert names(client) == []


def test_a_refused_batch_is_done_one_by_one(connect: Connect) -> None:
    with ExitStack() as stack:
        exchange = start(stack, batch=False)
        endpoint = replace(
            exchange.endpoint, submit_path="/open/v2/no/such", cancel_path="/open/v2/no/such"
        )
        client = connect(endpoint)
        rules = next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)
        numbers = client.run(batch.submit(endpoint, rules, [bid("a"), bid("b")]))
        assert names(client) == ["a", "b"]
        assert client.run(batch.cancel(endpoint, [str(n) for n in numbers])) == [None, None]
        assert names(client) == []


def test_a_batch_with_a_lost_answer_is_not_sent_again(connect: Connect) -> None:
    with ExitStack() as stack:
        exchange = start(stack, batch=True)
        path = "/open/v2/order/submit_batch_order"
        endpoint = replace(exchange.endpoint, submit_path=path)
        client = connect(endpoint)
        rules = next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)
        exchange.fault(FaultKind.LOST_REPLY, path="batch", count=1)
        results = client.run(batch.submit(endpoint, rules, [bid("a"), bid("b")]))
        assert [type(result) for result in results] == [OutcomeUnknown, OutcomeUnknown]
        assert names(client) == ["a", "b"]


def test_a_lost_answer_concerns_its_own_order_alone(
    client: Asker, exchange: Exchange, rules: MarketRules
) -> None:
    exchange.fault(FaultKind.LOST_REPLY, path=ORDER_PATH, skip=1, count=1)
    results = client.run(batch.submit(exchange.endpoint, rules, [bid("a"), bid("b"), bid("c")]))
    assert sorted(type(result).__name__ for result in results) == ["OutcomeUnknown", "str", "str"]
    assert names(client) == ["a", "b", "c"]


def test_a_pair_asks_for_its_own_orders_only(client: Asker, rules: MarketRules) -> None:
    other = next(r for r in client.call(calls.markets()) if r.pair == Pair("ETH", "TWD"))
    client.call(calls.new_order(rules, bid("btc")))
    client.call(calls.new_order(other, bid("eth", "50000", "0.01")))
    assert [o.client_id for o in client.run(listing.all_open_orders(other))] == ["eth"]
    assert names(client) == ["btc", "eth"]
