"""Blocking work (address lookup, handshake, REST) done beside a loop that must not block."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock, Thread
from typing import Generic, TypeVar

from mmd.words.errors import MmdError

T = TypeVar("T")


class Errand(Generic[T]):
    """One piece of work in a thread of its own. It is asked for its result once it is done, by
    the loop that waits for `fd`. The thread touches nothing of the loop's."""

    def __init__(self, work: Callable[[], T], dispose: Callable[[T], None] | None = None) -> None:
        """`dispose` closes a result that nobody wants any more."""
        self._work, self._dispose = work, dispose
        self._results: list[T] = []
        self._error: MmdError | None = None
        self._lock = Lock()
        self._abandoned = False
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Becomes readable when the work is done."""
        self._thread = Thread(target=self._run, name="errand", daemon=True)
        self._thread.start()

    def result(self) -> T:
        """What came of it; call it once, when `fd` is readable.

        Raises the work's MmdError; RuntimeError when the work died of anything else, which its
        thread has reported already.
        """
        self._thread.join()
        os.close(self.fd)
        if self._error is not None:
            raise self._error
        if not self._results:
            raise RuntimeError("the work ended without a result")
        return self._results.pop()

    def abandon(self) -> None:
        """The result is not wanted any more. Waits for nothing."""
        with self._lock:
            self._abandoned = True
            os.close(self.fd)
            self._dispose_result()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except MmdError as error:
            self._error = error
        finally:
            with self._lock:
                if self._abandoned:
                    self._dispose_result()
                else:
                    os.eventfd_write(self.fd, 1)

    def _dispose_result(self) -> None:
        if self._results and self._dispose is not None:
            self._dispose(self._results.pop())
