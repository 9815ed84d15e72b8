"""The kill switch's state on disk: whether it is thrown, and what it counts from.

A pair whose file says that it is thrown does not trade, whatever was restarted since, until
somebody resumes it: that removes the file. A file that can't be made sense of counts as thrown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from mmd.config.risk import KillLevel
from mmd.decide.killswitch import Tally, Thrown
from mmd.words.errors import Unavailable

ALL = "all"
"""In place of a pair: the tally of all together."""


def latch_of(records: Path, slug: str) -> Path:
    """The file that is there while a pair's switch is thrown."""
    return records / f"killed-{slug}.json"


def tally_of(records: Path, slug: str) -> Path:
    """The file of what the switch counts from."""
    return records / f"killswitch-{slug}.json"


def read(latch: Path) -> Thrown | None:
    """Why the switch is thrown; None if it is not."""
    try:
        row = json.loads(latch.read_bytes())
        return Thrown(KillLevel(row["level"]), str(row["reason"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        return Thrown(KillLevel.CANCEL, f"{latch} can't be read: {error!r}")


def throw(latch: Path, thrown: Thrown, wall_ms: int) -> None:
    """Notes that the switch is thrown, and since when; it outlives a power cut.

    Raises Unavailable when it can't be written now.
    """
    row = {"level": thrown.level.value, "reason": thrown.reason, "wall_ms": wall_ms}
    _write(latch, row, durable=True)


def clear(latch: Path) -> bool:
    """Puts the switch back in place; False if it was. Raises Unavailable when it can't be done."""
    try:
        latch.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unavailable(f"{latch} can't be removed: {error.strerror}") from error
    return True


def read_tally(path: Path) -> Tally:
    """What was counted last; a new beginning where nothing can be read."""
    try:
        row = json.loads(path.read_bytes())
        peak = None if row["peak"] is None else Decimal(row["peak"])
        return Tally(peak, int(row["forgiven"]))
    except (OSError, ValueError, ArithmeticError, TypeError, KeyError):
        return Tally()


def write_tally(path: Path, tally: Tally) -> None:
    """Raises Unavailable when the file can't be written now; the old one stays."""
    peak = None if tally.peak is None else str(tally.peak)
    _write(path, {"peak": peak, "forgiven": tally.forgiven}, durable=False)


def _write(path: Path, row: Mapping[str, object], *, durable: bool) -> None:
    beside = path.with_suffix(f".{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            if durable:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise Unavailable(f"{path} can't be written: {error.strerror}") from error
