"""The seeded market depends on its seed alone, and its streams fit together."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from mmd.sim.binance.book import LocalBook
from mmd.sim.binance.events import Event, unwrap
from mmd.sim.binance.path import SeededSource
from mmd.sim.binance.symbols import TABLE, rules_of

START_NS = 1_700_000_000_000_000_000


def play(seed: int, count: int, *symbols: str) -> list[Event]:
    source = SeededSource(seed, START_NS)
    for symbol in symbols:
        assert source.want(symbol)
    events = [source.next() for _ in range(count)]
    return [event for event in events if event is not None]


def data_of(events: list[Event], stream: str) -> list[dict[str, Any]]:
    return [json.loads(unwrap(payload)) for _, name, payload in events if name == stream]


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert play(7, 3000, "BTCUSDT", "ETHUSDT") == play(7, 3000, "BTCUSDT", "ETHUSDT")


def test_another_seed_gives_another_path() -> None:
    assert play(7, 100, "BTCUSDT") != play(8, 100, "BTCUSDT")


def test_a_symbols_path_is_not_disturbed_by_another() -> None:
    alone = [e for e in play(7, 500, "BTCUSDT") if e[1].startswith("btcusdt")]
    beside = [e for e in play(7, 1500, "ETHUSDT", "BTCUSDT") if e[1].startswith("btcusdt")]
    common = min(len(alone), len(beside))
    assert common > 300
    assert alone[:common] == beside[:common]


def test_rates_are_those_of_a_busy_market() -> None:
    events = play(3, 30_000, "BTCUSDT")
    seconds = (events[-1][0] - START_NS) / 1e9
    counts = Counter(stream.partition("@")[2] for _, stream, _ in events)
    assert 15 < counts["bookTicker"] / seconds < 90
    assert 3 < counts["trade"] / seconds < 40
    assert 5 < counts["depth@100ms"] / seconds <= 10
    tickers = data_of(events, "btcusdt@bookTicker")
    moves = sum((a["b"], a["a"]) != (b["b"], b["a"]) for a, b in pairwise(tickers))
    assert 0.08 < moves / len(tickers) < 0.22


def test_times_and_ids_rise_and_the_bid_is_below_the_ask() -> None:
    events = play(3, 20_000, "ETHUSDT")
    assert all(a[0] <= b[0] for a, b in pairwise(events))
    tickers = data_of(events, "ethusdt@bookTicker")
    assert all(a["u"] < b["u"] for a, b in pairwise(tickers))
    assert all(float(t["b"]) < float(t["a"]) for t in tickers)
    trades = data_of(events, "ethusdt@trade")
    assert all(a["t"] + 1 == b["t"] for a, b in pairwise(trades))
    diffs = data_of(events, "ethusdt@depth@100ms")
    assert all(a["u"] + 1 == b["U"] for a, b in pairwise(diffs))


@pytest.mark.parametrize("symbol", [*TABLE, "PEPEUSDT"])
def test_the_book_rebuilt_from_diffs_shows_the_ticker_of_its_id(symbol: str) -> None:
    rules = rules_of(symbol)
    assert rules is not None
    name = symbol.lower()
    book = LocalBook()
    newest: dict[str, Any] = {}
    compared = 0
    for _, stream, payload in play(5, 4000, symbol):
        data = unwrap(payload)
        if stream == f"{name}@snapshot":
            book.feed_snapshot(data)
        elif stream == f"{name}@bookTicker":
            newest = json.loads(data)
            for key in ("b", "a"):
                assert len(newest[key].partition(".")[2]) == 8
        elif stream == f"{name}@depth@100ms":
            book.feed_diff(data)
            rows = book.as_rest()
            assert rows["lastUpdateId"] >= newest["u"]
            if rows["lastUpdateId"] == newest["u"]:
                compared += 1
                assert rows["bids"][0] == (newest["b"], newest["B"])
                assert rows["asks"][0] == (newest["a"], newest["A"])
            assert len(rows["bids"]) >= 20
            assert len(rows["asks"]) >= 20
    assert compared > 50


def test_start_prices_come_from_the_table_or_are_generic() -> None:
    source = SeededSource(1, START_NS)
    assert source.want("SHIBUSDT")
    opening = json.loads(source.opening("SHIBUSDT") or b"{}")
    assert opening["bids"][0][0] == "0.00001412"
    assert source.want("NEWCOINUSDT")
    assert not source.want("not a symbol")
    assert not source.want("USDT")
