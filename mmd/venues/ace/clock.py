"""The venue's clock, measured by the time that its replies carry.

Counted from the monotonic clock, so that a step of our own wall clock changes nothing.
"""

from __future__ import annotations

import time
from collections import deque

from mmd.words.errors import KeyRejected, Unavailable

_KEPT = 32
_SLACK_MS = 20.0
_YEAR_2001_MS = 1_000_000_000_000
_WRONG_MS = 500.0
"""Venues allow a stamp to be off by seconds; less than this is no reason for a refusal."""
_STALE_NS = 1_000_000_000


class VenueClock:
    """Believes the quickest of the last replies: its offset has the smallest error."""

    def __init__(self, now_ns: int, wall_ms: float) -> None:
        self._offset_ms = wall_ms - now_ns / 1e6
        self._samples: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        """Round trip and offset, in ms, of each of the last replies …"""
        self._least: deque[float] = deque(maxlen=_KEPT)
        self._most: deque[float] = deque(maxlen=_KEPT)
        """… and between which offsets the true one lies by it."""

    @property
    def offset_ms(self) -> float:
        """The venue's time less the monotonic clock; our own wall clock until a reply came."""
        return self._offset_ms

    def venue_ms(self, now_ns: int) -> int:
        """The venue's time at a moment of the monotonic clock, in ms since 1970."""
        return int(now_ns / 1e6 + self._offset_ms)

    def observe(self, sent_ns: int, received_ns: int, header: str | None) -> None:
        """Takes in the time that a reply carries; ignores what is no time in ms."""
        if header is None or len(header) > 15 or not (header.isascii() and header.isdigit()):
            return
        if int(header) < _YEAR_2001_MS:
            return
        rtt_ms = (received_ns - sent_ns) / 1e6
        offset_ms = int(header) - (sent_ns + received_ns) / 2e6
        # An offset is right to within half its round trip.
        least, most = (offset_ms + sign * (rtt_ms + _SLACK_MS) / 2 for sign in (-1, 1))
        if self._samples and (least > min(self._most) or most < max(self._least)):
            for kept in (self._samples, self._least, self._most):
                kept.clear()  # no one offset explains all: the venue set its clock
        self._samples.append((rtt_ms, offset_ms))
        self._least.append(least)
        self._most.append(most)
        self._offset_ms = min(self._samples)[1]


class Attempt:
    """Tells whether a request was refused for its time stamp rather than for its key."""

    __slots__ = ("_asked_ns", "_clock", "_offset_ms")

    def __init__(self, clock: VenueClock, asked_ns: int) -> None:
        self._clock = clock
        self._asked_ns = asked_ns
        self._offset_ms = clock.offset_ms

    def require_wrong_clock(self, error: KeyRejected, now_ns: int) -> None:
        """Returns when the refusal showed that our idea of the venue's clock was wrong: signed
        anew, the request may be sent once more, since a refused one was not executed.

        Raises Unavailable for a request that was long under way, or whose process was frozen: its
        stamp was stale, and so may be what it asks for. Raises the refusal itself otherwise.
        """
        if now_ns - self._asked_ns > _STALE_NS:
            raise Unavailable(f"refused after a delay, perhaps as too old: {error}") from error
        if abs(self._clock.offset_ms - self._offset_ms) < _WRONG_MS:
            raise error


def local_clock() -> VenueClock:
    """A clock that knows nothing of the venue yet."""
    return VenueClock(time.monotonic_ns(), time.time() * 1000)
