"""Recorded streams through the simulated Binance and the feed, to the last digit of the cells."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mmd.cells.layouts import BookState, BookStatus, exact
from tests.feed.running import QUICK, Nest, Running, wait_for
from tests.sim_binance.support import Venue, venue

pytestmark = pytest.mark.recordings
LEVELS = 20
FAST = 250.0
HASTY = replace(QUICK, link=replace(QUICK.link, overlap_s=0.05))
"""At this speed more arrives while two connections overlap than the kernel would hold."""


class Recording:
    """What the file says by itself, read with other code than the feed's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_ticker: dict[str, Any] = {}
        self.volume = Decimal(0)
        self.first_trade = self.last_trade = 0
        self.prices: set[str] = set()
        snapshot: dict[str, Any] = {}
        diffs: list[dict[str, Any]] = []
        with gzip.open(path, "rt") as lines:
            for line in lines:
                message = json.loads(line.split(" ", 1)[1])
                data = message.get("data", message)
                kind = message.get("stream", "snapshot").partition("@")[2]
                if kind == "bookTicker":
                    self.last_ticker = data
                elif kind == "trade":
                    self.volume += Decimal(data["q"])
                    self.first_trade = self.first_trade or data["t"]
                    self.last_trade = data["t"]
                elif kind.startswith("depth"):
                    diffs.append(data)
                else:
                    snapshot = snapshot or data
        self.bids, self.asks = _rebuild(snapshot, diffs)

    @property
    def trades(self) -> int:
        return self.last_trade - self.first_trade + 1


Side = dict[Decimal, Decimal]


def _rebuild(snapshot: dict[str, Any], diffs: list[dict[str, Any]]) -> tuple[Side, Side]:
    sides: tuple[Side, Side] = ({}, {})
    for side, key in zip(sides, ("bids", "asks"), strict=True):
        side.update((Decimal(price), Decimal(qty)) for price, qty in snapshot[key])
    for diff in diffs:
        if diff["u"] <= snapshot["lastUpdateId"]:
            continue
        for side, key in zip(sides, ("b", "a"), strict=True):
            for price, qty in diff[key]:
                side[Decimal(price)] = Decimal(qty)
    return ({p: q for p, q in sides[0].items() if q}, {p: q for p, q in sides[1].items() if q})


@pytest.fixture(scope="module", params=["btcusdt", "ethusdt"])
def recording(request: pytest.FixtureRequest, recordings: Path) -> Recording:
    return Recording(next(recordings.glob(f"{request.param}_*.gz")))


@pytest.fixture(scope="module")
def bitcoin(recordings: Path) -> Recording:
    return Recording(next(recordings.glob("btcusdt_*.gz")))


