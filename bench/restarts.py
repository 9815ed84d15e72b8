"""How fast mmd is back after each kind of death, beside supervisord's own restart.

    bin/restarts [--blows N] [--only WORD] [--into FILE]

One mmd in paper mode with the request budget off and a healthy time so short that backoff stays
out. What concerns orders is read from the venue's own record (ms), what concerns processes and
prices from pidfds and the shared cells. Ratios are supervisord's median over ours.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from chaos.chronicle import Chronicle
from chaos.subject import Subject, recordings
from chaos.watch import wall_ms
from chaos.world import World
from mmd.cells.layouts import BOOK, HEALTH
from mmd.cells.segment import Segment
from mmd.words.market import Pair, Side

CHANGES: dict[str, Any] = {
    "ace": {"rate_limit_per_s": 10_000, "burst": 10_000},
    "supervision": {
        "healthy_s": 1,
        "intensity": {"count": 1000, "within_s": 1},
        "backoff_s": {"min": 0.05, "max": 0.1},
    },
}
_HEALTHY_S = 1.3
_PATIENCE_S = 60.0
_POLL_S = 0.0005
_PLAIN = """
[supervisord]
nodaemon=true
pidfile={folder}/supervisord.pid
logfile={folder}/supervisord.log
[program:plain]
command=/bin/sh -c 'echo $$ > {folder}/new; mv {folder}/new {folder}/pid; exec sleep 1000'
startsecs=0
"""


@dataclass
class Row:
    """One line of the table: what was measured, in ms."""

    event: str
    wanted_ms: float | None
    """To be seen: the limit of the median or, if `by_worst`, of all."""
    by_worst: bool = False
    found_ms: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        self.found_ms.append(seconds * 1000)

    @property
    def median(self) -> float:
        return statistics.median(self.found_ms)

    @property
    def holds(self) -> bool:
        seen = max(self.found_ms) if self.by_worst else self.median
        return self.wanted_ms is None or seen <= self.wanted_ms

    def cells(self, plain: float) -> list[str]:
        which = "all" if self.by_worst else "median"
        wanted = f"{which} ≤ {self.wanted_ms:,.0f}" if self.wanted_ms else "–"
        worst = max(self.found_ms)
        found = [f"{self.median:,.1f}", f"{worst:,.1f}", str(len(self.found_ms))]
        ratio = f"{plain / self.median:,.{0 if plain > 10 * self.median else 1}f} ×"
        return [self.event, wanted, *found, ratio, "yes" if self.holds else "NO"]


class Bench:
    """The mmd under test, its cells and its venue."""

    def __init__(self, subject: Subject, world: World) -> None:
        self.subject, self.world = subject, world
        self.chronicle = Chronicle()
        self.entries: list[dict[str, Any]] = []
        """The venue's record since the last `mark`."""
        self.disturbed: list[str] = []
        """What a death did to others; must stay empty."""

    @contextmanager
    def cells(self) -> Iterator[Segment]:
        segment = Segment.look(self.subject.paths.run)
        try:
            yield segment
        finally:
            segment.close()

    def mark(self) -> int:
        """Forgets the record up to now; returns the wall time in ms."""
        self.follow()
        self.entries.clear()
        return wall_ms()

    def follow(self) -> None:
        fresh = self.world.entries(self.chronicle.last)
        self.chronicle.take(fresh)
        self.entries += fresh

    def calm(self, seconds: float = _HEALTHY_S) -> None:
        """Waits until everything is up and quotes, then for the healthy time."""

        def is_up() -> bool:
            self.follow()
            states = self.subject.states().values()
            sides = [self.chronicle.sides(str(pair)) for pair in self.subject.pairs]
            up = all(state in ("ready", "running") for state in states)
            return up and all(len(found) == 2 for found in sides)

        until(is_up, 0.05)
        time.sleep(seconds)

    def books(self) -> dict[str, tuple[int, int]]:
        """What every book counts its trades by, and how many it missed."""
        with self.cells() as segment:
            found = {name: segment.cell(BOOK, name).read() for name in segment.names(BOOK)}
        return {name: (book.epoch, book.missed_trades) for name, book in found.items()}

    def gap(self, pair: Pair, start_ms: int, end_ms: int) -> int | None:
        """When one side of the pair lay empty in that time; None: never."""
        for side in Side:
            reached = start_ms
            stories = (s for s in self.chronicle.stories.values() if s.pair == str(pair))
            for story in sorted(stories, key=lambda story: story.opened_ms):
                if story.side is side and story.opened_ms <= reached:
                    reached = max(reached, end_ms if story.closed_ms is None else story.closed_ms)
            if reached < end_ms:
                return reached
        return None

    def open_since(self, pair: Pair, since_ms: int) -> int | None:
        """When the pair first had orders placed after that time on both sides; None: not yet."""
        firsts: dict[object, int] = {}
        for story in self.chronicle.stories.values():
            if story.pair == str(pair) and story.opened_ms >= since_ms:
                firsts.setdefault(story.side, story.opened_ms)
        return max(firsts.values()) if len(firsts) == 2 else None

    def all_closed(self, at_ms: int) -> int | None:
        """When the last order that rested at that time was gone; None: not yet."""
        left = [s for s in self.chronicle.stories.values() if s.rests_between(at_ms - 1, at_ms)]
        closed = [story.closed_ms for story in left]
        known = [ms for ms in closed if ms is not None]
        return max(known, default=at_ms) if len(known) == len(closed) else None

    def adopted(self, pair: Pair, since_ms: int) -> int | None:
        """When a new worker of the pair was told by the venue what rests; None: not yet. A worker
        asks for its own pair's list only when it takes over."""
        base_id = self._base_id(pair)
        for entry in self.entries:
            asked = (entry["parameters"] or {}).get("baseCurrencyId")
            is_list = (entry["path"] or "").endswith("getOrderList") and entry["status"] == 200
            if is_list and asked == base_id and entry["t"] >= since_ms:
                return int(entry["t"])
        return None

    def _base_id(self, pair: Pair) -> str:
        markets = {"BTC/TWD": "2", "ETH/TWD": "4"}
        return markets[str(pair)]


