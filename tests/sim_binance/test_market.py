"""What is derived from a market's events agrees with them."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mmd.sim.binance.events import Event, unwrap
from mmd.sim.binance.market import Market
from mmd.sim.binance.path import SeededSource
from mmd.sim.binance.recording import RecordedSource
from tests.sim_binance.support import diff, ticker, trade, write_recording

BOOK = {"lastUpdateId": 100, "bids": [["99.0", "1"], ["98.0", "2"]], "asks": [["100.0", "1"]]}


def recorded(path: Path, *messages: Any, want: str, once: bool = True, **how: Any) -> Market:
    write_recording(path / "r", *messages, **how)
    market = Market(RecordedSource([path / "r"], once))
    market.want(want.split())
    return market


def play(market: Market, most: int = 10_000) -> list[Event]:
    events = []
    while len(events) < most and (event := market.next()) is not None:
        events.append(event)
    return events


def data_of(events: list[Event], stream: str) -> list[dict[str, Any]]:
    return [json.loads(unwrap(payload)) for _, name, payload in events if name == stream]


class PlainBook:
    """The documented algorithm once more, as simply as can be."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last_id = snapshot["lastUpdateId"]
        self.sides = [
            {Decimal(price): amount for price, amount in snapshot[side]}
            for side in ("bids", "asks")
        ]

    def apply(self, event: dict[str, Any]) -> None:
        if event["u"] <= self.last_id:
            return
        assert event["U"] <= self.last_id + 1
        for side, rows in zip(self.sides, (event["b"], event["a"]), strict=True):
            for price, amount in rows:
                side.pop(Decimal(price), None)
                if Decimal(amount):
                    side[Decimal(price)] = amount
        self.last_id = event["u"]

    def top(self, levels: int) -> dict[str, Any]:
        bids, asks = self.sides
        return {
            "lastUpdateId": self.last_id,
            "bids": [[f"{p:.8f}", bids[p]] for p in sorted(bids, reverse=True)[:levels]],
            "asks": [[f"{p:.8f}", asks[p]] for p in sorted(asks)[:levels]],
        }


def test_fills_of_one_taker_order_become_one_aggregate_trade(tmp_path: Path) -> None:
    market = recorded(
        tmp_path,
        trade(11, "100.0", "0.10000000"),
        trade(12, "100.0", "0.20000000"),
        trade(13, "100.1", "0.30000000"),
        trade(14, "100.1", "0.40000000", time_ms=1_700_000_000_001),
        want="btcusdt@aggTrade",
    )
    found = data_of(play(market), "btcusdt@aggTrade")
    assert [(t["f"], t["l"], t["p"], t["q"]) for t in found] == [
        (11, 12, "100.0", "0.30000000"),
        (13, 13, "100.1", "0.30000000"),
        (14, 14, "100.1", "0.40000000"),
    ]
    assert [b["a"] - a["a"] for a, b in pairwise(found)] == [1, 1]
    assert found == market.aggregate_trades("BTCUSDT")


def test_an_aggregate_trade_does_not_wait_for_the_next_trade(tmp_path: Path) -> None:
    market = recorded(
        tmp_path,
        trade(1, "100.0"),
        ticker(5, "99.0", "100.0"),
        want="btcusdt@aggTrade",
        step_ms=1000,
    )
    events = play(market)
    assert [stream for _, stream, _ in events] == [
        "btcusdt@trade",
        "btcusdt@aggTrade",
        "btcusdt@bookTicker",
    ]
    assert events[1][0] - events[0][0] == 5_000_000


def test_due_tells_the_time_of_the_next_event_and_changes_nothing(tmp_path: Path) -> None:
    market = recorded(
        tmp_path,
        ticker(1, "99.0", "100.0"),
        trade(1, "100.0"),
        ticker(2, "98.0", "100.0"),
        want="btcusdt@aggTrade",
        step_ms=20,
    )
    while (due_ns := market.due_ns) is not None:
        before = market.top("BTCUSDT")
        assert market.due_ns == due_ns
        assert market.top("BTCUSDT") == before
        event = market.next()
        assert event is not None
        assert event[0] == due_ns
    assert market.top("BTCUSDT") == (Decimal("98.0"), Decimal("100.0"))


def test_take_gives_the_same_as_next(tmp_path: Path) -> None:
    streams = ["btcusdt@aggTrade", "btcusdt@depth5@100ms", "btcusdt@depth"]
    one, many = Market(SeededSource(4, 10**18)), Market(SeededSource(4, 10**18))
    one.want(streams)
    many.want(streams)
    taken: list[Event] = []
    while len(taken) < 3000:
        taken += many.take(100)
    assert play(one, len(taken)) == taken


