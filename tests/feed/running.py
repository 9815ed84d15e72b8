"""A feed that runs in a thread of the test, with everything a parent would give it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import TracebackType

from mmd.cells.layouts import BOOK, DEPTH, HEALTH, PARENT, BookState, HealthState, ParentState
from mmd.cells.segment import Segment
from mmd.cells.wake import Bell, Watch
from mmd.processes.context import ChildContext, Heart, ParentLink, Stop
from mmd.processes.feed import FeedJob, FeedTiming, run
from mmd.venues.binance.link import LinkTiming
from mmd.venues.binance.stream import LinkLimits

PATIENCE_S = 10.0
HOUR_NS = 3_600_000_000_000

QUICK = FeedTiming(
    link=LinkTiming(
        limits=LinkLimits(ping_after_s=0.1, dead_after_s=0.5),
        overlap_s=0.15,
        successor_s=0.6,
        connect_s=2.0,
    ),
    recheck_s=0.1,
)


def wait_for(condition: Callable[[], object], what: str = "the condition") -> None:
    """Waits until it holds; fails after ten seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.002)


@dataclass
class Nest:
    """Cells, bell, stop and parent link: what survives one life of a feed."""

    home: Path

    def __post_init__(self) -> None:
        self.segment = Segment.create(self.home)
        self.book_cell = self.segment.add(BOOK, "btcusdt")
        self.depth_cell = self.segment.add(DEPTH, "btcusdt")
        self.health_cell = self.segment.add(HEALTH, "feeds:btcusdt")
        self.parent_cell = self.segment.add(PARENT, "parent")
        self.parent_beats(HOUR_NS)
        self.parent_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.bell = Bell()
        self.watch = Watch(self.bell)

    def parent_beats(self, ahead_ns: int) -> None:
        """Sets the parent's heartbeat relative to now."""
        self.parent_cell.write(ParentState(os.getpid(), time.monotonic_ns() + ahead_ns))

    def job(self, stream_url: str, rest_url: str) -> FeedJob:
        return FeedJob(
            symbol="BTCUSDT",
            stream_url=stream_url,
            rest_url=rest_url,
            trades="trade",
            depth_levels=0,
            book=self.book_cell,
            depth=None,
            bell=self.bell,
            volume_step_e8=0,
        )

    def context(self) -> ChildContext:
        stop = Stop()
        parent = ParentLink(self.parent_cell, os.getpid(), self.parent_fd, lease_s=2.0)
        return ChildContext("feeds:btcusdt", Heart(self.health_cell), stop, parent, self.home)

    def close(self) -> None:
        self.watch.close()
        self.bell.close()
        os.close(self.parent_fd)
        self.segment.remove(self.home)


class Running:
    """One life of a feed."""

    def __init__(
        self,
        nest: Nest,
        stream_url: str,
        rest_url: str,
        timing: FeedTiming = QUICK,
        **changes: object,
    ) -> None:
        self.nest = nest
        self.job = replace(nest.job(stream_url, rest_url), **changes)  # type: ignore[arg-type]
        self._timing = timing
        self._context = nest.context()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            run(self.job, self._context, Random(1), self._timing)
        except BaseException as error:  # noqa: BLE001 - shown to the test by `stop`
            self.error = error

    @property
    def book(self) -> BookState:
        return self.nest.book_cell.read()

    @property
    def health(self) -> HealthState:
        return self.nest.health_cell.read()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def wait_for(self, condition: Callable[[BookState], object], what: str = "the book") -> None:
        """Waits until the book is as wanted."""
        wait_for(lambda: condition(self.book), f"{what}, it stands at {self.book}")

    def ended(self) -> None:
        """Waits for the feed to leave by itself."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the feed did not leave"
        os.close(self._context.stop.fd)

    def stop(self) -> None:
        self._context.stop.request()
        self.ended()
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.is_alive():
            self.stop()
