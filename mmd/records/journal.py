"""The journal of one pair: every decision with its inputs, every request and reply, every fill.

Lines of JSON in gzip files, `records/journal/btc_twd/2026-03-01_<run>_<part>.jsonl.gz`, a new one
each day (UTC), each run, and when one has grown large; the oldest go when all together pass their
bound. Each file begins with a checkpoint of the quoter and the ledger, so that it can be replayed
by itself: `mmd.records.replay` makes the very same decisions from it, byte for byte.

Notes are kept in memory as they are and written by the timer, so that a decision waits for no
disk. What a kill takes with it is the last quarter of a second; fills have records of their own.
Secrets never come here: a call is noted before it is signed.
"""

from __future__ import annotations

import base64
import logging
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import mmd
from mmd.cells.layouts import BookState
from mmd.config.model import JournalSettings
from mmd.decide.guard import Refused
from mmd.decide.plan import Action
from mmd.records import journal_rows as rows
from mmd.records.journal_rows import Before, Decision, Row
from mmd.venues.ace.protocol import Call
from mmd.words.market import OwnTrade, Pair

log = logging.getLogger("mmaker")

VERSION = 2
SUFFIX = ".jsonl.gz"
_FLUSH_NS = 250_000_000
_MOST_NOTES = 2_000
"""So many are written although it is not time yet."""
_RETRY_NS = 10_000_000_000
_PARTS = 8
"""A file is full at this part of the bound on all."""

_reason: ContextVar[str] = ContextVar("reason", default="")


class because:
    """Requests made within, and by tasks begun within, are noted with this reason."""

    __slots__ = ("_reason", "_token")

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __enter__(self) -> None:
        self._token = _reason.set(self._reason)

    def __exit__(self, *_: object) -> None:
        _reason.reset(self._token)


def folder_of(records: Path, pair: Pair) -> Path:
    """Where a pair's journal lies."""
    return records / "journal" / pair.slug


@dataclass(frozen=True)
class Clocks:
    """What time it is."""

    monotonic_ns: Callable[[], int]
    wall_ms: Callable[[], int]


Note = tuple[int, int, str, tuple[Any, ...]]
"""Number, monotonic ns, kind, and the contents as they were: they do not change later."""


