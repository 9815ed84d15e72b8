"""Alerts on disk: what a person should hear of, kept until somebody has told it.

Any process appends a line; nobody waits for a reader. Each day has its file, one line of JSON for
each alert. A line goes out in one write that begins and ends with a line feed: so a line that a
power cut tore spoils no other, and writers don't mix.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

FOLDER = "alerts"
_MOST_TEXT = 600
_PIECE_BYTES = 1 << 20


class Kind(Enum):
    """What an alert is about."""

    START = "start"
    STOP = "stop"
    PARKED = "parked"
    STALL = "stall"
    RESTART = "restart"
    OVERFLOW = "overflow"
    NOT_READY = "not ready"
    KILL_SWITCH = "kill switch"
    STALE_PRICE = "stale price"
    BALANCE_LOW = "balance low"
    DIFFERENCE = "reconciliation difference"
    ORDERS_LEFT = "orders left"
    OTHER_MMD = "another mmd"
    DISK_FULL = "disk full"
    RELOAD = "reload refused"
    TEST = "test"

    @property
    def lasts(self) -> bool:
        """It is a trouble that goes on until its end is told, not a thing that happened."""
        return self in _LASTING


_LASTING = frozenset(
    {
        Kind.PARKED,
        Kind.STALL,
        Kind.RESTART,
        Kind.OVERFLOW,
        Kind.NOT_READY,
        Kind.KILL_SWITCH,
        Kind.STALE_PRICE,
        Kind.BALANCE_LOW,
        Kind.ORDERS_LEFT,
        Kind.DISK_FULL,
    }
)


@dataclass(frozen=True)
class Alert:
    """One thing to tell."""

    kind: Kind
    subject: str
    """Whom it concerns: a child's name, a currency, or `mmd`."""
    text: str
    wall_ms: int
    """When, in ms since 1970."""
    is_recovery: bool = False
    """The trouble is over."""

    @property
    def key(self) -> tuple[Kind, str]:
        """Alerts with the same key are about the same trouble."""
        return self.kind, self.subject


@dataclass(frozen=True, order=True)
class Place:
    """Where a reader stands: all before it has been read."""

    file: str = ""
    offset: int = 0


class Spool:
    """The alerts of one installation."""

    def __init__(self, records: Path, wall_s: Callable[[], float] = time.time) -> None:
        """`records`: the folder `var/records`."""
        self._folder = records / FOLDER
        self._wall_s = wall_s

    @classmethod
    def of_home(cls, home: Path) -> Spool:
        """The spool of a run-time folder, as a child knows it."""
        return cls(home / "records")

    @property
    def folder(self) -> Path:
        return self._folder

    def put(self, kind: Kind, subject: str, text: str, *, is_recovery: bool = False) -> bool:
        """Appends an alert; False when the disk does not take it. Never raises, never waits."""
        wall_s = self._wall_s()
        alert = Alert(kind, subject, text[:_MOST_TEXT], int(wall_s * 1000), is_recovery)
        line = json.dumps({**asdict(alert), "kind": kind.value}, ensure_ascii=False)
        day = datetime.fromtimestamp(wall_s, UTC).date().isoformat()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(
                self._folder / f"{day}.jsonl",
                os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
                0o600,
            )
            try:
                os.write(fd, f"\n{line}\n".encode())
            finally:
                os.close(fd)
        except OSError:
            return False
        return True

    def read(self, place: Place) -> tuple[list[Alert], Place]:
        """What was appended since, up to 1 MB of it, and the place after it."""
        for path in self._files():
            if path.name < place.file:
                continue
            start = place.offset if path.name == place.file else 0
            alerts, end = _read(path, start)
            if end > start:
                return alerts, Place(path.name, end)
        return [], place

    def read_all(self, place: Place = Place()) -> tuple[list[Alert], Place]:
        """Everything since; the place is the end of all."""
        found: list[Alert] = []
        while True:
            alerts, after = self.read(place)
            if after == place:
                return found, place
            found, place = found + alerts, after

    def remove_old(self, keep_days: int) -> None:
        """Removes the files of days that are more than so many days ago."""
        oldest = datetime.fromtimestamp(self._wall_s() - keep_days * 86_400, UTC)
        for path in self._files():
            if path.stem < oldest.date().isoformat():
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("????-??-??.jsonl"))


def open_troubles(alerts: Iterable[Alert]) -> dict[tuple[Kind, str], Alert]:
    """The lasting troubles that these alerts, oldest first, leave open."""
    found: dict[tuple[Kind, str], Alert] = {}
    for alert in alerts:
        if alert.is_recovery:
            found.pop(alert.key, None)
        elif alert.kind.lasts:
            found.setdefault(alert.key, alert)
    return found


def _read(path: Path, start: int) -> tuple[list[Alert], int]:
    """Whole lines only; what makes no sense is skipped."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            piece = file.read(_PIECE_BYTES)
    except FileNotFoundError:
        return [], start
    whole = piece[: piece.rfind(b"\n") + 1]
    alerts = [alert for line in whole.splitlines() if (alert := _parse(line))]
    return alerts, start + len(whole)


def _parse(line: bytes) -> Alert | None:
    try:
        fields = json.loads(line)
        return Alert(**{**fields, "kind": Kind(fields["kind"])})
    except (ValueError, TypeError, KeyError):
        return None
