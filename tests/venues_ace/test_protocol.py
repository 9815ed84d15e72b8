"""What is sent, and what is made of each answer, without a network."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.config.secrets import AceKey
from mmd.venues.ace import calls
from mmd.venues.ace.clock import VenueClock
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import Call, build, finish
from mmd.venues.ace.sign import signature
from mmd.words.errors import (
    InsufficientBalance,
    InvalidOrder,
    KeyRejected,
    MmdError,
    OrderGone,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    UnknownStatus,
)
from mmd.words.market import Balance, MarketRules, NewOrder, OrderStatus, Pair, Side

KEY = AceKey("ABC#2022", "xxx")
ENDPOINT = AceEndpoint("https://ace.io/polarisex", KEY)
RULES = MarketRules(
    Pair("BTC", "TWD"), 2, 1, Decimal("0.1"), Decimal("0.000001"), Decimal("0.0001"), Decimal(120)
)
ORDER = calls.new_order(RULES, NewOrder("id", Side.BUY, Decimal("2E+6"), Decimal("0.0010")))


def reply(status: object, attachment: object = None) -> bytes:
    return json.dumps(
        {"attachment": attachment, "message": "m", "parameters": None, "status": status}
    ).encode()


def error_of(call: Call[Any], http: int, body: bytes) -> MmdError:
    with pytest.raises(MmdError) as caught:
        finish(call, http, {}, body)
    return caught.value


def test_the_published_signature_is_reproduced() -> None:
    params = {
        "apiKey": "ABC#2022",
        "timeStamp": "1671089108000",
        "quoteCurrencyId": "1",
        "baseCurrencyId": "2",
    }
    assert signature(params, "xxx") == (
        "56c45e08e0e168e1bac13854f494f6009e17228c7da0024fea196bfcf3ba5ac0"
    )


def test_an_order_goes_out_as_a_signed_form() -> None:
    request = build(ORDER, ENDPOINT, 1671089108000)
    assert (request.method, request.url) == ("POST", "https://ace.io/polarisex/open/v2/order/order")
    assert request.body is not None
    form = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
    sign = form.pop("signKey")
    assert sign == signature(form, "xxx")
    assert form == {
        "apiKey": "ABC#2022",
        "timeStamp": "1671089108000",
        "baseCurrencyId": "2",
        "quoteCurrencyId": "1",
        "buyOrSell": "1",
        "type": "1",
        "price": "2000000",
        "num": "0.001",
        "customOrderId": "id",
    }
    assert sign not in repr(request)


@pytest.mark.parametrize("status", [20182, 10012, 2021, 7, 200])
def test_a_venue_that_repeats_our_request_gives_no_key_away(status: int) -> None:
    key = AceKey("key#0f9e8d7c", "s3cr3t-1a2b3c4d")
    sent = build(ORDER, AceEndpoint("https://ace.io/polarisex", key), 1671089108000).body
    assert sent is not None
    fields = {name: value for name, (value,) in parse_qs(sent.decode()).items()}
    for said in (sent.decode(), json.dumps(fields), str(fields), f"bad key {fields['signKey']}"):
        body = json.dumps({"message": said, "status": status, "attachment": said})
        shown = str(error_of(ORDER, 400, body.encode()))
        assert "0f9e8d7c" not in shown
        assert fields["signKey"][:20] not in shown
        assert key.secret not in shown


def test_what_the_venue_says_of_keys_stays_readable() -> None:
    said = {"message": "apiKey or signKey wrong", "status": 20182}
    assert str(error_of(ORDER, 400, json.dumps(said).encode())).endswith("apiKey or signKey wrong")


def test_a_question_without_key_goes_into_the_address() -> None:
    request = build(calls.order_book(RULES, depth=5), ENDPOINT, 0)
    assert request.method == "GET"
    assert request.url.endswith("getOrderBook?baseCurrencyId=2&quoteCurrencyId=1&depth=5")
    assert request.body is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=0, max_value=10**12))
def test_numbers_are_written_exactly_and_plainly(value: Decimal) -> None:
    written = calls.plain(value)
    assert Decimal(written) == value
    assert "E" not in written.upper()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((s, InvalidOrder) for s in (2003, 2004, 2005, 2036, 2039, 2053, 2063, 20183)),
        (2021, InsufficientBalance),
        (2061, OrderGone),
        (9996, Refused),
        (10012, KeyRejected),
        (20182, KeyRejected),
        (429, RateLimited),
        (4711, UnknownStatus),
    ],
)
@pytest.mark.parametrize("http", [200, 400, 500])
def test_the_status_number_decides_as_number_or_text(
    status: int, kind: type[MmdError], http: int
) -> None:
    if kind is UnknownStatus and http == 500:
        kind = OutcomeUnknown  # a number that only a failing server knows proves nothing
    assert type(error_of(ORDER, http, reply(status))) is kind
    assert type(error_of(ORDER, http, reply(str(status)))) is kind


def test_success_counts_whatever_the_http_code() -> None:
    assert finish(ORDER, 500, {}, reply("200", {"orderNo": "17"})) == "17"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'{"status": 200',
        b'{"status": true, "attachment": {"orderNo": "1"}}',
        b'{"status": "2e2"}',
        b"[" * 100_000,
        reply(200),
        reply(200, {"orderNo": ""}),
        reply(200, {"orderNo": None}),
        reply(200, [1]),
        reply(500),
        b'{"status": 200, "attachment": NaN}',
    ],
)
def test_an_answer_without_sense_leaves_the_outcome_open(body: bytes) -> None:
    assert type(error_of(ORDER, 200, body)) is OutcomeUnknown
    assert type(error_of(calls.cancel("1"), 200, body)) is OutcomeUnknown
    assert type(error_of(calls.open_orders(), 200, body)) is Unavailable


@given(st.binary(max_size=200), st.integers(200, 599))
def test_no_answer_raises_anything_but_our_own_errors(body: bytes, http: int) -> None:
    for call in (ORDER, calls.markets(), calls.balances(), calls.own_trades()):
        with pytest.raises(MmdError):
            finish(call, http, {}, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["orderNo", "bids", "asks", "num", "status", "base", "buyOrSell"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_no_attachment_raises_anything_but_our_own_errors(attachment: object) -> None:
    body = json.dumps({"status": 200, "attachment": attachment}).encode()
    for call in (ORDER, calls.order_book(RULES), calls.order_history("1"), calls.open_orders()):
        try:
            finish(call, 200, {}, body)
        except MmdError:
            continue


def test_retry_after_is_heeded() -> None:
    with pytest.raises(RateLimited) as caught:
        finish(ORDER, 429, {"Retry-After": "7"}, b"")
    assert caught.value.retry_after_s == 7


def test_money_is_exact_from_text_and_from_number() -> None:
    body = b"""{"status": "200", "attachment": [
        {"currencyName": "btc", "amount": "9999999982.01768559", "cashAmount": 0.1},
        {"currencyName": "TWD", "amount": 12345678901234567890.123456789, "cashAmount": 3}]}"""
    btc, twd = finish(calls.balances(), 200, {}, body)
    assert btc == Balance("BTC", Decimal("9999999982.01768559"), Decimal("0.1"))
    assert twd.total == Decimal("12345678901234567890.123456789")


def test_the_documents_order_list_is_read() -> None:
    row = {
        "uid": 660,
        "orderNo": "16697164905200431470851100284369",
        "orderTime": "2022-11-29 18:08:06",
        "orderTimeStamp": 1669716486980,
        "quoteCurrencyId": 1,
        "quoteCurrencyName": "TWD",
        "baseCurrencyId": 2,
        "baseCurrencyName": "BTC",
        "buyOrSell": "1",
        "num": "1.0000000000000000",
        "price": "490849.7500000000000000",
        "remainNum": "0.7500000000000000",
        "tradeNum": "0.2500000000000000",
        "tradePrice": "0.0000000000000000",
        "status": 1,
        "type": 1,
    }
    (order,) = finish(calls.open_orders(), 200, {}, reply(200, [row]))
    assert (order.client_id, order.pair, order.side) == ("", Pair("BTC", "TWD"), Side.BUY)
    assert (order.amount, order.filled, order.remaining) == (1, Decimal("0.25"), Decimal("0.75"))
    assert (order.status, order.time_ms) == (OrderStatus.PARTLY_FILLED, 1669716486980)


def test_an_order_status_without_time_stamp_is_in_taipei_time() -> None:
    row = {
        "buyOrSell": 1,
        "averagePrice": "490849.75000000",
        "num": "0.00000000",
        "orderTime": "2022-11-29 18:03:06.318",
        "price": "490849.75000000",
        "status": 4,
        "tradeNum": "0.02697000",
        "remainNum": "0.97303000",
        "baseCurrencyName": "BTC",
        "quoteCurrencyName": "TWD",
        "orderNo": "16697161898600391472461100244406",
    }
    order = finish(calls.order_status("1"), 200, {}, reply(200, row))
    assert (order.status, order.amount) == (OrderStatus.CANCELLED, Decimal(1))
    assert order.time_ms == 1669716186318


def test_one_odd_market_does_not_hide_the_others() -> None:
    good = {
        "base": "gmt",
        "baseCurrencyId": "136",
        "quote": "usdt",
        "quoteCurrencyId": "14",
        "basePrecision": "8",
        "quotePrecision": "5",
        "minLimitBaseAmount": "0.1",
        "maxLimitBaseAmount": "480286",
    }
    body = json.dumps([good | {"basePrecision": None}, good]).encode()
    (rules,) = finish(calls.markets(), 200, {}, body)
    assert (rules.pair, rules.tick) == (Pair("GMT", "USDT"), Decimal("0.00001"))


def test_null_is_no_empty_list() -> None:
    """A sweep must not take a missing list for the proof that nothing is left."""
    assert type(error_of(calls.open_orders(), 200, reply(200, None))) is Unavailable


MS = 1_000_000
NOW_MS = 1_700_000_000_000


def test_the_quickest_reply_tells_the_venues_time() -> None:
    clock = VenueClock(0, NOW_MS)
    clock.observe(0, 400 * MS, str(NOW_MS + 5_150))  # slow: off by up to 200 ms
    clock.observe(1000 * MS, 1002 * MS, str(NOW_MS + 6_001))
    assert clock.venue_ms(2000 * MS) == NOW_MS + 7_000
    clock.observe(3000 * MS, 3300 * MS, str(NOW_MS + 8_200))
    assert clock.venue_ms(2000 * MS) == NOW_MS + 7_000


def test_a_venue_that_sets_its_clock_is_followed_at_once() -> None:
    clock = VenueClock(0, NOW_MS)
    clock.observe(0, 2 * MS, str(NOW_MS + 1))
    clock.observe(1000 * MS, 1400 * MS, str(NOW_MS + 61_200))
    assert abs(clock.venue_ms(2000 * MS) - (NOW_MS + 62_000)) <= 200


@pytest.mark.parametrize("header", [None, "", "12", "soon", "-1", "9" * 30])
def test_a_header_that_is_no_time_changes_nothing(header: str | None) -> None:
    clock = VenueClock(0, NOW_MS)
    clock.observe(0, 2 * MS, header)
    assert clock.venue_ms(0) == NOW_MS