class Journal:
    """Takes notes, and writes them when there is time."""

    def __init__(
        self,
        folder: Path,
        settings: JournalSettings,
        clocks: Clocks,
    ) -> None:
        self._folder, self._settings, self._clocks = folder, settings, clocks
        self._checkpoint: Callable[[], bytes] = bytes
        self._run_ms = clocks.wall_ms()
        self._notes: list[Note] = []
        self._next = self._part = self._size = 0
        self._written_ns = self._retry_ns = 0
        self._day = date.min
        self._file: BinaryIO | None = None
        self._gzip = zlib.compressobj(1, wbits=31)
        self._before = Before()
        self.lost = 0
        """Notes that the disk did not take."""

    @property
    def max_bytes(self) -> int:
        return self._settings.max_mb << 20

    def note(self, kind: str, *content: Any) -> int:
        """Takes a note; returns its number."""
        number = self._next
        self._next = number + 1
        self._notes.append((number, self._clocks.monotonic_ns(), kind, content))
        return number

    def decided(self, decision: Decision, actions: Sequence[Action]) -> None:
        """All that went into a decision, and what came out."""
        self.note("decide", decision, tuple(actions))

    def asked(self, call: Call[Any]) -> int:
        """A request is about to be made."""
        return self.note("ask", call.kind, call.params, _reason.get())

    def answered(self, number: int, outcome: object) -> None:
        """What the request with that number ended with: its answer or its error."""
        self.note("answer", number, outcome)

    def refused(self, refusals: Sequence[Refused]) -> None:
        """Orders that the guard kept back."""
        for refusal in refusals:
            self.note("refuse", refusal)

    def filled(self, trades: Sequence[OwnTrade]) -> None:
        """Fills as the account process recorded them."""
        for trade in trades:
            self.note("trade", trade)

    # What is written.

    def begin(self, checkpoint: Callable[[], bytes]) -> None:
        """Opens the first file. `checkpoint`: what the state is, after all that was noted."""
        self._checkpoint = checkpoint
        self._notes.clear()
        self._attempt([])

    def flush(self) -> None:
        """Writes what is due. A disk that takes nothing costs the notes, never the pair."""
        now_ns = self._clocks.monotonic_ns()
        is_due = now_ns - self._written_ns >= _FLUSH_NS or len(self._notes) >= _MOST_NOTES
        if not self._notes or not is_due:
            return
        self._written_ns = now_ns
        notes, self._notes = self._notes, []
        if now_ns >= self._retry_ns:
            self._attempt(notes)
        else:
            self.lost += len(notes)

    def close(self) -> None:
        """Writes the rest."""
        notes, self._notes = self._notes, []
        if self._file is not None:
            self._attempt(notes)
        self._finish()

    def _attempt(self, notes: list[Note]) -> None:
        try:
            self._write(notes)
        except OSError as error:
            log.error("the journal can't be written, %d notes are lost: %s", len(notes), error)
            self.lost += len(notes)
            self._retry_ns = self._clocks.monotonic_ns() + _RETRY_NS
            self._finish()

    def _write(self, notes: list[Note]) -> None:
        if self._file is None:
            self._open()
            self.lost += len(notes)  # the checkpoint has seen them already
            return
        self._put([self._row(note) for note in notes])
        if self._today() != self._day or self._size > self.max_bytes // _PARTS:
            self._open()

    def _open(self) -> None:
        self._finish()
        self._day, self._size = self._today(), 0
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_old(self._folder, self._day, self._settings.keep_days, self.max_bytes)
        name = f"{self._day.isoformat()}_{self._run_ms}_{self._part:05}{SUFFIX}"
        self._part += 1
        self._gzip = zlib.compressobj(1, wbits=31)
        self._before = Before()
        self._file = (self._folder / name).open("xb")
        self._put([self._heading()])

    def _put(self, lines: list[Row]) -> None:
        assert self._file is not None
        text = b"".join(rows.to_bytes(line) + b"\n" for line in lines)
        piece = self._gzip.compress(text) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        self._size += len(piece)
        self._file.write(piece)
        self._file.flush()

    def _finish(self) -> None:
        if self._file is None:
            return
        with suppress(OSError), self._file:
            self._file.write(self._gzip.flush(zlib.Z_FINISH))
        self._file = None

    def _today(self) -> date:
        return datetime.fromtimestamp(self._clocks.wall_ms() / 1000, UTC).date()

    def _heading(self) -> Row:
        return {
            "n": self._next,
            "t": self._clocks.monotonic_ns(),
            "k": "begin",
            "wall_ms": self._clocks.wall_ms(),
            "version": VERSION,
            "program": mmd.__version__,
            "run_ms": self._run_ms,
            "book": BookState._fields,
            "checkpoint": base64.b64encode(self._checkpoint()).decode(),
        }

    def _row(self, note: Note) -> Row:
        number, at_ns, kind, content = note
        line: Row = {"n": number, "t": at_ns, "k": kind}
        if kind == "decide":
            decision, actions = content
            line |= rows.decision_row(decision, rows.action_rows(actions), self._before)
        else:
            line |= _ROWS[kind](*content)
        return line


def _text_row(text: str) -> Row:
    return {"text": text}


def _use_row(quote: str, price_ns: int, rate_ns: int) -> Row:
    return {"quote": quote, "price_ns": price_ns, "rate_ns": rate_ns}


def _draw_row() -> Row:
    return {}


_ROWS: dict[str, Callable[..., Row]] = {
    "draw": _draw_row,
    "use": _use_row,
    "want": rows.want_row,
    "adopt": rows.adopt_row,
    "event": rows.event_row,
    "fill": rows.fill_row,
    "ask": rows.ask_row,
    "answer": rows.answer_row,
    "refuse": rows.refused_row,
    "trade": rows.trade_row,
    "text": _text_row,
}


def remove_old(folder: Path, today: date, keep_days: int, max_bytes: int) -> None:
    """Makes room for one more file: removes what is old, then the oldest of what is too much."""
    oldest = (today - timedelta(days=keep_days)).isoformat()
    kept = []
    for path in sorted(folder.glob(f"????-??-??_*{SUFFIX}")):
        if path.name[:10] < oldest:
            path.unlink(missing_ok=True)
        else:
            kept.append((path, path.stat().st_size))
    room = max_bytes - 2 * (max_bytes // _PARTS)
    total = sum(size for _, size in kept)
    for path, size in kept:
        if total <= room:
            return
        path.unlink(missing_ok=True)
        total -= size
