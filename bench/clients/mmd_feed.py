"""mmd's feed process as it is; what it publishes is stamped once SIGUSR1 came."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import time
from math import inf
from pathlib import Path

from bench.memory import Memory
from mmd.cells.layouts import BOOK, HEALTH, PARENT, BookCell, BookState, ParentState, StateCell
from mmd.cells.segment import Segment
from mmd.cells.wake import Bell
from mmd.processes.context import ChildContext, Heart, ParentLink, Stop
from mmd.processes.feed import FeedJob, FeedTiming, run

FOREVER_NS = 1 << 60


def stamped_cell(memory: Memory) -> BookCell:
    """The book cell, with a log of what was published when."""
    cell = StateCell(BOOK, memory.buffer, 0)
    publish, stamping = cell.write, False

    def start(_signal: int, _frame: object) -> None:
        nonlocal stamping
        stamping = True

    def write(state: BookState) -> None:
        publish(state)
        if stamping:
            memory.stamp(state.update_id, state.last_trade_id)

    cell.write = write
    signal.signal(signal.SIGUSR1, start)
    return cell


def main() -> None:
    url, path, symbol = sys.argv[1:4]
    book = stamped_cell(Memory(Path(path)))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        segment = Segment.create(home)
        parent_cell = segment.add(PARENT, "parent")
        parent_cell.write(ParentState(os.getpid(), time.monotonic_ns() + FOREVER_NS))
        stop = Stop()
        stop.on_term()
        parent = ParentLink(parent_cell, os.getpid(), os.eventfd(0), 2.0)
        heart = Heart(segment.add(HEALTH, "feed"))
        context = ChildContext("feed", heart, stop, parent, home)
        rest = "http://127.0.0.1:1"  # nobody's: the stream's first price is all it needs
        job = FeedJob(symbol.upper(), url, rest, "trade", 0, book, None, Bell(), 0)
        gc.freeze()  # as the parent does
        # A replay's clock does not run as ours, which would look like lag.
        run(job, context, timing=FeedTiming(lag_limit_s=inf))
        segment.remove(home)


if __name__ == "__main__":
    main()
