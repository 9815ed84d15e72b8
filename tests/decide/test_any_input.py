"""Whatever the books say and whatever the configuration admits: a ladder is sorted, on the grid,
never crossed, within its limits, or empty with a reason; and the same input decides the same."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmd.cells.layouts import BookState, BookStatus, DepthState
from mmd.config.model import QuoteSettings
from mmd.decide.bounds import VenueBook, is_better
from mmd.decide.inventory import Holdings, room
from mmd.decide.ledger import Ledger
from mmd.decide.plan import Cancel, Place
from mmd.decide.quoter import Inputs, Quoter
from mmd.decide.reference import Leg
from mmd.words.market import Level, OrderBook, Side
from tests.decide import samples
from tests.decide.samples import LIMITS, RULES, S, fill, send

bps = st.decimals(Decimal(0), Decimal(5000), places=1)
small_bps = st.decimals(Decimal("0.1"), Decimal(200), places=1)
maybe_bps = st.none() | small_bps
amounts = st.one_of(
    st.decimals(Decimal("0.001"), Decimal(1), places=3),
    st.decimals(Decimal("0.000001"), Decimal(200), places=6),
)


@st.composite
def quote_settings(draw: st.DrawFn) -> QuoteSettings:
    """Any ladder that the configuration admits."""
    reference = draw(st.sampled_from(["top", "micro", "vwap"]))
    low = draw(amounts)
    values: dict[str, Any] = {
        "levels": draw(st.integers(1, 8)),
        "bid_levels": draw(st.none() | st.integers(0, 8)),
        "ask_levels": draw(st.none() | st.integers(0, 8)),
        "fewest_levels": draw(st.none() | st.just(1)),
        "spread_bps": draw(st.one_of(small_bps, small_bps, st.just(Decimal(4900)))),
        "bid_extra_bps": draw(st.just(Decimal(0)) | small_bps),
        "step_bps": draw(small_bps),
        "step_factor": draw(st.decimals(Decimal("0.5"), Decimal(2), places=1)),
        "distances_bps": draw(st.none() | st.lists(small_bps, min_size=8, max_size=8).map(sorted)),
        "amount": {"min": low, "max": low * draw(st.integers(1, 5))},
        "size": {
            "shape": draw(st.sampled_from(["random", "step", "linear", "exponential", "list"])),
            "step": draw(amounts),
            "factor": draw(st.decimals(Decimal("0.1"), Decimal(10), places=1)),
            "amounts": draw(st.lists(amounts, min_size=1, max_size=9)),
            "jitter_pct": draw(st.integers(0, 50)),
        },
        "jitter_bps": draw(st.just(Decimal(0)) | small_bps),
        "reference": reference,
        "depth": 20 if reference == "vwap" else 0,
        "tolerance_bps": draw(small_bps),
        "tolerance_step_bps": draw(st.just(0) | small_bps),
        "min_interval_ms": draw(st.sampled_from([0, 1000])),
        "max_jump_bps": draw(st.sampled_from([100, 5000, 5000])),
        "widen": {
            "volatility_factor": draw(st.integers(0, 100)),
            "age_bps_per_s": draw(bps),
            "max_bps": draw(bps),
        },
        "inventory": {
            "max_long": draw(st.none() | amounts),
            "max_short": draw(st.none() | amounts),
            "target_pct": draw(st.none() | st.integers(0, 100)),
            "skew_bps": draw(bps),
            "skew_size_pct": draw(st.integers(0, 100)),
        },
        "bounds": {
            "min_spread_bps": draw(maybe_bps),
            "price_floor": draw(st.none() | st.just(Decimal(1_000_000))),
            "price_ceiling": draw(st.none() | st.just(Decimal(3_000_000))),
            "band_bps": draw(maybe_bps),
            "venue_ignore": draw(st.sampled_from([0, 1])),
            "venue_best": draw(st.sampled_from(["ignore", "behind", "join", "improve"])),
        },
        "after_fill": {
            "replenish_s": draw(st.sampled_from([0, 3])),
            "pause_s": draw(st.sampled_from([0, 3])),
            "ping_pong": draw(st.booleans()),
            "hanging_bps": draw(maybe_bps),
        },
    }
    try:
        return QuoteSettings.model_validate(values)
    except ValidationError:
        assume(False)
        raise


price = st.one_of(
    st.floats(0, 1e7), st.floats(59_000, 63_000), st.just(5e-324), st.just(1e15), st.just(0.0)
)
sane = st.one_of(st.floats(60_900, 61_100), st.floats(59_000, 63_000)).map(
    lambda bid: (bid, bid + 0.01)
)
quantity = st.sampled_from([0.0, 1e-8, 0.5, 3.0, 50.0, 1e9])


@st.composite
def books(draw: st.DrawFn) -> BookState:
    """Crossed, empty, huge, tiny, stale, swept, or sound."""
    bid, ask = draw(sane if draw(st.integers(0, 5)) else st.tuples(price, price))
    return BookState(
        status=draw(st.sampled_from([BookStatus.VALID] * 30 + list(BookStatus))),
        bid_price=bid,
        ask_price=ask,
        bid_qty=draw(quantity),
        ask_qty=draw(quantity),
        last_trade_id=draw(st.integers(0, 3)),
        last_trade_price=draw(st.one_of(st.just(bid), price)),
        last_frame_ns=draw(st.sampled_from([0] * 8 + [-2 * S, -9 * S])),
    )


rows = st.lists(st.tuples(st.floats(60_000, 62_000), quantity), min_size=1, max_size=20)
depths = st.builds(
    lambda bids, asks: DepthState(
        BookStatus.VALID,
        1,
        1,
        tuple(sorted(bids, reverse=True)),
        tuple(sorted(asks)),
    ),
    rows,
    rows,
)
levels = st.lists(
    st.builds(
        Level,
        st.decimals(Decimal(1_900_000), Decimal(2_000_000), places=1),
        st.decimals(Decimal("0.001"), Decimal(5), places=3),
    ),
    max_size=5,
)
venues = st.none() | st.builds(
    lambda bids, asks: VenueBook(OrderBook(tuple(bids), tuple(asks)), 0), levels, levels
)
legs = st.builds(
    Leg,
    st.one_of(books(), st.floats(0.9, 1.1).map(lambda bid: samples.book(bid, bid * 1.001))),
    st.booleans(),
)
totals = st.none() | st.decimals(Decimal(0), Decimal(10**9), places=2)
steps = st.lists(
    st.tuples(
        books(),
        depths,
        venues,
        totals,
        totals,
        st.integers(0, 2 * S),
        st.booleans(),
        st.sampled_from([None, None, *Side]),
        st.none() | st.none() | legs,
    ),
    min_size=1,
    max_size=10,
)

RATE = BookState(status=BookStatus.VALID, bid_price=32.0, ask_price=32.01, bid_qty=1, ask_qty=1)


def check_ladder(quoter: Quoter) -> None:
    """What must hold of the ladder of every decision."""
    assert quoter.reference is not None
    best = {}
    for terms in quoter.terms:
        side, quotes = terms.side, [q for q in quoter.ladder.quotes if q.side is terms.side]
        for near, far in pairwise(quotes):
            assert near.level < far.level
            assert not is_better(far.price, near.price, side)
        for quote in quotes:
            assert quote.price > 0
            assert quote.price % RULES.tick == 0
            assert quote.amount % RULES.lot == 0
            assert RULES.min_amount <= quote.amount <= RULES.max_amount
            assert is_better(terms.reference, quote.price, side) or terms.reference == quote.price
            assert not terms.silent
            for limit in (terms.limit, terms.venue):
                assert limit is None or not is_better(quote.price, limit.price, side)
        if quotes:
            best[side] = quotes[0].price
        gaps = [gap for gap in quoter.ladder.left_out if gap.side is side]
        assert len(quotes) + len(gaps) == terms.levels
        assert all(gap.reason for gap in gaps)
        if not quotes and terms.levels:
            assert quoter.note
    if len(best) == 2:
        assert best[Side.BUY] < best[Side.SELL]


def play(chosen: QuoteSettings, story: list[Any], seed: int) -> list[str]:
    """One pair's life; returns what was decided."""
    quoter, ledger, now_ns = Quoter(chosen, RULES, LIMITS, Random(seed)), Ledger(), S
    told = []
    for book, depth, venue, base, quote, pause_ns, answered, filled, leg in story:
        now_ns += pause_ns
        if filled is not None and any(ledger.live(filled)):
            fill(ledger, filled, now_ns)
        position = ledger.fills[Side.BUY].amount - ledger.fills[Side.SELL].amount
        seen = VenueBook(venue.book, now_ns) if venue else None
        if leg is not None:
            frame_ns = now_ns + leg.book.last_frame_ns
            leg = Leg(leg.book._replace(last_frame_ns=frame_ns), leg.divides)
        inputs = Inputs(Holdings(position, base, quote), depth, seen, leg=leg)
        fresh = book._replace(last_frame_ns=now_ns + book.last_frame_ns)
        rate = RATE._replace(last_frame_ns=now_ns)
        actions = quoter.decide(fresh, rate, ledger, now_ns, True, None, inputs)
        told.append(repr(actions))
        if quoter.reference is None:
            assert quoter.note
            assert not any(isinstance(action, Place) for action in actions)
        else:
            check_ladder(quoter)
        placed = [action for action in actions if isinstance(action, Place)]
        cancels = [action for action in actions if isinstance(action, Cancel)]
        # The worst order of events: all is placed before anything is cancelled, if it is at all.
        send([*placed, *(cancels if answered else [])], ledger, now_ns, quoter)
        check_exposure(chosen, ledger, position)
    return told


def check_exposure(chosen: QuoteSettings, ledger: Ledger, position: Decimal) -> None:
    """What must hold of all that rests, or may rest, on the venue."""
    highest, lowest = (ledger.best_live_price(side) for side in Side)
    if highest is not None and lowest is not None:
        assert highest < lowest
    for side in Side:
        most = room(chosen.inventory, Holdings(position), side)
        exposed = sum((entry.remaining for entry in ledger.live(side)), Decimal(0))
        assert most is None or exposed <= most


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(chosen=quote_settings(), story=steps, seed=st.integers(0, 9))
def test_any_configuration_on_any_books_makes_a_sound_ladder_and_the_same_twice(
    chosen: QuoteSettings, story: list[Any], seed: int
) -> None:
    assert play(chosen, story, seed) == play(chosen, story, seed)
