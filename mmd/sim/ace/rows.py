"""The rows of ACE's replies, field by field as its API v2 document shows them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from mmd.sim.ace.candles import Candle
from mmd.sim.ace.ledger import Account
from mmd.sim.ace.markets import CURRENCY_IDS, digits
from mmd.sim.ace.orders import ZERO, OrderType, OwnFill, SimOrder
from mmd.words.market import Level, MarketRules, Pair

Row = dict[str, Any]
_TAIPEI = timezone(timedelta(hours=8))


def text(number: Decimal) -> str:
    """A number without exponent and without trailing zeros."""
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def local_time(time_ms: int, *, with_ms: bool = False) -> str:
    """ACE's local time, UTC+8: `2022-11-29 18:08:06`, or with milliseconds."""
    moment = datetime.fromtimestamp(time_ms // 1000, _TAIPEI).strftime("%Y-%m-%d %H:%M:%S")
    return f"{moment}.{time_ms % 1000:03d}" if with_ms else moment


def envelope(attachment: Any, status: int = 200, message: str | None = None) -> Row:
    return {"attachment": attachment, "message": message, "parameters": None, "status": status}


def _names(pair: Pair) -> Row:
    return {
        "baseCurrencyId": CURRENCY_IDS[pair.base],
        "baseCurrencyName": pair.base,
        "quoteCurrencyId": CURRENCY_IDS[pair.quote],
        "quoteCurrencyName": pair.quote,
    }


def market_row(rules: MarketRules) -> Row:
    return {
        "symbol": str(rules.pair),
        "base": rules.pair.base,
        "baseCurrencyId": str(rules.base_id),
        "quote": rules.pair.quote,
        "quoteCurrencyId": str(rules.quote_id),
        "basePrecision": str(digits(rules.lot)),
        "quotePrecision": str(digits(rules.tick)),
        "minLimitBaseAmount": text(rules.min_amount),
        "maxLimitBaseAmount": text(rules.max_amount),
    }


def price_row(last: Decimal, volume: Decimal, value: Decimal) -> Row:
    return {"base_volume": text(volume), "last_price": text(last), "quote_volume": text(value)}


def book_row(rules: MarketRules, bids: list[Level], asks: list[Level]) -> Row:
    """The order book. Each row is [volume, price], in this order."""
    return {
        "baseCurrencyId": str(rules.base_id),
        "quoteCurrencyId": str(rules.quote_id),
        "baseCurrencyName": rules.pair.base,
        "quoteCurrencyName": rules.pair.quote,
        "bids": [[text(level.amount), text(level.price)] for level in bids],
        "asks": [[text(level.amount), text(level.price)] for level in asks],
    }


def balance_rows(account: Account) -> list[Row]:
    return [
        {
            "uid": account.uid,
            "currencyId": CURRENCY_IDS[currency],
            "currencyName": currency,
            "amount": text(total),
            "cashAmount": text(account.free(currency)),
        }
        for currency, total in account.totals.items()
    ]


def _amount(order: SimOrder) -> Decimal:
    return order.filled if order.type is OrderType.MARKET_VALUE else order.amount


def list_row(order: SimOrder, uid: int) -> Row:
    """A row of the open-order list."""
    amount = _amount(order)
    return {
        "uid": uid,
        "orderNo": order.order_no,
        "customOrderId": order.client_id,
        "orderTime": local_time(order.time_ms),
        "orderTimeStamp": order.time_ms,
        **_names(order.pair),
        "buyOrSell": str(int(order.side)),
        "num": f"{amount:.16f}",
        "price": f"{order.price:.16f}",
        "remainNum": f"{amount - order.filled:.16f}",
        "tradeNum": f"{order.filled:.16f}",
        "tradePrice": f"{order.average_price:.16f}",
        "tradeAmount": f"{order.traded_value:.16f}",
        "tradeRate": f"{order.filled / amount if amount else ZERO:.20f}",
        "status": int(order.status),
        "type": int(order.type),
    }


def status_row(order: SimOrder) -> Row:
    """One order, as order status and order history give it."""
    amount = _amount(order)
    return {
        "buyOrSell": int(order.side),
        "averagePrice": f"{order.average_price:.8f}",
        "num": f"{amount:.8f}",
        "orderTime": local_time(order.time_ms, with_ms=True),
        "price": f"{order.price:.8f}",
        "status": int(order.status),
        "tradeNum": f"{order.filled:.8f}",
        "remainNum": f"{amount - order.filled:.8f}",
        **_names(order.pair),
        "orderNo": order.order_no,
        "customOrderId": order.client_id,
        "type": int(order.type),
    }


def history_trade_row(fill: OwnFill) -> Row:
    return {
        "price": f"{fill.price:.8f}",
        "num": f"{fill.amount:.8f}",
        "time": local_time(fill.time_ms, with_ms=True),
        "tradeNo": fill.trade_no,
        "amount": f"{fill.price * fill.amount:.8f}",
    }


def trade_row(fill: OwnFill, order: SimOrder | None) -> Row:
    """A row of the own-trade list. `order` is None once it is too old to be kept."""
    amount, price = (_amount(order), order.price) if order else (fill.amount, fill.price)
    return {
        "buyOrSell": int(fill.side),
        "orderNo": fill.order_no,
        "customOrderId": fill.client_id,
        "num": text(amount),
        "price": text(price),
        "orderAmount": text(amount * price),
        "tradeNum": text(fill.amount),
        "tradePrice": text(fill.price),
        "tradeAmount": text(fill.amount * fill.price),
        "fee": text(fill.fee),
        "feeSave": "0",
        "status": int(order.status) if order else 2,
        "isSelf": fill.is_self,
        "isMaker": fill.is_maker,
        "tradeNo": fill.trade_no,
        "tradeTime": local_time(fill.time_ms),
        "tradeTimestamp": fill.time_ms,
        **_names(fill.pair),
    }


def candle_row(candle: Candle) -> Row:
    change = (candle.close - candle.open) / candle.open
    return {
        "current": text(candle.close),
        "volume": text(candle.volume),
        "changeRate": f"{change:.8f}",
        "highPrice": text(candle.high),
        "lowPrice": text(candle.low),
        "openPrice": text(candle.open),
        "closePrice": text(candle.close),
        "currentTime": candle.start_ms,
        "createTime": local_time(candle.start_ms),
    }
