"""What follows a fill: waiting, ping-pong, hanging orders."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mmd.decide.ledger import SELF_TRADE_LEVEL, Ledger, State
from mmd.words.market import NewOrder, Side
from tests.decide.samples import BOOK, S, fill, make_quoter, moved, prices, run

CALM = {"volatility_factor": 0}


def counts(ledger: Ledger) -> list[int]:
    return [len(prices(ledger, side)) for side in Side]


def test_a_filled_level_is_replaced_at_once_by_default() -> None:
    quoter, ledger = make_quoter(), Ledger()
    run(quoter, ledger, S)
    fill(ledger, Side.BUY, S + 1)
    run(quoter, ledger, S + 2)
    assert counts(ledger) == [3, 3]


def test_replenishing_waits_on_the_filled_side_only_and_then_comes_by_itself() -> None:
    quoter, ledger = make_quoter(after_fill={"replenish_s": 5}), Ledger()
    run(quoter, ledger, S)
    fill(ledger, Side.BUY, 2 * S)
    run(quoter, ledger, 3 * S, price=moved(BOOK, 50))
    assert counts(ledger) == [0, 3]  # the bids moved away and may not come back yet
    run(quoter, ledger, 7 * S - 1, price=moved(BOOK, 50), dirty=False)
    assert counts(ledger) == [0, 3]
    run(quoter, ledger, 7 * S, price=moved(BOOK, 50), dirty=False)
    assert counts(ledger) == [3, 3]


def test_what_rests_on_the_waiting_side_stays() -> None:
    quoter, ledger = make_quoter(after_fill={"replenish_s": 5}), Ledger()
    run(quoter, ledger, S)
    fill(ledger, Side.BUY, 2 * S)
    run(quoter, ledger, 3 * S)
    assert counts(ledger) == [2, 3]


def test_an_order_that_grows_old_stays_while_none_may_follow() -> None:
    refresh = {"min": 1, "max": 1}
    quoter = make_quoter(after_fill={"replenish_s": 5}, refresh_s=refresh)
    ledger = Ledger()
    run(quoter, ledger, S)
    before = prices(ledger, Side.BUY)[1:]
    fill(ledger, Side.BUY, S + 1)
    run(quoter, ledger, 4 * S)
    assert prices(ledger, Side.BUY) == before
    run(quoter, ledger, 7 * S)
    assert counts(ledger) == [3, 3]
    assert not set(before) & set(prices(ledger, Side.BUY))


def test_a_pause_after_a_fill_holds_both_sides_back() -> None:
    quoter, ledger = make_quoter(after_fill={"pause_s": 5}), Ledger()
    run(quoter, ledger, S)
    fill(ledger, Side.BUY, 2 * S)
    run(quoter, ledger, 3 * S, price=moved(BOOK, 50))
    assert counts(ledger) == [0, 0]
    run(quoter, ledger, 7 * S, price=moved(BOOK, 50), dirty=False)
    assert counts(ledger) == [3, 3]


def test_ping_pong_quotes_only_the_other_side_until_it_is_filled_too() -> None:
    quoter, ledger = make_quoter(after_fill={"ping_pong": True}), Ledger()
    run(quoter, ledger, S)
    bought = fill(ledger, Side.BUY, 2 * S)
    run(quoter, ledger, 3 * S)
    assert counts(ledger) == [0, 3]
    assert quoter.note == "no bids: ping-pong: the other side is to be filled first"
    while ledger.fills[Side.SELL].amount < bought:
        fill(ledger, Side.SELL, 4 * S)
    run(quoter, ledger, 5 * S)
    assert counts(ledger)[0] == 3


@pytest.mark.parametrize(("position", "found"), [("0.5", [0, 3]), ("-0.5", [3, 0]), ("0", [3, 3])])
def test_ping_pong_goes_on_where_an_earlier_run_ended(position: str, found: list[int]) -> None:
    quoter, ledger = make_quoter(after_fill={"ping_pong": True, "pause_s": 60}), Ledger()
    ledger.carry_over(Decimal(position))
    run(quoter, ledger, S)
    assert counts(ledger) == found


def test_a_fill_of_a_self_trade_is_no_fill_of_a_quote() -> None:
    quoter, ledger = make_quoter(after_fill={"ping_pong": True, "pause_s": 60}), Ledger()
    order = NewOrder("self", Side.BUY, Decimal(1_000_000), Decimal(1))
    ledger.want(order, SELF_TRADE_LEVEL, S, S).state = State.OPEN
    ledger.book_fill("self", Decimal(1), S)
    run(quoter, ledger, S)
    assert counts(ledger) == [3, 3]


def hang(hanging_bps: int | None, away_bps: float) -> bool:
    """Whether the ask opposite to a filled bid survives its age and a move away from it."""
    quoter = make_quoter(
        jitter_bps=0,
        widen=CALM,
        refresh_s={"min": 5, "max": 5},
        after_fill={"hanging_bps": hanging_bps},
    )
    ledger = Ledger()
    run(quoter, ledger, S)
    opposite = next(e for e in ledger.live(Side.SELL) if e.level == 0)
    fill(ledger, Side.BUY, 2 * S)
    run(quoter, ledger, 3 * S)
    assert len(list(ledger.live(Side.SELL))) == 4 - (hanging_bps is None)
    run(quoter, ledger, 60 * S, price=moved(BOOK, -away_bps))
    return not opposite.state.is_final


def test_the_opposite_of_a_filled_order_hangs_while_it_is_near_enough() -> None:
    assert hang(None, 30) is False
    assert hang(100, 30) is True
    assert hang(100, 120) is False


def test_a_hanging_order_goes_when_the_market_makes_it_too_good() -> None:
    assert hang(100, -30) is False
