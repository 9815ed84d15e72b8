"""The ledger: every arrow of its table, and what it does with the impossible."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.decide.ledger import TRANSITIONS, Entry, Event, Ledger, State
from mmd.words.market import NewOrder, Order, OrderStatus, Pair, Side

PAIR = Pair("BTC", "TWD")


def new_order(client_id: str = "a", side: Side = Side.BUY, price: int = 100) -> NewOrder:
    return NewOrder(client_id, side, Decimal(price), Decimal(2))


def ledger_in(state: State) -> tuple[Ledger, Entry]:
    ledger = Ledger()
    entry = ledger.want(new_order(), 0, 0, 10**12)
    ledger._move(entry, state)
    return ledger, entry


@pytest.mark.parametrize(("start", "event"), sorted(TRANSITIONS, key=str))
def test_each_arrow_leads_where_the_table_says(start: State, event: Event) -> None:
    ledger, entry = ledger_in(start)
    ledger.apply("a", event, 5)
    assert entry.state is TRANSITIONS[start, event]
    assert entry.changed_ns == 5
    assert ("a" in ledger.entries) is not entry.state.is_final
    assert ledger.take_impossible() == []


IMPOSSIBLE = [(s, e) for s in State for e in Event if (s, e) not in TRANSITIONS]


@pytest.mark.parametrize(("start", "event"), IMPOSSIBLE)
def test_an_impossible_event_changes_nothing_and_is_reported(start: State, event: Event) -> None:
    ledger, entry = ledger_in(start)
    ledger.apply("a", event, 5)
    assert entry.state is start
    [evidence] = ledger.take_impossible()
    assert (evidence.state, evidence.event) == (start, event)
    assert "a" in str(evidence)


def test_no_final_state_but_a_late_arrival_comes_back_to_life() -> None:
    back = {
        (start, event)
        for (start, event), target in TRANSITIONS.items()
        if start.is_final and not target.is_final
    }
    assert back == {
        (State.CANCELLED, Event.ACCEPTED),
        (State.CANCELLED, Event.SEEN_OPEN),
        (State.REFUSED, Event.SEEN_OPEN),
    }


def test_an_order_counts_from_the_moment_it_is_wanted_until_it_is_settled() -> None:
    ledger = Ledger()
    ledger.want(new_order("bid", Side.BUY, 99), 0, 0, 1)
    ledger.want(new_order("ask", Side.SELL, 101), 0, 0, 1)
    ledger.want(new_order("ask2", Side.SELL, 100), 1, 0, 1)
    for client_id in ("bid", "ask", "ask2"):
        ledger.apply(client_id, Event.SENT, 1)
    ledger.apply("ask2", Event.LOST, 2)
    assert ledger.best_live_price(Side.SELL) == 100
    ledger.apply("ask2", Event.PROVEN_ABSENT, 3)
    assert ledger.best_live_price(Side.SELL) == 101
    assert ledger.best_live_price(Side.BUY) == 99


@given(fills=st.lists(st.integers(0, 30), max_size=12))
def test_fills_only_grow_and_never_beyond_the_amount(fills: list[int]) -> None:
    ledger, entry = ledger_in(State.OPEN)
    largest = Decimal(0)
    for fill in fills:
        ledger.book_fill("a", Decimal(fill) / 10, 1)
        largest = min(max(largest, Decimal(fill) / 10), entry.order.amount)
        assert entry.filled == largest
    assert (entry.state is State.FILLED) == (largest == entry.order.amount)


def test_an_adopted_order_rests_under_the_number_the_venue_gave_it() -> None:
    ledger = Ledger()
    found = Order(
        "77", "theirs", PAIR, Side.SELL, Decimal(5), Decimal(2), Decimal(1),
        OrderStatus.PARTLY_FILLED, 0,
    )  # fmt: skip
    entry = ledger.adopt(found, 0, 9)
    assert entry.state is State.PARTLY_FILLED
    assert (entry.order_no, entry.remaining, entry.level) == ("77", 1, -1)


def test_finished_orders_are_kept_for_late_news_but_not_for_ever() -> None:
    ledger = Ledger(keep_finished=3)
    for number in range(5):
        ledger.want(new_order(str(number)), 0, 0, 1)
        ledger.apply(str(number), Event.DROPPED, 1)
    assert list(ledger.finished) == ["2", "3", "4"]
