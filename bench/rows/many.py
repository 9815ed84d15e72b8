"""Many pairs at the recorded rates: how fast they start, what they cost, how fast they follow; and
the CPU time of an hour of the recorded market."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.environment import PYTHON_BINANCE, command, environment
from bench.exchange import Exchange, exchange
from bench.market import ROOT
from bench.memory import Memory
from bench.reading import cpu_ns
from bench.report import Table, median, percentile
from bench.sink import Kind, Log, Sink, sink

_SPREAD_BPS = 100
_HEAD = """\
mode: testnet
binance: {{stream_url: "{stream}", rest_url: "{rest}"}}
ace: {{base_url: "{venue}", rate_limit_per_s: 10000, burst: 10000, settle_s: 0.1}}
defaults:
  quote:
    levels: 5
    spread_bps: 100
    step_bps: 10
    jitter_bps: 0
    amount: {{min: 0.002, max: 0.01}}
    refresh_s: {{min: 3000, max: 3600}}
    widen: {{volatility_factor: 0}}
    bounds: {{venue_best: ignore}}
pairs:
"""
_PAIR = "  {pair}: {{binance: {symbol}, rate: none}}\n"
_SETTLE_S = 3.0


@dataclass(frozen=True)
class Load:
    """What so many pairs took."""

    pairs: int
    feed_cpu: float
    """CPU seconds per second of one feed, in the middle."""
    pair_cpu: float
    total_cpu: float
    """Of all processes of mmd."""
    feed_mb: float
    """PSS."""
    pair_mb: float
    total_mb: float
    ticks_ms: list[float]
    """From the sending of a price to its first order."""


class Home:
    """An installation of its own with so many pairs, ready to start."""

    def __init__(self, folder: Path, feeds: Exchange, venue: Sink, symbols: Sequence[str]) -> None:
        self.config = folder / "pairs.yaml"
        lines = [_PAIR.format(pair=pair_of(s), symbol=s.upper()) for s in symbols]
        head = _HEAD.format(stream=feeds.stream_url, rest=feeds.rest_url, venue=venue.url)
        self.config.write_text(head + "".join(lines))
        keys = {"ACE_API_KEY": "bench-key", "ACE_API_SECRET": "bench-secret"}
        self._environment = {**environment(None), **keys, "MMD_HOME": str(folder / "var")}

    def mmd(self, *arguments: str) -> None:
        """Runs a command of mmd to its end. Raises CalledProcessError."""
        base = [sys.executable, "-m", "mmd", *arguments, "--config", str(self.config)]
        subprocess.run(base, env=self._environment, cwd=ROOT, check=True, capture_output=True)

    @property
    def parent(self) -> psutil.Process:
        run = Path(self._environment["MMD_HOME"]) / "run"
        pid = int((run / "supervisord.pid").read_text())
        return psutil.Process(pid)


def symbols_of(count: int) -> list[str]:
    """The symbols of so many markets, the recording's own the first."""
    return ["btcusdt", *(f"x{number:03}usdt" for number in range(1, count))][:count]


def pair_of(symbol: str) -> str:
    return f"{symbol.upper().removesuffix('USDT')}/USDT"


@contextmanager
def world(count: int) -> Iterator[tuple[Home, Exchange, Sink]]:
    """Streams and a venue for so many pairs, and mmd ready to start between them."""
    symbols = symbols_of(count)
    with tempfile.TemporaryDirectory(prefix="mmd-bench-") as name:
        folder = Path(name)
        pairs = [pair_of(symbol) for symbol in symbols]
        with exchange(folder, symbols) as feeds, sink(folder, pairs) as venue:
            yield Home(folder, feeds, venue, symbols), feeds, venue


def start_seconds(count: int) -> float:
    """From `mmd start` to its return: all pairs quote."""
    with world(count) as (home, _, _):
        began_s = time.monotonic()
        home.mmd("start")
        took_s = time.monotonic() - began_s
        home.mmd("stop")
        return took_s


def load_of(count: int, seconds: float) -> Load:
    """What so many pairs take at the recorded rates."""
    with world(count) as (home, feeds, venue):
        home.mmd("start")
        try:
            time.sleep(_SETTLE_S)
            processes = home.parent.children(recursive=True)
            names = {one.pid: _title(one.pid) for one in processes}
            first_tick, first_row = feeds.log.count, venue.log.count
            before = {pid: cpu_ns(pid) for pid in names}
            time.sleep(seconds)
            spent = {pid: (cpu_ns(pid) - before[pid]) / 1e9 / seconds for pid in names}
            memory = {pid: _pss_mb(pid) for pid in names}
            ticks_ms = followed_ms(feeds.log, first_tick, venue.log, first_row)
        finally:
            home.mmd("stop")

    def of(values: dict[int, float], kind: str) -> list[float]:
        return [value for pid, value in values.items() if names[pid].startswith(kind)] or [0.0]

    return Load(
        count,
        median(of(spent, "feed:")),
        median(of(spent, "pair:")),
        sum(spent.values()),
        median(of(memory, "feed:")),
        median(of(memory, "pair:")),
        sum(memory.values()),
        ticks_ms,
    )


