"""`bin/soak --minutes M`: nothing happens to mmd, and nothing of it must grow.

Private memory (USS), proportional memory (PSS) and descriptors of every process are looked at
again and again; after the warm-up their curves must be flat. No child may be restarted, and
nobody may be called stalled.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import psutil

from chaos.subject import Subject, recordings

_EVERY_S = 5.0
WARM_UP_S = 120.0
"""A shorter run says nothing of curves: what is shared at first becomes a process's own."""
_MB = 1 << 20
GROWTH_MB = 0.35
GROWTH_SHARE = 0.015
"""Private memory may grow by so much from quarter to quarter."""
GROWTH_DESCRIPTORS = 2
"""The same for descriptors: a pool of connections breathes."""
_ALARMS = ("stalled", "frozen", "no heartbeat", "no progress", "overflows persist")


@dataclass
class Curve:
    """What one process took over time."""

    name: str
    uss_mb: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    took_s: float = 0.0

    def look(self, process: psutil.Process) -> None:
        memory = process.memory_full_info()
        times = process.cpu_times()
        self.uss_mb.append(memory.uss / _MB)
        self.pss_mb.append(memory.pss / _MB)
        self.descriptors.append(process.num_fds())
        self.cpu_s.append(times.user + times.system)

    @property
    def cpu_share(self) -> float:
        """Of one core."""
        return (self.cpu_s[-1] - self.cpu_s[0]) / self.took_s if self.took_s else 0.0

    def faults(self) -> list[str]:
        """What is not flat, in words."""
        if len(self.uss_mb) < 8:
            return [f"{self.name} was seen {len(self.uss_mb)} times only"]
        wrong = []
        first, *_, last = levels = _levels(self.uss_mb)
        if _climbs(levels, max(GROWTH_MB, GROWTH_SHARE * first)):
            wrong.append(f"{self.name} grew from {first:.1f} to {last:.1f} MB")
        first, *_, last = levels = _levels(self.descriptors)
        if _climbs(levels, GROWTH_DESCRIPTORS):
            wrong.append(f"{self.name} went from {first:.0f} to {last:.0f} descriptors")
        return wrong

    def cells(self) -> list[str]:
        memory, descriptors = _levels(self.uss_mb), _levels(self.descriptors)
        return [
            self.name,
            f"{memory[0]:.1f}",
            f"{memory[-1]:.1f}",
            f"{self.pss_mb[-1]:.1f}",
            f"{descriptors[0]:.0f}",
            f"{descriptors[-1]:.0f}",
            f"{self.cpu_share:.2%}",
        ]


def _levels(values: Sequence[float]) -> list[float]:
    """The medians of the second, third and last quarter of a curve: the first is warm-up."""
    quarter = max(1, len(values) // 4)
    parts = (values[-3 * quarter : -2 * quarter], values[-2 * quarter : -quarter])
    return [statistics.median(part or values) for part in (*parts, values[-quarter:])]


def _climbs(levels: Sequence[float], bearable: float) -> bool:
    """Whether it goes up by more than is bearable each time. What is used once for the first time,
    as a log or a connection, makes a step; what leaks climbs on."""
    return all(later - earlier > bearable for earlier, later in pairwise(levels))


class Soak:
    """Looks at every process of one mmd."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._began = time.monotonic()
        self._pids = self._present()
        self.curves = {name: Curve(name) for name in self._pids}

    def look(self) -> None:
        for name, pid in self._pids.items():
            with suppress(psutil.Error):  # its death is told by `faults`
                self.curves[name].look(psutil.Process(pid))
                self.curves[name].took_s = time.monotonic() - self._began

    def faults(self) -> list[str]:
        is_warm = time.monotonic() - self._began >= WARM_UP_S
        wrong = [line for c in self.curves.values() for line in c.faults()] if is_warm else []
        now = self._present()
        wrong += [
            f"{name} was replaced" for name, pid in self._pids.items() if now.get(name) != pid
        ]
        for log in self._subject.paths.log.glob("*/mmd.log"):
            lines = log.read_text().splitlines()
            wrong += [f"alarm: {line}" for line in lines if any(word in line for word in _ALARMS)]
        return wrong

    def table(self) -> list[str]:
        head = ["process", "USS then, MB", "USS now", "PSS now", "fds then", "fds now", "CPU"]
        rows = [head, ["---"] * len(head), *(curve.cells() for curve in self.curves.values())]
        return [f"| {' | '.join(row)} |" for row in rows]

    def _present(self) -> dict[str, int]:
        subject = self._subject
        found = {"supervisord": subject.supervisord(), "mmd": subject.parent()}
        return {name: pid for name, pid in {**found, **subject.children()}.items() if pid}


def run(seconds: float, every_s: float = _EVERY_S) -> tuple[list[str], list[str]]:
    """The table and what is wrong."""
    subject = Subject({}, recordings())
    try:
        subject.start()
        soak = Soak(subject)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            soak.look()
            time.sleep(every_s)
        table, wrong = soak.table(), soak.faults()
        subject.stop()
        return table, wrong + subject.leftovers()
    finally:
        subject.remove()


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    table, wrong = run(arguments.minutes * 60, min(_EVERY_S, arguments.minutes * 60 / 20))
    print("\n".join(table))
    print("\n".join(["", *wrong]) if wrong else "\nall curves are flat, and no alarm was given")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
