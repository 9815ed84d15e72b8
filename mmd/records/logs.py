"""Logs per day and pair: `var/log/YYYY-MM-DD/BTC_TWD/mmaker.log`, rolling at midnight in the
configured time zone; to the console too where there is one.

A process that is no pair logs into the day's own folder: `var/log/YYYY-MM-DD/feed-btcusdt.log`.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class DailyFileHandler(logging.Handler):
    """Appends to `<root>/<day>/<name>`, opening the next day's file at midnight.

    With each new day it removes the folders of days more than `keep_days` ago.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        zone: ZoneInfo,
        keep_days: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__()
        self._root, self._name, self._zone, self._now = root, name, zone, now
        self._keep_days = keep_days
        self._day: date | None = None
        self._stream: logging.FileHandler | None = None

    @property
    def path(self) -> Path:
        """The file that a record of this moment goes to."""
        day = self._now().astimezone(self._zone).date()
        return self._root / day.isoformat() / self._name

    def emit(self, record: logging.LogRecord) -> None:
        self._file().handle(record)

    def _file(self) -> logging.FileHandler:
        day = self._now().astimezone(self._zone).date()
        if self._stream is None or day != self._day:
            self._open(day)
        assert self._stream is not None
        return self._stream

    def _open(self, day: date) -> None:
        if self._stream is not None:
            self._stream.close()
        path = self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = logging.FileHandler(path, encoding="utf-8")
        self._stream.setFormatter(self.formatter)
        self._day = day
        remove_old(self._root, day, self._keep_days)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        super().close()


class HeldBack(logging.Handler):
    """Keeps a logger's records until they are let go, so that what is urgent goes before the
    writing. A warning or worse lets all go at once. `close` brings back the former state."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger, self._records = logger, list[logging.LogRecord]()
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)
        if record.levelno >= logging.WARNING:
            self.let_go()

    def let_go(self) -> None:
        """Gives the records to whoever would have had them at once."""
        records, self._records = self._records, []
        parent = self._logger.parent
        assert parent is not None
        for record in records:
            parent.handle(record)

    def close(self) -> None:
        self.let_go()
        self._logger.removeHandler(self)
        self._logger.propagate = True
        super().close()


class ZonedFormatter(logging.Formatter):
    """Times in the configured zone, to the millisecond, with their offset."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__(_FORMAT)
        self._zone = zone

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = datetime.fromtimestamp(record.created, self._zone)
        return moment.isoformat(sep=" ", timespec="milliseconds")


def set_up(
    root: Path,
    name: str,
    zone: ZoneInfo,
    keep_days: int,
    console: bool = False,
    logger: str = "",
) -> logging.Logger:
    """Sends a logger's records (all records by default) to a day file, and to the console.

    Replaces what was set up before, so that a forked child does not write its parent's log.
    """
    target = logging.getLogger(logger)
    for old in target.handlers[:]:
        target.removeHandler(old)
        old.close()
    formatter = ZonedFormatter(zone)
    handlers: list[logging.Handler] = [DailyFileHandler(root, name, zone, keep_days)]
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(formatter)
        target.addHandler(handler)
    target.setLevel(logging.INFO)
    return target


def remove_old(root: Path, today: date, keep_days: int) -> list[Path]:
    """Removes day folders older than `keep_days` days; other names are left alone."""
    removed = []
    for folder in sorted(root.glob("????-??-??")):
        try:
            day = date.fromisoformat(folder.name)
        except ValueError:
            continue
        if (today - day).days > keep_days:
            shutil.rmtree(folder, ignore_errors=True)  # several processes do it at once
            removed.append(folder)
    return removed
