"""The last look at each order: what passes, what is refused and why, and how long it takes."""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from mmd.cells.layouts import BookState, BookStatus
from mmd.config.quote import QuoteSettings
from mmd.config.quoting import InventorySettings
from mmd.config.risk import RiskSettings
from mmd.decide.guard import Approved, Funds, Guard, Refused, View, funds_of
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Ledger
from mmd.decide.plan import Cancel, Place, Urgency, cancel_all
from mmd.decide.quoter import Quoter
from mmd.decide.reference import AgeLimits, Reference
from mmd.words.market import MarketRules, Order, OrderStatus, Pair, Side

D = Decimal
PAIR = Pair("BTC", "TWD")
RULES = MarketRules(
    PAIR, 1, 2, tick=D("0.1"), lot=D("0.0001"), min_amount=D("0.001"), max_amount=D(5)
)
REFERENCE = Reference(D(1_000_000), D(1_000_100), D(32), D(32))
VIEW = View(None, REFERENCE)
MINUTE_NS = 60 * 10**9


def guard(**settings: object) -> Guard:
    inventory = {key: settings.pop(key) for key in ("max_long", "max_short") if key in settings}
    return Guard(RULES, RiskSettings(**settings), InventorySettings(**inventory))  # type: ignore[arg-type]


def place(
    side: Side = Side.BUY, price: str = "999000", amount: str = "0.01", level: int = 0
) -> Place:
    return Place(WantedQuote(side, level, D(price), D(amount)), Urgency.TOUCH, "missing")


def rests(ledger: Ledger, side: Side, price: str, amount: str = "0.01") -> None:
    number = str(len(ledger.entries) + 1)
    ledger.adopt(
        Order(number, f"id{number}", PAIR, side, D(price), D(amount), D(0), OrderStatus.OPEN, 0),
        0,
        1 << 62,
    )


def reason(
    action: Place, watch: Guard | None = None, view: View = VIEW, ledger: Ledger | None = None
) -> str:
    """Why the order is refused; '' if it is approved."""
    passed, refused = (watch or guard()).filter([action], ledger or Ledger(), view, 0)
    assert len(passed) + len(refused) == 1
    return refused[0].reason if refused else ""


def test_an_order_that_breaks_no_limit_comes_out_approved_as_it_was() -> None:
    action = place()
    passed, refused = guard().filter([action], Ledger(), VIEW, 0)
    assert passed == [Approved(action.quote, action.urgency, action.reason)]
    assert refused == []


def test_cancels_pass_whatever_is_wrong() -> None:
    ledger = Ledger()
    rests(ledger, Side.BUY, "999000")
    actions = cancel_all(ledger, "leaving")
    passed, refused = guard().filter([*actions, place()], ledger, View("no price", None), 0)
    assert passed == actions
    assert [item.reason for item in refused] == ["no price"]


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (place(price="999000.05"), "off the venue's grid"),
        (place(amount="0.00105"), "off the venue's grid"),
        (place(amount="0.0009"), "below the venue's minimum"),
        (place(amount="5.0001"), "above the venue's maximum"),
        (place(price="0"), "is no order"),
        (place(price="-5"), "is no order"),
        (place(price="NaN"), "is no order"),
        (place(price="Infinity"), "is no order"),
        (place(Side.BUY, price="1000100"), "through the reference"),
        (place(Side.SELL, price="1000000"), "through the reference"),
    ],
)
def test_an_order_that_can_never_be_right_is_refused(action: Place, says: str) -> None:
    assert says in reason(action)


@pytest.mark.parametrize(
    ("action", "is_refused"),
    [
        (place(Side.BUY, "1000099.9"), False),
        (place(Side.SELL, "1000000.1"), False),
        (place(Side.BUY, amount="0.001"), False),
        (place(Side.BUY, amount="5"), False),
    ],
)
def test_limits_themselves_are_allowed(action: Place, is_refused: bool) -> None:
    assert bool(reason(action)) is is_refused


