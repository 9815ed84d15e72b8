"""The watchman: every trouble is noticed once, and its end too."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mmd.cells.layouts import BookState, BookStatus, HealthState
from mmd.config.model import AlertSettings
from mmd.processes.notifier.watchman import Account, News, Watchman
from mmd.processes.sight import Process, Sight
from mmd.records.alerts import Alert, Kind
from mmd.words.market import Balance

GOOD = BookState(status=BookStatus.VALID, bid_price=1.0, ask_price=2.0)


class Story:
    """A sequence of looks, as the notifier takes them."""

    def __init__(self, **settings: Any) -> None:
        chosen = AlertSettings(stale_price_s=10, **settings)
        self.watchman = Watchman(chosen, {})
        self.now_s = 1000.0
        self.feed = self._process("feeds:btcusdt", "running")
        self.book = GOOD
        self.overflows = 0
        self.account = Account()

    @staticmethod
    def _process(name: str, state: str, since_s: float = 0.0, text: str = "") -> Process:
        return Process(name, 1, state, since_s, 0, text)

    def look(self, *, after_s: float = 1.0) -> list[tuple[Kind, str, bool]]:
        self.now_s += after_s
        now_ns = int(self.now_s * 1e9)
        book = self.book._replace(last_frame_ns=now_ns) if self.book is GOOD else self.book
        sight = Sight(
            now_ns=now_ns,
            wall_s=self.now_s,
            parent_state="running",
            processes=(self.feed,),
            books={"btcusdt": book},
            health={"feeds:btcusdt": HealthState(overflows=self.overflows)},
        )
        news = self.watchman.watch(sight, self.account)
        self.watchman.heard(map(_alert, news))
        return [(n.kind, n.subject, n.is_recovery) for n in news]

    def be(self, state: str, *, since_s: float = 0.0, text: str = "") -> None:
        self.feed = self._process("feeds:btcusdt", state, since_s, text)


def _alert(news: News) -> Alert:
    return Alert(news.kind, news.subject, news.text, 0, news.is_recovery)


def test_all_well_is_silent() -> None:
    story = Story()
    assert [story.look() for _ in range(50)] == [[]] * 50


@pytest.mark.parametrize(
    "book",
    [
        BookState(status=BookStatus.DISCONNECTED),
        BookState(status=BookStatus.VALID, last_frame_ns=0),
        BookState(),
    ],
    ids=["disconnected", "not confirmed", "never there"],
)
def test_a_price_that_stays_away_is_told_after_a_while_and_once(book: BookState) -> None:
    story = Story()
    story.book = book
    assert story.look() == []
    assert story.look(after_s=9) == []
    assert story.look(after_s=1) == [(Kind.STALE_PRICE, "feeds:btcusdt", False)]
    assert story.look(after_s=100) == []
    story.book = GOOD
    assert story.look() == [(Kind.STALE_PRICE, "feeds:btcusdt", True)]
    assert story.look() == []


def test_a_price_that_comes_back_in_time_is_not_told() -> None:
    story = Story()
    for _ in range(5):
        story.book = BookState(status=BookStatus.DISCONNECTED)
        assert story.look(after_s=9) == []
        story.book = GOOD
        assert story.look() == []


def test_a_stopped_feed_owes_no_price() -> None:
    story = Story()
    story.be("stopped")
    story.book = BookState(status=BookStatus.STOPPED)
    assert [story.look(after_s=60) for _ in range(3)] == [[]] * 3


def test_a_parked_process_is_told_until_it_works_again() -> None:
    story = Story()
    story.be("parked", text="died more than 10 times")
    assert story.look() == [(Kind.PARKED, "feeds:btcusdt", False)]
    assert story.look() == []
    story.be("starting", since_s=story.now_s)
    assert story.look() == []
    story.be("ready", since_s=story.now_s)
    assert story.look() == [], "not before it has shown that it stays"
    assert story.look(after_s=5) == [(Kind.PARKED, "feeds:btcusdt", True)]


def test_a_stall_that_the_parent_told_of_ends_when_the_process_works_again() -> None:
    story = Story()
    story.watchman.heard([Alert(Kind.STALL, "feeds:btcusdt", "no heartbeat", 0)])
    story.be("starting", since_s=story.now_s)
    assert story.look() == []
    story.be("ready", since_s=story.now_s)
    assert story.look(after_s=5) == [(Kind.STALL, "feeds:btcusdt", True)]
    assert story.look() == []


def test_orders_left_are_not_over_because_the_pair_is_stopped() -> None:
    story = Story()
    story.watchman.heard([Alert(Kind.ORDERS_LEFT, "feeds:btcusdt", "orders are left", 0)])
    story.be("stopped")
    assert story.look(after_s=100) == []
    story.be("running")
    assert story.look() == [(Kind.ORDERS_LEFT, "feeds:btcusdt", True)]


def test_overflows_are_told_and_are_over_after_a_calm_minute() -> None:
    story = Story()
    story.overflows = 7
    assert story.look() == [], "what was counted before the notifier came is old news"
    story.overflows = 8
    assert story.look() == [(Kind.OVERFLOW, "feeds:btcusdt", False)]
    story.overflows = 9
    assert story.look(after_s=50) == []
    assert story.look(after_s=50) == []
    assert story.look(after_s=20) == [(Kind.OVERFLOW, "feeds:btcusdt", True)]


def test_a_low_balance_is_told_until_it_is_filled_up() -> None:
    story = Story(min_balances={"TWD": "1000"})
    assert story.look() == [], "nothing is known yet"
    story.account = Account({"TWD": Balance("TWD", Decimal(5000), Decimal("999.9"))})
    assert story.look() == [(Kind.BALANCE_LOW, "TWD", False)]
    assert story.look() == []
    story.account = Account()
    assert story.look() == [], "records that can't be read end no trouble"
    story.account = Account({"TWD": Balance("TWD", Decimal(5000), Decimal(1000))})
    assert story.look() == [(Kind.BALANCE_LOW, "TWD", True)]


def test_a_currency_that_is_gone_counts_as_nothing() -> None:
    story = Story(min_balances={"TWD": "1000"})
    story.account = Account({"BTC": Balance("BTC", Decimal(1), Decimal(1))})
    assert story.look() == [(Kind.BALANCE_LOW, "TWD", False)]


def test_a_full_disk_is_told_until_there_is_room() -> None:
    story = Story(min_disk_mb=500)
    story.account = Account(free_bytes=100 << 20)
    assert story.look() == [(Kind.DISK_FULL, "mmd", False)]
    assert story.look() == []
    story.account = Account(free_bytes=600 << 20)
    assert story.look() == [(Kind.DISK_FULL, "mmd", True)]


def test_a_process_that_is_configured_no_more_has_no_troubles() -> None:
    story = Story()
    story.watchman.heard([Alert(Kind.STALL, "pairs:gone", "no heartbeat", 0)])
    assert story.look() == [(Kind.STALL, "pairs:gone", True)]


def test_a_kill_switch_is_told_until_somebody_resumes() -> None:
    story = Story()
    story.account = Account(thrown={"btc_twd": "lost 5000 TWD today"})
    assert story.look() == [(Kind.KILL_SWITCH, "pairs:btc_twd", False)]
    assert story.look(after_s=1000) == []
    story.account = Account()
    assert story.look() == [(Kind.KILL_SWITCH, "pairs:btc_twd", True)]


def test_a_low_balance_that_nobody_wants_watched_any_more_is_over() -> None:
    story = Story()
    story.watchman.open[Kind.BALANCE_LOW, "TWD"] = Alert(Kind.BALANCE_LOW, "TWD", "low", 0)
    assert story.look() == [(Kind.BALANCE_LOW, "TWD", True)]
    assert story.look() == []
