"""Logs: one file per day and pair, changed at midnight of the configured zone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mmd.records import logs

TAIPEI = ZoneInfo("Asia/Taipei")


class Clock:
    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("test-logs")
    made.propagate = False
    yield made
    for handler in made.handlers[:]:
        made.removeHandler(handler)
        handler.close()


def test_the_file_changes_at_midnight_of_the_zone(tmp_path: Path, logger: logging.Logger) -> None:
    clock = Clock(datetime(2026, 3, 1, 15, 59, 59, tzinfo=UTC))  # 23:59:59 in Taipei
    handler = logs.DailyFileHandler(tmp_path, "BTC_TWD/mmaker.log", TAIPEI, 30, clock)
    logger.addHandler(handler)
    logger.warning("before")
    clock.now += timedelta(seconds=1)
    logger.warning("after")
    assert (tmp_path / "2026-03-01/BTC_TWD/mmaker.log").read_text() == "before\n"
    assert (tmp_path / "2026-03-02/BTC_TWD/mmaker.log").read_text() == "after\n"


def test_lines_carry_the_time_in_the_zone_and_go_to_the_console_too(
    tmp_path: Path, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(tmp_path, "mmd.log", TAIPEI, 30, console=True, logger="test-logs")
    logger.info("hello")
    [path] = tmp_path.glob("*/mmd.log")
    line = path.read_text()
    assert "+08:00 INFO" in line
    assert capsys.readouterr().err == line


def test_setting_up_again_replaces_what_a_parent_had(
    tmp_path: Path, logger: logging.Logger
) -> None:
    for name in ("parent.log", "child.log"):
        logs.set_up(tmp_path, name, TAIPEI, 30, logger="test-logs")
    logger.info("from the child")
    assert [path.name for path in tmp_path.glob("*/*.log")] == ["child.log"]


def test_old_days_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("2026-01-01", "2026-01-30", "2026-02-01", "supervisord", "2026-99-99"):
        (tmp_path / name).mkdir()
    clock = Clock(datetime(2026, 2, 1, tzinfo=UTC))
    handler = logs.DailyFileHandler(tmp_path, "mmd.log", TAIPEI, 2, clock)
    handler.handle(logging.makeLogRecord({"msg": "a new day"}))
    handler.close()
    assert {path.name for path in tmp_path.iterdir()} == {
        "2026-01-30", "2026-02-01", "supervisord", "2026-99-99"
    }  # fmt: skip


def test_lines_held_back_come_in_their_order_and_at_once_with_a_warning(
    tmp_path: Path, logger: logging.Logger
) -> None:
    path = tmp_path / "log"
    logger.addHandler(logging.FileHandler(path))
    child = logger.getChild("child")
    child.setLevel(logging.INFO)
    held = logs.HeldBack(child)
    child.info("one")
    assert path.read_text() == ""
    child.warning("two")
    assert path.read_text() == "one\ntwo\n"
    child.info("three")
    held.close()
    child.info("four")
    assert path.read_text() == "one\ntwo\nthree\nfour\n"
