"""Binance's public REST endpoints, as far as market data needs them (rest-api.md). No key.

Every call raises Unavailable (RateLimited among them), Refused for a wrong request, or Fatal.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests

from mmd.venues.binance.messages import PartialDepth, levels
from mmd.venues.binance.refusal import refusal
from mmd.words.errors import Unavailable

TIMEOUT_S = 5.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """What Binance demands of an order in one symbol."""

    symbol: str
    status: str
    """TRADING, or why not."""
    base: str
    quote: str
    tick: Decimal
    """Smallest price step; 0 where Binance sets none."""
    lot: Decimal
    """Smallest amount step."""


class Rest:
    """A warm connection to one base address, for one thread at a time."""

    def __init__(self, base_url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._base = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        # Proxies from the environment count, but not for this very machine.
        host = urlsplit(self._base).hostname or ""
        self._proxies = {"no_proxy": host} if host in LOOPBACK else {}

    def book_ticker(self, symbol: str) -> tuple[float, float, float, float]:
        """Best bid price and quantity, best ask price and quantity. Carries no id; weight 2."""
        reply = self._get("ticker/bookTicker", symbol=symbol)
        try:
            bid, ask = float(reply["bidPrice"]), float(reply["askPrice"])
            return bid, float(reply["bidQty"]), ask, float(reply["askQty"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"Binance's book ticker can't be read: {error!r}") from None

    def depth(self, symbol: str, limit: int = 5) -> PartialDepth:
        """The best levels with the id of the book; weight 5 for up to 100 levels."""
        return parse_depth(self.depth_text(symbol, limit))

    def depth_text(self, symbol: str, limit: int) -> bytes:
        """The same, as Binance wrote it."""
        return self._get_text("depth", symbol=symbol, limit=str(limit))

    def exchange_info(self, symbol: str) -> SymbolRules:
        """Status and steps of a symbol; weight 20. Refused if there is no such symbol."""
        reply = self._get("exchangeInfo", symbol=symbol)
        try:
            row = reply["symbols"][0]
            filters = {rule["filterType"]: rule for rule in row["filters"]}
            tick = filters.get("PRICE_FILTER", {}).get("tickSize", "0")
            lot = filters.get("LOT_SIZE", {}).get("stepSize", "0")
            return SymbolRules(
                row["symbol"],
                row["status"],
                row["baseAsset"],
                row["quoteAsset"],
                Decimal(tick),
                Decimal(lot),
            )
        except (KeyError, IndexError, TypeError, ArithmeticError) as error:
            raise Unavailable(f"Binance's exchangeInfo can't be read: {error!r}") from None

    def server_time_ms(self) -> int:
        """The exchange's clock, in ms since 1970; weight 1."""
        reply = self._get("time")
        try:
            return int(reply["serverTime"])
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"Binance's time can't be read: {error!r}") from None

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Rest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _get(self, path: str, **params: str) -> Any:
        text = self._get_text(path, **params)
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            raise Unavailable(f"Binance's answer is not JSON: {text[:80]!r}") from None

    def _get_text(self, path: str, **params: str) -> bytes:
        url = f"{self._base}/api/v3/{path}"
        try:
            reply = self._session.get(
                url, params=params, timeout=self._timeout_s, proxies=self._proxies
            )
        except requests.RequestException as error:
            raise Unavailable(f"{url}: {type(error).__name__}: {error}") from None
        if reply.status_code == 200:
            return reply.content
        headers = {name.lower(): value for name, value in reply.headers.items()}
        raise refusal(reply.status_code, headers, reply.text)


def parse_depth(text: bytes) -> PartialDepth:
    """A depth snapshot. Raises Unavailable when it can't be read."""
    try:
        reply = orjson.loads(text)
        bids, asks = levels(reply["bids"]), levels(reply["asks"])
        return PartialDepth(int(reply["lastUpdateId"]), bids, asks)
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"Binance's depth can't be read: {error!r}") from None