def until(holds: Callable[[], object], pause_s: float = _POLL_S) -> None:
    """Waits until it holds. Raises TimeoutError."""
    patience = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > patience:
            raise TimeoutError("it did not come about")
        time.sleep(pause_s)


def when(bench: Bench, look: Callable[[], int | None]) -> int:
    """The time in the venue's record at which something came about."""
    while (found := look()) is None:
        time.sleep(0.05)
        bench.follow()
    return found


def death_of(pids: list[int]) -> Callable[[], None]:
    """Opens handles now; the function it returns waits until all of them are dead."""
    handles = [os.pidfd_open(pid) for pid in pids]

    def wait() -> None:
        for handle in handles:
            if not select.select([handle], [], [], _PATIENCE_S)[0]:
                raise TimeoutError("a process does not die")
            os.close(handle)

    return wait


# The blows. Each measures `blows` times and returns its rows.


def feed_killed(bench: Bench, blows: int) -> list[Row]:
    code = Row("SIGKILL of a feed → its replacement runs our code", 10)
    price = Row("… → fresh price in the cell again", 100)

    def strike(segment: Segment, name: str) -> None:
        health = segment.cell(HEALTH, f"feeds:{name}")
        book = segment.cell(BOOK, name)
        with _undisturbed(bench, f"feeds:{name}") as pid:
            began = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            until(lambda: health.read().pid not in (0, pid))
            code.add((time.monotonic_ns() - began) / 1e9)
            until(lambda: book.read().is_valid and book.read().last_data_ns > began)
            price.add((time.monotonic_ns() - began) / 1e9)

    with bench.cells() as segment:
        for name, _ in _by_turns(bench, blows, "feeds"):
            strike(segment, name)
    return [code, price]


def pair_killed(bench: Bench, blows: int) -> list[Row]:
    adopted = Row("SIGKILL of a pair → its orders adopted or cancelled, quotes again", 500)
    fresh = Row("… → first order of the new process", None)

    def strike(name: str, pair: Pair) -> None:
        with _undisturbed(bench, f"pairs:{name}") as pid:
            struck_ms = bench.mark()
            os.kill(pid, signal.SIGKILL)
            listed_ms = when(bench, lambda: bench.adopted(pair, struck_ms))
            time.sleep(_HEALTHY_S)
            bench.follow()
        stories = [s for s in bench.chronicle.stories.values() if s.pair == str(pair)]
        resting = {s.side for s in stories if s.rests_between(listed_ms, listed_ms + 1)}
        both_ms = listed_ms if len(resting) == 2 else bench.open_since(pair, listed_ms)
        if both_ms is None:
            raise TimeoutError(f"{pair} does not quote both sides again")
        adopted.add((both_ms - struck_ms) / 1000)
        new = [s.opened_ms for s in stories if s.opened_ms >= listed_ms]
        if new:
            fresh.add((new[0] - struck_ms) / 1000)

    for name, pair in _by_turns(bench, blows, "pairs"):
        strike(name, pair)
    return [adopted, fresh] if fresh.found_ms else [adopted]


def feed_stopped(bench: Bench, blows: int) -> list[Row]:
    return [_stopped(bench, blows, "feeds")]


def pair_stopped(bench: Bench, blows: int) -> list[Row]:
    return [_stopped(bench, blows, "pairs")]


