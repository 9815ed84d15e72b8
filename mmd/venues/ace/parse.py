"""Reads what the venue sends. Numbers travel as text; a Decimal is made from that text alone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from mmd.words.market import (
    Balance,
    Level,
    MarketRules,
    Order,
    OrderBook,
    OrderStatus,
    OwnTrade,
    Pair,
    Side,
)

E = TypeVar("E", Side, OrderStatus)
Row = dict[str, Any]

_TAIPEI = timezone(timedelta(hours=8))
_MAX_EXPONENT = 40
_MAX_DIGITS = 64


class MalformedReply(ValueError):
    """A reply says something that the API document doesn't."""


def number(value: object) -> Decimal:
    """Money or an amount. Raises MalformedReply for anything but a plain, finite number."""
    if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool):
        try:
            exact = Decimal(value)
        except InvalidOperation:
            raise MalformedReply("a number is no number") from None
        if exact.is_finite() and abs(exact.adjusted()) <= _MAX_EXPONENT:
            return exact
    raise MalformedReply("a number is no number")


def integer(value: object) -> int:
    """A whole number, given as such or as text. Raises MalformedReply."""
    if type(value) is int:
        return value
    if isinstance(value, str) and len(value) <= _MAX_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    raise MalformedReply("a whole number is none")


def rows(content: object) -> list[Row]:
    """A list of objects. Raises MalformedReply: null is no empty list."""
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise MalformedReply("a list is no list of objects")
    return content


def row(content: object) -> Row:
    """One object. Raises MalformedReply."""
    if not isinstance(content, dict):
        raise MalformedReply("an object is none")
    return content


def text(value: object) -> str:
    """A name or number that is kept as text. Raises MalformedReply when it is empty."""
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise MalformedReply("a text is none")
    return str(value)


def markets(content: object) -> list[MarketRules]:
    """`[{"symbol": "BTC/TWD", "base": "btc", "baseCurrencyId": "2", "quote": "twd",
    "quoteCurrencyId": "1", "basePrecision": "8", "quotePrecision": "1",
    "minLimitBaseAmount": "0.0001", "maxLimitBaseAmount": "120"}, …]`

    Leaves out markets whose rules can't be read: one odd listing must not stop the others.
    """
    return [rules for line in rows(content) if (rules := _rules(line)) is not None]


def prices(content: object) -> dict[Pair, Decimal]:
    """`{"BTC/USDT": {"base_volume": "229196.34", "last_price": "11881.06", …}, …}`"""
    return {
        Pair(*name.upper().split("/")): number(row(line).get("last_price"))
        for name, line in row(content).items()
        if name.count("/") == 1
    }


def order_book(content: object) -> OrderBook:
    """`{"bids": [["0.0009", "19993.53"], …], "asks": […], …}`: the volume comes first."""
    book = row(content)
    return OrderBook(_levels(book.get("bids")), _levels(book.get("asks")))


def balances(content: object) -> list[Balance]:
    """`[{"uid": 660, "currencyId": 2, "currencyName": "BTC", "amount": "9.0",
    "cashAmount": "7.5"}, …]`"""
    return [
        Balance(
            currency=text(line.get("currencyName")).upper(),
            total=number(line.get("amount")),
            free=number(line.get("cashAmount")),
        )
        for line in rows(content)
    ]


def new_order(content: object) -> str:
    """`{"orderNo": "16708172598046170050801100274092", "customOrderId": "…"}`"""
    return text(row(content).get("orderNo"))


def cancel(content: object) -> None:
    """`200`"""
    if integer(content) != 200:
        raise MalformedReply("a cancel is answered by another number than 200")


def order(content: object) -> Order:
    """`{"orderNo": "1669…", "customOrderId": "…", "orderTime": "2022-11-29 18:08:06",
    "orderTimeStamp": 1669716486980, "quoteCurrencyName": "TWD", "baseCurrencyName": "BTC",
    "buyOrSell": "1", "num": "1.0", "price": "490849.75", "remainNum": "1.0",
    "tradeNum": "0.0", "status": 0, "type": 1, …}`

    The amount is the sum of what is traded and what remains: a status of a cancelled order in the
    API document shows `num` as 0.
    """
    line = row(content)
    filled = number(line.get("tradeNum"))
    return Order(
        order_no=text(line.get("orderNo")),
        client_id=_optional_text(line.get("customOrderId")),
        pair=_pair(line),
        side=_enum(Side, line.get("buyOrSell")),
        price=number(line.get("price")),
        amount=filled + number(line.get("remainNum")),
        filled=filled,
        status=_enum(OrderStatus, line.get("status")),
        time_ms=_time_ms(line.get("orderTimeStamp"), line.get("orderTime")),
    )


