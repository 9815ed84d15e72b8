"""Bounds that no quote crosses: bands, others' best orders, hours of the day."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from mmd.config.quoting import SessionSettings
from mmd.decide.bounds import Session, VenueBook, others_best
from mmd.decide.ledger import Ledger
from mmd.decide.quoter import Inputs
from mmd.words.market import Level, OrderBook, Side
from tests.decide.samples import BOOK, S, make_quoter, moved, prices, run

CALM = {"volatility_factor": 0}


def venue(bid: str, ask: str, seen_ns: int = S, amount: str = "1") -> Inputs:
    bids, asks = (Level(Decimal(price), Decimal(amount)) for price in (bid, ask))
    return Inputs(venue=VenueBook(OrderBook((bids,), (asks,)), seen_ns))


def best(choice: str, inputs: Inputs, now_ns: int = S, **bounds: Any) -> tuple[Decimal, Decimal]:
    """Our best bid and ask; without others they are 1948096 and 1956515.6."""
    bounds |= {"venue_best": choice}
    quoter, ledger = make_quoter(jitter_bps=0, bounds=bounds, widen=CALM), Ledger()
    run(quoter, ledger, now_ns, inputs=inputs)
    assert len(ledger.entries) == 6
    return prices(ledger, Side.BUY)[0], prices(ledger, Side.SELL)[0]


FREE = (Decimal("1948096"), Decimal("1956515.6"))


def test_without_a_view_of_the_venue_nothing_is_bound() -> None:
    assert best("improve", Inputs()) == FREE


def test_no_quote_goes_to_or_through_the_other_sides_best() -> None:
    assert best("behind", venue("1940000", "1947000"))[0] == Decimal("1946999.9")
    assert best("behind", venue("1957000", "1960000"))[1] == Decimal("1957000.1")
    assert best("behind", venue("1940000", "1960000")) == FREE
    assert best("ignore", venue("1940000", "1947000")) == FREE


def test_joining_is_never_better_than_others_on_the_own_side() -> None:
    assert best("join", venue("1947000", "1958000")) == (Decimal(1947000), Decimal(1958000))
    assert best("join", venue("1950000", "1955000"))[0] == FREE[0]


def test_improving_is_a_tick_better_than_others_at_most() -> None:
    found = best("improve", venue("1947000", "1958000"))
    assert found == (Decimal("1947000.1"), Decimal("1957999.9"))


def test_others_tiny_orders_are_overlooked_where_it_is_wanted() -> None:
    rows = [Level(Decimal(price), Decimal(amount)) for price, amount in ((9, "0.2"), (8, "0.5"))]
    ledger = Ledger()
    for ignore, found in (("0", 9), ("0.1", 9), ("0.2", 8), ("0.7", None)):
        best_price = others_best(rows, ledger, Side.BUY, Decimal(ignore))
        assert best_price == (None if found is None else Decimal(found))
    tiny = venue("1947000", "1958000")
    assert best("join", tiny)[0] == Decimal(1947000)
    assert best("join", tiny, venue_ignore=100) == FREE
    assert best("behind", venue("1940000", "1947000"), venue_ignore=100)[0] < Decimal(1947000)


def test_an_old_view_of_the_venue_binds_nothing() -> None:
    seen = venue("1947000", "1958000", seen_ns=S)
    assert best("join", seen, 3 * S, venue_max_age_s=2)[0] == Decimal(1947000)
    assert best("join", seen, 3 * S + 1, venue_max_age_s=2) == FREE


def test_the_whole_side_moves_with_its_first_level() -> None:
    quoter = make_quoter(jitter_bps=0, bounds={"venue_best": "join"}, widen=CALM)
    ledger = Ledger()
    run(quoter, ledger, S, inputs=venue("1947000", "1990000"))
    steps = [high - low for high, low in zip(*_pairs(prices(ledger, Side.BUY)), strict=True)]
    assert steps == [Decimal(1952), Decimal(1952)]


def _pairs(found: list[Decimal]) -> tuple[list[Decimal], list[Decimal]]:
    return found[:-1], found[1:]


def test_a_level_drawn_anew_stays_within_the_bound() -> None:
    joined = venue("1947000", "1958000")
    for seed in range(20):
        bounds = {"venue_best": "join"}
        quoter, ledger = make_quoter(jitter_bps=4, bounds=bounds, widen=CALM), Ledger()
        quoter.random.seed(seed)
        run(quoter, ledger, S, inputs=joined)
        assert prices(ledger, Side.BUY)[0] <= 1947000
        assert prices(ledger, Side.SELL)[0] >= 1958000


def test_our_own_orders_are_not_others() -> None:
    quoter = make_quoter(jitter_bps=0, bounds={"venue_best": "join"}, widen=CALM)
    ledger = Ledger()
    run(quoter, ledger, S, inputs=venue("1947000", "1958000"))
    own = next(e for e in ledger.live(Side.BUY) if e.level == 0)
    rows = (Level(own.price, own.remaining), Level(Decimal(1946000), Decimal(1)))
    seen = VenueBook(OrderBook(rows, ()), 2 * S)
    run(quoter, ledger, 2 * S, inputs=Inputs(venue=seen))
    assert prices(ledger, Side.BUY)[0] == Decimal(1946000)
    shared = (Level(Decimal(1946000), Decimal(9)),)
    run(quoter, ledger, 3 * S, inputs=Inputs(venue=VenueBook(OrderBook(shared, ()), 3 * S)))
    assert prices(ledger, Side.BUY)[0] == Decimal(1946000)


def test_bids_stay_below_the_ceiling_and_asks_above_the_floor() -> None:
    bounds: dict[str, Any] = {"price_ceiling": 1947000}
    quoter, ledger = make_quoter(jitter_bps=0, bounds=bounds, widen=CALM), Ledger()
    run(quoter, ledger, S)
    assert [e.level for e in ledger.live(Side.BUY)] == [1, 2]
    assert len(prices(ledger, Side.SELL)) == 3
    assert quoter.ladder.left_out[0].reason == "its price would pass price_ceiling"
    quoter, ledger = make_quoter(bounds={"price_floor": 2_000_000}), Ledger()
    run(quoter, ledger, S)
    assert [len(prices(ledger, side)) for side in Side] == [3, 0]
    assert quoter.note == "no asks: its price would pass price_floor"


def test_the_moving_band_keeps_bids_from_following_a_spike() -> None:
    bounds = {"band_bps": 50, "band_half_life_s": 600}
    quoter, ledger = make_quoter(bounds=bounds), Ledger()
    for second in range(1, 5):
        run(quoter, ledger, second * S)
    run(quoter, ledger, 6 * S, price=moved(BOOK, 200))
    assert [len(prices(ledger, side)) for side in Side] == [0, 3]
    assert quoter.note == "no bids: its price would pass band_bps"


def at(hour: int, minute: int = 0) -> float:
    """A time of day in Taipei, which is UTC+8."""
    return datetime(2026, 1, 5, (hour - 8) % 24, minute, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("hours", "open_at", "closed_at"),
    [
        ("09:00-17:30", [(9, 0), (17, 29)], [(8, 59), (17, 30), (0, 0)]),
        ("22:00-06:00", [(22, 0), (0, 0), (5, 59)], [(6, 0), (21, 59)]),
        ("18:00-24:00", [(18, 0), (23, 59)], [(0, 0), (17, 59)]),
        ("00:00-24:00", [(0, 0), (12, 0), (23, 59)], []),
    ],
)
def test_hours_are_open_from_their_begin_up_to_their_end(
    hours: str, open_at: list[tuple[int, int]], closed_at: list[tuple[int, int]]
) -> None:
    session = Session(SessionSettings.model_validate({"hours": hours}))
    assert [session.fault(at(*time)) for time in open_at] == [None] * len(open_at)
    assert [session.fault(at(*time)) for time in closed_at] == [f"outside of hours: {hours}"] * len(
        closed_at
    )


def test_outside_of_hours_the_quotes_are_pulled_and_come_back() -> None:
    quoter, ledger = make_quoter(session={"hours": ["09:00-12:00", "13:00-17:00"]}), Ledger()
    counts = []
    for second, time in enumerate((at(11), at(12, 30), at(13)), start=1):
        run(quoter, ledger, second * S, inputs=Inputs(wall_s=time), dirty=False)
        counts.append(len(ledger.entries))
    assert counts == [6, 0, 6]


def test_hours_without_a_clock_are_closed() -> None:
    quoter, ledger = make_quoter(session={"hours": ["09:00-12:00"]}), Ledger()
    run(quoter, ledger, S)
    assert not ledger.entries
    assert quoter.note == "the time of day is not known"
