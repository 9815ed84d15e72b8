"""`mmd logs`: in the order of time, of one or of all, with traces whole, and on as they come."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from mmd.faces import logs_view
from mmd.faces.logs_view import NoLogs, latest, show

ZONE = ZoneInfo("Asia/Taipei")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = "2026-03-01"


def _line(second: int, text: str) -> str:
    return f"2026-03-01 20:00:{second:02}.000+08:00 INFO    x: {text}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    day = tmp_path / DAY
    (day / "BTC_TWD").mkdir(parents=True)
    (day / "BTC_TWD" / "mmaker.log").write_text(_line(1, "one") + _line(3, "three"))
    trace = "Traceback (most recent call last):\n  ValueError: x\n"
    (day / "feed-btcusdt.log").write_text(_line(2, "two") + trace + _line(4, "four"))
    (day / "mmd.log").write_text(_line(5, "five"))
    return tmp_path


def test_all_logs_are_merged_by_time_and_traces_stay_whole(root: Path) -> None:
    entries = latest(root, 10)
    assert [entry.text.split(": ")[1].split("\n")[0] for entry in entries] == [
        "one",
        "two",
        "three",
        "four",
        "five",
    ]
    assert entries[1].text.endswith("ValueError: x")


def test_only_the_last_are_shown(root: Path) -> None:
    assert [entry.name for entry in latest(root, 2)] == ["feed-btcusdt", "mmd"]


@pytest.mark.parametrize(
    ("name", "logs"),
    [
        ("btc_twd", {"BTC_TWD/mmaker"}),
        ("BTC/TWD", {"BTC_TWD/mmaker"}),
        ("pairs:btc_twd", {"BTC_TWD/mmaker"}),
        ("feeds:btcusdt", {"feed-btcusdt"}),
        ("btcusdt", {"feed-btcusdt"}),
        ("mmd", {"mmd"}),
        ("eth_twd", set()),
        ("usdt", set()),
    ],
)
def test_a_name_chooses_its_logs(root: Path, name: str, logs: set[str]) -> None:
    assert {entry.name for entry in latest(root, 10, name)} == logs


def test_the_newest_day_that_has_any_is_shown(root: Path) -> None:
    (root / "2026-03-02").mkdir()
    assert len(latest(root, 10)) == 5
    (root / "2026-03-02" / "mmd.log").write_text(_line(1, "next day"))
    assert len(latest(root, 10)) == 1


def test_an_unknown_name_is_told_what_there_is(root: Path) -> None:
    with pytest.raises(NoLogs, match="feed-btcusdt"):
        show(root, ZONE, Console(file=io.StringIO()), name="eth_twd")


def test_what_is_written_later_follows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    path = root / DAY / "BTC_TWD" / "mmaker.log"

    def nap(_seconds: float) -> None:
        if "later" in shown.getvalue():
            raise KeyboardInterrupt
        with path.open("a") as file:
            file.write(_line(9, "later"))

    monkeypatch.setattr(logs_view.time, "sleep", nap)
    console = Console(file=shown, width=200)
    show(root, ZONE, console, name="btc_twd", follow=True, now=lambda: NOW)
    lines = shown.getvalue().splitlines()
    assert lines[0].startswith("BTC_TWD/mmaker: 2026-03-01 20:00:01")
    assert lines[-1].endswith("later")
    assert not any("two" in line for line in lines)


def test_a_long_log_is_not_read_from_its_beginning(tmp_path: Path) -> None:
    day = tmp_path / DAY
    day.mkdir()
    (day / "mmd.log").write_text(_line(1, "x" * 1000) * 20_000)
    began_s = time.monotonic()
    assert len(latest(tmp_path, 5)) == 5
    assert time.monotonic() - began_s < 1
