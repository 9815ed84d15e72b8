"""Well-known third-party clients work with the simulated venue as with the real one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websocket

from mmd.sim.binance import BinanceSim, BinanceSimOptions, parse_speed
from tests.sim_binance.support import venue


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_proxy")
def test_python_binance_reads_rest_and_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    binance = pytest.importorskip("binance", reason="the extra `peers` is not installed")

    async def run() -> None:
        async with BinanceSim(BinanceSimOptions(seed=5)) as sim:
            monkeypatch.setattr(binance.AsyncClient, "API_URL", sim.rest_url + "/api")
            client = await binance.AsyncClient.create()
            try:
                await read_all(sim, client)
            finally:
                await client.close_connection()

    async def read_all(sim: BinanceSim, client: Any) -> None:
        book = await client.get_order_book(symbol="BTCUSDT", limit=5)
        assert len(book["bids"]) == 5
        ticker = await client.get_orderbook_ticker(symbol="BTCUSDT")
        assert ticker["bidPrice"] == book["bids"][0][0]
        info = await client.get_symbol_info("BTCUSDT")
        assert info["baseAsset"] == "BTC"
        manager = binance.BinanceSocketManager(client)
        manager.STREAM_URL = sim.stream_url + "/"
        async with manager.symbol_book_ticker_socket("BTCUSDT") as socket:
            message = await asyncio.wait_for(socket.recv(), 5)
            assert message["s"] == "BTCUSDT"
        names = ["ethusdt@trade", "ethusdt@aggTrade", "ethusdt@depth20@100ms"]
        async with manager.multiplex_socket(names) as socket:
            seen: set[str] = set()
            while seen != set(names):
                message = await asyncio.wait_for(socket.recv(), 5)
                seen.add(message["stream"])

    asyncio.run(run())


@pytest.mark.usefixtures("no_proxy")
def test_python_binance_keeps_a_depth_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    binance = pytest.importorskip("binance", reason="the extra `peers` is not installed")

    async def run() -> None:
        async with BinanceSim(BinanceSimOptions(seed=5, speed=5)) as sim:
            monkeypatch.setattr(binance.AsyncClient, "API_URL", sim.rest_url + "/api")
            client = await binance.AsyncClient.create()
            try:
                cache = binance.DepthCacheManager(client, "BTCUSDT")
                cache._bm.STREAM_URL = sim.stream_url + "/"
                async with cache as socket:
                    for _ in range(3):
                        depth = await asyncio.wait_for(socket.recv(), 10)
                    bids, asks = depth.get_bids(), depth.get_asks()
                    assert bids[0][0] < asks[0][0]
                    assert len(bids) > 20
            finally:
                await client.close_connection()

    asyncio.run(run())


@pytest.mark.usefixtures("no_proxy")
def test_ccxt_loads_markets_and_reads_books() -> None:
    ccxt = pytest.importorskip("ccxt", reason="the extra `peers` is not installed")
    with venue(seed=5) as found:
        exchange = ccxt.binance({"options": {"fetchMarkets": ["spot"], "fetchCurrencies": False}})
        exchange.session.trust_env = False
        exchange.urls["api"]["public"] = found.sim.rest_url + "/api/v3"
        try:
            markets = exchange.load_markets()
            assert markets["BTC/USDT"]["precision"]["price"] == 0.01
            book = exchange.fetch_order_book("BTC/USDT", limit=5)
            assert book["bids"][0][0] < book["asks"][0][0]
            tops = exchange.fetch_bids_asks(["BTC/USDT", "ETH/USDT"])
            assert tops["ETH/USDT"]["bid"] > 0
        finally:
            exchange.session.close()


@pytest.mark.skipif(
    tuple(map(int, aiohttp.__version__.split(".")[:2])) > (3, 10),
    reason="ccxt.pro 4.4.60 reaches into aiohttp up to 3.10",
)
@pytest.mark.usefixtures("no_proxy")
def test_ccxt_pro_watches_a_ticker() -> None:
    ccxt = pytest.importorskip("ccxt.pro", reason="the extra `peers` is not installed")

    async def run() -> None:
        async with BinanceSim(BinanceSimOptions(seed=5)) as sim:
            exchange = ccxt.binance(
                {"options": {"fetchMarkets": ["spot"], "fetchCurrencies": False}}
            )
            exchange.urls["api"]["public"] = sim.rest_url + "/api/v3"
            exchange.urls["api"]["ws"]["spot"] = sim.stream_url + "/ws"
            try:
                found = await asyncio.wait_for(exchange.watch_bids_asks(["BTC/USDT"]), 10)
                assert found["BTC/USDT"]["bid"] < found["BTC/USDT"]["ask"]
            finally:
                await exchange.close()

    asyncio.run(run())


PROGRAM = """
import asyncio, sys
from pathlib import Path
from mmd.sim.binance import BinanceSimOptions, serve
asyncio.run(serve(BinanceSimOptions(tls="tls" in sys.argv)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_a_program_it_says_where_it_listens_and_ends_when_told(number: int) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "tls"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with program:
        assert program.stdout is not None
        assert program.stderr is not None
        line = program.stdout.readline()
        url = line.split()[3].rstrip(",")
        ca_file = Path(program.stdout.readline().split(": ")[1].strip())
        socket = websocket.create_connection(
            url + "/ws/btcusdt@bookTicker",
            timeout=5,
            sslopt={"ca_certs": str(ca_file)},
            http_no_proxy=["127.0.0.1"],
        )
        bid = json.loads(socket.recv())["b"]
        assert Decimal(bid) > 0
        program.send_signal(number)
        assert program.wait(5) == 0
        assert program.stderr.read() == ""
        socket.shutdown()
        assert not ca_file.exists()


def test_speeds_are_read_from_text() -> None:
    assert parse_speed("2.5") == 2.5
    assert parse_speed("max") == float("inf")
    for text in ("0", "-1", "nan", "fast"):
        with pytest.raises(ValueError, match=r"speed|float"):
            parse_speed(text)
