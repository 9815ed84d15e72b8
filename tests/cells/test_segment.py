"""The segment: cells found by name, seen from outside, and nothing left of a killed life."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmd.cells.layouts import (
    BOOK,
    DEPTH,
    HEALTH,
    QUOTES,
    BookState,
    BookStatus,
    DepthState,
    HealthState,
    Layout,
    QuoteState,
    StateCell,
    exact,
    from_text,
    split_volume,
)
from mmd.cells.segment import Segment, SegmentFullError
from mmd.cells.wake import Bell, Watch
from mmd.words.errors import Unavailable

FORK = multiprocessing.get_context("fork")


def test_an_outsider_finds_every_cell_by_name_and_can_not_write(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    try:
        book = segment.add(BOOK, "btcusdt")
        segment.add(HEALTH, "feeds:btcusdt")
        book.write(BookState(status=BookStatus.VALID, bid_price=61837.63))
        seen = Segment.look(tmp_path)
        assert seen.names(BOOK) == ["btcusdt"]
        assert seen.names(HEALTH) == ["feeds:btcusdt"]
        cell = seen.cell(BOOK, "btcusdt")
        assert cell.read().bid_price == 61837.63
        with pytest.raises(TypeError):
            cell.write(BookState())
        seen.close()
    finally:
        segment.remove(tmp_path)
    with pytest.raises(Unavailable):
        Segment.look(tmp_path)


def test_an_outsider_that_exits_does_not_remove_the_segment(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    try:
        segment.add(BOOK, "x").write(BookState(update_id=7))
        look = (
            "import sys; from pathlib import Path; from mmd.cells.segment import Segment;"
            "from mmd.cells.layouts import BOOK;"
            "print(Segment.look(Path(sys.argv[1])).cell(BOOK, 'x').read().update_id)"
        )
        command = [sys.executable, "-c", look, str(tmp_path)]
        for _ in range(2):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert done.stdout == "7\n"
            assert done.stderr == ""
    finally:
        segment.remove(tmp_path)


def test_the_next_life_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from mmd.cells.segment import Segment\n"
        "segment = Segment.create(Path(sys.argv[1]))\n"
        "print(segment.name, flush=True); os.killpg(0, signal.SIGKILL)\n"
    )
    # Its own group, killed as a whole: the resource tracker can't tidy up either.
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    name = done.stdout.strip()
    assert (Path("/dev/shm") / name).exists()
    segment = Segment.create(tmp_path)
    try:
        assert not (Path("/dev/shm") / name).exists()
        assert segment.name != name
    finally:
        segment.remove(tmp_path)


def test_a_cell_added_after_a_fork_is_seen_by_the_older_child(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path)
    ours, theirs = FORK.Pipe()

    def child() -> None:
        theirs.recv()
        theirs.send(segment.cell(BOOK, "late").read().update_id)

    try:
        process = FORK.Process(target=child)
        process.start()
        segment.add(BOOK, "late").write(BookState(update_id=5))
        ours.send("look")
        assert ours.recv() == 5
        process.join()
    finally:
        segment.remove(tmp_path)
        ours.close()
        theirs.close()


def test_a_full_segment_says_so(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path, size=68_000)
    try:
        segment.add(BOOK, "fits")
        with pytest.raises(SegmentFullError):
            segment.add(Layout("huge", "=65536s", tuple, tuple), "does not fit")
    finally:
        segment.remove(tmp_path)


@given(
    text=st.decimals(
        min_value=0, max_value=Decimal("9999999.99999999"), places=8, allow_nan=False
    ).map(lambda number: f"{number:.8f}")
)
def test_a_price_comes_back_with_the_digits_it_came_with(text: str) -> None:
    assert exact(float(text)) == Decimal(text)


@given(volume=st.integers(0, 2**127))
def test_a_cumulative_volume_never_overflows(volume: int) -> None:
    high, low = split_volume(volume)
    assert BookState(volume_high=high, volume_low=low).volume_e8 == volume


levels = st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)), max_size=20).map(tuple)


@given(bids=levels, asks=levels)
def test_depth_comes_back_as_written(
    bids: tuple[tuple[float, float], ...], asks: tuple[tuple[float, float], ...]
) -> None:
    state = DepthState(BookStatus.VALID, 3, 4, bids, asks)
    assert DEPTH.unpack(DEPTH.pack(state)) == state


def test_texts_are_cut_to_their_field_and_come_back() -> None:
    health = HealthState(last_error=from_text("錯誤 " + "x" * 500))
    assert health.error_text.startswith("錯誤 xxx")
    assert QuoteState(note=from_text("stale")).note_text == "stale"
    cell = StateCell(QUOTES, memoryview(bytearray(QUOTES.size)), 0)
    cell.write(QuoteState(note=from_text("y" * 500)))
    assert cell.read().note == b"y" * 192


def test_a_bell_wakes_every_watcher_once_and_rings_coalesce() -> None:
    bell = Bell()
    watches = [Watch(bell), Watch(bell)]
    try:
        assert not watches[0].consume()
        bell.ring()
        bell.ring()
        assert [watch.consume() for watch in watches] == [True, True]
        assert [watch.consume() for watch in watches] == [False, False]
        bell.ring()
        assert watches[1].wait(1.0)
        assert watches[0].consume()
    finally:
        for watch in watches:
            watch.close()
        bell.close()
