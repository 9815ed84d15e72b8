"""The REST answers that feeds and other clients ask for."""

from __future__ import annotations

import json
import math
import time
from decimal import Decimal
from pathlib import Path

import pytest

from mmd.sim.binance.events import unwrap
from mmd.sim.binance.path import SeededSource
from tests.sim_binance.support import diff, eventually, ticker, trade, venue, write_recording


def test_the_book_ticker_of_one_many_and_all() -> None:
    with venue(seed=2) as found:
        one = found.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT").json()
        assert one.keys() == {"symbol", "bidPrice", "bidQty", "askPrice", "askQty"}
        assert Decimal(one["bidPrice"]) < Decimal(one["askPrice"])
        asked = json.dumps(["ETHUSDT", "BTCUSDT"])
        many = found.get("/api/v3/ticker/bookTicker", symbols=asked).json()
        assert [row["symbol"] for row in many] == ["ETHUSDT", "BTCUSDT"]
        assert many[1] == one
        assert one in found.get("/api/v3/ticker/bookTicker").json()


def test_the_depth_has_as_many_rows_as_asked_for() -> None:
    with venue(seed=2) as found:
        for limit in (1, 5, 50):
            book = found.get("/api/v3/depth", symbol="BTCUSDT", limit=limit).json()
            assert len(book["bids"]) == len(book["asks"]) == limit
        top = found.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT").json()
        assert book["bids"][0] == [top["bidPrice"], top["bidQty"]]


def test_a_local_book_from_rest_and_diffs_meets_the_rest_book_again(tmp_path: Path) -> None:
    source = SeededSource(2, 10**18)
    source.want("BTCUSDT")
    lines, diffs = [], 0
    while diffs < 50:
        event = source.next()
        assert event is not None
        time_ns, stream, payload = event
        lines.append(b"%d %s\n" % (time_ns, unwrap(payload) if "@snap" in stream else payload))
        diffs += "@depth" in stream
    (tmp_path / "r").write_bytes(b"".join(lines))

    with venue(replay=[tmp_path / "r"], once=True, speed=math.inf) as found:
        book = found.get("/api/v3/depth", symbol="BTCUSDT", limit=5000).json()
        sides = [{Decimal(p): q for p, q in book[side]} for side in ("bids", "asks")]
        last_id = book["lastUpdateId"]
        socket = found.open("/ws/btcusdt@depth@100ms")
        for _ in range(diffs):
            event = json.loads(socket.recv())
            assert event["U"] == last_id + 1
            last_id = event["u"]
            for side, rows in zip(sides, (event["b"], event["a"]), strict=True):
                for price, amount in rows:
                    side.pop(Decimal(price), None)
                    if Decimal(amount):
                        side[Decimal(price)] = amount
        wanted = found.get("/api/v3/depth", symbol="BTCUSDT", limit=5000).json()
    assert wanted["lastUpdateId"] == last_id
    for side, rows in zip(sides, (wanted["bids"], wanted["asks"]), strict=True):
        assert side == {Decimal(price): amount for price, amount in rows}


def test_trades_and_aggregate_trades_of_a_recording(tmp_path: Path) -> None:
    write_recording(
        tmp_path / "r",
        ticker(1, "9.00000000", "10.00000000"),
        trade(41, "10.00000000", "0.10000000"),
        trade(42, "10.00000000", "0.20000000"),
        trade(43, "9.00000000", buyer_is_maker=True),
    )
    with venue(replay=[tmp_path / "r"], once=True, speed=math.inf) as found:
        socket = found.open("/ws/btcusdt@trade/btcusdt@aggTrade")
        for _ in range(5):
            socket.recv()
        trades = found.get("/api/v3/trades", symbol="BTCUSDT", limit=2).json()
        assert [(t["id"], t["isBuyerMaker"]) for t in trades] == [(42, False), (43, True)]
        rows = found.get("/api/v3/aggTrades", symbol="BTCUSDT").json()
        assert [(t["f"], t["l"], t["q"]) for t in rows] == [
            (41, 42, "0.30000000"),
            (43, 43, "0.50000000"),
        ]
        later = found.get("/api/v3/aggTrades", symbol="BTCUSDT", fromId=rows[1]["a"]).json()
        assert later == rows[1:]


def test_exchange_info_names_steps_and_limits() -> None:
    with venue() as found:
        info = found.get("/api/v3/exchangeInfo", symbol="ETHUSDT").json()
        (symbol,) = info["symbols"]
        assert (symbol["baseAsset"], symbol["quoteAsset"]) == ("ETH", "USDT")
        filters = {f["filterType"]: f for f in symbol["filters"]}
        assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
        assert filters["LOT_SIZE"]["stepSize"] == "0.00010000"
        assert info["rateLimits"][0]["limit"] == 6000
        assert len(found.get("/api/v3/exchangeInfo").json()["symbols"]) > 10


def test_a_recording_has_only_its_own_symbols(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", ticker(1, "9.0", "10.0"), diff(1, 2, [], []))
    with venue(replay=[tmp_path / "r"]) as found:
        symbols = found.get("/api/v3/exchangeInfo").json()["symbols"]
        assert [s["symbol"] for s in symbols] == ["BTCUSDT"]
        assert found.get("/api/v3/depth", symbol="ETHUSDT").status_code == 400


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("depth", {}, -1102),
        ("depth", {"symbol": "NONSENSE"}, -1121),
        ("depth", {"symbol": "BTCUSDT", "limit": "x"}, -1100),
        ("ticker/bookTicker", {"symbols": "x"}, -1100),
        ("ticker/bookTicker", {"symbols": '["NONSENSE"]'}, -1121),
        ("aggTrades", {"symbol": "BTCUSDT", "fromId": "-1"}, -1100),
    ],
)
def test_wrong_questions_get_the_codes_of_the_venue(
    path: str, params: dict[str, str], code: int
) -> None:
    with venue() as found:
        answer = found.get(f"/api/v3/{path}", **params)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_time_ping_and_the_used_weight() -> None:
    with venue() as found:
        assert abs(found.get("/api/v3/time").json()["serverTime"] / 1000 - time.time()) < 5
        used = [int(found.get("/api/v3/ping").headers["X-MBX-USED-WEIGHT-1M"]) for _ in range(2)]
        assert used[1] - used[0] == 1 or used[1] == 1


def test_asking_by_rest_begins_a_path_that_then_runs() -> None:
    with venue(autostart=True) as found:
        ask = lambda: found.get("/api/v3/ticker/bookTicker", symbol="LTCUSDT").json()  # noqa: E731
        first = ask()
        assert eventually(lambda: ask() != first)
