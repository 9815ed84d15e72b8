"""The public part of the REST interface. Source: binance-spot-api-docs, rest-api.md."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from mmd.sim.binance.market import Market
from mmd.sim.binance.symbols import SymbolRules, rules_of

_DEPTH_LIMIT, _TRADES_LIMIT = 5000, 1000
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_MISSING = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."

Answer = Callable[[web.Request], Any]


class RestError(Exception):
    """A refusal with Binance's own error code."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class RestFaults:
    """Errors to answer with instead, as long as they last."""

    def __init__(self) -> None:
        self.status = 0
        self.code = -1000
        self.retry_after_s: int | None = None
        self.left = 0
        """How many more requests fail."""

    def set(self, status: int, code: int, count: int, retry_after_s: int | None) -> None:
        """The next `count` requests fail."""
        self.status, self.code, self.left = status, code, count
        self.retry_after_s = retry_after_s

    def check(self) -> None:
        """Raises RestError when this request is to fail."""
        if self.left:
            self.left -= 1
            raise RestError(self.code, "simulated fault", self.status)


class RestApi:
    """Answers for one market."""

    def __init__(self, market: Market, faults: RestFaults) -> None:
        self.requests = 0
        self._market = market
        self._faults = faults
        self._weight = 0
        self._minute = 0

    def routes(self) -> list[web.RouteDef]:
        """The paths that are served."""
        return [
            web.get("/api/v3/ping", self._route(lambda _: {}, 1)),
            web.get("/api/v3/time", self._route(lambda _: {"serverTime": _now_ms()}, 1)),
            web.get("/api/v3/exchangeInfo", self._route(self._exchange_info, 20)),
            web.get("/api/v3/depth", self._route(self._depth, 0)),
            web.get("/api/v3/ticker/bookTicker", self._route(self._tickers, 4)),
            web.get("/api/v3/trades", self._route(self._trades, 25)),
            web.get("/api/v3/aggTrades", self._route(self._aggregate_trades, 4)),
        ]

    def _route(
        self, answer: Answer, weight: int
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            self._count(weight)
            try:
                self._faults.check()
                status, body = 200, answer(request)
            except RestError as error:
                status, body = error.status, {"code": error.code, "msg": str(error)}
            response = web.Response(
                body=orjson.dumps(body), status=status, content_type="application/json"
            )
            response.headers["X-MBX-USED-WEIGHT-1M"] = str(self._weight)
            if status in (418, 429) and self._faults.retry_after_s is not None:
                response.headers["Retry-After"] = str(self._faults.retry_after_s)
            return response

        return handle

    def _count(self, weight: int) -> None:
        minute = int(time.time()) // 60
        self._weight = weight + (self._weight if minute == self._minute else 0)
        self._minute = minute

    def _depth(self, request: web.Request) -> Any:
        symbol = self._symbol(request)
        limit = min(_number(request, "limit", 100), _DEPTH_LIMIT)
        self._count(next(weight for most, weight in _DEPTH_WEIGHTS if limit <= most))
        book = self._market.book(symbol, limit)
        return book or {"lastUpdateId": 0, "bids": [], "asks": []}

    def _tickers(self, request: web.Request) -> Any:
        if "symbol" in request.query:
            return self._ticker(self._symbol(request))
        return [self._ticker(symbol) for symbol in self._symbols(request)]

    def _ticker(self, symbol: str) -> dict[str, str]:
        nothing = dict.fromkeys("bBaA", "0.00000000")
        top = self._market.ticker(symbol) or nothing
        return {
            "symbol": symbol,
            "bidPrice": top["b"],
            "bidQty": top["B"],
            "askPrice": top["a"],
            "askQty": top["A"],
        }

    def _trades(self, request: web.Request) -> Any:
        limit = _number(request, "limit", 500)
        found = self._market.trades(self._symbol(request))[-min(limit, _TRADES_LIMIT) :]
        return [
            {
                "id": trade["t"],
                "price": trade["p"],
                "qty": trade["q"],
                "time": trade["T"],
                "isBuyerMaker": trade["m"],
                "isBestMatch": trade["M"],
            }
            for trade in found
        ]

    def _aggregate_trades(self, request: web.Request) -> Any:
        limit = min(_number(request, "limit", 500), _TRADES_LIMIT)
        found = self._market.aggregate_trades(self._symbol(request))
        if "fromId" in request.query:
            first_id = _number(request, "fromId", 0)
            found = [trade for trade in found if trade["a"] >= first_id][:limit]
        return [{key: trade[key] for key in "apqflTmM"} for trade in found[-limit:]]

    def _exchange_info(self, request: web.Request) -> Any:
        asked = "symbol" in request.query
        symbols = [self._symbol(request)] if asked else self._symbols(request)
        rules = [found for symbol in symbols if (found := rules_of(symbol)) is not None]
        return {
            "timezone": "UTC",
            "serverTime": _now_ms(),
            "rateLimits": [
                _rate_limit("REQUEST_WEIGHT", 1, 6000),
                _rate_limit("RAW_REQUESTS", 5, 300_000),
            ],
            "exchangeFilters": [],
            "symbols": [_symbol_info(found) for found in rules],
        }

    def _symbol(self, request: web.Request) -> str:
        symbol = request.query.get("symbol", "")
        if not symbol:
            raise RestError(-1102, _MISSING)
        if not self._market.knows(symbol):
            raise RestError(-1121, "Invalid symbol.")
        return symbol

    def _symbols(self, request: web.Request) -> list[str]:
        if "symbols" not in request.query:
            return list(self._market.symbols)
        try:
            symbols = orjson.loads(request.query["symbols"])
        except orjson.JSONDecodeError:
            symbols = None
        if type(symbols) is not list or not all(type(symbol) is str for symbol in symbols):
            raise RestError(-1100, "Illegal characters found in parameter 'symbols'.")
        if not all(self._market.knows(symbol) for symbol in symbols):
            raise RestError(-1121, "Invalid symbol.")
        return symbols


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or (name == "limit" and int(text) < 1):
        raise RestError(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text)


def _rate_limit(kind: str, minutes: int, limit: int) -> dict[str, Any]:
    return {
        "rateLimitType": kind,
        "interval": "MINUTE",
        "intervalNum": minutes,
        "limit": limit,
    }


def _symbol_info(rules: SymbolRules) -> dict[str, Any]:
    tick, lot = f"{rules.tick:.8f}", f"{rules.lot:.8f}"
    return {
        "symbol": rules.symbol,
        "status": "TRADING",
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "1000000.00000000",
                "tickSize": tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": lot,
                "maxQty": "9000000.00000000",
                "stepSize": lot,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }
