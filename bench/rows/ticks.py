"""Tick to order: from the sender's stamp on the Binance side to the first byte at the venue, of
mmd as it runs (parent, feed, pair, account) and of the classic script beside it."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from sys import stderr
from typing import Protocol

from bench.environment import environment, python
from bench.market import ROOT, frame, ticker
from bench.report import Table, median, percentile
from bench.sink import Kind, Log, Row, sink
from bench.stream import Sender

PAIR, SYMBOL = "BTC/USDT", "btcusdt"
LEVELS = 5
_BASE_CENTS = 6_183_763
_STEP_CENTS = 50
"""Each tick's price is its own, so that an order tells which tick it follows."""
_MATCH = 0.03
_START_S = 30.0
_CONFIG = """\
mode: testnet
binance: {{stream_url: "{stream}", rest_url: "{venue}"}}
ace: {{base_url: "{venue}", rate_limit_per_s: 10000, burst: 10000, settle_s: 0.1}}
pairs:
  BTC/USDT:
    binance: BTCUSDT
    rate: none
    quote:
      levels: {levels}
      spread_bps: {spread}
      step_bps: {step}
      jitter_bps: 0
      # Each tick re-quotes all levels: no order is near enough to stay, none is kept in reserve.
      tolerance_bps: 3
      tolerance_step_bps: 0
      spare_orders: 0
      move_bps: 1
      amount: {{min: 0.002, max: 0.01}}
      refresh_s: {{min: 3000, max: 3600}}
      widen: {{volatility_factor: 0}}
      bounds: {{venue_best: ignore}}
"""


@dataclass(frozen=True)
class Course:
    """How the price goes."""

    name: str
    spread_bps: int
    step_bps: int
    move_bps: int
    """Up and down in turn."""
    every_s: float = 0.15
    delay_ms: float = 0
    """After which the venue answers."""


PLAIN = Course("all levels re-quoted", 100, 10, 47)
IN_THE_WAY = Course("own orders in the way: cancelled and confirmed first", 20, 10, 103)
AFTER_10 = Course("venue answers after 10 ms", 100, 10, 47, 0.1, 10)
AFTER_50 = Course("venue answers after 50 ms", 100, 10, 47, 0.1, 50)


class Trader(Protocol):
    """What is measured."""

    name: str

    def run(self, stream_url: str, venue_url: str, course: Course, folder: Path) -> list[str]:
        """The command line that trades there."""


class Mmd:
    name = "mmd"
    module = "mmd"

    def run(self, stream_url: str, venue_url: str, course: Course, folder: Path) -> list[str]:
        text = _CONFIG.format(
            stream=stream_url,
            venue=venue_url,
            levels=LEVELS,
            spread=course.spread_bps,
            step=course.step_bps,
        )
        (folder / "pairs.yaml").write_text(text)
        return [sys.executable, "-m", self.module, "run", "--config", str(folder / "pairs.yaml")]


@dataclass(frozen=True)
class Classic:
    interpreter: str | None = None
    """Instead of that of .venv-bench."""
    name = "classic script"

    def run(self, stream_url: str, venue_url: str, course: Course, folder: Path) -> list[str]:
        spreads = [str(course.spread_bps), str(course.step_bps)]
        module = "bench.clients.classic_script"
        return [self.interpreter or python(), "-m", module, stream_url, venue_url, SYMBOL, *spreads]


@dataclass
class Figures:
    """Milliseconds from the tick's stamp, one for each tick."""

    first_order: list[float] = field(default_factory=list)
    last_order: list[float] = field(default_factory=list)
    first_request: list[float] = field(default_factory=list)
    last_request: list[float] = field(default_factory=list)
    """Cancels included; None where the windows of ticks overlap."""
    incomplete: int = 0
    """Ticks whose ten orders did not all come."""
    words: list[str] = field(default_factory=list)


def prices_of(number: int, course: Course) -> tuple[float, float]:
    """Best bid and ask of a tick."""
    cents = _BASE_CENTS + number * _STEP_CENTS
    if number % 2:
        cents = round(cents * (1 + course.move_bps / 1e4))
    return cents / 100, (cents + 1) / 100


@contextmanager
def running(trader: Trader, stream_url: str, venue_url: str, course: Course) -> Iterator[list[str]]:
    """A trader from its start to its end; what it said at its end."""
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mmd-bench-") as name:
        folder = Path(name)
        command = trader.run(stream_url, venue_url, course, folder)
        keys = {"ACE_API_KEY": "bench-key", "ACE_API_SECRET": "bench-secret"}
        with (folder / "output").open("w+") as output:
            process = subprocess.Popen(
                command,
                env={**environment(None), **keys, "MMD_HOME": str(folder / "var")},
                stdout=output,
                stderr=output,
                cwd=ROOT,
            )
            try:
                yield said
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                output.seek(0)
                said += output.read().strip().splitlines()[-3:]


