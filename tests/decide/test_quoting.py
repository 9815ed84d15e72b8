"""Quoting decisions: reference, ladder and plan, whatever the books say."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmd.cells.layouts import BookState, BookStatus
from mmd.decide.ladder import Shape, SideTerms, WantedQuote, draw_all, wanted_ladder
from mmd.decide.ledger import SELF_TRADE_LEVEL, Ledger, State
from mmd.decide.plan import Action, Cancel, Keep, Place, SideRules, Urgency, cancel_all, plan
from mmd.decide.quoter import Quoter
from mmd.decide.reference import (
    JumpFilter,
    NoReference,
    Reference,
    reference_of,
)
from mmd.words.market import NewOrder, Side
from tests.decide.samples import (
    BOOK,
    LIMITS,
    RATE,
    RULES,
    S,
    book,
    make_quoter,
    quote_settings,
    reference,
    send,
)

FAR_FUTURE = 10**18


def test_the_reference_multiplies_bid_by_bid_and_ask_by_ask() -> None:
    found = reference_of(BOOK, RATE, S, LIMITS)
    assert found == Reference(
        Decimal(61_000) * 32, Decimal("61000.01") * Decimal("32.01"), Decimal(32), Decimal("32.01")
    )


def test_a_pair_in_binances_currency_needs_no_rate() -> None:
    found = reference_of(BOOK, None, S, LIMITS)
    assert isinstance(found, Reference)
    assert (found.bid, found.ask) == (Decimal(61_000), Decimal("61000.01"))


@pytest.mark.parametrize(
    ("price", "rate", "now_ns", "reason"),
    [
        (book(1, 2, status=BookStatus.DISCONNECTED), RATE, S, "Binance's book is disconnected"),
        (BOOK, book(32, 33, status=BookStatus.UNREACHABLE), S, "the rate is unreachable"),
        (BookState(), RATE, S, "Binance's book is empty"),
        (BOOK, RATE, 4 * S, "Binance's book is 4.0 s old"),
        (book(1, 2, 9 * S), RATE, 9 * S, "the rate is 9.0 s old"),
        (book(2, 2), RATE, S, "Binance's book is crossed or empty"),
        (book(3, 2), RATE, S, "Binance's book is crossed or empty"),
        (book(0, 2), RATE, S, "Binance's book is crossed or empty"),
    ],
)
def test_no_reference_without_fresh_sound_books(
    price: BookState, rate: BookState, now_ns: int, reason: str
) -> None:
    found = reference_of(price, rate, now_ns, LIMITS)
    assert isinstance(found, NoReference)
    assert found.reason.startswith(reason)


def test_a_jump_is_kept_out_until_it_has_held() -> None:
    jumps = JumpFilter(Decimal(100), S)
    low, high = reference("100", "101"), reference("110", "111")
    assert jumps.check(low, 0) is low
    assert isinstance(jumps.check(high, 1), NoReference)
    assert jumps.check(low, 2) is low  # it was an error of the feed
    assert isinstance(jumps.check(high, 3), NoReference)
    assert isinstance(jumps.check(high, S), NoReference)
    assert jumps.check(high, S + 3) is high


prices = st.decimals(Decimal("0.5"), Decimal(10_000_000), places=4)
bps = st.decimals(Decimal("0.1"), Decimal(200), places=1)


@given(
    bid=prices,
    spread=bps,
    level_spread=bps,
    step=bps,
    levels=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_a_ladder_is_sorted_on_the_grid_within_limits_and_never_crossed(
    bid: Decimal, spread: Decimal, level_spread: Decimal, step: Decimal, levels: int, seed: int
) -> None:
    ask = bid * (1 + spread / 10_000)
    jitter = min(step / 2, level_spread) * Decimal("0.9")
    chosen = quote_settings(
        levels=levels, spread_bps=level_spread, step_bps=step, jitter_bps=jitter
    )
    terms = [SideTerms(Side.BUY, bid, levels), SideTerms(Side.SELL, ask, levels)]
    ladder = wanted_ladder(terms, Shape.of(chosen), RULES, draw_all(chosen, Random(seed))).quotes
    bids = [q.price for q in ladder if q.side is Side.BUY]
    asks = [q.price for q in ladder if q.side is Side.SELL]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert len(asks) == levels
    for quote in ladder:
        assert quote.price % RULES.tick == 0
        assert quote.amount % RULES.lot == 0
        assert chosen.amount.min - RULES.lot < quote.amount <= chosen.amount.max
        assert quote.price < bid if quote.side is Side.BUY else quote.price > ask
    if bids:
        assert bids[0] < asks[0]


KEEP = Keep(Decimal(5), Decimal("0.001"))
RULES_OF_BOTH = {side: SideRules(KEEP, 10) for side in Side}


def quote(side: Side, level: int, price: str) -> WantedQuote:
    return WantedQuote(side, level, Decimal(price), Decimal("0.01"))


def resting(
    ledger: Ledger,
    client_id: str,
    side: Side,
    price: str,
    state: State = State.OPEN,
    level: int = 0,
) -> None:
    entry = ledger.want(
        NewOrder(client_id, side, Decimal(price), Decimal("0.01")), level, 0, FAR_FUTURE
    )
    ledger._move(entry, state)


def summary(actions: list[Action]) -> list[tuple[str, str, Urgency]]:
    return [
        ("cancel", str(a.entry.price), a.urgency)
        if isinstance(a, Cancel)
        else ("place", str(a.quote.price), a.urgency)
        for a in actions
    ]


def test_what_rests_within_tolerance_is_left_alone() -> None:
    ledger = Ledger()
    resting(ledger, "a", Side.BUY, "1000.4")
    resting(ledger, "b", Side.SELL, "1010")
    wanted = [quote(Side.BUY, 0, "1000"), quote(Side.SELL, 0, "1010")]
    assert plan(wanted, ledger, RULES_OF_BOTH, 1) == []


def test_harmful_orders_go_first_then_the_touch_then_the_far_levels_then_the_rest() -> None:
    ledger = Ledger()
    resting(ledger, "too high", Side.BUY, "1005")
    resting(ledger, "too far", Side.SELL, "1100")
    wanted = [
        quote(Side.BUY, 0, "1000"),
        quote(Side.BUY, 1, "990"),
        quote(Side.SELL, 0, "1010"),
    ]
    assert summary(plan(wanted, ledger, RULES_OF_BOTH, 1)) == [
        ("cancel", "1005", Urgency.HARM),
        ("place", "1000", Urgency.TOUCH),
        ("place", "1010", Urgency.TOUCH),
        ("place", "990", Urgency.FAR),
        ("cancel", "1100", Urgency.TIDY),
    ]


@pytest.mark.parametrize(
    "state",
    [State.SENDING, State.UNKNOWN, State.OPEN, State.PARTLY_FILLED, State.CANCELLING],
)
def test_a_bid_is_never_placed_where_one_of_our_asks_may_stand(state: State) -> None:
    ledger = Ledger()
    resting(ledger, "old ask", Side.SELL, "1000", state)
    wanted = [quote(Side.BUY, 0, "1001"), quote(Side.BUY, 1, "1000"), quote(Side.BUY, 2, "999")]
    placed = [a.quote.level for a in plan(wanted, ledger, RULES_OF_BOTH, 1) if isinstance(a, Place)]
    assert placed == [2]


@pytest.mark.parametrize("state", [State.WANTED, State.SENDING, State.UNKNOWN])
def test_a_level_whose_order_has_no_outcome_yet_is_not_placed_twice(state: State) -> None:
    ledger = Ledger()
    resting(ledger, "a", Side.BUY, "900", state, level=0)
    wanted = [quote(Side.BUY, 0, "1000"), quote(Side.BUY, 1, "990")]
    assert summary(plan(wanted, ledger, RULES_OF_BOTH, 1)) == [("place", "990", Urgency.FAR)]


def test_orders_of_a_self_trade_are_left_alone_but_never_met() -> None:
    ledger = Ledger()
    resting(ledger, "self", Side.SELL, "1000", level=SELF_TRADE_LEVEL)
    wanted = [quote(Side.BUY, 0, "1000"), quote(Side.BUY, 1, "990"), quote(Side.SELL, 0, "1010")]
    actions = plan(wanted, ledger, RULES_OF_BOTH, 1)
    assert summary(actions) == [
        ("place", "1010", Urgency.TOUCH),
        ("place", "990", Urgency.FAR),
    ]


def test_the_live_orders_of_a_side_are_bounded() -> None:
    ledger = Ledger()
    for number in range(3):
        resting(ledger, str(number), Side.BUY, str(500 + number), State.CANCELLING)
    wanted = [quote(Side.BUY, level, str(1000 - level)) for level in range(4)]
    placed = [
        a
        for a in plan(wanted, ledger, {side: SideRules(KEEP, 5) for side in Side}, 1)
        if isinstance(a, Place)
    ]
    assert [a.quote.level for a in placed] == [0, 1]


def test_pulling_all_cancels_whatever_can_be_cancelled() -> None:
    ledger = Ledger()
    resting(ledger, "a", Side.BUY, "1")
    resting(ledger, "b", Side.SELL, "2", State.PARTLY_FILLED)
    resting(ledger, "c", Side.SELL, "3", State.SENDING)
    actions = cancel_all(ledger, "stale")
    assert summary(actions) == [("cancel", "1", Urgency.HARM), ("cancel", "2", Urgency.HARM)]


def test_nothing_is_sent_while_nothing_moves_and_all_is_placed() -> None:
    quoter, ledger = make_quoter(), Ledger()
    send(quoter.decide(BOOK, RATE, ledger, 1, dirty=False), ledger, 1, quoter)
    assert len(ledger.entries) == 6
    assert quoter.decide(BOOK, RATE, ledger, 2, dirty=True) == []
    assert quoter.decide(BOOK, RATE, ledger, 3, dirty=False) == []


def test_a_move_replaces_the_orders_with_fresh_draws() -> None:
    quoter, ledger = make_quoter(step_bps=Decimal(30)), Ledger()
    send(quoter.decide(BOOK, RATE, ledger, 1, dirty=False), ledger, 1, quoter)
    before = {entry.order.amount for entry in ledger.live()}
    moved = book(61_100.0, 61_100.01)
    send(quoter.decide(moved, RATE, ledger, 2, dirty=False), ledger, 2, quoter)
    assert len(ledger.entries) == 6
    assert before.isdisjoint(entry.order.amount for entry in ledger.live())


def test_a_move_below_the_threshold_is_not_acted_upon() -> None:
    quoter, ledger = make_quoter(move_bps=Decimal(2)), Ledger()
    send(quoter.decide(BOOK, RATE, ledger, 1, dirty=False), ledger, 1, quoter)
    decided_ns = quoter.decided_ns
    quoter.decide(book(61_006.0, 61_006.01), RATE, ledger, 2, dirty=False)
    assert quoter.decided_ns == decided_ns
    quoter.decide(book(61_015.0, 61_015.01), RATE, ledger, 3, dirty=False)
    assert quoter.decided_ns == 3


def test_stale_prices_pull_every_quote_and_fresh_ones_bring_them_back() -> None:
    quoter, ledger = make_quoter(), Ledger()
    send(quoter.decide(BOOK, RATE, ledger, 1, dirty=False), ledger, 1, quoter)
    send(quoter.decide(BOOK, RATE, ledger, 4 * S, dirty=False), ledger, 4 * S, quoter)
    assert not ledger.entries
    assert "4.0 s old" in quoter.note
    fresh = book(61_000.0, 61_000.01, 4 * S), book(32.0, 32.01, 4 * S)
    send(quoter.decide(*fresh, ledger, 4 * S + 1, dirty=False), ledger, 4 * S + 1, quoter)
    assert len(ledger.entries) == 6
    assert quoter.note == ""


def test_an_old_order_is_replaced_at_a_time_of_its_own() -> None:
    quoter, ledger = make_quoter(refresh_s={"min": 1.0, "max": 2.0}), Ledger()
    send(quoter.decide(BOOK, RATE, ledger, 1, dirty=False), ledger, 1, quoter)
    assert len({entry.expires_ns for entry in ledger.live()}) == 6
    assert all(S <= entry.expires_ns - 1 <= 2 * S for entry in ledger.live())
    old = list(ledger.entries)
    send(quoter.decide(BOOK, RATE, ledger, 2 * S + 2, dirty=False), ledger, 2 * S + 2, quoter)
    assert len(ledger.entries) == 6
    assert not set(old) & set(ledger.entries)


quotes_moves = st.lists(
    st.tuples(st.floats(50_000, 70_000), st.integers(0, 2 * S), st.booleans()), max_size=15
)


@settings(max_examples=60)
@given(moves=quotes_moves, seed=st.integers(0, 99))
def test_own_bids_and_asks_never_meet_whatever_the_price_does_and_the_same_input_decides_the_same(
    moves: list[tuple[float, int, bool]], seed: int
) -> None:
    def run() -> list[list[tuple[str, str, Urgency]]]:
        ledger, now_ns = Ledger(), 1
        chosen = quote_settings(levels=3, max_jump_bps=Decimal(5000), min_interval_ms=0)
        quoter = Quoter(chosen, RULES, LIMITS, Random(seed))
        story = []
        for bid, pause_ns, answered in moves:
            now_ns += pause_ns
            actions = quoter.decide(
                book(bid, bid + 0.01, now_ns), book(32, 32.01, now_ns), ledger, now_ns, dirty=True
            )
            story.append(summary(actions))
            # A venue that at times leaves cancels unanswered.
            placed = [a for a in actions if isinstance(a, Place)]
            cancels = [a for a in actions if isinstance(a, Cancel)]
            send([*placed, *(cancels if answered else [])], ledger, now_ns, quoter)
            highest_bid = ledger.best_live_price(Side.BUY)
            lowest_ask = ledger.best_live_price(Side.SELL)
            if highest_bid is not None and lowest_ask is not None:
                assert highest_bid < lowest_ask
        return story

    assert run() == run()
