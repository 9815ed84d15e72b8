"""The state of a symbol: what counts, what is dropped, what is missed, and when ids begin anew."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.cells.layouts import BookState, BookStatus, split_volume
from mmd.venues.binance.book import FeedState
from mmd.venues.binance.messages import BookTicker, PartialDepth, Trade

NOW = 5_000_000_000
T0 = 1_700_000_000_000


def fresh() -> FeedState:
    return FeedState(BookState(), new_epoch=77)


def tick(update_id: int, bid: float = 100.0, ask: float = 101.0) -> BookTicker:
    return BookTicker("BTCUSDT", update_id, bid, 1.0, ask, 2.0)


def deal(first: int, last: int | None = None, qty_e8: int = 10, time_ms: int = T0) -> Trade:
    return Trade("BTCUSDT", first, first if last is None else last, 100.5, qty_e8, time_ms, time_ms)


def snapshot(update_id: int, bid: float = 90.0) -> PartialDepth:
    return PartialDepth(update_id, ((bid, 1.0),), ((bid + 1, 2.0),))


def test_a_new_feed_has_no_valid_price_and_a_new_epoch() -> None:
    book = fresh().book()
    assert book.status == BookStatus.DISCONNECTED
    assert book.epoch == 77


def test_a_ticker_makes_the_price_valid() -> None:
    state = fresh()
    assert state.ticker(tick(5), NOW)
    state.frame(NOW)
    book = state.book()
    assert book.is_valid
    assert (book.bid_price, book.bid_qty, book.ask_price, book.ask_qty) == (100.0, 1.0, 101.0, 2.0)
    assert (book.update_id, book.last_data_ns, book.last_frame_ns) == (5, NOW, NOW)


@pytest.mark.parametrize("update_id", [5, 4])
def test_a_ticker_that_is_not_newer_is_dropped(update_id: int) -> None:
    state = fresh()
    state.ticker(tick(5), NOW)
    assert not state.ticker(tick(update_id, bid=1.0), NOW)
    assert state.book().bid_price == 100.0


@pytest.mark.parametrize(
    ("top", "status"),
    [
        ((100.0, 1.0, 100.0, 1.0), BookStatus.CROSSED),
        ((101.0, 1.0, 100.0, 1.0), BookStatus.CROSSED),
        ((0.0, 0.0, 100.0, 1.0), BookStatus.ONE_SIDED),
        ((100.0, 1.0, 101.0, 0.0), BookStatus.ONE_SIDED),
        ((100.0, 1.0, float("inf"), 1.0), BookStatus.ONE_SIDED),
        ((float("nan"), 1.0, 101.0, 1.0), BookStatus.ONE_SIDED),
    ],
)
def test_a_price_that_can_not_be_quoted_from_is_not_valid(
    top: tuple[float, float, float, float], status: BookStatus
) -> None:
    state = fresh()
    state.ticker(BookTicker("BTCUSDT", 1, *top), NOW)
    assert state.status == status


def test_a_disconnect_keeps_the_numbers_and_takes_the_validity() -> None:
    state = fresh()
    state.ticker(tick(5), NOW)
    state.partial_depth(snapshot(5), NOW)
    state.disconnected()
    assert state.book().status == BookStatus.DISCONNECTED
    assert state.book().bid_price == 100.0
    assert state.depth.status == BookStatus.DISCONNECTED
    state.connected()
    assert state.wants_seed


def test_a_seed_makes_a_quiet_symbol_valid_again() -> None:
    state = fresh()
    state.ticker(tick(5), NOW)
    state.disconnected()
    state.connected()
    assert state.seed(snapshot(5), NOW + 9)
    assert state.book().is_valid
    assert state.book().last_frame_ns == NOW + 9
    assert not state.wants_seed


def test_a_seed_holds_older_tickers_back_but_not_for_ever() -> None:
    state = fresh()
    state.ticker(tick(5), NOW)
    state.disconnected()
    state.connected()
    state.seed(snapshot(1_000), NOW)
    assert not state.ticker(tick(6), NOW + 900_000_000)
    assert not state.ticker(tick(5), NOW + 2_000_000_000)
    assert state.ticker(tick(7), NOW + 2_000_000_000)
    assert state.book().update_id == 7
    assert not state.ticker(tick(6), NOW + 3_000_000_000)


def test_refused_tickers_are_no_sign_of_life_of_the_stream() -> None:
    state = fresh()
    state.ticker(tick(5), NOW)
    state.ticker(tick(4), NOW + 9)
    assert state.last_ticker_ns == NOW


def test_an_empty_seed_settles_nothing() -> None:
    state = fresh()
    state.connected()
    assert not state.seed(PartialDepth(0, (), ()), NOW)
    assert state.status == BookStatus.ONE_SIDED
    assert state.wants_seed
    assert state.seed(snapshot(5), NOW)
    assert not state.wants_seed


def test_a_seed_older_than_the_stream_changes_nothing() -> None:
    state = fresh()
    state.connected()
    state.ticker(tick(50), NOW)
    assert state.seed(snapshot(49), NOW)
    assert state.book().bid_price == 100.0
    assert state.book().epoch == 77


def test_one_low_snapshot_may_be_old_and_proves_no_restart_of_ids() -> None:
    state = fresh()
    state.ticker(tick(50), NOW)
    state.disconnected()
    state.connected()
    assert not state.seed(snapshot(49), NOW)
    assert state.book().status == BookStatus.DISCONNECTED
    assert state.seed(snapshot(51), NOW)
    assert state.book().is_valid
    assert state.book().epoch == 77


def test_restarted_ids_are_taken_once_rest_confirms_them_twice() -> None:
    state = fresh()
    state.ticker(tick(1_000_000), NOW)
    state.trade(deal(500), NOW)
    state.disconnected()
    state.connected()
    assert not state.ticker(tick(7), NOW)
    assert state.wants_seed
    assert not state.seed(snapshot(8), NOW)
    assert state.seed(snapshot(9, bid=80.0), NOW)
    book = state.book()
    assert book.is_valid
    assert (book.update_id, book.bid_price) == (9, 80.0)
    assert (book.epoch, book.volume_e8, book.trade_count) == (78, 0, 0)
    assert state.ticker(tick(10), NOW)
    assert state.trade(deal(1), NOW)


def test_low_tickers_on_a_connection_that_brought_good_ones_ask_nobody() -> None:
    state = fresh()
    state.connected()
    state.ticker(tick(5), NOW)
    state.ticker(tick(4), NOW)
    assert not state.wants_seed


def test_trades_are_summed_up_exactly() -> None:
    state = fresh()
    for trade_id in range(1, 11):
        state.trade(deal(trade_id, qty_e8=10_000_000), NOW)
    book = state.book()
    assert (book.volume_e8, book.trade_count, book.missed_trades) == (100_000_000, 10, 0)
    assert (book.last_trade_id, book.last_trade_price, book.exchange_ms) == (10, 100.5, T0)


def test_the_first_trade_ever_misses_none_before_it() -> None:
    state = fresh()
    state.trade(deal(3_735_683_259), NOW)
    assert state.book().missed_trades == 0


def test_a_gap_in_the_ids_counts_as_missed_trades() -> None:
    state = fresh()
    state.trade(deal(10), NOW)
    state.disconnected()
    state.connected()
    state.trade(deal(15), NOW)
    assert state.book().missed_trades == 4


def test_a_repeated_trade_counts_once() -> None:
    state = fresh()
    for trade_id in (10, 11, 11, 10, 12):
        state.trade(deal(trade_id), NOW)
    assert (state.book().trade_count, state.book().missed_trades) == (3, 0)


def test_aggregates_count_the_trades_they_stand_for() -> None:
    state = fresh()
    state.trade(deal(10, 14), NOW)
    state.trade(deal(15, 15), NOW)
    state.trade(deal(18, 20), NOW)
    assert (state.book().trade_count, state.book().missed_trades) == (9, 2)


def test_an_aggregate_counted_in_part_before_is_missed_rather_than_counted_twice() -> None:
    state = fresh()
    state.trade(deal(10, qty_e8=7), NOW)
    state.trade(deal(9, 12, qty_e8=100), NOW)
    book = state.book()
    assert (book.volume_e8, book.trade_count, book.missed_trades) == (7, 1, 2)
    state.trade(deal(13, qty_e8=1), NOW)
    assert state.book().volume_e8 == 8


def test_a_newer_trade_with_a_lower_id_begins_a_new_counting() -> None:
    state = fresh()
    state.trade(deal(1_000, time_ms=T0), NOW)
    assert state.trade(deal(3, qty_e8=4, time_ms=T0 + 60_000), NOW)
    book = state.book()
    assert (book.epoch, book.volume_e8, book.trade_count, book.missed_trades) == (78, 4, 1, 0)


def test_counting_goes_on_from_the_cell() -> None:
    high, low = split_volume((1 << 64) + 5)
    before = BookState(
        status=BookStatus.VALID,
        bid_price=1.0,
        update_id=9,
        volume_high=high,
        volume_low=low,
        trade_count=3,
        missed_trades=1,
        epoch=42,
        last_trade_id=100,
        exchange_ms=T0,
    )
    state = FeedState(before, new_epoch=77)
    assert state.book() == before
    state.trade(deal(103, qty_e8=2), NOW)
    book = state.book()
    assert (book.volume_e8, book.trade_count, book.missed_trades) == ((1 << 64) + 7, 4, 3)
    assert book.epoch == 42


def test_a_live_link_proves_nothing_for_the_price_of_an_earlier_life() -> None:
    state = FeedState(BookState(BookStatus.VALID, 1.0, 1.0, 2.0, 1.0, 50, last_frame_ns=7), 77)
    state.connected()
    state.frame(NOW)
    assert state.book().last_frame_ns == 7
    assert state.wants_seed
    state.seed(snapshot(50), NOW + 1)
    state.frame(NOW + 2)
    assert state.book().last_frame_ns == NOW + 2
    assert not state.wants_seed


def test_what_an_earlier_life_called_invalid_stays_so() -> None:
    before = BookState(BookStatus.STOPPED, 1.0, 1.0, 2.0, 1.0, 50)
    assert FeedState(before, 77).book().status == BookStatus.DISCONNECTED


def test_depth_takes_newer_states_only_until_a_disconnect() -> None:
    state = fresh()
    assert state.partial_depth(snapshot(9), NOW)
    assert not state.partial_depth(snapshot(9, bid=1.0), NOW)
    assert state.depth.bids == ((90.0, 1.0),)
    state.disconnected()
    assert state.partial_depth(snapshot(3), NOW)
    assert (state.depth.status, state.depth.update_id) == (BookStatus.VALID, 3)


@given(st.lists(st.integers(1, 40), min_size=1))
def test_counted_and_missed_trades_make_up_the_range_of_ids(ids: list[int]) -> None:
    state = fresh()
    for trade_id in ids:
        state.trade(deal(trade_id, qty_e8=1), NOW)
    book = state.book()
    assert book.trade_count == book.volume_e8
    assert book.trade_count + book.missed_trades == max(ids) - ids[0] + 1


@given(st.lists(st.integers(0, 50)))
def test_published_ids_never_fall(ids: list[int]) -> None:
    state, seen = fresh(), [0]
    for update_id in ids:
        state.ticker(tick(update_id), NOW)
        seen.append(state.book().update_id)
    assert all(before <= after for before, after in pairwise(seen))
    assert seen[-1] == max([0, *ids])
