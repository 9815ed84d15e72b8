"""cryptofeed's Binance feed. It knows aggregated trades only, so the benchmark serves it these."""

from __future__ import annotations

import sys
from pathlib import Path

from cryptofeed import FeedHandler
from cryptofeed.connection import WebsocketEndpoint
from cryptofeed.defines import BINANCE, TICKER, TRADES
from cryptofeed.exchanges import Binance
from cryptofeed.symbols import Symbols

from bench.memory import Memory, taker


def main() -> None:
    url, path, symbol = sys.argv[1:4]
    take = taker(Memory(Path(path)))
    Symbols.set(BINANCE, {"BTC-USDT": symbol.upper()}, {"instrument_type": {"BTC-USDT": "spot"}})
    Binance.websocket_endpoints = [WebsocketEndpoint(url)]

    async def on_ticker(ticker, _receipt):
        take(ticker.raw)

    async def on_trade(trade, _receipt):
        raw = trade.raw
        take({"t": raw["a"], "p": raw["p"], "q": raw["q"], "E": raw["E"]})

    handler = FeedHandler({"log": {"filename": "/dev/null", "level": "ERROR"}})
    callbacks = {TICKER: on_ticker, TRADES: on_trade}
    handler.add_feed(Binance(symbols=["BTC-USDT"], channels=[TICKER, TRADES], callbacks=callbacks))
    handler.run()


if __name__ == "__main__":
    main()
