"""A client for child processes: while a call is under way, the loop that waits for it beats the
heart and watches for the end.

Each call runs in a thread of its own, since `requests` can't be interrupted; a call that takes
longer than its timeouts allow (a venue that drips) is given up together with its connection.
"""

from __future__ import annotations

import select
import threading
import time
from typing import TypeVar

from mmd.processes.context import BEAT_EVERY_S, ChildContext
from mmd.venues.ace.client import AceClient
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import Call, no_clear_answer
from mmd.words.errors import MmdError

T = TypeVar("T")

_TICK_S = BEAT_EVERY_S / 2


class Leave(Exception):
    """The process was asked to leave, or its parent is gone."""


class AttendedClient:
    """Calls the venue as `AceClient` does. `call` and `pause` raise Leave when it is time to go."""

    def __init__(
        self, endpoint: AceEndpoint, context: ChildContext, *, stays: bool = False
    ) -> None:
        """`stays`: goes on to its end though it was asked to leave, as a sweep must."""
        self.endpoint = endpoint
        self._context = context
        self._stays = stays
        self._client = AceClient(endpoint)
        self._limit_s = 2 * endpoint.timeout_s + 1
        """A connection and a first piece of the reply may take the timeout each."""
        self._ends = select.poll()
        for fd in (context.stop.fd, context.parent.pidfd):
            self._ends.register(fd, select.POLLIN)

    def close(self) -> None:
        self._client.close()

    def venue_ms(self) -> int:
        """The venue's time now, in ms since 1970."""
        return self._client.clock.venue_ms(time.monotonic_ns())

    def call(self, call: Call[T]) -> T:
        """Asks the venue; raises as `AceClient.call` does, and Leave."""
        self.attend()
        answers: list[T | MmdError] = []
        client = self._client
        thread = threading.Thread(target=_ask, args=(client, call, answers), daemon=True)
        give_up_s = time.monotonic() + self._limit_s
        thread.start()
        while thread.is_alive():
            thread.join(_TICK_S)
            self.attend()
            if time.monotonic() > give_up_s:
                self._client = AceClient(self.endpoint)
                raise no_clear_answer(call, "the reply does not come to an end")
        if not answers:
            raise RuntimeError(f"{call.kind}: the thread of the call died")
        (answer,) = answers
        if isinstance(answer, MmdError):
            raise answer
        return answer

    def pause(self, seconds: float) -> None:
        """Waits; raises Leave."""
        until_s = time.monotonic() + seconds
        while True:
            self.attend()
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            if self._stays:
                time.sleep(min(left_s, _TICK_S))
            else:
                self._ends.poll(min(left_s, _TICK_S) * 1000)

    def attend(self) -> None:
        """Beats the heart; raises Leave when it is time to go."""
        self._context.heart.beat()
        if not self._stays and self._must_leave():
            raise Leave

    def _must_leave(self) -> bool:
        parent = self._context.parent
        return bool(self._ends.poll(0)) or not parent.is_alive(time.monotonic_ns())


def _ask(client: AceClient, call: Call[T], answers: list[T | MmdError]) -> None:
    try:
        answers.append(client.call(call))
    except MmdError as error:
        answers.append(error)
