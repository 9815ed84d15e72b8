"""The tape shows what a feed would show, and wakes readers as it would."""

from __future__ import annotations

import gzip
import json
from itertools import takewhile
from pathlib import Path

from mmd.cells.layouts import BookStatus
from mmd.sim.binance import Market, RecordedSource, SeededSource
from mmd.sim.tape import Tick, ticks

BEGIN_NS = 3_000_000_000
MS = 1_000_000


def ticker(update_id: int, bid: str, ask: str, qty: str = "1.00000000") -> str:
    data = {"u": update_id, "s": "BTCUSDT", "b": bid, "B": qty, "a": ask, "A": qty}
    return json.dumps({"stream": "btcusdt@bookTicker", "data": data}, separators=(",", ":"))


def trade(trade_id: int, price: str, qty: str) -> str:
    data = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": trade_id, "p": price, "q": qty, "T": 1}
    return json.dumps({"stream": "btcusdt@trade", "data": data}, separators=(",", ":"))


def record(folder: Path, *rows: tuple[int, str]) -> Path:
    path = folder / "recording.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(f"{1_700_000_000_000_000_000 + ms * MS} {text}\n" for ms, text in rows)
    return path


def played(path: Path, speed: float = 1.0, volume_step_e8: int = 0) -> list[Tick]:
    market = Market(RecordedSource([path], once=True))
    steps = {"BTCUSDT": volume_step_e8}
    return list(ticks(market, {"BTCUSDT": 0}, BEGIN_NS, steps, speed))


def test_readers_are_woken_by_prices_and_not_by_quantities(tmp_path: Path) -> None:
    path = record(
        tmp_path,
        (0, ticker(1, "100.00", "101.00")),
        (50, ticker(2, "100.00", "101.00", "2.00000000")),
        (100, ticker(3, "100.50", "101.00")),
    )
    found = played(path)
    assert [(tick.at_ns - BEGIN_NS) // MS for tick in found] == [0, 50, 100]
    assert [tick.rings for tick in found] == [True, False, True]
    assert found[1].book.bid_qty == 2.0
    assert all(tick.book.last_frame_ns == tick.at_ns for tick in found)
    assert all(tick.book.status == BookStatus.VALID for tick in found)


def test_messages_within_a_millisecond_are_one_gulp(tmp_path: Path) -> None:
    rows = [(0, ticker(number, f"{100 + number}.00", "201.00")) for number in range(1, 20)]
    found = played(record(tmp_path, *rows, (10, ticker(30, "150.00", "201.00"))))
    assert [tick.book.bid_price for tick in found] == [119.0, 150.0]


def test_a_traded_volume_wakes_where_somebody_waits_for_it(tmp_path: Path) -> None:
    rows = [
        (0, ticker(1, "100.00", "101.00")),
        (100, trade(1, "101.00", "0.40000000")),
        (200, trade(2, "101.00", "0.70000000")),
    ]
    path = record(tmp_path, *rows)
    assert [tick.rings for tick in played(path)] == [True, False, False]
    assert [tick.rings for tick in played(path, volume_step_e8=10**8)] == [True, False, True]
    assert played(path)[-1].book.volume_e8 == 110_000_000


def test_a_trade_beyond_the_best_price_wakes(tmp_path: Path) -> None:
    rows = [
        (0, ticker(1, "100.00", "101.00")),
        (100, trade(1, "100.00", "0.10000000")),
        (200, trade(2, "99.00", "0.10000000")),
        (300, trade(3, "102.00", "0.10000000")),
    ]
    assert [tick.rings for tick in played(record(tmp_path, *rows))] == [True, False, True, True]


def test_speed_brings_the_same_prices_sooner(tmp_path: Path) -> None:
    rows = [(ms, ticker(ms + 1, f"{100 + ms // 100}.00", "201.00")) for ms in range(0, 1000, 100)]
    path = record(tmp_path, *rows)
    usual, fast = played(path), played(path, speed=10)
    assert [tick.book.bid_price for tick in fast] == [tick.book.bid_price for tick in usual]
    assert (fast[-1].at_ns - BEGIN_NS) * 10 == usual[-1].at_ns - BEGIN_NS


def test_depth_comes_where_it_is_asked_for() -> None:
    market = Market(SeededSource(1, 0))
    tape = ticks(market, {"BTCUSDT": 5}, BEGIN_NS, {})
    found = list(takewhile(lambda tick: tick.at_ns < BEGIN_NS + 1_000 * MS, tape))
    depths = [tick.depth for tick in found if tick.depth is not None]
    assert len(depths) > 5
    assert all(len(depth.bids) == 5 and len(depth.asks) == 5 for depth in depths)