def orders(content: object) -> list[Order]:
    """Rows as in `order`."""
    return [order(line) for line in rows(content)]


def own_trades(content: object) -> list[OwnTrade]:
    """`[{"tradeNo": "16708186395087940051961000274150", "orderNo": "…", "customOrderId": "…",
    "buyOrSell": 1, "tradeNum": "0.1", "tradePrice": "16895", "tradeAmount": "1689.5",
    "fee": "0", "feeSave": "0", "isSelf": false, "isMaker": true,
    "tradeTimestamp": 1670818639508, "quoteCurrencyName": "USDT", …}, …]`

    The fee is what was really paid: `fee` less `feeSave`.
    """
    return [_own_trade(line) for line in rows(content)]


def order_history(content: object) -> tuple[Order, tuple[Level, ...]]:
    """`{"order": {…}, "trades": [{"price": "491343.74", "num": "0.016222", …}, …]}`: the order
    and price and amount of each of its trades."""
    history = row(content)
    trades = rows(history.get("trades"))
    fills = tuple(Level(number(t.get("price")), number(t.get("num"))) for t in trades)
    return order(history.get("order")), fills


def _own_trade(line: Row) -> OwnTrade:
    return OwnTrade(
        trade_no=integer(line.get("tradeNo")),
        order_no=text(line.get("orderNo")),
        client_id=_optional_text(line.get("customOrderId")),
        pair=_pair(line),
        side=_enum(Side, line.get("buyOrSell")),
        price=number(line.get("tradePrice")),
        amount=number(line.get("tradeNum")),
        fee=number(line.get("fee")) - number(line.get("feeSave") or 0),
        is_maker=_flag(line.get("isMaker")),
        is_self=_flag(line.get("isSelf")),
        time_ms=_time_ms(line.get("tradeTimestamp"), line.get("tradeTime")),
    )


def _rules(line: Row) -> MarketRules | None:
    try:
        return MarketRules(
            pair=Pair(text(line.get("base")).upper(), text(line.get("quote")).upper()),
            base_id=integer(line.get("baseCurrencyId")),
            quote_id=integer(line.get("quoteCurrencyId")),
            tick=_step(line.get("quotePrecision")),
            lot=_step(line.get("basePrecision")),
            min_amount=number(line.get("minLimitBaseAmount")),
            max_amount=number(line.get("maxLimitBaseAmount")),
        )
    except MalformedReply:
        return None


def _step(places: object) -> Decimal:
    """The smallest step with that many decimal places."""
    digits = integer(places)
    if digits > _MAX_EXPONENT:
        raise MalformedReply("a precision is too fine")
    return Decimal(1).scaleb(-digits)


def _levels(content: object) -> tuple[Level, ...]:
    if not isinstance(content, list):
        raise MalformedReply("a side of a book is no list")
    return tuple(_level(line) for line in content)


def _level(line: object) -> Level:
    if not isinstance(line, list) or len(line) < 2:
        raise MalformedReply("a level of a book is no pair of numbers")
    volume, price = line[:2]
    return Level(number(price), number(volume))


def _pair(line: Row) -> Pair:
    return Pair(
        text(line.get("baseCurrencyName")).upper(), text(line.get("quoteCurrencyName")).upper()
    )


def _enum(kind: type[E], value: object) -> E:
    try:
        return kind(integer(value))
    except MalformedReply:
        raise
    except ValueError:
        raise MalformedReply(f"{kind.__name__} has no such number") from None


def _optional_text(value: object) -> str:
    return "" if value is None else str(value)


def _flag(value: object) -> bool:
    """A flag, given as such or as 0 and 1; one that is left out is not set."""
    if value is None:
        return False
    if value in (0, 1):
        return bool(value)
    raise MalformedReply("a flag is none")


def _time_ms(stamp: object, taipei: object) -> int:
    """ms since 1970 from the time stamp, or from the text in Taipei's time where there is none."""
    if stamp is not None:
        return integer(stamp)
    try:
        moment = datetime.fromisoformat(text(taipei)).replace(tzinfo=_TAIPEI)
    except MalformedReply:
        raise
    except ValueError:
        raise MalformedReply("a time is none") from None
    return (moment - datetime.fromtimestamp(0, _TAIPEI)) // timedelta(milliseconds=1)
