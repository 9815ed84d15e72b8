"""Recorded Binance streams as a market.

A file (plain or gzip) has one message a line: local receive time in ns, a space, the combined
JSON as it came. A line without `stream` is a REST depth snapshot. Several files share one clock.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from mmd.sim.binance.events import E8, OPENING, SNAPSHOT, Event, parse_e8, unwrap, wrap
from mmd.sim.binance.lines import read_lines
from mmd.sim.binance.shift import Mover, Shift
from mmd.words.errors import ConfigError

_HEAD_LINES = 5000
_KEEP_BYTES = 8_000_000
"""Files up to this size are held in memory, which plays them three times as fast."""
_JOIN_NS = 10_000_000
"""Pause between the end of a recording and its repetition."""
_CANONICAL = b'{"stream":"'
_STREAM = re.compile(rb'\s*\{\s*"stream"\s*:\s*"([^"]+)"\s*,\s*"data"\s*:')


class RecordingFile:
    """One file of recorded messages."""

    def __init__(self, path: Path) -> None:
        """Reads the file's head. Raises ConfigError when it isn't a recording."""
        self.path = path
        self.start_ns = 0
        self.update_ids: dict[str, int] = {}
        """First order-book id seen of each symbol: tells whose an unlabelled snapshot is."""
        self.snapshots: dict[str, bytes] = {}
        """First snapshot of each symbol."""
        self.streams: set[str] = set()
        self._kept: list[Event] | None = None
        self._read_head()
        if self.path.stat().st_size <= _KEEP_BYTES:
            self._kept = list(self.events())
        if not self.update_ids:
            raise ConfigError(f"{path}: no stream of any symbol in the first {_HEAD_LINES} lines")

    def _read_head(self) -> None:
        snapshots: list[bytes] = []
        for number, (time_ns, stream, payload) in enumerate(self.events()):
            self.start_ns = self.start_ns or time_ns
            if stream.endswith(SNAPSHOT):
                snapshots.append(payload)
            else:
                self.streams.add(stream)
                self._note_symbol(stream.partition("@")[0].upper(), payload)
            if number >= _HEAD_LINES:
                break
        for payload in snapshots:
            self.snapshots.setdefault(self._owner(payload), unwrap(payload))

    def _note_symbol(self, symbol: str, payload: bytes) -> None:
        if symbol.startswith("!") or self.update_ids.get(symbol):
            return
        data = orjson.loads(unwrap(payload))
        self.update_ids[symbol] = data.get("u") or data.get("lastUpdateId") or 0

    def _owner(self, payload: bytes) -> str:
        last_id = orjson.loads(unwrap(payload))["lastUpdateId"]
        return min(self.update_ids, key=lambda symbol: abs(self.update_ids[symbol] - last_id))

    def events(self) -> Iterator[Event]:
        """All messages in the file's order. Raises ConfigError at a line of another form."""
        if self._kept is not None:
            yield from self._kept
            return
        try:
            yield from self._lines()
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{self.path}: not a recording of Binance streams: {error}"
            ) from error

    def _lines(self) -> Iterator[Event]:
        names: dict[bytes, str] = {}
        for line in read_lines(self.path):
            stamp, _, payload = line.partition(b" ")
            if payload[:11] == _CANONICAL:
                name = payload[11 : payload.index(b'"', 11)]
                stream = names.get(name) or names.setdefault(name, name.decode())
                yield int(stamp), stream, payload.rstrip()
            elif line.strip():
                yield self._unusual(int(stamp), payload.strip())

    def _unusual(self, time_ns: int, payload: bytes) -> Event:
        match = _STREAM.match(payload)
        if match:
            return time_ns, match[1].decode(), payload
        message = orjson.loads(payload)
        if "lastUpdateId" in message:
            symbol = self._owner(wrap("", payload)).lower() if self.update_ids else ""
            return time_ns, symbol + SNAPSHOT, wrap(symbol + SNAPSHOT, payload)
        return time_ns, message["stream"], wrap(message["stream"], orjson.dumps(message["data"]))


@dataclass(slots=True)
class _Edges:
    """First and last message of each stream in one pass over the recording."""

    first: dict[str, bytes] = field(default_factory=dict)
    last: dict[str, bytes] = field(default_factory=dict)

    def values(self, symbol: str, *keys: str, kind: str = "") -> list[int]:
        """What stands under these keys in a symbol's edge messages, all or those of a kind."""
        found = []
        for messages in (self.first, self.last):
            for stream, payload in messages.items():
                if stream.startswith(f"{symbol}@{kind}"):
                    data: dict[str, Any] = orjson.loads(unwrap(payload))
                    found += [data[key] for key in keys if type(data.get(key)) is int]
        return found

    def drift_e8(self, symbol: str) -> tuple[int, int]:
        """First price of the pass and the whole pass's change of it."""
        for kind, key in (("@bookTicker", "b"), ("@trade", "p"), ("@aggTrade", "p")):
            if (stream := symbol + kind) in self.first:
                first = parse_e8(orjson.loads(unwrap(self.first[stream]))[key])
                return first, parse_e8(orjson.loads(unwrap(self.last[stream]))[key]) - first
        return E8, 0


