"""What each fill was worth: the reference at its time, and 1, 10 and 60 s after it.

A pair keeps the references of the last minutes in memory and the marks in an SQLite file of its
own, beside the account's records. A mark is on disk as soon as it is known, and each horizon that
is still to come is taken up again after a restart; one that fell into a time without a reference
stays unknown. Times are the venue's, in ms since 1970.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from mmd.records.store import connect, connect_to_look, faults
from mmd.words.market import OwnTrade, Pair, Side

HORIZONS_S = (0, 1, 10, 60)
"""0: the fill itself; the others are markouts."""
_LATE_MS = 1_000
"""A reference that came this long after a time may stand for it, if there was none before."""
_STEP_MS = 20
_KEEP_MS = 180_000
_AGAIN_MS, _RETRY_MS = 100, 1_000
_BPS = Decimal(10_000)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS marks (
    trade_no TEXT NOT NULL, order_no TEXT NOT NULL, side INTEGER NOT NULL, price TEXT NOT NULL,
    amount TEXT NOT NULL, time_ms INTEGER NOT NULL,
    known INTEGER NOT NULL,
    after_0 TEXT, after_1 TEXT, after_10 TEXT, after_60 TEXT,
    PRIMARY KEY (trade_no, order_no)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_marks ON marks (known) WHERE known < 4;
"""

Key = tuple[int, str]
"""Trade number and order number."""


def path_of(records: Path, pair: Pair) -> Path:
    """The file of a pair."""
    return records / f"marks-{pair.slug}.sqlite"


@dataclass(frozen=True, slots=True)
class Mark:
    """One fill's references, one for each horizon that is over; None: there was none then."""

    side: Side
    price: Decimal
    amount: Decimal
    references: tuple[Decimal | None, ...]

    def earned(self, horizon: int) -> Decimal | None:
        """Profit against the reference at a horizon (its index), in quote currency, before fees."""
        if horizon >= len(self.references):
            return None
        reference = self.references[horizon]
        if reference is None:
            return None
        gain = reference - self.price if self.side is Side.BUY else self.price - reference
        return gain * self.amount

    def earned_bps(self, horizon: int) -> Decimal | None:
        """The same, in bps of the price paid."""
        earned = self.earned(horizon)
        return None if earned is None else earned / (self.price * self.amount) * _BPS


@dataclass(slots=True)
class Trail:
    """The references of the last minutes."""

    _times: list[int] = field(default_factory=list)
    _values: list[Decimal | None] = field(default_factory=list)

    def note(self, at_ms: int, reference: Decimal | None) -> None:
        """From this time on that is the reference; None: there is none."""
        times, values = self._times, self._values
        if values and values[-1] == reference:
            return
        if times and at_ms - times[-1] < _STEP_MS and values[-1] is not None:
            values[-1] = reference
            return
        times.append(at_ms)
        values.append(reference)
        if at_ms - times[0] > 2 * _KEEP_MS:
            old = max(0, bisect_right(times, at_ms - _KEEP_MS) - 1)
            del times[:old], values[:old]

    def at(self, at_ms: int) -> Decimal | None:
        """The reference at a time; None if there was none."""
        index = bisect_right(self._times, at_ms)
        if index:
            return self._values[index - 1]
        if self._times and self._times[0] - at_ms <= _LATE_MS:
            return self._values[0]
        return None

    @property
    def since_ms(self) -> int | None:
        """The time of the oldest reference that is known."""
        return self._times[0] if self._times else None


@dataclass(slots=True)
class _Open:
    """A fill whose horizons are not all over."""

    key: Key
    time_ms: int
    known: int
    """Horizons that are settled."""

    @property
    def due_ms(self) -> int:
        return self.time_ms + HORIZONS_S[self.known] * 1000


