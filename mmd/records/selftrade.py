"""How far each pair's trading with itself got, on disk: one small JSON file for each pair.

Replaced as a whole by a rename, so that a reader or a killed writer leaves no half of it.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from mmd.decide.selftrade import Progress, Sum
from mmd.words.errors import Unavailable
from mmd.words.market import Pair

log = logging.getLogger("selftrader")


def path_of(records: Path, pair: Pair) -> Path:
    """The file of a pair."""
    return records / f"selftrade-{pair.slug}.json"


def read(path: Path) -> Progress:
    """What was written last; a new beginning where there is nothing that can be read."""
    try:
        return _progress(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Progress()
    except (OSError, ValueError, ArithmeticError, TypeError, KeyError) as error:
        log.error("%s can't be read, counting begins anew: %r", path, error)
        return Progress()


def write(path: Path, progress: Progress) -> None:
    """Raises Unavailable when the file can't be written now; the old one stays."""
    beside = path.with_suffix(".new")  # a pair has one worker
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(_row(progress)) + "\n")
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise Unavailable(f"{path} can't be written: {error.strerror}") from error


def _row(progress: Progress) -> dict[str, Any]:
    return {
        "epoch": progress.epoch,
        "seen_e8": progress.seen_e8,
        "counted_e8": progress.counted_e8,
        "factor": str(progress.factor),
        "due_s": progress.due_s,
        "sleeps_until_s": progress.sleeps_until_s,
        "minutes": [[minute, *_sum_row(sums)] for minute, sums in progress.minutes],
        "done": _sum_row(progress.done),
    }


def _progress(row: dict[str, Any]) -> Progress:
    return Progress(
        epoch=int(row["epoch"]),
        seen_e8=int(row["seen_e8"]),
        counted_e8=int(row["counted_e8"]),
        factor=Decimal(row["factor"]),
        due_s=float(row["due_s"]),
        sleeps_until_s=float(row["sleeps_until_s"]),
        minutes=tuple((int(minute), _sum(*sums)) for minute, *sums in row["minutes"]),
        done=_sum(*row["done"]),
    )


def _sum_row(sums: Sum) -> list[Any]:
    return [sums.count, str(sums.amount), str(sums.fees)]


def _sum(count: int, amount: str, fees: str) -> Sum:
    return Sum(int(count), Decimal(amount), Decimal(fees))