def _stopped(bench: Bench, blows: int, group: str) -> Row:
    limit_s = bench.subject.settings["supervision"]["stall_limit_s"]
    row = Row(f"SIGSTOP of a {group[:-1]} → noticed and killed", limit_s * 1000 + 100, True)
    for name, _ in _by_turns(bench, blows, group):
        with _undisturbed(bench, f"{group}:{name}") as pid:
            dead = death_of([pid])
            began = time.monotonic()
            os.kill(pid, signal.SIGSTOP)
            dead()
            row.add(time.monotonic() - began)
    return row


def parent_killed(bench: Bench, blows: int) -> list[Row]:
    gone = Row("SIGKILL of the parent → children gone", 1000)
    cancelled = Row("… → their orders cancelled", 1000)
    back = Row("… → every pair quotes again", 3000)
    for _ in range(blows):
        bench.calm()
        pid = bench.subject.parent()
        assert pid
        dead = death_of(list(bench.subject.children().values()))
        struck_ms, began = bench.mark(), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        dead()
        gone.add(time.monotonic() - began)
        cancelled.add((_all_closed(bench, struck_ms) - struck_ms) / 1000)
        back.add((_all_back(bench, struck_ms) - struck_ms) / 1000)
    return [gone, cancelled, back]


def parent_stopped(bench: Bench, blows: int) -> list[Row]:
    cancelled = Row("SIGSTOP of the parent → orders cancelled", 3000)
    gone = Row("… → pairs have left, and the parent is killed", 3000)
    back = Row("… → every pair quotes again", None)
    for _ in range(blows):
        bench.calm()
        pid = bench.subject.parent()
        assert pid
        children = bench.subject.children()
        pairs = [child for name, child in children.items() if name.startswith("pairs:")]
        dead = death_of([*pairs, pid])
        struck_ms, began = bench.mark(), time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        dead()
        gone.add(time.monotonic() - began)
        cancelled.add((_all_closed(bench, struck_ms) - struck_ms) / 1000)
        back.add((_all_back(bench, struck_ms) - struck_ms) / 1000)
    return [cancelled, gone, back]


def supervisord_killed(bench: Bench, blows: int) -> list[Row]:
    cancelled = Row("SIGKILL of supervisord → no order is left", 2000)
    back = Row("… → `mmd start` brings all back, from its call on", None)
    for _ in range(blows):
        bench.calm()
        pid = bench.subject.supervisord()
        assert pid
        struck_ms = bench.mark()
        os.kill(pid, signal.SIGKILL)
        cancelled.add((_all_closed(bench, struck_ms) - struck_ms) / 1000)
        until(lambda: not bench.subject.parent(), 0.05)
        began = time.monotonic()
        bench.subject.start()
        back.add(time.monotonic() - began)
    return [cancelled, back]


def power_cut(bench: Bench, blows: int) -> list[Row]:
    adopted = Row("everything killed at once → `mmd start` has adopted or cancelled all", None)
    back = Row("… → `mmd start` returns: all quote", None)
    pairs = bench.subject.pairs
    for _ in range(blows):
        bench.calm()
        bench.subject.cut_power()
        began_ms, began = bench.mark(), time.monotonic()
        bench.subject.start()
        back.add(time.monotonic() - began)
        bench.follow()
        lists = [when(bench, partial(bench.adopted, pair, began_ms)) for pair in pairs]
        adopted.add((max(lists) - began_ms) / 1000)
    return [adopted, back]


def parents_cost(_bench: Bench, _blows: int) -> list[Row]:
    """CPU of a parent with 40 children, in ms per second."""
    coins = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "BNB", "LTC", "LINK", "AVAX", "DOT")
    coins += ("TRX", "BCH")
    amount = {"min": 1, "max": 2}
    pairs = {
        f"{coin}/{quote}": {
            "binance": f"{coin}USDT",
            "quote": {"enabled": False, "amount": dict(amount)},
            "self_trade": {"enabled": False},
        }
        for coin in coins
        for quote in ("TWD", "USDT")
    }
    row = Row("CPU of a parent with 40 children, in ms per s", 10)
    subject = Subject({"pairs": pairs})
    try:
        subject.start()
        pid = subject.parent()
        assert pid
        parent = psutil.Process(pid)
        count = len(subject.children())
        row.event = row.event.replace("40", str(count))
        for _ in range(6):
            before = parent.cpu_times()
            time.sleep(5)
            after = parent.cpu_times()
            spent = after.user - before.user + after.system - before.system
            row.add(spent / 5)
    finally:
        subject.remove()
    return [row]


def _all_back(bench: Bench, since_ms: int) -> int:
    return max(_back(bench, pair, since_ms) for pair in bench.subject.pairs)


def _back(bench: Bench, pair: Pair, since_ms: int) -> int:
    return when(bench, lambda: bench.open_since(pair, since_ms))


