"""ccxt's WebSocket part: one task for bids and asks, one for trades.

What arrives while nobody awaits wakes nobody later, so the newest price would not be stored until
the one after it; therefore the storing is done where ccxt has just handled a message.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import ccxt.pro

from bench.memory import Memory, taker

SYMBOL = "BTC/USDT"


def _market(exchange: ccxt.pro.binance, symbol: str) -> dict[str, object]:
    """What load_markets would have asked Binance for."""
    known = {
        "id": symbol.upper(), "lowercaseId": symbol, "symbol": SYMBOL, "base": "BTC",
        "quote": "USDT", "baseId": "BTC", "quoteId": "USDT", "type": "spot", "spot": True,
        "margin": False, "swap": False, "future": False, "option": False, "contract": False,
        "inverse": False, "linear": False, "active": True,
    }  # fmt: skip
    return exchange.safe_market_structure(known)


class Exchange(ccxt.pro.binance):
    """Stores each message that ccxt has handled."""

    def handle_bids_asks(self, client, message):
        super().handle_bids_asks(client, message)
        self.options["take"](message)

    def handle_trade(self, client, message):
        super().handle_trade(client, message)
        self.options["take"](message)


async def main() -> None:
    url, path, symbol = sys.argv[1:4]
    exchange = Exchange({"newUpdates": True})
    exchange.options["take"] = taker(Memory(Path(path)))
    exchange.cafile = os.environ.get("SSL_CERT_FILE", exchange.cafile)
    exchange.set_markets([_market(exchange, symbol)])
    exchange.urls["api"]["ws"]["spot"] = f"{url}/ws"
    exchange.stream = lambda *_: "0"  # both subscriptions over one connection

    async def follow(watch, *arguments) -> None:
        while True:
            await watch(*arguments)

    try:
        await asyncio.gather(
            follow(exchange.watch_bids_asks, [SYMBOL]), follow(exchange.watch_trades, SYMBOL)
        )
    finally:
        await exchange.close()


if __name__ == "__main__":
    asyncio.run(main())
