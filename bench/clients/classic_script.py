"""The classic script, rebuilt: one asyncio process on python-binance, its queue of 100, requests
in threads; at each price change ten orders are placed and the ten former ones cancelled.

    python -m bench.clients.classic_script STREAM_URL VENUE_URL SYMBOL

Its ladder is mmd's: level i of a side lies `SPREAD + i * STEP` bps from the best price. It ends,
saying when and why, once its stream is dead.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import requests
from binance import AsyncClient, BinanceSocketManager
from requests.adapters import HTTPAdapter

LEVELS = 5
CENT = Decimal("0.01")
KEY, SECRET = "bench-key", "bench-secret"


class Venue:
    """ACE's order calls over a pool of warm connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("http://", HTTPAdapter(pool_maxsize=32))

    def place(self, side: str, price: Decimal) -> str:
        order = {
            "baseCurrencyId": "100", "quoteCurrencyId": "14", "buyOrSell": side, "type": "1",
            "price": str(price), "num": "0.005",
        }  # fmt: skip
        return self._post("/open/v2/order/order", order)["orderNo"]

    def cancel(self, order_no: str) -> None:
        self._post("/open/v2/order/cancel", {"orderNo": order_no})

    def _post(self, path: str, form: dict[str, str]):
        form = {**form, "apiKey": KEY, "timeStamp": str(int(time.time() * 1000))}
        text = "".join(form[name] for name in sorted(form))
        form["signKey"] = hashlib.sha256(f"ACE_SIGN{SECRET}{text}".encode()).hexdigest()
        return self._session.post(self._url + path, data=form, timeout=5).json()["attachment"]


def ladder(bid: Decimal, ask: Decimal, spread_bps: int, step_bps: int) -> list[tuple[str, Decimal]]:
    quotes = []
    for level in range(LEVELS):
        away = Decimal(spread_bps + level * step_bps) / 10_000
        quotes.append(("1", (bid * (1 - away)).quantize(CENT, ROUND_FLOOR)))
        quotes.append(("2", (ask * (1 + away)).quantize(CENT, ROUND_CEILING)))
    return quotes


async def main() -> None:
    stream_url, venue_url, symbol, spread_bps, step_bps = sys.argv[1:6]
    venue, placed, last = Venue(venue_url), [], None
    manager = BinanceSocketManager(AsyncClient())
    manager.STREAM_URL = f"{stream_url}/"
    began_s = time.monotonic()
    async with manager.multiplex_socket([f"{symbol}@bookTicker", f"{symbol}@trade"]) as stream:
        while True:
            message = await stream.recv()
            data = message.get("data")
            if data is None:  # python-binance's own report
                print(f"{time.monotonic() - began_s:.1f} s: {message.get('type')}", flush=True)
                return
            if "u" not in data or last == (data["b"], data["a"]):
                continue
            last = data["b"], data["a"]
            quotes = ladder(Decimal(last[0]), Decimal(last[1]), int(spread_bps), int(step_bps))
            places = [asyncio.to_thread(venue.place, *quote) for quote in quotes]
            fresh = await asyncio.gather(*places)
            await asyncio.gather(*[asyncio.to_thread(venue.cancel, number) for number in placed])
            placed = fresh


if __name__ == "__main__":
    asyncio.run(main())
