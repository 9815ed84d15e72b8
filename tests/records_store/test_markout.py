"""What each fill was worth against the reference: at its time and after it, across any crash."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from mmd.records.markout import Mark, Markouts, Trail, path_of, read
from mmd.words.errors import Unavailable
from mmd.words.market import OwnTrade, Pair, Side

BTC = Pair("BTC", "TWD")
START_MS = 1_800_000_000_000


def trade(number: int, time_ms: int, side: Side = Side.BUY, is_self: bool = False) -> OwnTrade:
    price, amount = Decimal(100), Decimal("0.5")
    fee = Decimal(0)
    return OwnTrade(number, f"o{number}", "", BTC, side, price, amount, fee, True, is_self, time_ms)


def reference(at_ms: int) -> Decimal:
    """The course of the reference: up by one each second."""
    return Decimal(100 + (at_ms - START_MS) // 1000)


def play(
    marks: Markouts, from_ms: int, to_ms: int, fills: dict[int, OwnTrade], step_ms: int = 50
) -> None:
    """Lets a pair run: it notes the reference, hears of fills, and marks what is due."""
    for now_ms in range(from_ms, to_ms, step_ms):
        marks.trail.note(now_ms, reference(now_ms))
        heard = [fill for at_ms, fill in fills.items() if now_ms <= at_ms < now_ms + step_ms]
        marks.add(heard, now_ms)
        marks.turn(now_ms)


def test_a_fill_is_marked_at_its_time_and_one_ten_and_sixty_seconds_after(tmp_path: Path) -> None:
    marks = Markouts(tmp_path / "marks.sqlite")
    fill = trade(1, START_MS + 2_500)
    play(marks, START_MS, START_MS + 70_000, {START_MS + 3_700: fill})  # heard of 1.2 s late
    marks.close()
    mark = read(tmp_path / "marks.sqlite")[1, "o1"]
    assert mark.references == (102, 103, 112, 162)
    assert [mark.earned(horizon) for horizon in range(4)] == [1, Decimal("1.5"), 6, 31]
    assert mark.earned_bps(0) == 200


def test_a_sale_earns_when_the_reference_falls() -> None:
    mark = Mark(Side.SELL, Decimal(100), Decimal(2), (Decimal(99), Decimal(103), None))
    assert [mark.earned(horizon) for horizon in range(4)] == [2, -6, None, None]


def test_horizons_come_as_their_time_comes(tmp_path: Path) -> None:
    path = tmp_path / "marks.sqlite"
    marks = Markouts(path)
    fills = {START_MS: trade(1, START_MS)}
    known = []
    for second in (1, 2, 11, 61):
        play(marks, START_MS, START_MS + second * 1000, fills)
        known.append(len(read(path)[1, "o1"].references))
    assert known == [1, 2, 3, 4]
    marks.close()


def test_every_fill_is_marked_once_though_heard_of_again(tmp_path: Path) -> None:
    path = tmp_path / "marks.sqlite"
    fill = trade(1, START_MS)
    for life in range(3):
        marks = Markouts(path)
        begin = START_MS + life * 30_000
        play(marks, begin, begin + 30_000, {begin + 100: fill})
        marks.close()
    assert read(path)[1, "o1"].references == (100, 101, 110, 160)


def test_what_falls_into_a_time_without_reference_stays_unknown(tmp_path: Path) -> None:
    path = tmp_path / "marks.sqlite"
    marks = Markouts(path)
    play(marks, START_MS, START_MS + 2_000, {START_MS: trade(1, START_MS)})
    marks.close()
    marks = Markouts(path)  # away from 2 s to 20 s: the horizon of 10 s is lost, 60 s is not
    play(marks, START_MS + 20_000, START_MS + 70_000, {})
    marks.trail.note(START_MS + 70_000, None)
    marks.add([trade(2, START_MS + 71_000)], START_MS + 71_000)
    marks.turn(START_MS + 140_000)
    marks.close()
    found = read(path)
    assert found[1, "o1"].references == (100, 101, None, 160)
    assert found[2, "o2"].references == (None,) * 4


def test_a_fill_shortly_before_a_start_takes_the_first_reference(tmp_path: Path) -> None:
    path = tmp_path / "marks.sqlite"
    marks = Markouts(path)
    marks.add([trade(1, START_MS), trade(2, START_MS - 2_000)], START_MS + 300)
    marks.turn(START_MS + 300)
    assert read(path)[1, "o1"].references == ()
    play(marks, START_MS + 500, START_MS + 5_000, {})
    marks.close()
    assert read(path)[1, "o1"].references == (100, 101)
    assert read(path)[2, "o2"].references == (None, None)


def test_self_matches_and_old_fills_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "marks.sqlite"
    marks = Markouts(path)
    fills = [trade(1, START_MS, is_self=True), trade(2, START_MS - 10**7)]
    marks.add(fills, START_MS)
    marks.turn(START_MS)
    marks.close()
    assert read(path) == {}
    assert read(tmp_path / "none.sqlite") == {}


@pytest.mark.parametrize("seed", range(20))
def test_no_mark_is_lost_or_wrong_whatever_moment_the_worker_dies_at(
    seed: int, tmp_path: Path
) -> None:
    """The references at the fills' times are known, since a new life begins at once."""
    random = Random(seed)
    path = tmp_path / "marks.sqlite"
    end_ms = START_MS + 100_000
    fills = {}
    for number in range(30):
        time_ms = START_MS + random.randrange(30_000)
        fills[time_ms + random.randrange(800)] = trade(number, time_ms)
    now_ms = START_MS
    while now_ms < end_ms:
        marks = Markouts(path)
        until_ms = min(end_ms, now_ms + random.randrange(50, 20_000))
        heard = [fill for at_ms, fill in fills.items() if at_ms <= now_ms]
        marks.add(heard, now_ms)  # a new life hears of all fills again
        play(marks, now_ms, until_ms, fills)
        marks.close()
        now_ms = until_ms
    found = read(path)
    assert len(found) == len(fills)
    for fill in fills.values():
        references = found[fill.trade_no, fill.order_no].references
        assert len(references) == 4
        for horizon, value in zip((0, 1, 10, 60), references, strict=True):
            at_ms = fill.time_ms + horizon * 1000
            # Known, or of the first look of the next life, which is within a second.
            assert value is not None
            assert abs(value - reference(at_ms)) <= 1


def test_a_disk_that_is_full_delays_the_marks_and_loses_none(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    folder.write_text("a file in the way")
    marks = Markouts(path_of(folder, BTC))
    marks.trail.note(START_MS, Decimal(100))
    marks.add([trade(1, START_MS)], START_MS)
    with pytest.raises(Unavailable):
        marks.turn(START_MS)
    folder.unlink()
    marks.turn(START_MS + 500)  # not yet due again
    assert not folder.exists()
    marks.turn(START_MS + 1_000)
    marks.close()
    assert read(path_of(folder, BTC))[1, "o1"].references == (100, 100)


def test_the_trail_forgets_what_nobody_asks_for_any_more() -> None:
    trail = Trail()
    for second in range(2_000):
        trail.note(START_MS + second * 1000, Decimal(second))
    assert trail.since_ms is not None
    assert trail.since_ms >= START_MS + 1_600_000
    assert trail.at(START_MS + 1_900_500) == 1900
