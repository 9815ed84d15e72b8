"""python -m bench [--quick] [--row NAME] [--output FILE]: measures, prints and writes tables.

Each row takes less than four minutes.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.environment import BARE_CUT, MMD, REFERENCES, Reader, prepare
from bench.market import ROOT, Market, load
from bench.reading import nproc, trust
from bench.report import Table
from bench.rows import browsers, cell, decision, feed, many, pace, ticks, wake

OUTPUT = ROOT / "var" / "bench.md"


@dataclass(frozen=True)
class Run:
    """What is asked for, and with what."""

    is_quick: bool
    market: Market
    broken: dict[Reader, str]
    """References that could not be installed, and why."""

    @property
    def readers(self) -> list[Reader]:
        return [MMD, *(one for one in REFERENCES if one not in self.broken)]

    def choose(self, quick: int, full: int) -> int:
        return quick if self.is_quick else full


def feed_row(scheme: str, run: Run) -> Iterator[Table]:
    small, margin = run.choose(3, 5), 3_000
    burst = min(run.choose(20_000, 30_000), len(run.market.messages) - margin)
    size = feed.Size(run.choose(3, 10), burst, small)
    everyone = [MMD, *REFERENCES]
    with trust() if scheme == "wss" else nullcontext(None) as trusted:
        figures, broken = feed.measure(run.readers, run.market, trusted, size)
    title = f"Feed, bursts over {scheme}"
    yield feed.table(title, figures, {**run.broken, **broken}, everyone, size)


def cell_rows(run: Run) -> Iterator[Table]:
    rounds = run.choose(10, 30)
    yield cell.table(cell.measure(rounds), rounds)


def wake_rows(run: Run) -> Iterator[Table]:
    yield wake.table(wake.measure(run.choose(2, 10), run.choose(150, 300)))


def decision_rows(run: Run) -> Iterator[Table]:
    rounds = run.choose(30, 100)
    yield decision.table(decision.measure(rounds), rounds)


def tick_row(course: ticks.Course, run: Run) -> Iterator[Table]:
    traders: list[ticks.Trader] = [ticks.Mmd()]
    if not any(reader.module == "python_binance" for reader in run.broken):
        traders.append(ticks.Classic())
    count = run.choose(30, 40)
    found = ticks.measure_all([course], traders, run.choose(2, 10), count)
    yield ticks.table(found, count)


def pace_rows(run: Run) -> Iterator[Table]:
    size = pace.Size(run.choose(2, 10), 0.4)
    stamping = [reader for reader in run.readers if reader is not BARE_CUT]
    figures, broken = pace.measure(stamping, run.market, size)
    everyone = [reader for reader in (MMD, *REFERENCES) if reader is not BARE_CUT]
    yield pace.table(figures, {**run.broken, **broken}, everyone, size)


def browser_rows(run: Run) -> Iterator[Table]:
    yield browsers.table(run.choose(2, 10), run.choose(30, 50))


def start_row(pairs: int, run: Run) -> Iterator[Table]:
    yield many.start_table((pairs,), run.choose(2, 10))


def scale_row(pairs: int, run: Run) -> Iterator[Table]:
    yield many.scale_table((pairs,), run.choose(10, 60))


def day_rows(run: Run) -> Iterator[Table]:
    yield many.day_table(run.choose(15, 90))


ROWS: dict[str, Callable[[Run], Iterator[Table]]] = {
    "feed-ws": partial(feed_row, "ws"),
    "feed-wss": partial(feed_row, "wss"),
    "pace": pace_rows,
    "cell": cell_rows,
    "wake": wake_rows,
    "decision": decision_rows,
    "ticks": partial(tick_row, ticks.PLAIN),
    "ticks-in-the-way": partial(tick_row, ticks.IN_THE_WAY),
    "ticks-10ms": partial(tick_row, ticks.AFTER_10),
    "ticks-50ms": partial(tick_row, ticks.AFTER_50),
    "browsers": browser_rows,
    "scale-10": partial(scale_row, 10),
    "scale-50": partial(scale_row, 50),
    "scale-100": partial(scale_row, 100),
    "start-3": partial(start_row, 3),
    "start-50": partial(start_row, 50),
    "day": day_rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only these rows")
    parser.add_argument(
        "--synthetic", action="store_true", help="no recording, though there is one"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    run = Run(arguments.quick, load(synthetic=arguments.synthetic), prepare())
    parts = [_head(run)]
    for name in arguments.row or ROWS:
        for table in ROWS[name](run):
            parts.append(table.markdown())
            print("\n" + parts[-1], flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text("\n".join(parts))
    print(f"bench: written to {arguments.output}", file=sys.stderr)


def _head(run: Run) -> str:
    describe = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    return (
        f"# mmd beside its peers\n\n{time.strftime('%Y-%m-%d %H:%M')}, mmd {done.stdout.strip()}, "
        f"Python {platform.python_version()}, {nproc()} CPUs ({_cpu_name()}), Linux "
        f"{platform.release()}; input {run.market.origin}. Loopback, real processes, all "
        "readers in turn in one run; a ratio says how many times mmd's figure another one is.\n"
    )


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