def followed_ms(ticks: Log, first_tick: int, orders: Log, first_row: int) -> list[float]:
    """For each price that an order of the first level of bids follows: how long after its
    sending the first such order came. Which price it was, the order's own price tells."""
    sent: dict[tuple[int, int], list[int]] = {}
    for row in ticks.rows(first_tick):
        cents = round(row.price * (1 - _SPREAD_BPS / 1e4) * 100)
        sent.setdefault((row.market, cents), []).append(row.at_ns)
    found: dict[tuple[int, int, int], float] = {}
    for row in orders.rows(first_row):
        cents = round(row.price * 100)
        keys = [(row.market, cents + off) for off in (0, 1, -1)]  # the venue's grid rounds
        key = next((one for one in keys if one in sent), None)
        if row.kind != Kind.ORDER or key is None:
            continue
        index = bisect_right(sent[key], row.at_ns) - 1
        if index >= 0:
            found.setdefault((*key, index), (row.at_ns - sent[key][index]) / 1e6)
    return list(found.values())


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def peer_cpu(seconds: float) -> float:
    """CPU seconds per second of python-binance's feed on the same stream."""
    with tempfile.TemporaryDirectory(prefix="mmd-bench-") as name, world(1) as (_, feeds, _):
        path = Path(name) / "memory"
        memory = Memory(path)
        arguments = [*command(PYTHON_BINANCE), feeds.stream_url, str(path), "btcusdt"]
        process = subprocess.Popen(arguments, env=environment(None), stderr=subprocess.DEVNULL)
        try:
            time.sleep(_SETTLE_S)
            before = cpu_ns(process.pid)
            time.sleep(seconds)
            return (cpu_ns(process.pid) - before) / 1e9 / seconds
        finally:
            process.kill()
            process.wait()
            memory.close()


def start_table(counts: Sequence[int], rounds: int) -> Table:
    result = Table("Start", ["pairs", "`mmd start` until all quote, s", "wanted"])
    for count in counts:
        took = [start_seconds(count) for _ in range(rounds)]
        wanted = {3: "≤ 2 s", 50: "≤ 10 s"}.get(count, "")
        result.add(str(count), f"{median(took):.2f} ({min(took):.2f}–{max(took):.2f})", wanted)
    result.notes.append(f"{rounds} rounds; budget off; with a .venv; interpreter start included")
    return result


def scale_table(counts: Sequence[int], seconds: float) -> Table:
    columns = ["pairs", "CPU of a feed, %", "of a pair, %", "of all, % of one CPU"]
    columns += ["PSS of a feed, MB", "of a pair, MB", "of all, MB", "tick to order p50 / p99, ms"]
    result = Table("Scale", columns)
    for count in counts:
        try:
            one = load_of(count, seconds)
        except subprocess.CalledProcessError as error:
            words = error.stderr.decode("utf-8", "replace").strip().splitlines() or [str(error)]
            result.add(str(count), f"did not start: {words[-1][:160]}", *[""] * (len(columns) - 2))
            continue
        ticks = one.ticks_ms or [float("nan")]
        result.add(
            str(count),
            f"{one.feed_cpu * 100:.2f}",
            f"{one.pair_cpu * 100:.2f}",
            f"{one.total_cpu * 100:.0f}",
            f"{one.feed_mb:.1f}",
            f"{one.pair_mb:.1f}",
            f"{one.total_mb:.0f}",
            f"{percentile(ticks, 50):.1f} / {percentile(ticks, 99):.1f} ({len(one.ticks_ms)})",
        )
    result.notes.append(
        f"each pair on a symbol of its own at the recorded pace for {seconds:.0f} s; streams and "
        f"venue run on the same {os.cpu_count()} CPUs; the streams send every 2 ms what is due"
    )
    return result


def day_table(seconds: float) -> Table:
    one = load_of(1, seconds)
    result = Table("Day", ["what", "CPU seconds per hour of recorded BTC market"])
    result.add("mmd: feed", f"{one.feed_cpu * 3600:.0f}")
    result.add("mmd: pair", f"{one.pair_cpu * 3600:.0f}")
    result.add("mmd: all processes", f"{one.total_cpu * 3600:.0f}")
    result.add("python-binance: feed alone", f"{peer_cpu(seconds) * 3600:.0f}")
    result.notes.append(f"from {seconds:.0f} s at the recorded pace")
    return result
