"""The API as a pure function: signature, times, paging, batches, rates, row forms."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmd.sim.ace import Fault, FaultKind
from mmd.sim.ace.gate import RateLimit, signature
from mmd.sim.ace.markets import CURRENCY_IDS, all_markets
from mmd.sim.ace.orders import Status
from mmd.sim.ace.venue import BatchPaths, Call, VenueRules
from tests.sim_ace.client import VirtualClient, bare_exchange, order_form, signed

ORDER = "/open/v2/order/order"
LIST = "/open/v2/order/getOrderList"
TRADES = "/open/v2/order/getTradeList"
SIGNED_PATHS = [
    "/open/v2/coin/customerAccount",
    "/open/v2/kline/getKline",
    ORDER,
    "/open/v2/order/cancel",
    LIST,
    "/open/v2/order/showOrderStatus",
    "/open/v2/order/showOrderHistory",
    TRADES,
]


def client(rules: VenueRules | None = None, *keys: str) -> VirtualClient:
    return VirtualClient(bare_exchange(rules, *keys)[0])


def test_signature_equals_the_published_vector() -> None:
    parameters = {
        "apiKey": "ABC#2022",
        "timeStamp": "1671089108000",
        "quoteCurrencyId": "1",
        "baseCurrencyId": "2",
    }
    expected = "56c45e08e0e168e1bac13854f494f6009e17228c7da0024fea196bfcf3ba5ac0"
    assert signature("xxx", parameters) == expected
    assert signature("xxx", {**parameters, "price": "", "signKey": "whatever"}) == expected


@pytest.mark.parametrize("path", SIGNED_PATHS)
@pytest.mark.parametrize("spoilt", ["secret", "key", "value", "added"])
def test_wrong_signature_is_refused_everywhere(path: str, spoilt: str) -> None:
    c = client()
    secret = "other" if spoilt == "secret" else "k-secret"
    key = "nobody" if spoilt == "key" else "k"
    form = signed(key, secret, c.now_ms, {"orderNo": "1"})
    if spoilt == "value":
        form["orderNo"] = "2"
    if spoilt == "added":
        form["size"] = "500"
    answer = c.send(Call("POST", path, form))
    assert answer.status == Status.BAD_SIGNATURE
    assert answer.account is None


@pytest.mark.parametrize("off_ms", [0, 5000, -5000])
def test_time_stamp_within_the_window_passes(off_ms: int) -> None:
    c = client()
    form = signed("k", "k-secret", c.now_ms + off_ms, {})
    assert c.send(Call("POST", LIST, form)).status == 200


@pytest.mark.parametrize("off_ms", [5001, -5001, 10**9])
def test_time_stamp_outside_the_window_is_refused(off_ms: int) -> None:
    c = client()
    form = signed("k", "k-secret", c.now_ms + off_ms, {})
    assert c.send(Call("POST", LIST, form)).status == Status.BAD_TIMESTAMP


def test_skewed_clock_moves_the_window_with_it() -> None:
    c = client()
    c.exchange.faults.add(Fault(kind=FaultKind.SKEW, skew_ms=60_000))
    assert c.post(LIST).status == Status.BAD_TIMESTAMP
    form = signed("k", "k-secret", c.now_ms + 60_000, {})
    assert c.send(Call("POST", LIST, form)).status == 200


def test_body_must_be_a_form_and_the_method_right() -> None:
    c = client()
    form = signed("k", "k-secret", c.now_ms, {})
    assert c.send(Call("POST", LIST, form, is_form=False)).status == Status.MALFORMED
    assert c.send(Call("GET", LIST, form)).http_status == 405
    assert c.send(Call("POST", "/oapi/v2/list/marketPair", {})).http_status == 405
    assert c.send(Call("POST", "/open/v2/order/cancelAll", form)).http_status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"buyOrSell": "3"},
        {"buyOrSell": ""},
        {"price": "NaN"},
        {"price": "Infinity"},
        {"price": "1,000"},
        {"num": "0x10"},
        {"num": "1" * 41},
        {"baseCurrencyId": ""},
        {"baseCurrencyId": "²"},
        {"baseCurrencyId": "-2"},
    ],
)
def test_unreadable_order_is_malformed(change: dict[str, str]) -> None:
    form = {**order_form("buy", 1_000_000, "0.1"), **change}
    assert client().post(ORDER, **form).status == Status.MALFORMED


NAMES = (
    "baseCurrencyId quoteCurrencyId buyOrSell type price num amount customOrderId orderNo start "
    "size startTime startTradeNo duration limit endTime orders orderNos"
)
VALUES = st.text(max_size=12) | st.integers(-5, 300).map(str) | st.sampled_from(["1e400", "[1]"])


@settings(max_examples=200, deadline=None)
@given(
    path=st.sampled_from([*SIGNED_PATHS, BatchPaths().submit, BatchPaths().cancel]),
    form=st.dictionaries(st.sampled_from(NAMES.split()), VALUES),
)
def test_no_form_breaks_the_venue(path: str, form: dict[str, str]) -> None:
    c = client(VenueRules(batch=BatchPaths()))
    answer = c.post(path, **form)
    assert answer.body["status"] in {200, *Status}


def test_list_shows_ten_unless_told_and_pages_the_rest() -> None:
    c = client()
    numbers = [c.order("buy", 1_000_000, "0.001", f"id{i}") for i in range(25)][::-1]
    assert c.open_numbers() == numbers[:10]
    assert c.open_numbers(size=500) == numbers
    assert c.open_numbers(start=3, size=10) == numbers[20:]
    assert c.open_numbers(start=4, size=10) == []
    assert c.open_numbers(baseCurrencyId=4, quoteCurrencyId=1, size=500) == []
    for size in (0, 501, "x", -1):
        assert c.post(LIST, size=size).status == Status.MALFORMED


def test_start_may_count_rows_instead_of_pages() -> None:
    c = client(VenueRules(paging="row"))
    numbers = [c.order("buy", 1_000_000, "0.001") for _ in range(25)][::-1]
    assert c.open_numbers(start=11, size=10) == numbers[10:20]


def test_trade_list_goes_on_from_a_trade_number() -> None:
    c = client()
    for _ in range(3):
        c.now_ms += 1000
        c.order("sell", 1_000_000, "0.001")
        c.order("buy", 1_000_000, "0.001")
    newest_first = c.post(TRADES, size=500).body["attachment"]
    numbers = [row["tradeNo"] for row in newest_first]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 3
    assert len(numbers) == 6
    second = sorted(set(numbers))[1]
    later = c.post(TRADES, size=500, startTradeNo=second).body["attachment"]
    assert [row["tradeNo"] for row in later] == sorted(n for n in numbers if n >= second)
    since = c.post(TRADES, size=500, startTime=c.now_ms).body["attachment"]
    assert {row["tradeNo"] for row in since} == {max(numbers)}
    assert all(row["isSelf"] for row in newest_first)
    assert sum(row["isMaker"] for row in newest_first) == 3


def test_book_rows_hold_the_volume_first_and_the_best_price_on_top() -> None:
    c = client()
    for price, amount in ((999_000, "0.2"), (1_000_000, "0.1"), (1_000_000, "0.3")):
        c.order("buy", price, amount)
    c.order("sell", "1001000.5", "0.7")
    ids = {"baseCurrencyId": "2", "quoteCurrencyId": "1"}
    answer = c.send(Call("GET", "/open/v2/public/getOrderBook", ids))
    assert answer.body["attachment"]["bids"] == [["0.4", "1000000"], ["0.2", "999000"]]
    assert answer.body["attachment"]["asks"] == [["0.7", "1001000.5"]]
    assert answer.body["status"] == 200
    shallow = c.send(Call("GET", "/open/v2/public/getOrderBook", {**ids, "depth": "1"}))
    assert shallow.body["attachment"]["bids"] == [["0.4", "1000000"]]


def test_markets_name_ids_and_precisions_as_text() -> None:
    answer = client().send(Call("GET", "/oapi/v2/list/marketPair", {}))
    assert isinstance(answer.body, list)
    assert len(answer.body) == len(all_markets())
    btc = next(row for row in answer.body if row["symbol"] == "BTC/TWD")
    assert btc == {
        "symbol": "BTC/TWD",
        "base": "BTC",
        "baseCurrencyId": "2",
        "quote": "TWD",
        "quoteCurrencyId": "1",
        "basePrecision": "6",
        "quotePrecision": "1",
        "minLimitBaseAmount": "0.0001",
        "maxLimitBaseAmount": "120",
    }


def test_order_times_are_utc_plus_eight() -> None:
    c = client()
    c.now_ms = 1_669_716_486_980
    number = c.order("buy", 1_000_000, "0.001")
    row = c.post(LIST).body["attachment"][0]
    assert (row["orderTime"], row["orderTimeStamp"]) == ("2022-11-29 18:08:06", c.now_ms)
    status = c.post("/open/v2/order/showOrderStatus", orderNo=number).body["attachment"]
    assert status["orderTime"] == "2022-11-29 18:08:06.980"


def test_cancel_of_a_finished_order_answers_2061() -> None:
    c = client()
    cancelled, filled = c.order("buy", 1_000_000, "0.1"), c.order("sell", 1_100_000, "0.1")
    cancel = "/open/v2/order/cancel"
    assert c.post(cancel, orderNo=cancelled).body["attachment"] == 200
    c.order("buy", 1_100_000, "0.1")
    for number, status in ((cancelled, 4), (filled, 2)):
        assert c.post(cancel, orderNo=number).status == 2061
        shown = c.post("/open/v2/order/showOrderStatus", orderNo=number).body["attachment"]
        assert shown["status"] == status
    assert c.post(cancel, orderNo="123").status == Status.MALFORMED


def test_others_orders_are_out_of_reach() -> None:
    exchange, _ = bare_exchange(None, "k", "l")
    mine, theirs = VirtualClient(exchange), VirtualClient(exchange, "l")
    number = mine.order("buy", 1_000_000, "0.1")
    assert theirs.open_numbers() == []
    for path in ("cancel", "showOrderStatus", "showOrderHistory"):
        assert theirs.post(f"/open/v2/order/{path}", orderNo=number).status == Status.MALFORMED
    assert mine.open_numbers() == [number]


def test_history_lists_the_trades_of_the_order() -> None:
    c = client()
    number = c.order("buy", 1_000_000, "0.3")
    c.order("sell", 1_000_000, "0.1")
    c.order("sell", 900_000, "0.05")
    history = c.post("/open/v2/order/showOrderHistory", orderNo=number).body["attachment"]
    assert [Decimal(t["num"]) for t in history["trades"]] == [Decimal("0.1"), Decimal("0.05")]
    assert history["order"]["status"] == 1
    assert Decimal(history["order"]["remainNum"]) == Decimal("0.15")


def test_batch_answers_each_item_in_order() -> None:
    c = client(VenueRules(batch=BatchPaths(max_orders=3)))
    items = [
        order_form("buy", 1_000_000, "0.1", "a"),
        order_form("buy", 1_000_000, "0.00001", "b"),
        order_form("buy", 999_000, "0.1", "c"),
    ]
    submit, cancel = BatchPaths().submit, BatchPaths().cancel
    results = c.post(submit, orders=json.dumps(items)).body["attachment"]
    assert [r["status"] for r in results] == [200, Status.AMOUNT_TOO_SMALL, 200]
    assert [r.get("customOrderId") for r in results] == ["a", None, "c"]
    numbers = [results[2]["orderNo"], "77", results[0]["orderNo"], results[0]["orderNo"]]
    assert c.post(cancel, orderNos=json.dumps(numbers)).status == Status.MALFORMED
    gone = c.post(cancel, orderNos=json.dumps(numbers[:3])).body["attachment"]
    assert [(r["orderNo"], r["status"]) for r in gone] == [
        (numbers[0], 200),
        ("77", Status.MALFORMED),
        (numbers[2], 200),
    ]
    assert c.open_numbers() == []


def test_batch_paths_are_absent_unless_asked_for() -> None:
    assert client().post(BatchPaths().submit, orders="[]").http_status == 404


def test_key_over_its_rate_gets_429_and_later_passes_again() -> None:
    c = client(VenueRules(rate_limit_per_s=10, rate_burst=5))
    answers = [c.post(LIST).http_status for _ in range(7)]
    assert answers == [200] * 5 + [429] * 2
    c.now_ms += 100
    assert [c.post(LIST).http_status for _ in range(2)] == [200, 429]


@given(
    gaps=st.lists(st.integers(0, 400), min_size=1, max_size=200),
    per_s=st.integers(1, 20),
    burst=st.integers(1, 20),
)
def test_rate_limit_never_lets_more_pass_than_it_says(
    gaps: list[int], per_s: int, burst: int
) -> None:
    limit = RateLimit(per_s, burst)
    now, passed = 0, 0
    for gap in gaps:
        now += gap
        passed += limit.allows("k", now)
        assert passed <= burst + per_s * now / 1000 + 1e-6


def test_currency_ids_are_the_exchanges_own() -> None:
    known = {"TWD": 1, "BTC": 2, "ETH": 4, "XRP": 10, "USDT": 14, "BNB": 17, "SOL": 130}
    assert {name: CURRENCY_IDS[name] for name in known} == known


def test_requests_with_a_made_up_key_use_up_nobodys_rate() -> None:
    c = client(VenueRules(rate_limit_per_s=1, rate_burst=1))
    for _ in range(3):
        form = signed("made-up", "k-secret", c.now_ms, {})
        assert c.send(Call("POST", LIST, form)).status == Status.BAD_SIGNATURE
    assert c.post(LIST).status == 200