class Markouts:
    """The marks of one pair, written by its worker."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._new: list[OwnTrade] = []
        self._open: list[_Open] = []
        self._due_ms = 0
        self.trail = Trail()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def add(self, trades: Iterable[OwnTrade], now_ms: int) -> None:
        """Takes fills in, known ones too: each is marked once. What is too old for any horizon
        is left out."""
        oldest_ms = now_ms - HORIZONS_S[-1] * 1000 - _KEEP_MS
        self._new += [t for t in trades if not t.is_self and t.time_ms >= oldest_ms]
        if self._new:
            self._due_ms = 0

    def turn(self, now_ms: int) -> None:
        """Marks what is due. Cheap when nothing is. Raises Unavailable when the disk does not
        take it now: then it is tried again later."""
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + _RETRY_MS
        connection = self._opened()
        with faults():
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                added = [_insert(connection, trade) for trade in self._new]
                still = [
                    moved
                    for entry in (*self._open, *filter(None, added))
                    if (moved := self._advance(connection, entry, now_ms)) is not None
                ]
        self._open, self._new = still, []
        if self._open:
            self._due_ms = min(self._due_ms, max(now_ms + _AGAIN_MS, self._next_ms()))
        else:
            self._due_ms = 1 << 62

    def _next_ms(self) -> int:
        return min(entry.due_ms for entry in self._open)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = connect(self._path, _SCHEMA)
            with faults():
                rows = connection.execute(
                    "SELECT trade_no, order_no, time_ms, known FROM marks WHERE known < 4"
                ).fetchall()
            self._open = [_Open((int(trade), order), ms, known) for trade, order, ms, known in rows]
            self._connection = connection
        return self._connection

    def _advance(self, connection: sqlite3.Connection, entry: _Open, now_ms: int) -> _Open | None:
        """Settles the horizons that are over; None once all are."""
        known = entry.known
        values = []
        while known < len(HORIZONS_S):
            due_ms = entry.time_ms + HORIZONS_S[known] * 1000
            if now_ms < due_ms or not self._is_told(due_ms, now_ms):
                break
            reference = self.trail.at(due_ms)
            values.append(None if reference is None else str(reference))
            known += 1
        if values:
            names = ", ".join(
                f"after_{HORIZONS_S[entry.known + i]} = ?" for i in range(len(values))
            )
            connection.execute(
                f"UPDATE marks SET known = ?, {names} WHERE trade_no = ? AND order_no = ?",
                (known, *values, str(entry.key[0]), entry.key[1]),
            )
        if known == len(HORIZONS_S):
            return None
        return _Open(entry.key, entry.time_ms, known)

    def _is_told(self, due_ms: int, now_ms: int) -> bool:
        """Whether nothing more is to be learnt of the reference at a time: shortly after a start
        there may be none yet."""
        since_ms = self.trail.since_ms
        return (since_ms is not None and since_ms <= due_ms) or now_ms - due_ms > _LATE_MS


def _insert(connection: sqlite3.Connection, trade: OwnTrade) -> _Open | None:
    """Enters a fill; None if it is known."""
    done = connection.execute(
        "INSERT OR IGNORE INTO marks VALUES (?,?,?,?,?,?,0,NULL,NULL,NULL,NULL)",
        (
            str(trade.trade_no),
            trade.order_no,
            int(trade.side),
            str(trade.price),
            str(trade.amount),
            trade.time_ms,
        ),
    )
    if done.rowcount != 1:
        return None
    return _Open((trade.trade_no, trade.order_no), trade.time_ms, 0)


def read(path: Path) -> dict[Key, Mark]:
    """All marks of a pair, by trade number and order number; none where none were made.

    Raises Unavailable when they can't be read now.
    """
    if not path.exists():
        return {}
    connection = connect_to_look(path)
    try:
        with faults():
            rows = connection.execute("SELECT * FROM marks").fetchall()
    finally:
        connection.close()
    return {(int(row[0]), row[1]): _mark(row) for row in rows}


def _mark(row: tuple[str, str, int, str, str, int, int, *tuple[str | None, ...]]) -> Mark:
    _, _, side, price, amount, _, known, *texts = row
    references = tuple(None if text is None else Decimal(text) for text in texts[:known])
    return Mark(Side(side), Decimal(price), Decimal(amount), references)
