"""The venue's functions, as calls. Parameters with no value are left out, as the signature asks.

Numbers are written without exponent and without trailing zeros.
"""

from __future__ import annotations

from decimal import Decimal

from mmd.venues.ace import parse
from mmd.venues.ace.protocol import Call, Kind
from mmd.words.market import (
    Balance,
    Level,
    MarketRules,
    NewOrder,
    Order,
    OrderBook,
    OwnTrade,
    Pair,
    Side,
)

PAGE_SIZE = 500
"""The most rows in one page. The venue's own default of 10 would hide orders from a sweep."""
_LIMIT_ORDER = "1"


def markets() -> Call[list[MarketRules]]:
    """All markets and their rules."""
    return Call(Kind.MARKETS, "GET", "/oapi/v2/list/marketPair", {}, False, parse.markets)


def prices() -> Call[dict[Pair, Decimal]]:
    """The last price of every market."""
    return Call(Kind.PRICES, "GET", "/oapi/v2/list/tradePrice", {}, False, parse.prices)


def order_book(rules: MarketRules, depth: int | None = None) -> Call[OrderBook]:
    """A market's order book; `depth` levels a side, or as many as the venue gives."""
    params = _ids(rules)
    if depth is not None:
        params["depth"] = str(depth)
    path = "/open/v2/public/getOrderBook"
    return Call(Kind.ORDER_BOOK, "GET", path, params, False, parse.order_book)


def balances() -> Call[list[Balance]]:
    """What the account holds of every currency."""
    path = "/open/v2/coin/customerAccount"
    return Call(Kind.BALANCES, "POST", path, {}, True, parse.balances)


def new_order(rules: MarketRules, order: NewOrder) -> Call[str]:
    """Places a limit order; the answer is its number."""
    params = order_fields(rules, order)
    return Call(Kind.NEW_ORDER, "POST", "/open/v2/order/order", params, True, parse.new_order)


def cancel(order_no: str) -> Call[None]:
    """Cancels an order. OrderGone means that it is already filled or cancelled."""
    params = {"orderNo": order_no}
    return Call(Kind.CANCEL, "POST", "/open/v2/order/cancel", params, True, parse.cancel)


def open_orders(
    rules: MarketRules | None = None, start: int = 1, size: int = PAGE_SIZE
) -> Call[list[Order]]:
    """One page of the open orders, of one market or of all; see `listing` for a complete list."""
    params = _ids(rules) | {"start": str(start), "size": str(size)}
    path = "/open/v2/order/getOrderList"
    return Call(Kind.OPEN_ORDERS, "POST", path, params, True, parse.orders)


def order_status(order_no: str) -> Call[Order]:
    """How one order stands. The answer may lack the customOrderId."""
    path = "/open/v2/order/showOrderStatus"
    return Call(Kind.ORDER_STATUS, "POST", path, {"orderNo": order_no}, True, parse.order)


def order_history(order_no: str) -> Call[tuple[Order, tuple[Level, ...]]]:
    """How one order stands, with price and amount of each of its trades."""
    path = "/open/v2/order/showOrderHistory"
    return Call(Kind.ORDER_HISTORY, "POST", path, {"orderNo": order_no}, True, parse.order_history)


def own_trades(
    rules: MarketRules | None = None,
    start: int = 1,
    size: int = PAGE_SIZE,
    start_trade_no: int | None = None,
    start_time_ms: int | None = None,
) -> Call[list[OwnTrade]]:
    """One page of our own trades, from a trade number or a time on."""
    params = _ids(rules) | {"start": str(start), "size": str(size)}
    if start_trade_no is not None:
        params["startTradeNo"] = str(start_trade_no)
    if start_time_ms is not None:
        params["startTime"] = str(start_time_ms)
    path = "/open/v2/order/getTradeList"
    return Call(Kind.OWN_TRADES, "POST", path, params, True, parse.own_trades)


def order_fields(rules: MarketRules, order: NewOrder) -> dict[str, str]:
    """The fields of a new limit order."""
    return {
        "baseCurrencyId": str(rules.base_id),
        "quoteCurrencyId": str(rules.quote_id),
        "buyOrSell": "1" if order.side is Side.BUY else "2",
        "type": _LIMIT_ORDER,
        "price": plain(order.price),
        "num": plain(order.amount),
        "customOrderId": order.client_id,
    }


def plain(value: Decimal) -> str:
    """A number as the venue takes it."""
    digits = format(value, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _ids(rules: MarketRules | None) -> dict[str, str]:
    if rules is None:
        return {}
    return {"baseCurrencyId": str(rules.base_id), "quoteCurrencyId": str(rules.quote_id)}