def measure(
    trader: Trader,
    course: Course,
    ticks: int,
    during: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Figures:
    """One life of a trader: started, quoting, then so many ticks; and what goes on meanwhile."""
    with (
        tempfile.TemporaryDirectory(prefix="mmd-bench-") as name,
        sink(Path(name), [PAIR], course.delay_ms) as venue,
        Sender() as sender,
    ):
        with running(trader, sender.url, venue.url, course) as said:
            sender.accept()
            wait_for_quotes(sender, venue.log, course)
            before = venue.log.count
            with during():
                stamps = _send_ticks(sender, course, ticks)
            time.sleep(max(course.every_s, 3 * course.delay_ms / 1e3))
            rows = venue.log.rows(before)
        figures = assign(rows, stamps, course)
        figures.words = said
        return figures


def _send_ticks(sender: Sender, course: Course, ticks: int) -> list[int]:
    """Returns when each was sent."""
    stamps = []
    for number in range(1, ticks + 1):
        time.sleep(course.every_s)
        payload = _tick(number, course)
        stamps.append(time.monotonic_ns())
        try:
            sender.send(payload)
        except OSError:
            break  # it hung up
    return stamps


def _tick(number: int, course: Course) -> bytes:
    bid, ask = prices_of(number, course)
    return frame(ticker(SYMBOL, 1000 + number, f"{bid:.8f}", f"{ask:.8f}"))


def wait_for_quotes(sender: Sender, log: Log, course: Course) -> None:
    """Shows the first price again and again until the whole ladder stands."""
    deadline_s = time.monotonic() + _START_S
    number = 0
    while log.count < 2 * LEVELS:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"only {log.count} orders came in {_START_S:.0f} s")
        number += 1
        bid, ask = prices_of(0, course)
        sender.send(frame(ticker(SYMBOL, number, f"{bid:.8f}", f"{ask:.8f}")))
        time.sleep(0.1)
    time.sleep(0.5)


def assign(rows: Sequence[Row], stamps: Sequence[int], course: Course) -> Figures:
    """Which requests belong to which tick: orders by their price, cancels by their time."""
    figures, known = Figures(), []
    for number in range(len(stamps)):
        bid, ask = prices_of(number + 1, course)
        for level in range(LEVELS):
            away = (course.spread_bps + level * course.step_bps) / 1e4
            known += [(bid * (1 - away), number), (ask * (1 + away), number)]
    known.sort()
    prices = [price for price, _ in known]
    orders: list[list[int]] = [[] for _ in stamps]
    for row in rows:
        if row.kind != Kind.ORDER:
            continue
        index = bisect_left(prices, row.price - _MATCH)
        if index < len(prices) and abs(prices[index] - row.price) <= _MATCH:
            orders[known[index][1]].append(row.at_ns)
    ends = [*stamps[1:], rows[-1].at_ns + 1 if rows else 0]
    for stamp, end, came in zip(stamps, ends, orders, strict=True):
        if len(came) < 2 * LEVELS:
            figures.incomplete += 1
        if came:
            figures.first_order.append((min(came) - stamp) / 1e6)
            figures.last_order.append((max(came) - stamp) / 1e6)
        window = [row.at_ns for row in rows if stamp <= row.at_ns < end]
        if window:
            figures.first_request.append((min(window) - stamp) / 1e6)
            figures.last_request.append((max(window) - stamp) / 1e6)
    return figures


_WANTED = {
    PLAIN: "first ≤ 0.4 ms and ≥ 5 × ahead, last ≤ 2 ms and ≥ 5 × ahead",
    AFTER_10: "first: p99 ≤ 5 + 10 ms",
    AFTER_50: "first: p99 ≤ 5 + 50 ms",
}


def measure_all(
    courses: Sequence[Course], traders: Sequence[Trader], rounds: int, ticks: int
) -> dict[Course, dict[str, list[Figures]]]:
    """All courses and traders in turn, round by round."""
    found: dict[Course, dict[str, list[Figures]]] = {course: {} for course in courses}
    for number in range(rounds):
        for course in courses:
            for trader in traders:
                print(f"bench: ticks round {number + 1}: {course.name}: {trader.name}", file=stderr)
                figures = measure(trader, course, ticks)
                found[course].setdefault(trader.name, []).append(figures)
    return found


def table(found: dict[Course, dict[str, list[Figures]]], ticks: int) -> Table:
    """Medians over the rounds of each round's p50 and p99."""
    columns = ["course", "who", "first request p50 / p99, ms", "first order p50 / p99, ms"]
    columns += ["last order p50 / p99, ms", "last request p50, ms", "orders missing", "wanted"]
    result = Table("Tick to order", columns)
    rounds = 0
    for course, by_trader in found.items():
        for name, lives in by_trader.items():
            rounds = len(lives)
            result.add(
                course.name,
                name,
                _both([life.first_request for life in lives]),
                _both([life.first_order for life in lives]),
                _both([life.last_order for life in lives]),
                f"{_over([life.last_request for life in lives], 50):.2f}",
                f"{sum(life.incomplete for life in lives)} of {rounds * ticks} ticks",
                _WANTED.get(course, "") if name == Mmd.name else "",
            )
        if Classic.name in by_trader and Mmd.name in by_trader:
            mmd, classic = by_trader[Mmd.name], by_trader[Classic.name]
            ratios = [
                _over([getattr(life, field) for life in classic], 50)
                / _over([getattr(life, field) for life in mmd], 50)
                for field in ("first_order", "last_order", "last_request")
            ]
            texts = ", ".join(f"{ratio:.1f} ×" for ratio in ratios)
            result.notes.append(
                f"{course.name}: mmd ahead of the classic script at first order, last order, last "
                f"request: {texts}"
            )
        for life in by_trader.get(Classic.name, []):
            result.notes += [f"{course.name}: classic script: {word}" for word in life.words[:1]]
    result.notes.append(
        f"{rounds} rounds of {ticks} ticks; a ladder of 2 x {LEVELS}; medians over the rounds. "
        "What an order follows is told by its price"
    )
    return result


def _over(rounds: Sequence[Sequence[float]], percent: float) -> float:
    return median([percentile(values, percent) for values in rounds if values] or [math.nan])


def _both(rounds: Sequence[Sequence[float]]) -> str:
    return f"{_over(rounds, 50):.2f} / {_over(rounds, 99):.2f}"