class RecordedSource:
    """Recorded files on one clock, once or again and again.

    Each repetition goes on where the last one ended: ids and times rise without a gap and
    prices are shifted to join. Where the drift of many repetitions would take a price out of
    1/4 … 4 times the recorded one, the shift starts anew from the recorded price.
    """

    def __init__(self, paths: Sequence[Path], once: bool = False) -> None:
        self._files = [RecordingFile(path) for path in paths]
        self._once = once
        self.symbols = tuple(sorted({symbol for f in self._files for symbol in f.update_ids}))
        self.native = frozenset().union(*(f.streams for f in self._files))
        self.start_ns = min(f.start_ns for f in self._files)
        self.loops = 0
        """Repetitions begun after the first pass."""
        self._events = self._play()
        self._ahead = next(self._events, None)

    @property
    def due_ns(self) -> int | None:
        return self._ahead[0] if self._ahead else None

    def next(self) -> Event | None:
        event, self._ahead = self._ahead, next(self._events, None)
        return event

    def want(self, symbol: str) -> bool:
        return symbol in self.symbols

    def opening(self, symbol: str) -> bytes | None:
        return next((f.snapshots[symbol] for f in self._files if symbol in f.snapshots), None)

    def _pass(self) -> Iterator[Event]:
        if len(self._files) == 1:
            return self._files[0].events()
        return heapq.merge(*(f.events() for f in self._files), key=lambda event: event[0])

    def _play(self) -> Iterator[Event]:
        edges, end_ns = _Edges(), self.start_ns
        first, last = edges.first, edges.last
        for event in self._pass():
            stream = event[1]
            if stream not in last:
                first[stream] = event[2]
            last[stream] = event[2]
            end_ns = event[0]
            yield event
        if self._once:
            return
        period_ms = (end_ns - self.start_ns + _JOIN_NS) // 1_000_000 + 1
        plans = {symbol: _Plan.after(edges, symbol.lower(), period_ms) for symbol in self.symbols}
        while True:
            self.loops += 1
            yield from self._again(plans, self.loops * period_ms * 1_000_000, first)

    def _again(
        self, plans: dict[str, _Plan], delay_ns: int, streams: dict[str, bytes]
    ) -> Iterator[Event]:
        movers = {}
        for symbol, plan in plans.items():
            shift = plan.shift(self.loops)
            for stream in streams:
                name, _, kind = stream.partition("@")
                if name == symbol.lower():
                    movers[stream] = Mover(kind, shift)
            opening = self.opening(symbol)
            if opening is not None:
                stream = symbol.lower() + OPENING
                book = orjson.loads(Mover("snapshot", shift)(opening))
                book["lastUpdateId"] = plan.first_diff_id + shift.update_ids - 1
                yield self.start_ns + delay_ns, stream, wrap(stream, orjson.dumps(book))
        for time_ns, stream, payload in self._pass():
            mover = movers.get(stream)
            if mover is None:
                yield time_ns + delay_ns, stream, payload
            else:
                yield time_ns + delay_ns, stream, mover(payload)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How far one repetition moves a symbol."""

    update_ids: int
    trade_ids: int
    aggregate_ids: int
    period_ms: int
    drift_e8: int
    max_drifts: int
    first_diff_id: int

    @classmethod
    def after(cls, edges: _Edges, symbol: str, period_ms: int) -> _Plan:
        updates = edges.values(symbol, "u", "U", "lastUpdateId") or [0]
        trades = edges.values(symbol, "t", "f", "l") or [0]
        aggregates = edges.values(symbol, "a", kind="aggTrade") or [0]
        times = edges.values(symbol, "E", "T") or [0]
        price, drift = edges.drift_e8(symbol)
        room = price * 3 // 4 if drift < 0 else price * 3
        diffs = [p for s, p in edges.first.items() if s.startswith(f"{symbol}@depth")]
        diff_ids = [orjson.loads(unwrap(diff)).get("U") for diff in diffs]
        return cls(
            # One id is left free at each join: that of the change into the opening book.
            max(updates) - min(updates) + 2,
            max(trades) - min(trades) + 1,
            max(aggregates) - min(aggregates) + 1,
            max(period_ms, max(times) - min(times) + 1),
            drift,
            max(1, room // abs(drift)) if drift else 1,
            min((i for i in diff_ids if i is not None), default=min(updates)),
        )

    def shift(self, loop: int) -> Shift:
        return Shift(
            loop * self.update_ids,
            loop * self.trade_ids,
            loop * self.aggregate_ids,
            loop * self.period_ms,
            loop % self.max_drifts * self.drift_e8,
        )
