"""Messages are told apart by their keys, and numbers keep their digits."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.cells.layouts import exact
from mmd.venues.binance.messages import (
    BookTicker,
    CommandError,
    Event,
    Malformed,
    PartialDepth,
    Reply,
    Shutdown,
    Trade,
    Unknown,
    decode,
    to_e8,
)
from tests.venues_binance.wire import agg_trade, depth, packed, trade

DATA = {
    "u": 400900217,
    "s": "BNBUSDT",
    "b": "25.35190000",
    "B": "31.21000000",
    "a": "25.36520000",
    "A": "40.66000000",
}
TRADE = json.loads(trade(12345))["data"]


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (DATA, BookTicker("BNBUSDT", 400900217, 25.3519, 31.21, 25.3652, 40.66)),
        (
            {"stream": "bnbusdt@bookTicker", "data": DATA},
            BookTicker("BNBUSDT", 400900217, 25.3519, 31.21, 25.3652, 40.66),
        ),
        (
            {"data": DATA, "stream": "bnbusdt@bookTicker"},
            BookTicker("BNBUSDT", 400900217, 25.3519, 31.21, 25.3652, 40.66),
        ),
        (
            TRADE,
            Trade("BTCUSDT", 12345, 12345, 100.5, 10_000_000, 1_700_000_000_000, 1_700_000_000_000),
        ),
        (
            {"e": "serverShutdown", "E": 1},
            Shutdown(),
        ),
        ({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}}, Shutdown()),
        ({"result": None, "id": 3}, Reply(3)),
        ({"result": ["btcusdt@trade"], "id": "abc"}, Reply("abc")),
        ({"code": 2, "msg": "Invalid request"}, CommandError(2, "Invalid request")),
        ({"error": {"code": 1, "msg": "no"}, "id": 7}, CommandError(1, "no")),
        ({"e": "24hrMiniTicker", "s": "BTCUSDT"}, None),
        ({"hello": "world"}, None),
        (
            {"lastUpdateId": 9, "bids": [["1.0", "2.0"]], "asks": []},
            PartialDepth(9, ((1.0, 2.0),), ()),
        ),
    ],
)
def test_every_documented_shape_is_known(message: object, event: Event | None) -> None:
    decoded = decode(packed(message))
    if event is None:
        assert isinstance(decoded, Unknown)
    else:
        assert decoded == event
        assert type(decoded) is type(event)


def test_blanks_and_order_of_keys_do_not_matter() -> None:
    spaced = json.dumps({"data": dict(reversed(DATA.items())), "stream": "x"}, indent=2).encode()
    assert decode(spaced) == decode(packed(DATA))


def test_an_aggregate_stands_for_its_trades() -> None:
    event = decode(agg_trade(7, 100, 105, "2.00000000"))
    assert isinstance(event, Trade)
    assert (event.first_id, event.last_id, event.qty_e8) == (100, 105, 200_000_000)


def test_diff_depth_is_not_taken_for_a_book_ticker() -> None:
    diff = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 1, "u": 2, "b": [], "a": []}
    assert isinstance(decode(packed(diff)), Unknown)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b'{"stream":"btcusdt@bookTicker","data":{"u":1',
        b"[1,2]",
        b"5",
        b'"data"',
        b"null",
        b"\xff\xfe",
        b'{"data":5}',
        b'{"data":null}',
        b'{"e":[]}',
        packed({**DATA, "u": "12"}),
        packed({**DATA, "u": -1}),
        packed({**DATA, "u": 1 << 64}),
        packed({**DATA, "b": "x"}),
        packed({**DATA, "b": None}),
        packed({"u": 1, "b": "1", "a": "2"}),
        packed({**TRADE, "t": None}),
        packed({**TRADE, "t": 1.5}),
        packed({**TRADE, "t": -5}),
        packed({**TRADE, "q": "-0.10000000"}),
        packed({**TRADE, "q": 5}),
        packed({**TRADE, "q": "0.123456789"}),
        packed({**TRADE, "q": "NaN"}),
        packed({**TRADE, "q": ""}),
        packed({**TRADE, "E": "now"}),
        packed({key: value for key, value in TRADE.items() if key != "p"}),
        agg_trade(1, 10, 9),
        packed({"lastUpdateId": 1, "bids": [["1"]], "asks": []}),
        packed({"lastUpdateId": "a", "bids": [], "asks": []}),
        packed({"code": "x", "msg": ""}),
    ],
)
def test_what_can_not_be_read_is_one_kind_of_error(payload: bytes) -> None:
    with pytest.raises(Malformed):
        decode(payload)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(payload: bytes) -> None:
    try:
        decode(payload)
    except Malformed:
        return


prices = st.decimals(
    min_value=Decimal("0.00000001"), max_value=Decimal("9999999"), places=8, allow_nan=False
)


@given(prices, prices)
def test_prices_and_quantities_come_back_to_the_last_digit(price: Decimal, qty: Decimal) -> None:
    event = decode(trade(1, qty=f"{qty:.8f}", price=f"{price:.8f}"))
    assert isinstance(event, Trade)
    assert exact(event.price) == price
    assert Decimal(event.qty_e8).scaleb(-8) == qty


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1", 100_000_000),
        ("0.5", 50_000_000),
        ("184467440737.09551616", 18446744073709551616),
        ("1E+3", 100_000_000_000),
        ("0.123456780", 12_345_678),
    ],
)
def test_quantities_written_in_other_ways_are_exact_too(text: str, units: int) -> None:
    assert to_e8(text) == units


def test_partial_depth_keeps_its_order() -> None:
    event = decode(depth(5, [["3.0", "1.0"], ["2.0", "1.5"]], [["4.0", "2.5"]]))
    assert event == PartialDepth(5, ((3.0, 1.0), (2.0, 1.5)), ((4.0, 2.5),))
