"""Complete lists, put together from pages.

The API document does not say whether `start` counts pages or rows. So the second page tells: if
most of it is known already, `start` counts rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from mmd.venues.ace import calls
from mmd.venues.ace.protocol import Call
from mmd.venues.ace.script import Script, one
from mmd.words.errors import Unavailable
from mmd.words.market import MarketRules, Order, OwnTrade

R = TypeVar("R")

_MAX_PASSES = 10
_FIRST = 1


def all_open_orders(rules: MarketRules | None = None) -> Script[list[Order]]:
    """Every open order, of one market or of all.

    One page holds one moment. Several pages don't, since orders move while pages are read: they
    are read again until two passes name the same orders. Raises Unavailable when ten don't.
    """
    before: set[str] | None = None
    for _ in range(_MAX_PASSES):
        orders, pages = yield from _pages(
            lambda start: calls.open_orders(rules, start), lambda order: order.order_no
        )
        numbers = {order.order_no for order in orders}
        if pages == 1 or numbers == before:
            return orders
        before = numbers
    raise Unavailable("the open orders change faster than they can be listed")


def trades_since(
    trade_no: int | None, start_time_ms: int | None = None, rules: MarketRules | None = None
) -> Script[list[OwnTrade]]:
    """Every own trade from a trade number on, itself included, or from a time on; oldest first.

    A trade that happens while pages are read shifts rows, so may show one twice, but hides none.
    """
    trades, _ = yield from _pages(
        lambda start: calls.own_trades(
            rules, start, start_trade_no=trade_no, start_time_ms=start_time_ms
        ),
        lambda trade: (trade.trade_no, trade.order_no),
    )
    return sorted(trades, key=lambda trade: (trade.trade_no, trade.order_no))


def _pages(
    page: Callable[[int], Call[list[R]]], key: Callable[[R], Hashable]
) -> Script[tuple[list[R], int]]:
    """All rows without repetitions, and from how many pages."""
    found: dict[Hashable, R] = {}
    start, pages, counts_rows = _FIRST, 0, False
    while True:
        rows = yield from one(page(start))
        pages += 1
        new = {key(row): row for row in rows if key(row) not in found}
        found |= new
        if len(rows) < calls.PAGE_SIZE:
            return list(found.values()), pages
        if not new:
            raise Unavailable("the venue sends the same page again and again")
        if pages == 2:
            counts_rows = len(new) < len(rows) / 2
        start = len(found) + 1 if counts_rows else start + 1
