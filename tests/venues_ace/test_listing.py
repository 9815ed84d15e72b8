"""Complete lists while the list moves, played against a made-up venue."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from mmd.venues.ace import listing
from mmd.venues.ace.protocol import Call
from mmd.venues.ace.script import play
from mmd.words.errors import Unavailable
from mmd.words.market import Order, OrderStatus, Pair, Side

T = TypeVar("T")


def order(number: int) -> Order:
    one, pair = Decimal(1), Pair("BTC", "TWD")
    return Order(str(number), "", pair, Side.BUY, one, one, Decimal(0), OrderStatus.OPEN, 0)


class Venue:
    """Answers the open-order list from `orders`; `between` runs after every page."""

    def __init__(self, count: int, between: Callable[[Venue], None] = lambda venue: None) -> None:
        self.orders = [order(number) for number in range(count)]
        self.between = between
        self.pages = 0

    def call(self, call: Call[T]) -> T:
        start, size = int(call.params["start"]), int(call.params["size"])
        page: Any = self.orders[(start - 1) * size : start * size]
        self.pages += 1
        self.between(self)
        return page  # type: ignore[no-any-return]


def numbers(venue: Venue) -> list[int]:
    return [int(o.order_no) for o in play(venue, listing.all_open_orders())]


def test_one_short_page_is_a_whole_list() -> None:
    venue = Venue(499)
    assert numbers(venue) == list(range(499))
    assert venue.pages == 1


def test_an_order_that_slips_between_pages_is_found_by_another_pass() -> None:
    """The first order ends after the first page: the 501st moves to the first page, unseen."""

    def between(venue: Venue) -> None:
        if venue.pages == 1:
            del venue.orders[0]

    venue = Venue(1002, between)
    assert sorted(numbers(venue)) == list(range(1, 1002))


def test_a_list_that_never_holds_still_is_not_taken_for_whole() -> None:
    def between(venue: Venue) -> None:
        venue.orders.append(order(10_000 + venue.pages))

    with pytest.raises(Unavailable):
        numbers(Venue(600, between))


def test_a_venue_that_ignores_start_is_noticed() -> None:
    class Stuck(Venue):
        def call(self, call: Call[T]) -> T:
            page: Any = self.orders[:500]
            return page  # type: ignore[no-any-return]

    with pytest.raises(Unavailable):
        numbers(Stuck(600))
