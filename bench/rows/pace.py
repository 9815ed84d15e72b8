"""Paced: from the sender's stamp to the published cell, at 200, 2,000 and 10,000 messages/s."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from bench.environment import Reader
from bench.market import Market
from bench.reading import Life, ReaderFailed, life
from bench.report import Table, median, percentile

PACES = (200, 2_000, 10_000)
_SPIN_S = 0.0002
"""The sender sleeps until so short before a message is due, then spins."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: float
    """Of each pace."""

    def count(self, pace: int) -> int:
        return int(pace * self.seconds)


Figures = dict[tuple[Reader, int], list[list[float]]]
"""µs of every message that was published on its own, by reader and pace, round by round."""


def measure(readers: list[Reader], market: Market, size: Size) -> tuple[Figures, dict[Reader, str]]:
    """All readers in turn, round by round; and why one of them is missing."""
    figures: Figures = {}
    broken: dict[Reader, str] = {}
    for number in range(size.rounds):
        for reader in readers:
            if reader in broken:
                continue
            print(f"bench: pace round {number + 1}: {reader.name}", file=sys.stderr)
            try:
                with life(reader, market, None) as one:
                    one.start_stamping()
                    for pace in PACES:
                        times = _send_paced(one, pace, size.count(pace))
                        figures.setdefault((reader, pace), []).append(times)
            except ReaderFailed as error:
                broken[reader] = str(error)
    return figures, broken


def _send_paced(one: Life, pace: int, count: int) -> list[float]:
    messages = one.take(count)
    frames = [one.frames([message]) for message in messages]
    first, sent = one.memory.count, []
    due_ns = time.monotonic_ns()
    for frame in frames:
        due_ns += 1_000_000_000 // pace
        left_s = (due_ns - time.monotonic_ns()) / 1e9
        if left_s > _SPIN_S:
            time.sleep(left_s - _SPIN_S)
        while time.monotonic_ns() < due_ns:
            pass
        sent.append(time.monotonic_ns())
        one.sender.send(frame)
    one.wait()
    published = one.memory.stamps(first)
    times, at = [], 0
    update_id, trade_id = 0, 0
    for message, sent_ns in zip(messages, sent, strict=True):
        update_id = message.update_id or update_id
        trade_id = message.trade_id or trade_id
        while at < len(published) and _is_older(published[at], update_id, trade_id):
            at += 1
        if at < len(published):
            times.append((published[at][2] - sent_ns) / 1e3)
    return times


def _is_older(row: tuple[int, int, int], update_id: int, trade_id: int) -> bool:
    return row[0] < update_id or row[1] < trade_id


def table(figures: Figures, broken: dict[Reader, str], readers: list[Reader], size: Size) -> Table:
    columns = ["reader", *(f"{pace:,}/s: p50 / p99, µs" for pace in PACES)]
    result = Table("Feed, paced: sender's stamp to published", columns)
    for reader in readers:
        if reader in broken:
            result.add(reader.name, f"not measured: {broken[reader]}", *[""] * (len(PACES) - 1))
            continue
        cells = []
        for pace in PACES:
            rounds = figures[reader, pace]
            p50, p99 = (median([percentile(r, percent) for r in rounds]) for percent in (50, 99))
            cells.append(f"{p50:.0f} / {p99:.0f}")
        result.add("**mmd feed**" if reader.is_mmd else reader.name, *cells)
    result.notes.append(
        f"wanted: p50 and p99 within 1.1 × picows'; {size.rounds} rounds of {size.seconds} s at "
        "each pace; medians over the rounds; over ws"
    )
    return result
