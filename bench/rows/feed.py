"""Bursts: CPU per message and messages/s with frames back to back on the socket, and how long
after the sending of 500 messages the last of them is published."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field

from bench.environment import (
    BARE,
    BARE_CUT,
    MMD,
    PICOWS,
    PYTHON_BINANCE,
    WEBSOCKET_CLIENT,
    Reader,
    version,
)
from bench.market import Market
from bench.reading import Life, ReaderFailed, Trust, cpu_ns, life
from bench.report import Table, median, spread

SMALL_BURST = 500
_PAUSE_S = 0.03


@dataclass
class Figures:
    """One reader's figures over all rounds."""

    cpu_us: list[float] = field(default_factory=list)
    """CPU per message, in µs."""
    per_s: list[float] = field(default_factory=list)
    """Messages per second."""
    last_ms: list[float] = field(default_factory=list)
    """From the start of sending a small burst to the last message published, in ms."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    burst: int
    small_bursts: int


def measure(
    readers: list[Reader],
    market: Market,
    trusted: Trust | None,
    size: Size,
    interpreter: str | None = None,
) -> tuple[dict[Reader, Figures], dict[Reader, str]]:
    """All readers in turn, round by round; and why one of them is missing."""
    figures: dict[Reader, Figures] = defaultdict(Figures)
    broken: dict[Reader, str] = {}
    for number in range(size.rounds):
        for reader in readers:
            if reader in broken:
                continue
            print(f"bench: feed round {number + 1}: {reader.name}", file=sys.stderr)
            try:
                with life(reader, market, trusted, interpreter) as one:
                    _measure_life(one, figures[reader], size)
            except ReaderFailed as error:
                broken[reader] = str(error)
    return figures, broken


def _measure_life(one: Life, figures: Figures, size: Size) -> None:
    data = one.frames(one.take(size.burst))
    pid = one.process.pid
    before_ns, began_ns = cpu_ns(pid), time.monotonic_ns()
    one.sender.send(data)
    ended_ns = one.wait()
    figures.cpu_us.append((cpu_ns(pid) - before_ns) / size.burst / 1e3)
    figures.per_s.append(size.burst / (ended_ns - began_ns) * 1e9)
    if one.reader is BARE_CUT:
        return  # it publishes no ids
    one.start_stamping()
    for _ in range(size.small_bursts):
        data = one.frames(one.take(SMALL_BURST))
        time.sleep(_PAUSE_S)
        began_ns = time.monotonic_ns()
        one.sender.send(data)
        one.wait()
        figures.last_ms.append((one.published_ns() - began_ns) / 1e6)


def table(
    title: str,
    figures: dict[Reader, Figures],
    broken: dict[Reader, str],
    readers: list[Reader],
    size: Size,
) -> Table:
    """The figures beside each other, as ratios to mmd's."""
    result = Table(
        title,
        ["reader", "CPU per message, µs", "ratio", "messages/s", "ratio", "burst of 500, ms"],
    )
    mmd = figures[MMD]
    for reader in readers:
        name = f"{reader.name} {version(reader)}".strip() if not reader.is_mmd else "**mmd feed**"
        one = figures.get(reader)
        if reader in broken or one is None:
            result.add(name, f"not measured: {broken.get(reader, 'no round ended')}", *[""] * 4)
            continue
        result.add(
            name,
            spread(one.cpu_us),
            f"{median(one.cpu_us) / median(mmd.cpu_us):.2f}",
            f"{median(one.per_s):,.0f}",
            f"{median(mmd.per_s) / median(one.per_s):.2f}",
            spread(one.last_ms) if one.last_ms else "–",
        )
    for reference, wanted in ((PYTHON_BINANCE, 25), (WEBSOCKET_CLIENT, 8), (PICOWS, 1.6)):
        if reference in figures and figures[reference].cpu_us:
            ratio = median(figures[reference].cpu_us) / median(mmd.cpu_us)
            result.notes.append(f"{reference.name}: {ratio:.1f} × mmd's CPU (wanted ≥ {wanted})")
    if figures[BARE_CUT].cpu_us:
        ratio = median(mmd.cpu_us) / median(figures[BARE_CUT].cpu_us)
        result.notes.append(f"mmd needs {ratio:.1f} × the bare floor's CPU (wanted ≤ 4)")
    if figures[BARE].last_ms:
        ratio = median(mmd.last_ms) / median(figures[BARE].last_ms)
        result.notes.append(
            f"burst of 500: mmd needs {ratio:.2f} × the bare decoding loop's time (wanted ≤ 1)"
        )
    result.notes.append(
        f"{size.rounds} rounds in turn; a burst of {size.burst} messages and "
        f"{size.small_bursts} of {SMALL_BURST} in each; median (least–most)"
    )
    return result
