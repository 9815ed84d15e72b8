"""What Binance's market streams say, decoded by keys; shapes as in the public
documentation (web-socket-streams.md). Works for raw and for combined streams.

Prices become doubles (15 significant digits come back unchanged), quantities of trades become
integers in units of 1e-8, because they are summed up.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from mmd.words.errors import MmdError

_new = tuple.__new__  # a third of the time of a named tuple's own constructor
_fits = struct.Struct("=QQQ").pack
"""Raises struct.error for what no cell can hold as an id or a time."""

Levels = tuple[tuple[float, float], ...]


_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, struct.error)


class Malformed(MmdError):
    """A message that can't be read: not JSON, or not with the fields of its kind."""


class BookTicker(NamedTuple):
    """`<symbol>@bookTicker`: the best bid and ask. Carries no time at all."""

    symbol: str
    update_id: int
    bid_price: float
    bid_qty: float
    ask_price: float
    ask_qty: float


class Trade(NamedTuple):
    """`<symbol>@trade`, or `<symbol>@aggTrade`: the trades `first_id` to `last_id` in one."""

    symbol: str
    first_id: int
    last_id: int
    price: float
    qty_e8: int
    event_ms: int
    """When Binance sent it."""
    trade_ms: int
    """When it happened."""


class PartialDepth(NamedTuple):
    """`<symbol>@depth5|10|20[@100ms]`: the best levels, best first."""

    update_id: int
    bids: Levels
    asks: Levels


class Shutdown(NamedTuple):
    """The server is about to go: open a new connection now."""


class Reply(NamedTuple):
    """A command was carried out."""

    id: int | str | None


class CommandError(NamedTuple):
    """A command was refused."""

    code: int
    text: str


class Unknown(NamedTuple):
    """Well-formed, but of no kind that we know."""

    text: str


Event = BookTicker | Trade | PartialDepth | Shutdown | Reply | CommandError | Unknown


def decode(payload: bytes | bytearray | memoryview) -> Event:
    """The event that a message tells of. Raises Malformed."""
    try:
        data = orjson.loads(payload)
        if "data" in data:  # combined streams wrap the event: {"stream": …, "data": …}
            data = data["data"]
        kind = data["e"] if "e" in data else None  # noqa: SIM401 - faster than get
        if kind == "trade":
            trade_id, qty = data["t"], data["q"]
            event_ms, trade_ms = data["E"], data["T"]
            _fits(trade_id, event_ms, trade_ms)
            # 8 decimals, as Binance writes all quantities, and digits only.
            digits = qty.replace(".", "")
            qty_e8 = int(digits) if qty[-9:-8] == "." and digits.isdigit() else to_e8(qty)
            price = float(data["p"])
            return _new(Trade, (data["s"], trade_id, trade_id, price, qty_e8, event_ms, trade_ms))
        shape = _SHAPES.get(kind)
        return shape(data) if shape else Unknown(str(data)[:80])
    except _UNREADABLE as error:
        start = bytes(payload[:80])
        raise Malformed(f"can't read {start!r}: {type(error).__name__}: {error}") from None


def to_e8(text: str) -> int:
    """A quantity in units of 1e-8. Raises ValueError when that is not exact, or negative."""
    number = Decimal(text).scaleb(8)
    scaled = int(number)
    if scaled != number or scaled < 0:
        raise ValueError(f"{text} is no quantity with up to 8 decimals")
    return scaled


def levels(rows: list[list[str]]) -> Levels:
    """A side of a book, from rows of [price, quantity]."""
    return tuple((float(price), float(qty)) for price, qty in rows)


def _agg_trade(data: Mapping[str, Any]) -> Trade:
    first_id, last_id, event_ms, trade_ms = data["f"], data["l"], data["E"], data["T"]
    _fits(first_id, last_id, 0)
    _fits(event_ms, trade_ms, last_id - first_id)
    price, qty = float(data["p"]), to_e8(data["q"])
    return Trade(data["s"], first_id, last_id, price, qty, event_ms, trade_ms)


def _shutdown(_: Mapping[str, Any]) -> Shutdown:
    return Shutdown()


def _without_kind(data: Mapping[str, Any]) -> Event:
    if "u" in data and "b" in data and "a" in data:
        update_id = data["u"]
        _fits(update_id, 0, 0)
        bid, ask = float(data["b"]), float(data["a"])
        bid_qty, ask_qty = float(data["B"]), float(data["A"])
        return _new(BookTicker, (data["s"], update_id, bid, bid_qty, ask, ask_qty))
    if "lastUpdateId" in data:
        update_id = data["lastUpdateId"]
        _fits(update_id, 0, 0)
        return PartialDepth(update_id, levels(data["bids"]), levels(data["asks"]))
    error = data.get("error", data)
    if "code" in error:
        return CommandError(int(error["code"]), str(error.get("msg", "")))
    if "result" in data and "id" in data:
        return Reply(data["id"])
    return Unknown(str(data)[:80])


_SHAPES: Mapping[str | None, Callable[[Mapping[str, Any]], Event]] = {
    "aggTrade": _agg_trade,
    "serverShutdown": _shutdown,
    None: _without_kind,
}