def _all_closed(bench: Bench, at_ms: int) -> int:
    return when(bench, lambda: bench.all_closed(at_ms))


def _by_turns(bench: Bench, blows: int, group: str) -> Iterator[tuple[str, Pair]]:
    """Members of a group one after the other, each in good health.

    Of the feeds only one: what a feed missed while it was away shows with its next trade, and the
    other feed is to miss none.
    """
    names = sorted(name for name in bench.subject.children() if name.startswith(group))
    if group == "feeds":
        del names[1:]
    for number in range(blows):
        bench.calm(_HEALTHY_S / len(names))
        member = names[number % len(names)].partition(":")[2]
        yield member, bench.subject.pairs[number % len(bench.subject.pairs)]


@contextmanager
def _undisturbed(bench: Bench, name: str) -> Iterator[int]:
    """The pid of a child to be struck; afterwards, whether its death touched anybody else: a
    restart, a missed trade, a side without quotes."""
    before, books, start_ms = bench.subject.children(), bench.books(), bench.mark()
    yield before[name]
    after = bench.subject.children()
    for other, pid in before.items():
        if other != name and after.get(other) != pid:
            bench.disturbed.append(f"the death of {name} restarted {other}")
    for book, counted in bench.books().items():
        if book != name.partition(":")[2] and counted != books[book]:
            was = f"{books[book]} -> {counted}"
            bench.disturbed.append(f"the death of {name} took trades from {book}: {was}")
    bench.follow()
    for pair in bench.subject.pairs:
        gap_ms = bench.gap(pair, start_ms, wall_ms())
        if name != f"pairs:{pair.slug}" and gap_ms is not None:
            bench.disturbed.append(f"the death of {name} took quotes of {pair} at {gap_ms}")


def plain_program(blows: int, earlier: dict[str, list[float]]) -> Row:
    """supervisord's own restart of a program that does nothing."""
    row = Row("supervisord restarts a plain program", None)
    row.found_ms = earlier.setdefault(row.event, row.found_ms)
    blows -= len(row.found_ms)
    if blows <= 0:
        return row
    with tempfile.TemporaryDirectory(prefix="mmd-plain-", dir="/tmp") as folder:
        conf, pid_file = Path(folder) / "conf", Path(folder) / "pid"
        conf.write_text(_PLAIN.format(folder=folder))
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)]
        daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(pid_file.exists)
            for _ in range(blows):
                time.sleep(0.1)
                row.add(_kill_plain(pid_file))
        finally:
            daemon.terminate()
            daemon.wait()
    return row


def _kill_plain(pid_file: Path) -> float:
    before = pid_file.read_text()
    began = time.monotonic()
    os.kill(int(before), signal.SIGKILL)
    until(lambda: pid_file.read_text() != before)
    return time.monotonic() - began


BLOWS = (
    feed_killed,
    pair_killed,
    feed_stopped,
    pair_stopped,
    parent_killed,
    parent_stopped,
    supervisord_killed,
    power_cut,
    parents_cost,
)


def _load(path: Path | None) -> dict[str, list[float]]:
    """What earlier runs found, in ms, by event."""
    return json.loads(path.read_text()) if path and path.exists() else {}


def main() -> int:
    parser = argparse.ArgumentParser(prog="restarts", description=__doc__)
    parser.add_argument("--blows", type=int, default=50)
    parser.add_argument("--only", default="", help="blows whose name has this word")
    parser.add_argument("--into", type=Path, help="adds what is found to that of earlier runs")
    arguments = parser.parse_args()
    found = _load(arguments.into)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    plain = plain_program(arguments.blows, found)
    headings = ["event", "to be seen, ms", "median", "worst", "n", "supervisord / this", "holds"]
    for cells in (headings, ["---"] * len(headings), plain.cells(plain.median)):
        print(f"| {' | '.join(cells)} |", flush=True)
    rows: list[Row] = []
    subject = Subject(CHANGES, recordings())
    try:
        subject.start()
        with closing(World(subject.home)) as world:
            bench = Bench(subject, world)
            for blow in BLOWS:
                fresh = blow(bench, arguments.blows) if arguments.only in blow.__name__ else []
                for row in fresh:
                    key = f"{blow.__name__} {row.event}"
                    row.found_ms[:0] = found.get(key, [])
                    found[key] = row.found_ms
                    print(f"| {' | '.join(row.cells(plain.median))} |", flush=True)
                rows += fresh
        subject.stop()
    finally:
        subject.remove()
        if arguments.into:
            arguments.into.write_text(json.dumps(found))
    print(f"\none child's death and the others: {bench.disturbed or 'nobody was touched'}")
    return 0 if all(row.holds for row in rows) and not bench.disturbed else 1


if __name__ == "__main__":
    sys.exit(main())
