"""What makes prices uncertain: volatility, age, sweeping trades, jumps; and the references."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from mmd.cells.layouts import BookStatus, DepthState
from mmd.config.quoting import ReferenceKind
from mmd.decide.depth import hedge_costs_bps
from mmd.decide.ledger import Ledger
from mmd.decide.plan import Cancel, Urgency
from mmd.decide.quoter import Inputs
from mmd.decide.reference import Reference, reference_of
from mmd.decide.volatility import MovingAverage, Volatility
from mmd.words.market import Side
from tests.decide.samples import BOOK, LIMITS, RATE, S, bps_off, make_quoter, moved, prices, run

CALM = {"volatility_factor": 0}


def test_volatility_finds_the_deviation_of_a_random_walk_at_any_pace() -> None:
    for steps_per_s in (1, 5):
        random, price, found = Random(1), 60_000.0, Volatility(half_life_s=60)
        for step in range(1, 600 * steps_per_s):
            found.update(price, step * S // steps_per_s)
            price *= 1 + random.gauss(0, 3e-4) / steps_per_s**0.5
        assert found.bps(600 * S) == pytest.approx(3, rel=0.2)


def test_volatility_falls_while_nothing_moves_and_ignores_flicker() -> None:
    found = Volatility(half_life_s=10)
    for now_ns, price in ((S, 100.0), (2 * S, 101.0), (2 * S + 1, 200.0), (3 * S, 101.0)):
        found.update(price, now_ns)
    first = found.bps(11 * S)
    assert first > 0
    assert found.bps(31 * S) < 0.7 * first


def test_the_moving_average_follows_with_its_half_life() -> None:
    average = MovingAverage(half_life_s=10)
    average.update(100.0, S)
    average.update(200.0, 2 * S)
    assert average.value == 100
    average.update(200.0, 12 * S)
    assert average.value == pytest.approx(150)


def shaken(quoter_widen: dict[str, float]) -> list[Decimal]:
    """Distances of the best bid and ask after a storm that ends where it began."""
    quoter, ledger = make_quoter(jitter_bps=0, widen=quoter_widen), Ledger()
    for second in range(1, 41):
        run(quoter, ledger, second * S, price=moved(BOOK, 15 * (second % 2)))
    return [bps_off(quoter, prices(ledger, side)[0], side) for side in Side]


def test_the_spread_widens_with_volatility_on_both_sides_within_its_bound() -> None:
    calm, restless = shaken({"volatility_factor": 0}), shaken({"volatility_factor": 1})
    assert all(float(off) == pytest.approx(20, abs=3.1) for off in calm)
    assert all(30 < off < 45 for off in restless)  # 15 bps a second
    bounded = shaken({"volatility_factor": 5, "max_bps": 12})
    assert all(float(off) == pytest.approx(32, abs=3.1) for off in bounded)


def test_the_spread_widens_as_the_price_grows_old() -> None:
    quoter, ledger = make_quoter(jitter_bps=0, widen={"age_bps_per_s": 10, "max_bps": 15}), Ledger()
    offs = []
    for now_ns in (1, S, 2 * S):
        quoter.decide(BOOK, RATE, ledger, now_ns, dirty=False)
        best = [quote for quote in quoter.ladder.quotes if quote.level == 0]
        offs.append([round(bps_off(quoter, quote.price, quote.side)) for quote in best])
    assert offs == [[20, 20], [30, 30], [35, 35]]


def test_the_micro_price_lies_nearer_to_the_side_with_less_on_it() -> None:
    heavy_bid = BOOK._replace(bid_price=100.0, ask_price=101.0, bid_qty=9.0, ask_qty=1.0)
    found = reference_of(heavy_bid, None, 1, LIMITS, ReferenceKind.MICRO)
    assert isinstance(found, Reference)
    assert found.bid == found.ask == Decimal("100.9")
    empty = heavy_bid._replace(bid_qty=0.0, ask_qty=0.0)
    found = reference_of(empty, None, 1, LIMITS, ReferenceKind.MICRO)
    assert isinstance(found, Reference)
    assert found.bid == Decimal("100.5")


def test_hedging_costs_grow_with_what_nearer_levels_take() -> None:
    rows = [(100.0, 1.0), (99.0, 1.0), (98.0, 10.0)]
    one = Decimal(1)
    assert hedge_costs_bps(rows, [one, one, one]) == [0, 100, 200]
    assert hedge_costs_bps(rows, [Decimal(2)]) == [50]
    assert hedge_costs_bps(rows, [one, Decimal(100), one]) == [0]  # the book ends
    assert hedge_costs_bps([], [one]) == []


def test_a_level_never_costs_less_than_a_nearer_one() -> None:
    disordered = [(100.0, 1.0), (98.0, 1.0), (99.0, 10.0)]
    assert hedge_costs_bps(disordered, [Decimal(1)] * 3) == [0, 200, 200]


def deep(qty: float, status: int = BookStatus.VALID) -> DepthState:
    bids = tuple((61_000.0 - 61 * row, qty) for row in range(5))
    asks = tuple((61_000.01 + 61 * row, qty) for row in range(5))
    return DepthState(status, 1, 1, bids, asks)


def test_with_vwap_deep_levels_stand_further_away_by_what_hedging_costs() -> None:
    quoter, ledger = make_quoter(reference="vwap", depth=5, jitter_bps=0, widen=CALM), Ledger()
    run(quoter, ledger, S, inputs=Inputs(depth=deep(0.02)))
    for side in Side:
        offs = [float(bps_off(quoter, price, side)) for price in prices(ledger, side)]
        assert offs == pytest.approx([20, 40, 60], abs=0.1)  # 10 bps a row, a row a level


def test_with_vwap_a_level_that_the_book_can_not_hedge_is_left_out() -> None:
    quoter, ledger = make_quoter(reference="vwap", depth=5), Ledger()
    run(quoter, ledger, S, inputs=Inputs(depth=deep(0.008)))
    assert [len(prices(ledger, side)) for side in Side] == [2, 2]
    assert {gap.reason for gap in quoter.ladder.left_out} == {
        "Binance's order book is not deep enough to hedge it"
    }


@pytest.mark.parametrize("depth", [None, DepthState(), deep(1, BookStatus.DISCONNECTED)])
def test_with_vwap_nothing_is_quoted_without_a_sound_book(depth: DepthState | None) -> None:
    quoter, ledger = make_quoter(reference="vwap", depth=5), Ledger()
    run(quoter, ledger, S, inputs=Inputs(depth=depth))
    assert not ledger.entries
    assert "Binance's order book" in quoter.note


def test_a_trade_beyond_binances_best_pulls_the_endangered_side_at_once() -> None:
    quoter, ledger = make_quoter(jitter_bps=0), Ledger()
    before = BOOK._replace(last_trade_id=1, last_trade_price=61_000.0)
    run(quoter, ledger, S, price=before)
    swept = before._replace(last_trade_id=2, last_trade_price=60_800.0, last_frame_ns=S + 1)
    actions = quoter.decide(swept, RATE._replace(last_frame_ns=S), ledger, S + 1, dirty=False)
    harm = [action for action in actions if action.urgency is Urgency.HARM]
    assert harm == actions[: len(harm)]
    assert len(harm) >= 2
    assert {a.entry.side for a in harm if isinstance(a, Cancel)} == {Side.BUY}
    assert not any(isinstance(a, Cancel) and a.entry.side is Side.SELL for a in actions)


def test_a_sweep_does_not_wait_for_the_least_interval_and_ends_when_the_book_stays() -> None:
    quoter, ledger = make_quoter(jitter_bps=0), Ledger()
    quoter.use(quoter.settings.model_copy(update={"min_interval_ms": 60_000}), LIMITS)
    before = BOOK._replace(last_trade_id=1, last_trade_price=61_000.0)
    run(quoter, ledger, S, price=before)
    swept = before._replace(last_trade_id=2, last_trade_price=61_200.0)
    assert run(quoter, ledger, S + 1, price=swept, dirty=False)
    during = quoter.reference
    assert during is not None
    assert during.ask == Decimal("61200") * Decimal("32.01")
    run(quoter, ledger, 2 * S, price=swept)
    after = quoter.reference
    assert not quoter.market.is_swept
    assert after is not None
    assert after.ask == Decimal("61000.01") * Decimal("32.01")


def test_trades_within_the_book_sweep_nothing() -> None:
    quoter, ledger = make_quoter(), Ledger()
    for trade_id, price in enumerate((61_000.0, 61_000.01, 60_990.0), start=1):
        traded = BOOK._replace(last_trade_id=trade_id, last_trade_price=price)
        run(quoter, ledger, trade_id * S, price=traded)
        assert not quoter.market.is_swept


def test_a_jump_of_the_rate_is_kept_out_by_a_limit_of_its_own() -> None:
    quoter, ledger = make_quoter(max_rate_jump_bps=50), Ledger()
    run(quoter, ledger, S)
    jumped = moved(RATE, 90)
    run(quoter, ledger, S + 1, rate=jumped)
    assert not ledger.entries
    assert quoter.note.startswith("the rate jumped by")
    run(quoter, ledger, 2 * S + 2, rate=jumped)
    assert len(ledger.entries) == 6


def test_a_jump_of_the_rate_beyond_both_limits_is_waited_for_once() -> None:
    quoter, ledger = make_quoter(max_rate_jump_bps=50, max_jump_bps=50), Ledger()
    run(quoter, ledger, S)
    for now_ns in (S + 1, 2 * S):
        run(quoter, ledger, now_ns, rate=moved(RATE, 90))
        assert not ledger.entries
    run(quoter, ledger, 2 * S + 1, rate=moved(RATE, 90))
    assert len(ledger.entries) == 6


def test_a_jump_is_not_believed_though_parameters_change_with_it() -> None:
    quoter, ledger = make_quoter(max_jump_bps=50), Ledger()
    run(quoter, ledger, S)
    quoter.use(quoter.settings, LIMITS)
    run(quoter, ledger, S + 1, price=moved(BOOK, 90))
    assert quoter.note.startswith("the reference jumped by")


def test_a_trade_within_the_book_does_not_end_a_sweep() -> None:
    quoter, ledger = make_quoter(), Ledger()
    for trade_id, price in ((1, 61_000.0), (2, 60_800.0), (3, 61_000.01)):
        traded = BOOK._replace(last_trade_id=trade_id, last_trade_price=price)
        run(quoter, ledger, S + trade_id, price=traded)
    assert quoter.market.is_swept
    run(quoter, ledger, S + 4, price=moved(traded, -30))
    assert not quoter.market.is_swept


def test_calm_markets_are_looked_at_less_often() -> None:
    quoter, ledger = make_quoter(calm_interval_ms=2000, spread_bps=10), Ledger()
    run(quoter, ledger, S)
    run(quoter, ledger, S + S // 2, price=moved(BOOK, 5), dirty=False)
    assert quoter.decided_ns == S
    run(quoter, ledger, 3 * S, price=moved(BOOK, 5), dirty=False)
    assert quoter.decided_ns == 3 * S
    for step in range(4, 40):
        run(quoter, ledger, step * S, price=moved(BOOK, 20 * (step % 2)))
    run(quoter, ledger, 39 * S + 1_000_000, price=moved(BOOK, 40), dirty=False)
    assert quoter.decided_ns == 39 * S + 1_000_000
