"""Sends each event to all browsers that listen, and drops those that do not keep up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

MOST_LISTENERS = 100
MOST_WAITING = 10
"""Events that wait for one browser. One that is further behind is dropped: it connects anew and
gets the present state."""


@dataclass(eq=False)
class Listener:
    """One browser."""

    pair: str
    """The pair that it shows in detail; '' for none."""
    queue: asyncio.Queue[bytes | None] = field(
        default_factory=lambda: asyncio.Queue(MOST_WAITING + 1)
    )
    dropped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is too far behind."""

    @property
    def is_dropped(self) -> bool:
        return self.dropped.is_set()

    def put(self, event: bytes) -> bool:
        """Never waits; False when the browser is dropped for it."""
        if self.queue.qsize() >= MOST_WAITING:
            self.drop()
            return False
        self.queue.put_nowait(event)
        return True

    def drop(self) -> None:
        """Tells the task that serves it to hang up."""
        self.dropped.set()
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


@dataclass
class Hub:
    """All browsers."""

    listeners: set[Listener] = field(default_factory=set)

    @property
    def is_full(self) -> bool:
        return len(self.listeners) >= MOST_LISTENERS

    @property
    def watched(self) -> set[str]:
        """Pairs that somebody looks at in detail."""
        return {listener.pair for listener in self.listeners if listener.pair}

    def send(self, event: bytes, pair: str | None = None) -> list[Listener]:
        """To all, or to those that show a pair; returns those that were dropped by it."""
        dropped = []
        for listener in self.listeners:
            if listener.is_dropped or (pair is not None and listener.pair != pair):
                continue
            if not listener.put(event):
                dropped.append(listener)
        return dropped