def test_partial_books_follow_each_diff(tmp_path: Path) -> None:
    snapshot = {**BOOK, "lastUpdateId": 100}
    market = recorded(
        tmp_path,
        diff(95, 99, [["97.0", "1"]], []),
        json.dumps(snapshot),
        diff(100, 103, [["99.0", "0.00000000"], ["98.5", "4"]], [], time_ms=1_700_000_000_100),
        diff(104, 104, [], [["100.0", "9"]], time_ms=1_700_000_000_200),
        want="btcusdt@depth5@100ms btcusdt@depth5",
    )
    events = play(market)
    fast, slow = (data_of(events, f"btcusdt@depth5{end}") for end in ("@100ms", ""))
    assert [book["lastUpdateId"] for book in fast] == [103, 104]
    assert fast[0]["bids"] == [["98.50000000", "4"], ["98.00000000", "2"]]
    assert fast[1]["asks"] == [["100.00000000", "9"]]
    assert slow == fast[:1]


def test_the_slow_diff_joins_those_of_a_second(tmp_path: Path) -> None:
    second = 1_700_000_000_000
    market = recorded(
        tmp_path,
        diff(1, 2, [["1.0", "1"]], [], time_ms=second + 100),
        diff(3, 5, [["1.0", "2"], ["2.0", "3"]], [["9.0", "1"]], time_ms=second + 900),
        diff(6, 7, [["3.0", "1"]], [], time_ms=second + 1000),
        want="btcusdt@depth",
    )
    found = data_of(play(market), "btcusdt@depth")
    assert len(found) == 1
    assert (found[0]["U"], found[0]["u"], found[0]["E"]) == (1, 5, second + 900)
    assert found[0]["b"] == [["1.0", "2"], ["2.0", "3"]]
    assert found[0]["a"] == [["9.0", "1"]]


def test_recorded_streams_are_not_derived_a_second_time(tmp_path: Path) -> None:
    ready = {"stream": "btcusdt@aggTrade", "data": {"e": "aggTrade", "a": 1, "p": "1.0"}}
    market = recorded(tmp_path, trade(1, "1.0"), ready, want="btcusdt@aggTrade")
    assert data_of(play(market), "btcusdt@aggTrade") == [ready["data"]]


def test_the_rest_book_shows_the_newest_top_and_its_id(tmp_path: Path) -> None:
    market = recorded(tmp_path, json.dumps(BOOK), ticker(105, "98.50000000", "101.0"), want="")
    play(market)
    book = market.book("BTCUSDT", 5)
    assert book is not None
    assert book["lastUpdateId"] == 105
    assert book["bids"] == [("98.50000000", "1.00000000"), ("98.00000000", "2")]
    assert book["asks"] == [("101.0", "2.00000000")]


def test_before_the_snapshot_the_rest_book_is_the_recorded_one(tmp_path: Path) -> None:
    market = recorded(tmp_path, diff(90, 91, [], []), json.dumps(BOOK), want="btcusdt@depth@100ms")
    book = market.book("BTCUSDT", 1)
    assert book == {"lastUpdateId": 100, "bids": [["99.0", "1"]], "asks": [["100.0", "1"]]}
    assert market.top("BTCUSDT") == (Decimal("99.0"), Decimal("100.0"))
    assert market.book("ETHUSDT") is None
    assert market.top("ETHUSDT") is None


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
@pytest.mark.recordings
def test_depth20_equals_an_independent_rebuild(recordings: Path, symbol: str) -> None:
    name = symbol.lower()
    market = Market(RecordedSource([recordings / f"{name}_20240808.gz"], once=True))
    market.want([f"{name}@depth20@100ms", f"{name}@depth@100ms"])
    opening = market.book(symbol)
    assert opening is not None
    plain = PlainBook(opening)
    compared = 0
    for _, stream, payload in play(market, 15_000):
        if stream == f"{name}@depth@100ms":
            plain.apply(json.loads(unwrap(payload)))
        elif stream == f"{name}@depth20@100ms":
            book = json.loads(unwrap(payload))
            if book["lastUpdateId"] > opening["lastUpdateId"]:
                compared += 1
                assert book == plain.top(20)
    assert compared > 1000


@pytest.mark.recordings
def test_a_local_book_lives_through_the_repetitions(recordings: Path) -> None:
    source = RecordedSource([recordings / "ethusdt_20240808.gz"])
    market = Market(source)
    market.want(["ethusdt@depth@100ms"])
    plain = PlainBook(market.book("ETHUSDT") or {})
    compared = diffs = 0
    while source.loops < 2:
        event = market.next()
        assert event is not None
        if event[1] != "ethusdt@depth@100ms":
            continue
        plain.apply(json.loads(unwrap(event[2])))
        diffs += 1
        if diffs % 20:
            continue
        wanted = market.book("ETHUSDT", 20)
        assert wanted is not None
        if wanted["lastUpdateId"] == plain.last_id:
            compared += 1
            assert {side: [list(row) for row in wanted[side]] for side in ("bids", "asks")} == {
                side: plain.top(20)[side] for side in ("bids", "asks")
            }
    assert compared > 250
