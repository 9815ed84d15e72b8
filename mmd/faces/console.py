"""Shows the day's logs of all processes on a terminal, in a process of its own: a terminal that
does not take our lines holds up nobody else."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from mmd.processes.context import ChildContext, Entry
from mmd.records.logs import utc_now

_LOOK_EVERY_S = 0.08
_OWN_LOG = "mmd.log"


class Follower:
    """Reads what is appended to any log of the day, from the moment it is made."""

    def __init__(self, root: Path, zone: ZoneInfo, now: Callable[[], datetime] = utc_now) -> None:
        self._root, self._zone, self._now = root, zone, now
        self._read: dict[Path, int] = {path: path.stat().st_size for path in self._files()}

    def lines(self) -> list[str]:
        """What is new, whole lines only, each with the name of its log."""
        found = []
        for path in self._files():
            name = self._name(path)
            found += [f"{name}: {line}" for line in self._new_lines(path)]
        return found

    def _files(self) -> list[Path]:
        day = self._root / self._now().astimezone(self._zone).date().isoformat()
        return sorted(path for path in day.rglob("*.log") if path.name != _OWN_LOG)

    def _name(self, path: Path) -> str:
        inside = path.relative_to(self._root).with_suffix("").parts[1:]
        return "/".join(inside)

    def _new_lines(self, path: Path) -> list[str]:
        start = self._read.get(path, 0)
        with path.open("rb") as file:
            file.seek(start)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read[path] = start + len(whole)
        return whole.decode("utf-8", "replace").splitlines()


def follow(root: Path, zone: ZoneInfo, fd: int) -> Entry:
    """An entry point that writes new lines to the given descriptor."""

    def run(context: ChildContext) -> None:
        context.stop.on_term()
        follower = Follower(root, zone)
        context.heart.ready()
        while not context.stop.requested:
            for line in follower.lines():
                os.write(fd, f"{line}\n".encode())
            context.heart.beat()
            select.select([context.stop.fd, context.parent.pidfd], [], [], _LOOK_EVERY_S)

    return run
