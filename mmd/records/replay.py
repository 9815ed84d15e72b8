"""Replays a journal: the same decisions from the same inputs, byte for byte, or where they differ.

Each file holds all it needs. A file that a kill cut short is read up to its last whole line.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import orjson

from mmd.config.model import QuoteSettings
from mmd.decide.ledger import Event, Ledger
from mmd.decide.quoter import Quoter
from mmd.decide.reference import AgeLimits
from mmd.records import journal_rows as rows
from mmd.records.journal import VERSION
from mmd.records.journal_rows import Before, Row
from mmd.records.recorded import restore
from mmd.words.errors import ConfigError

_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that came out otherwise."""

    number: int
    """Of the line in the journal."""
    recorded: bytes
    replayed: bytes


@dataclass(slots=True)
class Report:
    """What came of a replay."""

    decisions: int = 0
    actions: int = 0
    differences: list[Difference] = field(default_factory=list)


def lines_of(path: Path) -> Iterator[bytes]:
    """The whole lines of a journal file, whatever its end looks like."""
    rest = b""
    unzip = zlib.decompressobj(wbits=31)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            try:
                rest += unzip.decompress(piece)
            except zlib.error:
                break
            *whole, rest = rest.split(b"\n")
            yield from whole


def rows_of(path: Path) -> Iterator[Row]:
    """The same, read."""
    for line in lines_of(path):
        yield orjson.loads(line)


def replay(lines: Iterable[Row]) -> Report:
    """Lets a quoter decide anew on all that a journal file recorded.

    Raises ConfigError for a file of another version.
    """
    report, player = Report(), None
    for row in lines:
        if row["k"] == "begin":
            if row["version"] != VERSION:
                raise ConfigError(f"the journal is of version {row['version']}, not {VERSION}")
            player = _Player(*restore(base64.b64decode(row["checkpoint"])))
        elif player is None:
            raise ConfigError("the journal does not begin with a checkpoint")
        elif row["k"] == "decide":
            replayed, recorded = player.decide(row), rows.to_bytes(row["out"])
            report.decisions += 1
            report.actions += len(row["out"])
            if replayed != recorded:
                report.differences.append(Difference(row["n"], recorded, replayed))
        else:
            player.follow(row)
    return report


class _Player:
    """A quoter and a ledger that live through what was recorded."""

    def __init__(self, quoter: Quoter, ledger: Ledger) -> None:
        self._quoter, self._ledger = quoter, ledger
        self._before = Before()

    def decide(self, row: Row) -> bytes:
        given = rows.read_decision(row, self._before)
        actions = self._quoter.decide(
            given.book,
            given.rate,
            self._ledger,
            given.now_ns,
            given.dirty,
            given.stop_reason,
            given.inputs,
        )
        return rows.to_bytes(rows.action_rows(actions))

    def follow(self, row: Row) -> None:
        ledger = self._ledger
        match row["k"]:
            case "draw":
                self._quoter.expiry_ns(0)
            case "use":
                settings = QuoteSettings.model_validate_json(row["quote"])
                self._quoter.use(settings, AgeLimits(row["price_ns"], row["rate_ns"]))
            case "want":
                ledger.want(rows.read_order(row), row["level"], row["now"], row["expires"])
            case "adopt":
                ledger.adopt(rows.read_adopted(row), row["now"], row["expires"])
            case "event":
                ledger.apply(row["id"], Event[row["event"]], row["now"])
            case "fill":
                ledger.book_fill(row["id"], Decimal(row["filled"]), row["now"])
