"""When a self-trade is due, at what price and how much: whatever book, settings and restarts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.cells.layouts import BookState, BookStatus, split_volume
from mmd.config.model import SelfTradeSettings
from mmd.decide.ledger import SELF_TRADE_LEVEL, Event, Ledger
from mmd.decide.selftrade import (
    Cause,
    NoTrade,
    Progress,
    Sum,
    inside_prices,
    met_quote,
    two_orders,
)
from mmd.records import selftrade as records
from mmd.words.errors import Unavailable
from mmd.words.market import Level, MarketRules, NewOrder, OrderBook, Pair, Side

BTC_TWD = Pair("BTC", "TWD")
NOW_S = 1_700_000_000.0
NO_LIMIT = Decimal("Infinity")
E8 = 10**8

prices = st.decimals("0.00000001", "1e9", places=8)
ticks = st.sampled_from([Decimal(t) for t in ("0.00000001", "0.001", "0.1", "0.5", "1", "25")])
seeds = st.integers(0, 1 << 30)


def settings(**changes: Any) -> SelfTradeSettings:
    return SelfTradeSettings.model_validate({"enabled": True, **changes})


def rules(tick: str = "0.1", lot: str = "0.0001") -> MarketRules:
    return MarketRules(BTC_TWD, 2, 1, Decimal(tick), Decimal(lot), Decimal("0.001"), Decimal(100))


def order_book(bid: Decimal, ask: Decimal) -> OrderBook:
    return OrderBook((Level(bid, Decimal(1)),), (Level(ask, Decimal(1)),))


def binance(volume_e8: int, epoch: int = 1) -> BookState:
    high, low = split_volume(volume_e8)
    return BookState(status=BookStatus.VALID, volume_high=high, volume_low=low, epoch=epoch)


def armed(chosen: SelfTradeSettings, seed: int = 1) -> Progress:
    return Progress().armed(chosen, NOW_S, Random(seed)).looked(binance(0), chosen)


# Price and amount.


@given(bid=prices, ask=prices, tick=ticks)
def test_inside_prices_are_exactly_the_grid_strictly_between(
    bid: Decimal, ask: Decimal, tick: Decimal
) -> None:
    found = inside_prices(bid, ask, tick)
    if not found:
        first_above = bid - bid % tick + tick
        assert first_above >= ask
        return
    first, last = found[0], found[len(found) - 1]
    assert bid < first
    assert last < ask
    assert first % tick == last % tick == 0
    assert first - tick <= bid
    assert last + tick >= ask


@given(
    bid=prices,
    ask=prices,
    tick=ticks,
    lot=st.sampled_from(["0.000001", "0.0001", "0.01", "1"]),
    least=st.decimals("0.0001", "50", places=6),
    span=st.decimals("0", "50", places=6),
    room=st.decimals("-1", "100", places=6),
    method=st.sampled_from(["self_midtrader", "self_trader"]),
    first_side=st.sampled_from(["random", "buy", "sell"]),
    taken=st.sampled_from([None, Side.BUY, Side.SELL]),
    seed=seeds,
)
def test_two_orders_are_opposite_inside_on_the_grid_and_within_all_bounds_or_none(
    bid: Decimal,
    ask: Decimal,
    tick: Decimal,
    lot: str,
    least: Decimal,
    span: Decimal,
    room: Decimal,
    method: str,
    first_side: str,
    taken: Side | None,
    seed: int,
) -> None:
    venue = rules(str(tick), lot)
    chosen = settings(
        method=method, first_side=first_side, amount={"min": least, "max": least + span}
    )
    found = two_orders(
        order_book(bid, ask), chosen, (least, least), room, venue, Random(seed), taken
    )
    if isinstance(found, NoTrade):
        assert found.reason
        return
    first, second = found
    assert first.side is second.side.opposite
    assert (first.price, first.amount) == (second.price, second.amount)
    assert first.level == second.level == SELF_TRADE_LEVEL
    assert bid < first.price < ask
    assert first.price % tick == 0
    assert least <= first.amount <= min(least + span, room)
    assert venue.min_amount <= first.amount <= venue.max_amount
    assert first.amount % venue.lot == 0
    if first_side != "random":
        assert first.side is Side[first_side.upper()]


def test_the_midtrader_takes_the_middle_and_the_other_any_price_between() -> None:
    book, venue = order_book(Decimal(100), Decimal(110)), rules(tick="1")
    amount = (Decimal("0.01"), Decimal("0.02"))

    def priced(method: str, seed: int) -> Decimal:
        found = two_orders(book, settings(method=method), amount, NO_LIMIT, venue, Random(seed))
        assert not isinstance(found, NoTrade)
        return found[0].price

    assert {priced("self_midtrader", seed) for seed in range(50)} == {Decimal(105)}
    assert {priced("self_trader", seed) for seed in range(200)} == {
        Decimal(price) for price in range(101, 110)
    }


def test_chance_draws_both_first_sides_and_amounts_all_over_their_range() -> None:
    book, venue = order_book(Decimal(100), Decimal(110)), rules()
    drawn = []
    for seed in range(300):
        found = two_orders(
            book, settings(), (Decimal("0.01"), Decimal("0.02")), NO_LIMIT, venue, Random(seed)
        )
        assert not isinstance(found, NoTrade)
        drawn.append(found[0])
    assert {quote.side for quote in drawn} == set(Side)
    assert len({quote.amount for quote in drawn}) > 90
    assert min(quote.amount for quote in drawn) < Decimal("0.0102")
    assert max(quote.amount for quote in drawn) > Decimal("0.0198")


def test_the_side_that_a_third_party_took_does_not_go_first_again() -> None:
    book, venue = order_book(Decimal(100), Decimal(110)), rules()
    for seed in range(20):
        found = two_orders(
            book,
            settings(),
            (Decimal("0.01"), Decimal("0.02")),
            NO_LIMIT,
            venue,
            Random(seed),
            Side.BUY,
        )
        assert not isinstance(found, NoTrade)
        assert found[0].side is Side.SELL


@pytest.mark.parametrize(
    ("bids", "asks", "reason"),
    [
        ((), ("101",), "one-sided"),
        (("100",), (), "one-sided"),
        (("100",), ("100.1",), "no price inside"),
        (("101",), ("100",), "no price inside"),
    ],
)
def test_a_book_without_room_gives_a_reason(
    bids: tuple[str, ...], asks: tuple[str, ...], reason: str
) -> None:
    def levels(texts: tuple[str, ...]) -> tuple[Level, ...]:
        return tuple(Level(Decimal(text), Decimal(1)) for text in texts)

    book = OrderBook(levels(bids), levels(asks))
    amount = (Decimal("0.01"), Decimal("0.02"))
    found = two_orders(book, settings(), amount, NO_LIMIT, rules(), Random(1))
    assert isinstance(found, NoTrade)
    assert reason in found.reason


@pytest.mark.parametrize("state", ["wanted", "sent", "unknown", "open", "cancelling"])
@pytest.mark.parametrize(
    ("side", "price", "meets"),
    [
        (Side.BUY, 100, True),
        (Side.BUY, 101, True),
        (Side.BUY, 99, False),
        (Side.SELL, 100, True),
        (Side.SELL, 99, True),
        (Side.SELL, 101, False),
    ],
)
def test_a_quote_of_ours_in_the_way_is_seen_in_whatever_state_it_is(
    state: str, side: Side, price: int, meets: bool
) -> None:
    events: list[Event] = {
        "wanted": list[Event](),
        "sent": [Event.SENT],
        "unknown": [Event.SENT, Event.LOST],
        "open": [Event.SENT, Event.ACCEPTED],
        "cancelling": [Event.SENT, Event.ACCEPTED, Event.CANCEL_SENT],
    }[state]
    ledger = Ledger()
    ledger.want(NewOrder("a", side, Decimal(price), Decimal(1)), 0, 0, 0)
    ledger.want(NewOrder("b", side, Decimal(100), Decimal(1)), SELF_TRADE_LEVEL, 0, 0)
    for event in events:
        ledger.apply("a", event, 0)
    assert (met_quote(ledger, Decimal(100)) is not None) is meets


# Counting.


@given(seed=seeds, threshold=st.decimals("0.001", "1e6", places=3))
def test_the_threshold_varies_by_a_fifth_at_most(seed: int, threshold: Decimal) -> None:
    chosen = settings(volume_threshold=threshold)
    target = armed(chosen, seed).target_e8(chosen)
    assert int(threshold * E8 * 8 / 10) <= target <= int(threshold * E8 * 12 / 10)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3 * E8), st.sampled_from(["go on", "restart", "new epoch"])),
        max_size=60,
    ),
    seed=seeds,
)
def test_no_volume_is_lost_or_counted_twice_over_restarts_and_epochs(
    steps: list[tuple[int, str]], seed: int
) -> None:
    """A restart of the pair reads what was written last; a new epoch begins at any volume, and
    what an epoch traded before we first looked is not ours to count."""
    chosen = settings(volume_threshold=2)
    random = Random(seed)
    progress = written = armed(chosen, seed)
    volume, epoch, traded, answered = 0, 1, 0, 0
    for grown, what in steps:
        if what == "restart":
            progress = written
        if what == "new epoch":
            epoch += 1
            volume = random.randrange(10 * E8)
            progress = progress.looked(binance(volume, epoch), chosen)
            written = progress
        volume += grown
        traded += grown
        progress = progress.looked(binance(volume, epoch), chosen)
        while progress.cause(chosen, NOW_S) is Cause.VOLUME:
            target = progress.target_e8(chosen)
            progress, attempt = progress.begun(
                Cause.VOLUME, Decimal(1), chosen, NOW_S - 100_000, random
            )
            assert attempt.claimed_e8 == target
            answered += target
            written = progress
    assert answered + progress.counted_e8 == traded


@given(volumes=st.lists(st.integers(0, 5 * E8), min_size=1, max_size=40), seed=seeds)
def test_what_a_third_party_took_stays_owed(volumes: list[int], seed: int) -> None:
    """However the matches turn out, volume matched and volume owed make up the volume counted."""
    chosen = settings(volume_threshold=1)
    random = Random(seed)
    progress = armed(chosen, seed)
    total, answered = 0, Decimal(0)
    for grown in volumes:
        total += grown
        progress = progress.looked(binance(total), chosen)
        for _ in range(8):
            if progress.cause(chosen, NOW_S) is None:
                break
            amount = Decimal(4)
            progress, attempt = progress.begun(
                Cause.VOLUME, amount, chosen, NOW_S - 100_000, random
            )
            matched = Decimal(random.randrange(5))
            progress = progress.ended(attempt, matched, Decimal(0))
            answered += attempt.claimed_e8 * matched / amount
    assert abs(answered + progress.counted_e8 - total) <= 8 * len(volumes)


def test_a_volume_that_runs_backwards_within_an_epoch_is_not_counted() -> None:
    chosen = settings(volume_threshold=1)
    progress = armed(chosen).looked(binance(50), chosen).looked(binance(20), chosen)
    assert progress.counted_e8 == 50
    assert progress.looked(binance(30), chosen).counted_e8 == 50
    assert progress.looked(binance(60), chosen).counted_e8 == 60


def test_what_passes_while_none_is_allowed_is_owed_once_at_most() -> None:
    chosen = settings(volume_threshold=1)
    progress = armed(chosen).looked(binance(40 * E8), chosen).held_back(chosen)
    assert progress.counted_e8 == progress.target_e8(chosen)


def test_who_is_off_begins_anew() -> None:
    chosen = settings(volume_threshold=1)
    off = armed(chosen).looked(binance(40 * E8), chosen).forgotten()
    assert off.counted_e8 == 0
    on = off.armed(chosen, NOW_S, Random(1)).looked(binance(90 * E8), chosen)
    assert on.counted_e8 == 0


def test_a_self_trade_is_due_by_time_where_that_is_wanted() -> None:
    timed = settings(volume_threshold=1, every_s={"min": 10, "max": 20})
    progress = armed(timed)
    assert progress.cause(timed, NOW_S + 9.9) is None
    assert progress.cause(timed, NOW_S + 20.1) is Cause.TIME
    progress, attempt = progress.begun(Cause.TIME, Decimal(1), timed, NOW_S + 20.1, Random(2))
    assert attempt.claimed_e8 == 0
    assert progress.cause(timed, NOW_S + 30) is None
    assert progress.cause(timed, NOW_S + 40.2) is Cause.TIME
    assert armed(settings()).cause(settings(), NOW_S + 1e6) is None


def test_a_pause_follows_each_self_trade_and_ends_though_the_clock_is_set_back() -> None:
    chosen = settings(volume_threshold=1, sleep_s={"min": 2, "max": 4})
    progress = armed(chosen).looked(binance(10 * E8), chosen)
    progress, _ = progress.begun(Cause.VOLUME, Decimal(1), chosen, NOW_S, Random(3))
    assert progress.cause(chosen, NOW_S + 1.9) is None
    assert progress.cause(chosen, NOW_S + 4.1) is Cause.VOLUME
    assert progress.cause(chosen, NOW_S - 3_600) is Cause.VOLUME


# Caps.


def traded(times: list[float], amount: str, fees: str, chosen: SelfTradeSettings) -> Progress:
    progress = armed(chosen)
    for when in times:
        progress, attempt = progress.begun(Cause.TIME, Decimal(amount), chosen, when, Random(1))
        progress = progress.ended(attempt, Decimal(amount), Decimal(fees))
    return progress


@pytest.mark.parametrize(
    ("cap", "span_s"),
    [
        ({"max_per_hour": 3}, 3_600),
        ({"max_per_day": 3}, 86_400),
        ({"max_fees_per_hour": 30}, 3_600),
        ({"max_fees_per_day": 30}, 86_400),
        ({"max_amount_per_hour": 6}, 3_600),
        ({"max_amount_per_day": 6}, 86_400),
    ],
)
def test_a_cap_holds_for_its_span_and_no_longer(cap: dict[str, int], span_s: int) -> None:
    chosen = settings(**cap)
    before = traded([NOW_S, NOW_S + 1], "2", "10", chosen)
    assert not isinstance(before.room(chosen, NOW_S + 2), NoTrade)
    full = traded([NOW_S, NOW_S + 1, NOW_S + 2], "2", "10", chosen)
    room = full.room(chosen, NOW_S + span_s - 61)
    assert isinstance(room, NoTrade) or room <= 0
    room = full.room(chosen, NOW_S + span_s + 62)
    assert not isinstance(room, NoTrade)
    assert room > 0


@given(
    waits=st.lists(st.floats(0, 4_000), max_size=80),
    per_hour=st.integers(1, 10),
    per_day=st.integers(1, 30),
    amount_cap=st.integers(1, 20),
    seed=seeds,
)
def test_no_hour_and_no_day_ever_holds_more_than_the_caps(
    waits: list[float], per_hour: int, per_day: int, amount_cap: int, seed: int
) -> None:
    chosen = settings(
        max_per_hour=per_hour,
        max_per_day=per_day,
        max_amount_per_hour=amount_cap,
        amount={"min": "0.5", "max": 3},
    )
    random, book = Random(seed), order_book(Decimal(100), Decimal(110))
    progress, now_s = armed(chosen), NOW_S
    done: list[tuple[float, Decimal]] = []
    for wait_s in waits:
        now_s += wait_s
        room = progress.room(chosen, now_s)
        if isinstance(room, NoTrade):
            continue
        found = two_orders(book, chosen, (Decimal(1), Decimal(1)), room, rules(), random)
        if isinstance(found, NoTrade):
            continue
        progress, _ = progress.begun(Cause.TIME, found[0].amount, chosen, now_s, random)
        done.append((now_s, found[0].amount))
    for when, _ in done:
        hour = [amount for at, amount in done if when <= at < when + 3_600]
        day = [amount for at, amount in done if when <= at < when + 86_400]
        assert len(hour) <= per_hour
        assert len(day) <= per_day
        assert sum(hour) <= amount_cap


def test_what_was_not_traded_counts_as_an_attempt_but_not_as_an_amount() -> None:
    chosen = settings(max_per_hour=2)
    progress, attempt = armed(chosen).begun(Cause.TIME, Decimal(3), chosen, NOW_S, Random(1))
    assert progress.last_hour(NOW_S) == Sum(1, Decimal(3), Decimal(0))
    progress = progress.ended(attempt, Decimal(1), Decimal(7))
    assert progress.last_hour(NOW_S) == Sum(1, Decimal(1), Decimal(7))
    assert progress.done == Sum(1, Decimal(1), Decimal(7))
    progress, attempt = progress.begun(Cause.TIME, Decimal(3), chosen, NOW_S, Random(1))
    progress = progress.ended(attempt, Decimal(0), Decimal(0))
    assert progress.done.count == 1
    assert isinstance(progress.room(chosen, NOW_S), NoTrade)


def test_what_was_not_matched_is_tried_again_after_the_shortest_pause() -> None:
    chosen = settings(sleep_s={"min": 2, "max": 50})
    due = replace(Progress(counted_e8=10**12).armed(chosen, 0.0, Random(1)), factor=Decimal(1))
    begun, attempt = due.begun(Cause.VOLUME, Decimal(1), chosen, 1_000.0, Random(3))
    assert begun.sleeps_until_s > 1_010
    missed = begun.ended(attempt, Decimal(0), Decimal(0))
    assert missed.cause(chosen, 1_001.9) is None
    assert missed.cause(chosen, 1_002.0) is Cause.VOLUME
    matched = begun.ended(attempt, Decimal("0.5"), Decimal(0))
    assert matched.cause(chosen, begun.sleeps_until_s - 0.1) is None


# On disk.


@given(
    counted=st.integers(0, 1 << 80),
    factor=st.decimals("0.8", "1.2", places=2),
    due_s=st.floats(0, 1e11),
    minutes=st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.builds(
                Sum,
                st.integers(0, 10**6),
                st.decimals("0", "1e12", places=8),
                st.decimals("0", "1e12", places=12),
            ),
        ),
        max_size=5,
    ),
)
def test_progress_comes_back_from_disk_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    counted: int,
    factor: Decimal,
    due_s: float,
    minutes: list[tuple[int, Sum]],
) -> None:
    path = records.path_of(tmp_path_factory.getbasetemp(), BTC_TWD)
    progress = Progress(
        epoch=1 << 63,
        seen_e8=counted * 3,
        counted_e8=counted,
        factor=factor,
        due_s=due_s,
        sleeps_until_s=due_s / 3,
        minutes=tuple(minutes),
        done=Sum(7, Decimal("0.123456789"), Decimal("1e-12")),
    )
    records.write(path, progress)
    assert records.read(path) == progress


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"epoch": 1}', b"\xff", b"7"])
def test_a_file_that_can_t_be_read_is_a_new_beginning(tmp_path: Path, content: bytes) -> None:
    path = records.path_of(tmp_path, BTC_TWD)
    assert records.read(path) == Progress()
    path.write_bytes(content)
    assert records.read(path) == Progress()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    path = records.path_of(folder, BTC_TWD)
    records.write(path, Progress(epoch=5))
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        records.write(records.path_of(tmp_path / "file", BTC_TWD), Progress(epoch=6))
    records.write(path, replace(Progress(), epoch=7))
    assert records.read(path).epoch == 7
    assert [entry.name for entry in folder.iterdir()] == [path.name]