@pytest.fixture(scope="module")
def short(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The recording's first minute and a half."""
    path = tmp_path_factory.mktemp("short") / "btcusdt.gz"
    with gzip.open(next(recordings.glob("btcusdt_*.gz"))) as whole, gzip.open(path, "wb", 1) as cut:
        cut.writelines(islice(whole, 10_000))
    return Recording(path)


def feed_of(nest: Nest, played: Venue, recording: Recording, **changes: object) -> Running:
    symbol = recording.last_ticker["s"]
    sim = played.sim
    return Running(nest, sim.stream_url, sim.rest_url, symbol=symbol, **changes)


def assert_same_price(book: BookState, ticker: dict[str, Any]) -> None:
    assert book.update_id == ticker["u"]
    assert exact(book.bid_price) == Decimal(ticker["b"])
    assert exact(book.bid_qty) == Decimal(ticker["B"])
    assert exact(book.ask_price) == Decimal(ticker["a"])
    assert exact(book.ask_qty) == Decimal(ticker["A"])


def test_the_cells_end_where_the_recording_ends(nest: Nest, recording: Recording) -> None:
    with (
        venue(replay=[recording.path], once=True, speed=math.inf) as played,
        feed_of(nest, played, recording, depth_levels=LEVELS, depth=nest.depth_cell) as feed,
    ):
        last = recording.last_trade
        feed.wait_for(
            lambda book: book.last_trade_id == last and played.sim.timeline.state == "idle"
        )
        feed.wait_for(lambda book: book.update_id >= recording.last_ticker["u"])
        book = feed.book
        assert book.is_valid
        assert_same_price(book, recording.last_ticker)
        assert book.volume == recording.volume
        assert (book.trade_count, book.missed_trades) == (recording.trades, 0)
        wait_for(lambda: nest.depth_cell.read().status == BookStatus.VALID)
        depth = nest.depth_cell.read()
        bids = sorted(recording.bids.items(), reverse=True)[:LEVELS]
        asks = sorted(recording.asks.items())[:LEVELS]
        assert [(exact(price), exact(qty)) for price, qty in depth.bids] == bids
        assert [(exact(price), exact(qty)) for price, qty in depth.asks] == asks
        assert (feed.health.errors, feed.health.overflows) == (0, 0)


def test_aggregates_give_the_same_volume(nest: Nest, bitcoin: Recording) -> None:
    with (
        venue(replay=[bitcoin.path], once=True, speed=math.inf) as played,
        feed_of(nest, played, bitcoin, trades="aggTrade") as feed,
    ):
        feed.wait_for(lambda book: book.last_trade_id == bitcoin.last_trade)
        assert feed.book.volume == bitcoin.volume
        assert (feed.book.trade_count, feed.book.missed_trades) == (bitcoin.trades, 0)


def test_a_cut_in_the_middle_loses_only_what_is_counted_as_missed(
    nest: Nest, short: Recording
) -> None:
    with (
        venue(replay=[short.path], once=True, speed=FAST) as played,
        feed_of(nest, played, short) as feed,
    ):
        feed.wait_for(lambda book: book.trade_count > short.trades // 3)
        played.strike("drop", how="rst")
        played.strike("trade_gap", symbol="BTCUSDT", count=25)
        feed.wait_for(lambda book: book.last_trade_id == short.last_trade)
        feed.wait_for(lambda book: book.update_id >= short.last_ticker["u"])
        book = feed.book
        assert_same_price(book, short.last_ticker)
        assert book.missed_trades >= 25
        assert book.trade_count + book.missed_trades == short.trades
        assert book.volume < short.volume


def test_a_cut_after_the_end_brings_the_same_price_back(nest: Nest, bitcoin: Recording) -> None:
    with (
        venue(replay=[bitcoin.path], once=True, speed=math.inf) as played,
        feed_of(nest, played, bitcoin) as feed,
    ):
        feed.wait_for(lambda book: book.last_trade_id == bitcoin.last_trade)
        played.strike("drop", how="rst")
        wait_for(lambda: played.sim.handshakes == 2)
        feed.wait_for(lambda book: book.is_valid)
        assert feed.book.volume == bitcoin.volume
        book, ticker = feed.book, bitcoin.last_ticker
        assert (exact(book.bid_price), exact(book.ask_price)) == (
            Decimal(ticker["b"]),
            Decimal(ticker["a"]),
        )


def test_over_tls_the_cells_end_where_the_recording_ends(
    nest: Nest, bitcoin: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = tmp_path / "ca.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    with (
        venue(
            replay=[bitcoin.path], once=True, speed=math.inf, tls=True, ca_file=authority
        ) as played,
        feed_of(nest, played, bitcoin) as feed,
    ):
        feed.wait_for(lambda book: book.last_trade_id == bitcoin.last_trade)
        feed.wait_for(lambda book: book.update_id >= bitcoin.last_ticker["u"])
        assert_same_price(feed.book, bitcoin.last_ticker)
        assert feed.book.volume == bitcoin.volume
        assert feed.health.errors == 0


@pytest.mark.parametrize(
    ("fault", "details"),
    [
        ("split", {"size": 7, "for_s": 0.1}),
        ("bad_frame", {"kind": "fragments"}),
        ("bad_frame", {"kind": "not_json"}),
        ("server_shutdown", {}),
        ("old_update", {"symbol": "BTCUSDT", "by": 5, "shift_bps": 500}),
    ],
)
def test_faults_that_lose_nothing_change_nothing(
    nest: Nest, short: Recording, fault: str, details: dict[str, Any]
) -> None:
    with (
        venue(replay=[short.path], once=True, speed=FAST) as played,
        feed_of(nest, played, short, timing=HASTY) as feed,
    ):
        feed.wait_for(lambda book: book.trade_count > short.trades // 4)
        assert played.strike(fault, **details) == 1
        feed.wait_for(lambda book: book.last_trade_id == short.last_trade)
        feed.wait_for(lambda book: book.update_id >= short.last_ticker["u"])
        book = feed.book
        assert_same_price(book, short.last_ticker)
        assert book.volume == short.volume
        assert (book.trade_count, book.missed_trades) == (short.trades, 0)


@pytest.mark.parametrize("kind", ["garbage", "cut_off"])
def test_faults_that_break_the_connection_are_survived(
    nest: Nest, short: Recording, kind: str
) -> None:
    with (
        venue(replay=[short.path], once=True, speed=FAST) as played,
        feed_of(nest, played, short) as feed,
    ):
        feed.wait_for(lambda book: book.trade_count > short.trades // 4)
        assert played.strike("bad_frame", kind=kind) == 1
        feed.wait_for(lambda book: book.last_trade_id == short.last_trade)
        feed.wait_for(lambda book: book.update_id >= short.last_ticker["u"])
        book = feed.book
        assert_same_price(book, short.last_ticker)
        assert book.trade_count + book.missed_trades == short.trades
        assert feed.health.errors > 0
