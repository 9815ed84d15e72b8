"""A child's surroundings, without a parent process: cells in plain memory."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mmd.cells.layouts import BOOK, HEALTH, PARENT, BookCell, Layout, ParentState, S, StateCell
from mmd.cells.wake import Bell
from mmd.processes.context import ChildContext, Heart, ParentLink, Stop
from tests.venues_ace.conftest import Exchange, start

_PATIENCE_S = 8.0


def cell(layout: Layout[S]) -> StateCell[S]:
    return StateCell(layout, memoryview(bytearray(layout.size)), 0)


class House:
    """What a parent gives a child, and sees of it."""

    def __init__(self, home: Path) -> None:
        self.health = cell(HEALTH)
        self.parent = cell(PARENT)
        self.book: BookCell = cell(BOOK)
        self.bell, self.trouble = Bell(), Bell()
        self.parent.write(ParentState(os.getpid(), 2**62))
        self._pidfd = os.pidfd_open(os.getpid())
        self._home = home
        self._stops: list[Stop] = []
        self.context = self.new_life()

    def new_life(self) -> ChildContext:
        """What the next child of this name is given."""
        stop = Stop()
        self._stops.append(stop)
        link = ParentLink(self.parent, os.getpid(), self._pidfd, lease_s=2.0)
        self.context = ChildContext("rates:test", Heart(self.health), stop, link, self._home)
        return self.context

    def close(self) -> None:
        self.bell.close()
        self.trouble.close()
        for fd in (self._pidfd, *(stop.fd for stop in self._stops)):
            os.close(fd)

    def run(self, entry: Callable[[], None], until: Callable[[], bool]) -> None:
        """Runs a child until something holds, then asks it to leave. Fails when it never holds."""
        watcher = _Watcher(until, self.context.stop)
        watcher.start()
        try:
            entry()
        finally:
            watcher.over.set()
            watcher.join()
        assert watcher.held, "what was waited for never came"


class _Watcher(threading.Thread):
    def __init__(self, until: Callable[[], bool], child_stop: Stop) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.held = False
        self._until, self._child_stop = until, child_stop

    def run(self) -> None:
        give_up_s = time.monotonic() + _PATIENCE_S
        while not self.over.is_set() and time.monotonic() < give_up_s:
            if self._until():
                self.held = True
                break
            time.sleep(0.005)
        self._child_stop.request()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    before = signal.getsignal(signal.SIGTERM)
    found = House(tmp_path)
    yield found
    found.close()
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with ExitStack() as stack:
        yield start(stack)