def test_nothing_passes_on_a_price_that_may_not_be_trusted() -> None:
    assert reason(place(), view=View("the rate is 9.0 s old, over its limit of 5 s", REFERENCE))
    assert "no reference" in reason(place(), view=View(None, None))


def test_a_band_around_the_venues_last_price_bounds_both_sides() -> None:
    watch = guard(band_bps="100")
    near, far = replace(VIEW, last_price=D(1_005_000)), replace(VIEW, last_price=D(1_100_000))
    assert reason(place(), watch, near) == ""
    assert "ACE's last price" in reason(place(), watch, far)
    assert "ACE's last price" in reason(place(Side.SELL, "1020000"), watch, near)
    assert reason(place(), guard(band_bps=None), far) == ""
    assert reason(place(), watch, replace(VIEW, last_price=None)) == ""


def test_orders_are_bounded_in_value_each_and_per_minute() -> None:
    assert "over its limit" in reason(place(amount="0.01"), guard(max_order_value="9989"))
    assert reason(place(amount="0.01"), guard(max_order_value="9990")) == ""
    watch, ledger = guard(max_value_per_minute="20000"), Ledger()

    def sent(now_ns: int) -> bool:
        passed, _ = watch.filter([place()], ledger, VIEW, now_ns)
        for item in passed:
            assert isinstance(item, Approved)
            watch.count_sent(item, now_ns)
        return bool(passed)

    assert [sent(0), sent(10**9), sent(2 * 10**9)] == [True, True, False]
    assert not sent(MINUTE_NS - 1)
    assert sent(MINUTE_NS)
    assert not sent(MINUTE_NS)
    assert sent(MINUTE_NS + 10**9)


def test_what_is_approved_and_not_sent_does_not_count_and_a_plan_counts_as_a_whole() -> None:
    watch = guard(max_value_per_minute="20000")
    for _ in range(3):
        passed, refused = watch.filter([place()] * 3, Ledger(), VIEW, 0)
        assert (len(passed), len(refused)) == (2, 1)
        assert "within a minute" in refused[0].reason


def test_all_live_orders_count_against_the_number_allowed() -> None:
    ledger = Ledger()
    for price in ("999000", "998000"):
        rests(ledger, Side.BUY, price)
    actions = [place(Side.SELL, "1001000"), place(Side.SELL, "1002000")]
    passed, refused = guard(max_open_orders=3).filter(actions, ledger, VIEW, 0)
    assert (len(passed), len(refused)) == (1, 1)
    assert "3 orders rest" in refused[0].reason


def test_the_position_limit_counts_all_that_may_still_be_filled() -> None:
    ledger, watch = Ledger(), guard(max_long="0.05", max_short="0.03")
    rests(ledger, Side.BUY, "998000", "0.02")
    view = replace(VIEW, position=D("0.02"))
    assert reason(place(amount="0.01"), watch, view, ledger) == ""
    assert "max_long" in reason(place(amount="0.0101"), watch, view, ledger)
    assert reason(place(Side.SELL, "1001000", "0.05"), watch, view, ledger) == ""
    assert "max_short" in reason(place(Side.SELL, "1001000", "0.0501"), watch, view, ledger)
    passed, refused = watch.filter([place(amount="0.006")] * 2, ledger, view, 0)
    assert (len(passed), len(refused)) == (1, 1)


def test_the_balance_must_cover_the_order_and_all_that_rest() -> None:
    ledger = Ledger()
    rests(ledger, Side.BUY, "900000", "0.1")
    rests(ledger, Side.SELL, "1100000", "0.1")
    view = replace(VIEW, funds=Funds(base=D("0.15"), quote=D(100_000)))
    assert reason(place(amount="0.01"), view=view, ledger=ledger) == ""
    assert "not enough TWD" in reason(place(amount="0.0102"), view=view, ledger=ledger)
    assert reason(place(Side.SELL, "1001000", "0.05"), view=view, ledger=ledger) == ""
    assert "not enough BTC" in reason(
        place(Side.SELL, "1001000", "0.0501"), view=view, ledger=ledger
    )


