"""When the kill switch is thrown, and what of it is on disk."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from mmd.config.risk import KillLevel, KillSettings
from mmd.decide.killswitch import KillSwitch, Tally, Thrown
from mmd.records import killed
from mmd.words.errors import Unavailable

D = Decimal


def switch(**settings: object) -> KillSwitch:
    return KillSwitch(KillSettings(**settings), "TWD")  # type: ignore[arg-type]


def test_a_loss_counts_from_the_highest_profit() -> None:
    watch = switch(max_loss="100", on_loss="stop")
    profits = [D(-50), D(10), D(-89), D(40), D(-59), D("-60")]
    found = [watch.look(profit, 0, 0) for profit in profits]
    assert found[:5] == [None] * 5
    assert found[5] is not None
    assert found[5].level is KillLevel.STOP
    assert "100 TWD" in found[5].reason


def test_without_a_price_no_loss_is_seen_and_the_peak_stays() -> None:
    watch = switch(max_loss="100")
    assert [watch.look(profit, 0, 0) for profit in (D(50), None, D(-49))] == [None] * 3
    assert watch.look(D(-50), 0, 0) is not None


def test_losing_fills_in_a_row_throw_it_and_are_forgiven_once() -> None:
    watch = switch(max_losing_fills=3, on_losing_fills="cancel")
    assert watch.look(None, 2, 0) is None
    thrown = watch.look(None, 3, 0)
    assert thrown is not None
    assert thrown.level is KillLevel.CANCEL
    watch.reset(3)
    assert watch.look(None, 5, 0) is None
    assert watch.look(None, 6, 0) is not None
    watch.reset(6)
    assert watch.look(None, 0, 0) is None  # a profit ended the row
    assert watch.look(None, 3, 0) is not None


def test_orders_refused_in_a_row_throw_it() -> None:
    watch = switch(max_refused=5)
    assert watch.look(None, 0, 4) is None
    assert watch.look(None, 0, 5) == Thrown(KillLevel.PAUSE, "5 orders in a row were refused")


def test_of_several_reasons_the_gravest_counts() -> None:
    watch = switch(max_loss="1", on_loss="cancel", max_refused=1, on_refused="stop")
    watch.look(D(10), 0, 0)
    thrown = watch.look(D(0), 0, 1)
    assert thrown is not None
    assert thrown.level is KillLevel.STOP


def test_what_is_not_limited_never_throws_it() -> None:
    watch = switch(max_refused=None)
    watch.look(D(10**12), 0, 0)
    assert watch.look(D(-(10**12)), 10**6, 10**6) is None


def test_resuming_begins_a_new_peak() -> None:
    watch = switch(max_loss="100")
    watch.look(D(1000), 0, 0)
    assert watch.look(D(0), 0, 0) is not None
    watch.reset(0)
    assert [watch.look(D(profit), 0, 0) for profit in (0, -99)] == [None, None]
    assert watch.look(D(-100), 0, 0) is not None


def test_the_latch_stays_until_it_is_cleared(tmp_path: Path) -> None:
    latch = killed.latch_of(tmp_path / "records", "btc_twd")
    assert killed.read(latch) is None
    thrown = Thrown(KillLevel.STOP, "lost too much")
    killed.throw(latch, thrown, 1)
    assert killed.read(latch) == thrown
    assert [file.name for file in latch.parent.iterdir()] == [latch.name]
    assert killed.clear(latch)
    assert killed.read(latch) is None
    assert not killed.clear(latch)


@pytest.mark.parametrize("content", [b"", b"{", b'{"level": "off"}', b"[]", b"\xff"])
def test_a_damaged_latch_counts_as_thrown(tmp_path: Path, content: bytes) -> None:
    latch = killed.latch_of(tmp_path, "btc_twd")
    latch.write_bytes(content)
    thrown = killed.read(latch)
    assert thrown is not None
    assert thrown.level is KillLevel.CANCEL


def test_the_tally_survives_on_disk(tmp_path: Path) -> None:
    path = killed.tally_of(tmp_path, killed.ALL)
    assert killed.read_tally(path) == Tally()
    for tally in (Tally(D("12.5"), 3), Tally(None, 0)):
        killed.write_tally(path, tally)
        assert killed.read_tally(path) == tally
    path.write_text("{")
    assert killed.read_tally(path) == Tally()


def test_a_disk_that_takes_nothing_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("a file in the way")
    with pytest.raises(Unavailable):
        killed.throw(killed.latch_of(tmp_path / "records", "x"), Thrown(KillLevel.STOP, ""), 1)
