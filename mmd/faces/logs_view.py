"""`mmd logs`: the day's logs of all processes, or of one, in the order of time, and on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.text import Text

from mmd.faces.console import Follower
from mmd.records.logs import utc_now
from mmd.words.errors import Exit, MmdError
from mmd.words.market import Pair

_LOOK_EVERY_S = 0.2
_TAIL_BYTES = 1 << 20
_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\S* ")
_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}


class NoLogs(MmdError):
    """There is no log of that name."""

    exit_code = Exit.USAGE


@dataclass(frozen=True)
class Entry:
    """One record of a log; a stack trace belongs to the record before it."""

    stamp: str
    name: str
    text: str


def show(
    root: Path,
    zone: ZoneInfo,
    console: Console,
    *,
    name: str | None = None,
    count: int = 40,
    follow: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Prints the last records of the newest day, and with `follow` goes on until Ctrl-C.

    Raises NoLogs.
    """
    follower = Follower(root, zone, now)
    entries = latest(root, count, name)
    if not entries and not follow:
        what = f"of {name!r} " if name else ""
        raise NoLogs(f"there is no log {what}in {root}; there are: {_known(root)}")
    for entry in entries:
        _print(console, f"{entry.name}: {entry.text}")
    try:
        while follow:
            for line in follower.lines():
                if _is_wanted(line.partition(": ")[0], name):
                    _print(console, line)
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        return


def latest(root: Path, count: int, name: str | None = None) -> list[Entry]:
    """The last records of the newest day that has any, oldest first."""
    for day in sorted(root.glob("????-??-??"), reverse=True):
        entries = [
            entry
            for path in sorted(day.rglob("*.log"))
            if _is_wanted(_name(path, day), name)
            for entry in _entries(_name(path, day), _tail(path))
        ]
        entries.sort(key=lambda entry: entry.stamp)  # stable: equal times stay as written
        if entries:
            return entries[-count:]
    return []


def _entries(name: str, lines: Iterable[str]) -> Iterator[Entry]:
    stamp = ""
    kept: list[str] = []
    for line in lines:
        match = _STAMP.match(line)
        if match and kept:
            yield Entry(stamp, name, "\n".join(kept))
            kept = []
        if match:
            stamp = match[0]
        if stamp:
            kept.append(line)
    if kept:
        yield Entry(stamp, name, "\n".join(kept))


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()


def _name(path: Path, day: Path) -> str:
    return str(path.relative_to(day).with_suffix(""))


def _is_wanted(log: str, name: str | None) -> bool:
    """Whether a log, as in `BTC_TWD/mmaker` or `feed-btcusdt`, belongs to what was asked for: a
    pair, or a child as in `feeds:btcusdt` or `btcusdt`."""
    if name is None:
        return True
    folder, _, _ = log.partition("/")
    try:
        if folder == Pair.parse(name.removeprefix("pairs:")).folder:
            return True
    except ValueError:
        pass  # no pair's name
    group, colon, member = name.lower().partition(":")
    wanted = f"{group.removesuffix('s')}-{member}" if colon else group.replace("/", "_")
    return log.lower() == wanted or (not colon and log.lower().endswith(f"-{wanted}"))


def _known(root: Path) -> str:
    days = sorted(root.glob("????-??-??"), reverse=True)
    names = {_name(path, days[0]) for path in days[0].rglob("*.log")} if days else set()
    return ", ".join(sorted(names)) or "none"


def _print(console: Console, line: str) -> None:
    words = line.split(" ", 5)
    style = next((_STYLES[word] for word in words if word in _STYLES), "")
    console.print(Text(line, style=style), soft_wrap=True, highlight=False)