def test_funds_are_what_is_free_and_what_our_own_orders_hold() -> None:
    assert funds_of((D(2), D(500)), D(300), D(1)) == Funds(base=D(3), quote=D(800))


def test_no_quote_meets_our_own_whether_resting_or_of_the_same_plan() -> None:
    ledger = Ledger()
    rests(ledger, Side.SELL, "999500")
    assert "our own" in reason(place(Side.BUY, "999500"), ledger=ledger)
    assert reason(place(Side.BUY, "999499.9"), ledger=ledger) == ""
    both = [place(Side.BUY, "1000050"), place(Side.SELL, "1000050")]
    passed, refused = guard().filter(both, Ledger(), VIEW, 0)
    assert [item.quote for item in passed if isinstance(item, Approved)] == [both[0].quote]
    assert [item.quote for item in refused] == [both[1].quote]


def test_the_two_orders_of_a_self_trade_may_meet_each_other_and_no_quote() -> None:
    pair = [place(side, "1000050", level=SELF_TRADE_LEVEL) for side in (Side.SELL, Side.BUY)]
    both = guard().check_all(pair, Ledger(), VIEW, 0)
    assert isinstance(both, list)
    assert len(both) == 2
    ledger = Ledger()
    rests(ledger, Side.SELL, "1000040")
    refused = guard().check_all(pair, ledger, VIEW, 0)
    assert isinstance(refused, Refused)
    assert "our own" in refused.reason


def settings(levels: int) -> QuoteSettings:
    return QuoteSettings.model_validate(
        {"levels": levels, "amount": {"min": "0.01", "max": "0.02"}}
    )


def book(price: float, now_ns: int) -> BookState:
    return BookState(
        status=BookStatus.VALID, bid_price=price, ask_price=price + 0.1, last_frame_ns=now_ns
    )


@pytest.mark.parametrize("which", ["the price", "the rate"])
def test_a_jump_is_kept_out_until_it_has_held(which: str) -> None:
    limits = AgeLimits(10**10, 10**10)
    quoter, ledger = Quoter(settings(1), RULES, limits, Random(1)), Ledger()

    def orders(jumped: bool, now_ns: int) -> int:
        price = 31_500.0 if jumped and which == "the price" else 30_000.0
        rate = 32.64 if jumped and which == "the rate" else 32.0
        actions = quoter.decide(book(price, now_ns), book(rate, now_ns), ledger, now_ns, True)
        return len(actions)

    assert orders(False, 0) == 2
    assert orders(True, 10**8) == 0
    assert "jumped" in quoter.note
    assert orders(True, 9 * 10**8) == 0
    assert orders(True, 12 * 10**8) == 2


def test_a_requote_of_twenty_orders_with_the_guard_takes_little_time() -> None:
    limits = AgeLimits(10**10, 10**10)
    quoter, ledger = Quoter(settings(10), RULES, limits, Random(1)), Ledger()
    watch = guard(band_bps="9000", max_order_value="1e9", max_value_per_minute="1e12")
    view = View(None, REFERENCE, D(0), D(1_000_000), Funds(D(100), D(10**9)))
    for number in range(10):
        rests(ledger, Side.BUY, str(900_000 + number))
    spent = []
    for turn in range(200):
        actions = quoter.decide(book(31_250 + turn, 0), book(32, 0), Ledger(), 0, True)
        places = [action for action in actions if not isinstance(action, Cancel)]
        assert len(places) == 20
        view = replace(view, reference=quoter.reference)
        begun = time.process_time()
        passed, refused = watch.filter(places, ledger, view, 0)
        spent.append(time.process_time() - begun)
        assert len(passed) == 20, refused
    assert min(spent) < 100e-6, f"{min(spent) * 1e6:.0f} µs"
