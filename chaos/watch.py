"""Who answered for each pair's orders, sampled while it all happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mmd.supervision import proc
from mmd.words.market import Pair

_EVERY_S = 0.05


def wall_ms() -> int:
    """As in the venue's record."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Absence:
    """A time in which no living, unfrozen process answered for a pair."""

    pair: str
    start_ms: int
    end_ms: int | None = None


@dataclass
class Watch:
    """Absences of every pair's owner. `owner` gives the pid that holds a pair's lock."""

    pairs: tuple[Pair, ...]
    owner: Callable[[Pair], int | None]
    absences: list[Absence] = field(default_factory=list)
    _present: dict[str, Absence] = field(default_factory=dict)
    _excused: bool = False

    def look(self) -> None:
        """One sample."""
        for pair in self.pairs:
            pid = self.owner(pair)
            answers = self._excused or (pid is not None and not proc.is_frozen(pid))
            self.note(str(pair), answers, wall_ms())

    def note(self, pair: str, answers: bool, now_ms: int) -> None:
        """Takes one sample of one pair down."""
        absence = self._present.get(pair)
        if answers and absence is not None:
            absence.end_ms = now_ms
            del self._present[pair]
        elif not answers and absence is None:
            self._present[pair] = Absence(pair, now_ms)
            self.absences.append(self._present[pair])

    @contextmanager
    def excused(self) -> Iterator[None]:
        """While everything is down by our own hand, nobody can answer."""
        self._excused = True
        self.look()
        try:
            yield
        finally:
            self._excused = False

    @contextmanager
    def going(self) -> Iterator[None]:
        """Samples in a thread of its own."""
        done = threading.Event()

        def run() -> None:
            while not done.wait(_EVERY_S):
                self.look()

        thread = threading.Thread(target=run, name="watch")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
