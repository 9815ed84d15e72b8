"""A client that keeps to the budget: it waits for leave to send, for processes that can wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mmd.venues.ace.budget import Budget, Priority
from mmd.venues.ace.protocol import Call, Caller, Kind
from mmd.words.errors import RateLimited

T = TypeVar("T")

_NAP_S = 0.02
_PATIENCE_NS = 1_000_000_000
_CANCELS = (Kind.CANCEL, Kind.CANCELS)


class Throttled:
    """Sends through another caller when the budget allows; cancels go as harm cancels."""

    def __init__(
        self,
        caller: Caller,
        budget: Budget,
        priority: Priority,
        sleep: Callable[[float], None] = time.sleep,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._caller = caller
        self._budget = budget
        self._priority = priority
        self._sleep = sleep
        self._now_ns = now_ns

    def call(self, call: Call[T]) -> T:
        """Waits for leave, then calls. Tells the budget when the venue asks to slow down."""
        self._wait(Priority.HARM_CANCEL if call.kind in _CANCELS else self._priority)
        try:
            return self._caller.call(call)
        except RateLimited as error:
            self._budget.slow_down(error.retry_after_s, self._now_ns())
            raise

    def _wait(self, priority: Priority) -> None:
        """Who waited long goes among the touch orders, lest busy pairs starve him."""
        since_ns = self._now_ns()
        while not self._budget.try_take(priority, self._now_ns()):
            if self._now_ns() - since_ns > _PATIENCE_NS:
                priority = min(priority, Priority.TOUCH)
            self._sleep(_NAP_S)
