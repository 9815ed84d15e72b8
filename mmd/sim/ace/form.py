"""Reading the parameters of a call. Whatever can't be read is a malformed request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from mmd.sim.ace.markets import CURRENCY_IDS
from mmd.sim.ace.orders import OrderRequest, OrderType, Rejected, Status
from mmd.words.market import Pair, Side

_CURRENCIES = {number: name for name, number in CURRENCY_IDS.items()}
_LONGEST_NUMBER = 40


def _malformed(name: str) -> Rejected:
    return Rejected(Status.MALFORMED, f"parameter {name} is missing or can't be read")


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of one call, as text. An empty value counts as none."""

    values: Mapping[str, str]

    def text(self, name: str) -> str:
        """Raises Rejected when the parameter is missing."""
        value = self.values.get(name, "")
        if not value:
            raise _malformed(name)
        return value

    def integer(self, name: str) -> int | None:
        value = self.values.get(name, "")
        if not value:
            return None
        if not (value.isascii() and value.isdecimal()) or len(value) > _LONGEST_NUMBER:
            raise _malformed(name)
        return int(value)

    def decimal(self, name: str) -> Decimal | None:
        value = self.values.get(name, "")
        if not value:
            return None
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise _malformed(name) from None
        if not number.is_finite() or len(value) > _LONGEST_NUMBER:
            raise _malformed(name)
        return number

    def pair(self) -> Pair | None:
        """The market named by its two currency ids; None when neither is given."""
        base, quote = self.integer("baseCurrencyId"), self.integer("quoteCurrencyId")
        if base is None and quote is None:
            return None
        if base is None or quote is None:
            raise Rejected(Status.MALFORMED, "give both currency ids or none")
        if base not in _CURRENCIES or quote not in _CURRENCIES:
            raise Rejected(Status.UNKNOWN_MARKET, "unknown currency id")
        return Pair(_CURRENCIES[base], _CURRENCIES[quote])

    def needed_pair(self) -> Pair:
        pair = self.pair()
        if pair is None:
            raise _malformed("baseCurrencyId")
        return pair

    def side(self) -> Side | None:
        number = self.integer("buyOrSell")
        if number is None:
            return None
        if number not in (1, 2):
            raise _malformed("buyOrSell")
        return Side(number)

    def within(self, name: str, lowest: int, highest: int, default: int) -> int:
        """A whole number between two bounds."""
        number = self.integer(name)
        if number is None:
            return default
        if not lowest <= number <= highest:
            raise _malformed(name)
        return number

    def order(self) -> OrderRequest:
        """The order that the call asks for."""
        side = self.side()
        if side is None:
            raise _malformed("buyOrSell")
        kind = self.integer("type")
        if kind not in (1, 2, 3):
            raise Rejected(Status.BAD_ORDER, "type is 1, 2 or 3")
        return OrderRequest(
            pair=self.needed_pair(),
            side=side,
            type=OrderType(kind),
            price=self.decimal("price"),
            amount=self.decimal("num"),
            value=self.decimal("amount"),
            client_id=self.values.get("customOrderId") or None,
        )

    def json_list(self, name: str, longest: int) -> list[Any]:
        """A parameter that holds a JSON list."""
        try:
            items = orjson.loads(self.text(name))
        except orjson.JSONDecodeError:
            raise _malformed(name) from None
        if not isinstance(items, list) or not 1 <= len(items) <= longest:
            raise Rejected(Status.MALFORMED, f"{name} is a list of 1 to {longest} items")
        return items


def item_form(item: object) -> Form:
    """The parameters of one item of a batch."""
    if not isinstance(item, dict):
        raise Rejected(Status.MALFORMED, "each item is an object")
    return Form({str(name): str(value) for name, value in item.items() if value is not None})


def asked_pair(parameters: Mapping[str, str]) -> Pair | None:
    """The market that a call is about, if it names one that can be read."""
    if "baseCurrencyId" not in parameters:
        return None
    try:
        return Form(parameters).pair()
    except Rejected:
        return None
