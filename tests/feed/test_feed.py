"""The feed over real sockets: from frames to cells, through every way a connection can fail."""

from __future__ import annotations

import os
import select
import threading
import time
from dataclasses import replace

import pytest

from mmd.cells.layouts import BookState, BookStatus
from mmd.processes.feed import FeedTiming
from mmd.venues.binance.link import LinkTiming
from mmd.words.errors import Fatal
from tests.feed.running import QUICK, Nest, Running, wait_for
from tests.venues_binance.wire import (
    Peer,
    RestServer,
    StreamServer,
    agg_trade,
    depth,
    frame,
    packed,
    ticker,
    trade,
)

DISCONNECTED = BookStatus.DISCONNECTED


def start(nest: Nest, server: StreamServer, rest: RestServer, **changes: object) -> Running:
    return Running(nest, server.url, rest.url, **changes)


def test_a_quiet_symbol_has_a_price_from_rest(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        peer = server.accept()
        assert peer.target == "/stream?streams=btcusdt@bookTicker/btcusdt@trade"
        feed.wait_for(lambda book: book.is_valid)
        book = feed.book
        assert (book.bid_price, book.bid_qty, book.ask_price, book.ask_qty) == (90, 5, 91, 6)
        assert book.update_id == 10
        assert book.age_ns(time.monotonic_ns()) < 1_000_000_000


def test_tickers_and_trades_reach_the_cell(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        peer = server.accept()
        feed.wait_for(lambda book: book.is_valid)
        peer.send(trade(7, "0.10000000"), ticker(11), ticker(12, bid="100.70000000"))
        peer.send(trade(8, "0.20000001", price="100.80000000"))
        feed.wait_for(lambda book: book.trade_count == 2 and book.update_id == 12)
        book = feed.book
        assert (book.bid_price, book.volume_e8, book.missed_trades) == (100.7, 30_000_001, 0)
        assert (book.last_trade_id, book.last_trade_price) == (8, 100.8)
        wait_for(lambda: feed.health.messages == 4)
        assert (feed.health.connected, feed.health.ready, feed.health.errors) == (1, 1, 0)


def test_aggregates_and_depth_where_asked_for(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(
        nest, server, rest, trades="aggTrade", depth_levels=5, depth=nest.depth_cell
    ) as feed:
        peer = server.accept()
        assert peer.target.endswith("/btcusdt@aggTrade/btcusdt@depth5@100ms")
        peer.send(
            agg_trade(1, 10, 12),
            agg_trade(2, 15, 15),
            depth(20, [["100.0", "1.0"], ["99.0", "2.0"]], [["101.0", "3.0"]]),
        )
        feed.wait_for(lambda book: book.trade_count == 4)
        assert feed.book.missed_trades == 2
        wait_for(lambda: nest.depth_cell.read().status == BookStatus.VALID)
        levels = nest.depth_cell.read()
        assert levels.update_id == 20
        assert levels.bids == ((100.0, 1.0), (99.0, 2.0))
        assert levels.asks == ((101.0, 3.0),)
        peer.reset()
        wait_for(lambda: nest.depth_cell.read().status == DISCONNECTED)


def test_a_lost_connection_invalidates_at_once_and_is_reopened_at_once(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        server.accept().reset()
        rest.replies.clear()
        feed.wait_for(lambda book: book.status == DISCONNECTED)
        peer = server.accept()
        assert feed.book.status == DISCONNECTED
        peer.send(ticker(11))
        feed.wait_for(lambda book: book.is_valid)


@pytest.mark.parametrize("ending", ["reset", "hang up", "close frame", "bad frame"])
def test_every_ending_leads_to_a_new_connection_and_a_gap_is_counted(
    nest: Nest, server: StreamServer, rest: RestServer, ending: str
) -> None:
    with start(nest, server, rest) as feed:
        peer = server.accept()
        peer.send(ticker(11), trade(100))
        feed.wait_for(lambda book: book.trade_count == 1)
        errors = feed.health.errors
        {
            "reset": peer.reset,
            "hang up": peer.close,
            "close frame": lambda: peer.close_frame(1001, "going away"),
            "bad frame": lambda: peer.raw(frame(b"x", extra_bits=0x40)),
        }[ending]()
        again = server.accept()
        again.send(trade(105), ticker(12))
        feed.wait_for(lambda book: book.trade_count == 2 and book.is_valid)
        assert feed.book.missed_trades == 4
        assert feed.health.errors == errors + 1


def test_silence_on_a_living_link_keeps_the_price_fresh(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    stop = threading.Event()
    with start(nest, server, rest) as feed:
        peer = server.accept()
        answering = threading.Thread(target=peer.answer_pings, args=(stop,))
        answering.start()
        feed.wait_for(lambda book: book.is_valid)
        since = time.monotonic()
        oldest = 0
        while time.monotonic() - since < 1.0:
            oldest = max(oldest, feed.book.age_ns(time.monotonic_ns()))
            time.sleep(0.01)
        stop.set()
        answering.join()
        assert oldest < 400_000_000
        assert feed.health.errors == 0


def test_a_half_open_link_is_dropped(nest: Nest, server: StreamServer, rest: RestServer) -> None:
    with start(nest, server, rest) as feed:
        server.accept()
        feed.wait_for(lambda book: book.is_valid)
        feed.wait_for(lambda book: book.status == DISCONNECTED)
        server.accept()
        assert "no frame" in feed.health.error_text


def test_a_server_ping_is_answered(nest: Nest, server: StreamServer, rest: RestServer) -> None:
    with start(nest, server, rest):
        peer = server.accept()
        peer.ping(b"payload")
        assert peer.read_until(10) == b"payload"


def test_messages_that_can_not_be_read_are_counted_and_survived(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        peer = server.accept()
        peer.send(
            b"not json at all",
            ticker(11)[:-5],
            packed({"stream": "btcusdt@trade", "data": {"e": "trade", "t": "x"}}),
            packed({"code": 2, "msg": "Invalid request"}),
            packed({"result": None, "id": 1}),
            ticker(12, symbol="ETHUSDT"),
            trade(1),
            ticker(13),
        )
        feed.wait_for(lambda book: book.update_id == 13)
        assert feed.book.trade_count == 1
        assert feed.health.errors == 5


def test_the_newest_ticker_that_can_be_read_wins(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        peer = server.accept()
        broken = ticker(114).replace(b'"a":"101.00000000"', b'"a":"x"')
        peer.send(*[ticker(u) for u in range(111, 114)], broken)
        feed.wait_for(lambda book: book.update_id == 113)


def test_decreasing_ids_never_bring_an_old_price_back(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        peer = server.accept()
        peer.send(ticker(100), ticker(120, bid="100.90000000"), ticker(110), ticker(120))
        peer.send(ticker(119), trade(1))
        feed.wait_for(lambda book: book.trade_count == 1)
        assert (feed.book.update_id, feed.book.bid_price) == (120, 100.9)


def test_ids_that_began_anew_are_accepted_when_rest_agrees(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        peer = server.accept()
        peer.send(ticker(1_000_000), trade(500))
        feed.wait_for(lambda book: book.update_id == 1_000_000)
        epoch = feed.book.epoch
        rest.set_depth(5, bid=("70.00000000", "1.00000000"))
        peer.reset()
        peer = server.accept()
        peer.send(ticker(4))
        feed.wait_for(lambda book: book.update_id == 5)
        assert feed.book.is_valid
        assert feed.book.bid_price == 70
        assert feed.book.epoch != epoch
        peer.send(ticker(6, bid="71.00000000"), trade(1))
        feed.wait_for(lambda book: book.update_id == 6)
        assert feed.book.trade_count == 1


def test_a_refused_handshake_is_tried_again(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        server.refuse(503)
        server.refuse(500)
        server.accept()
        feed.wait_for(lambda book: book.is_valid)
        assert feed.health.errors == 2


def test_after_too_many_requests_nothing_is_tried_for_a_minute(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest) as feed:
        server.refuse(429)
        assert not server.is_waited_for(0.6)
        assert "429" in feed.health.error_text
        assert feed.health.connected == 0


def test_a_restricted_location_ends_the_feed(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    feed = start(nest, server, rest)
    server.refuse(451)
    feed.ended()
    assert isinstance(feed.error, Fatal)
    assert feed.book.status == BookStatus.STOPPED
    assert "451" in feed.health.error_text


def test_rest_that_fails_does_not_stop_the_stream(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    rest.replies.clear()
    with start(nest, server, rest) as feed:
        peer = server.accept()
        wait_for(lambda: rest.count("depth") >= 2)
        assert feed.book.status == DISCONNECTED
        peer.send(ticker(11))
        feed.wait_for(lambda book: book.is_valid)


def test_a_seed_that_comes_after_the_link_broke_is_not_used(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    asked, go_on = threading.Event(), threading.Event()
    reply = rest.replies.pop("depth")

    class Slow(dict[str, object]):
        def get(self, path: str, default: object = None) -> object:  # type: ignore[override]
            asked.set()
            go_on.wait(5)
            return reply

    rest.replies = Slow()
    with start(nest, server, rest) as feed:
        peer = server.accept()
        assert asked.wait(5)
        peer.reset()
        wait_for(lambda: feed.health.errors == 1)
        go_on.set()
        time.sleep(0.2)
        assert feed.book.status == DISCONNECTED
        server.accept()
        feed.wait_for(lambda book: book.is_valid)


@pytest.mark.parametrize(
    "notice",
    [
        packed({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}}),
        packed({"e": "serverShutdown", "E": 1}),
    ],
)
def test_a_notice_of_shutdown_leads_to_a_handover_without_a_gap(
    nest: Nest, server: StreamServer, rest: RestServer, notice: bytes
) -> None:
    with start(nest, server, rest) as feed:
        old = server.accept()
        old.send(ticker(11), trade(1))
        feed.wait_for(lambda book: book.is_valid)
        statuses: set[int] = set()
        old.send(notice)
        new = server.accept()
        new.send(trade(2), ticker(12), trade(3))
        old.send(trade(2))
        feed.wait_for(lambda book: statuses.add(book.status) or book.last_trade_id == 2)
        new.send(trade(4), ticker(13, bid="100.60000000"))
        feed.wait_for(lambda book: statuses.add(book.status) or book.update_id == 13)
        assert statuses == {BookStatus.VALID}
        assert (feed.book.trade_count, feed.book.missed_trades) == (4, 0)
        assert old.read_until(8) == (1000).to_bytes(2, "big")
        assert feed.health.errors == 0


def test_an_old_connection_is_replaced_before_it_ends(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    timing = replace(QUICK, link=replace(QUICK.link, age_s=(0.1, 0.2)))
    with start(nest, server, rest, timing=timing) as feed:
        first = server.accept()
        first.send(ticker(11))
        second = server.accept()
        second.send(ticker(12))
        feed.wait_for(lambda book: book.update_id == 12)
        third = server.accept()
        third.send(ticker(13))
        feed.wait_for(lambda book: book.update_id == 13)
        assert feed.health.errors == 0


def test_a_successor_that_says_nothing_is_given_up(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    stop = threading.Event()
    timing = replace(QUICK, link=replace(QUICK.link, age_s=(0.1, 0.1), successor_s=0.2))
    with start(nest, server, rest, timing=timing) as feed:
        peer = server.accept()
        answering = threading.Thread(target=peer.answer_pings, args=(stop,))
        answering.start()
        server.accept()
        wait_for(lambda: "says nothing" in feed.health.error_text)
        assert feed.book.is_valid
        server.accept().send(ticker(12))
        feed.wait_for(lambda book: book.update_id == 12)
        stop.set()
        answering.join()


def test_a_link_lost_during_the_handover_is_replaced_at_once(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    timing = replace(QUICK, link=replace(QUICK.link, overlap_s=60.0))
    with start(nest, server, rest, timing=timing) as feed:
        old = server.accept()
        old.send(ticker(11), packed({"e": "serverShutdown", "E": 1}))
        new = server.accept()
        new.send(ticker(12))
        old.reset()
        feed.wait_for(lambda book: book.update_id == 12)
        assert feed.book.is_valid


def test_a_stream_that_is_silent_while_the_price_moves_is_dropped(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    stop = threading.Event()
    rest.set_ticker("90.00000000", "5.00000000", "91.00000000", "6.00000000")
    timing = replace(QUICK, quiet_s=0.15)
    with start(nest, server, rest, timing=timing) as feed:
        peer = server.accept()
        answering = threading.Thread(target=peer.answer_pings, args=(stop,))
        answering.start()
        wait_for(lambda: rest.count("ticker/bookTicker") >= 3)
        assert feed.health.errors == 0
        rest.set_ticker("95.00000000", "5.00000000", "96.00000000", "6.00000000")
        server.accept()
        assert "silent" in feed.health.error_text
        stop.set()
        answering.join()


def send_lagging_trades(peer: Peer, stop: threading.Event) -> None:
    """Trades whose event times fall behind the clock, as those of a reader that is too slow."""
    began, trade_id = time.time(), 0
    while not stop.wait(0.02):
        trade_id += 1
        behind_ms = int((time.time() - began) * 2_000)
        try:
            peer.send(trade(trade_id, time_ms=int(time.time() * 1000) - behind_ms))
        except OSError:
            return


def test_growing_lag_is_an_overflow_and_starts_afresh(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    stop = threading.Event()
    timing = replace(QUICK, lag_limit_s=0.1, patience_s=0.2)
    with start(nest, server, rest, timing=timing) as feed:
        peer = server.accept()
        sending = threading.Thread(target=send_lagging_trades, args=(peer, stop))
        sending.start()
        server.accept()
        stop.set()
        sending.join()
        assert feed.health.overflows == 1
        assert "old" in feed.health.error_text


def test_the_bell_rings_for_prices_volume_and_sweeps_but_not_for_quantities(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    with start(nest, server, rest, volume_step_e8=100_000_000) as feed:
        peer = server.accept()
        peer.send(ticker(11))
        feed.wait_for(lambda book: book.update_id == 11)
        time.sleep(0.05)
        assert nest.watch.consume()
        peer.send(ticker(12, bid_qty="7.00000000"), trade(1, "0.60000000"))
        feed.wait_for(lambda book: book.update_id == 12)
        assert not nest.watch.wait(0.05)
        peer.send(trade(2, "0.60000000"))
        assert nest.watch.wait(5)
        peer.send(trade(3, "0.00100000", price="99.00000000"))
        assert nest.watch.wait(5)
        peer.send(ticker(13, ask="101.50000000"))
        assert nest.watch.wait(5)
        peer.reset()
        assert nest.watch.wait(5)


def test_leaving_marks_the_book(nest: Nest, server: StreamServer, rest: RestServer) -> None:
    with start(nest, server, rest, depth_levels=5, depth=nest.depth_cell) as feed:
        peer = server.accept()
        peer.send(ticker(11))
        feed.wait_for(lambda book: book.is_valid)
        nest.watch.consume()
        feed.stop()
        assert feed.book.status == BookStatus.STOPPED
        assert nest.depth_cell.read().status == BookStatus.STOPPED
        assert feed.health.connected == 0
        assert nest.watch.wait(1)
        assert peer.read_until(8) == (1000).to_bytes(2, "big")


def test_leaving_while_a_connection_is_being_opened_waits_for_nothing(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    feed = start(nest, server, rest)
    time.sleep(0.1)
    began = time.monotonic()
    feed.stop()
    assert time.monotonic() - began < 1.0
    server.refuse(503)
    wait_for(lambda: not any(thread.name == "errand" for thread in threading.enumerate()))


def test_a_dead_parent_ends_the_feed(nest: Nest, server: StreamServer, rest: RestServer) -> None:
    feed = start(nest, server, rest)
    server.accept()
    os.eventfd_write(nest.parent_fd, 1)
    feed.ended()
    assert feed.error is None
    assert feed.book.status == BookStatus.STOPPED


def test_a_lost_lease_ends_the_feed(nest: Nest, server: StreamServer, rest: RestServer) -> None:
    with start(nest, server, rest) as feed:
        server.accept()
        feed.wait_for(lambda book: book.is_valid)
        nest.parent_beats(-3_000_000_000)
        feed.ended()
        assert feed.book.status == BookStatus.STOPPED


def test_a_new_life_goes_on_counting_and_lets_the_old_price_age(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    nest.book_cell.write(
        BookState(
            BookStatus.VALID, 1.0, 1.0, 2.0, 1.0, 50, 0, 123, 5, 1, 9, 0.0, 20, last_frame_ns=7
        )
    )
    rest.replies.clear()
    with start(nest, server, rest) as feed:
        peer = server.accept()
        peer.send(trade(21, "0"))
        feed.wait_for(lambda book: book.last_trade_id == 21)
        book = feed.book
        assert (book.status, book.update_id, book.last_frame_ns) == (BookStatus.VALID, 50, 7)
        peer.send(ticker(51), trade(22, "0.00000007"))
        feed.wait_for(lambda book: book.update_id == 51)
        book = feed.book
        assert (book.epoch, book.volume_e8, book.trade_count, book.missed_trades) == (9, 130, 7, 1)
        assert book.age_ns(time.monotonic_ns()) < 5e9


def test_the_heart_beats_often_and_costs_little_while_nothing_happens(
    nest: Nest, server: StreamServer, rest: RestServer
) -> None:
    stop = threading.Event()
    with start(nest, server, rest) as feed:
        peer = server.accept()
        answering = threading.Thread(target=peer.answer_pings, args=(stop,))
        answering.start()
        feed.wait_for(lambda book: book.is_valid)
        beats: set[int] = set()
        since = time.monotonic()
        while time.monotonic() - since < 0.5:
            beats.add(feed.health.heartbeat_ns)
            select.select([], [], [], 0.005)
        stop.set()
        answering.join()
        assert len(beats) >= 5
        assert max(b - a for a, b in zip(sorted(beats), sorted(beats)[1:], strict=False)) < 2e8


def test_default_timing_is_the_documented_one() -> None:
    timing = FeedTiming()
    assert timing.link == LinkTiming()
    assert timing.link.limits.ping_after_s == 1.0
    assert timing.link.limits.dead_after_s == 5.0
    assert timing.link.age_s[1] < 24 * 3600
