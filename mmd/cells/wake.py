"""Bells: how the writer of a book wakes its readers.

One eventfd per book, made by the parent before it forks, so that it survives restarts of both
sides. All readers share it; each watches it through an edge-triggered epoll of its own, because
a reader that consumed the eventfd itself would take the wake-up from the others. Wake-ups
coalesce: only the newest state counts.
"""

from __future__ import annotations

import os
import select


class Bell:
    """The writer's end; inherited by every child."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """Wakes all watchers."""
        try:
            os.eventfd_write(self.fd, 1)
        except BlockingIOError:
            # 2**64 - 2 rings without a reader of the eventfd: start counting anew.
            os.eventfd_read(self.fd)
            os.eventfd_write(self.fd, 1)

    def close(self) -> None:
        os.close(self.fd)


class Watch:
    """A reader's end, over any number of bells; its descriptor is readable when one has rung."""

    def __init__(self, *bells: Bell) -> None:
        self._epoll = select.epoll()
        for bell in bells:
            self._epoll.register(bell.fd, select.EPOLLIN | select.EPOLLET)

    def fileno(self) -> int:
        """For a selector or an event loop's `add_reader`."""
        return self._epoll.fileno()

    def consume(self) -> bool:
        """Takes what has rung so far; True if anything has. Never blocks."""
        return bool(self._epoll.poll(0))

    def wait(self, timeout_s: float) -> bool:
        """Blocks until a bell rings or the time is over; True if one rang."""
        return bool(self._epoll.poll(timeout_s))

    def close(self) -> None:
        self._epoll.close()
