"""Keeps one connection to Binance open: opens it, opens it again after a loss, and replaces it
before Binance ends it (24 h, or a notice of shutdown).

Replacing: the new connection is opened while the old one is still read. What the new one brings
waits in the kernel until both have overlapped for a while; then it is read, so that nothing is
missing, and what came twice is sorted out by id.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from mmd.venues.binance.errand import Errand
from mmd.venues.binance.retry import Retry
from mmd.venues.binance.stream import SECOND_NS, LinkLimits, LinkLost, Session
from mmd.words.errors import Fatal, MmdError


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """When a link does what, in seconds."""

    limits: LinkLimits = field(default_factory=LinkLimits)
    age_s: tuple[float, float] = (22 * 3600.0, 23.5 * 3600.0)
    """A connection is replaced at a random age in this range."""
    overlap_s: float = 1.0
    """How long an old and a new connection run side by side."""
    successor_s: float = 10.0
    """How long a new connection may take to say something before it is given up."""
    good_s: float = 30.0
    """A connection that held for this long was a good one."""
    connect_s: float = 5.0
    """Limit for each step of opening a connection."""


class Link:
    """The connection that is read now, and what is under way to be the next.

    Its sockets stand in the caller's epoll; the caller hands their events on.
    """

    def __init__(
        self,
        open_session: Callable[[], Session],
        epoll: select.epoll,
        random: Random,
        timing: LinkTiming,
        count_error: Callable[[MmdError], None],
    ) -> None:
        self._open_session = open_session
        self._epoll = epoll
        self._random = random
        self._timing = timing
        self._count_error = count_error
        self._retry = Retry(random)
        self._due_ns = 0
        self._expires_ns = 0
        self._opening: Errand[Session] | None = None
        self._successor: Session | None = None
        self._handover_ns: int | None = None
        self.session: Session | None = None
        self.generation = 0
        """Counts the connections that `session` has been."""

    def handles(self, fd: int, now_ns: int) -> bool:
        """Takes an event of a descriptor, if it is one of the link's own affairs.

        Raises Fatal when Binance will never let us in.
        """
        if self._opening is not None and fd == self._opening.fd:
            self._opened(self._opening, now_ns)
            return True
        if self._successor is not None and fd == self._successor.fileno():
            # It speaks. From here on its bytes wait in the kernel.
            self._epoll.unregister(fd)
            self._handover_ns = now_ns + int(self._timing.overlap_s * SECOND_NS)
            return True
        return False

    def tick(self, now_ns: int) -> None:
        """Does what is due."""
        session = self.session
        if session is None:
            self._open_if_due(now_ns)
            return
        try:
            session.check(now_ns)
        except LinkLost as error:
            self.drop(error, now_ns)
            return
        if now_ns - session.opened_ns > self._timing.good_s * SECOND_NS:
            self._retry.reset()
        if now_ns >= self._expires_ns:
            self._replace(now_ns)

    def replace_soon(self) -> None:
        """The server is about to shut down."""
        self._expires_ns = 0

    def drop(self, error: MmdError, now_ns: int) -> None:
        """Gives the present connection up; its successor, if there is one, takes over at once."""
        self._count_error(error)
        if self.session is not None:
            self.session.close()  # which also takes it out of the epoll
            self.session = None
        if self._successor is not None:
            self._hand_over(now_ns)
        else:
            self._wait(error, now_ns)

    def close(self) -> None:
        """Closes everything, for good."""
        if self._opening is not None:
            self._opening.abandon()
        for session in (self.session, self._successor):
            if session is not None:
                session.close()
        self.session = self._successor = self._opening = None

    def _open_if_due(self, now_ns: int) -> None:
        if self._opening is None and now_ns >= self._due_ns:
            self._opening = Errand(self._open_session, dispose=Session.close)
            self._epoll.register(self._opening.fd, select.EPOLLIN)

    def _opened(self, opening: Errand[Session], now_ns: int) -> None:
        self._opening = None
        self._epoll.unregister(opening.fd)
        try:
            session = opening.result()
            if self.session is not None:
                session.ping(now_ns)  # so that a quiet symbol's stream says something, too
        except MmdError as error:
            self._count_error(error)
            if isinstance(error, Fatal):
                raise
            self._wait(error, now_ns)
            return
        self._epoll.register(session.fileno(), select.EPOLLIN)
        if self.session is None:
            self._begin(session, now_ns)
        else:
            self._successor, self._handover_ns = session, None

    def _begin(self, session: Session, now_ns: int) -> None:
        self.session = session
        self.generation += 1
        self._expires_ns = now_ns + int(self._random.uniform(*self._timing.age_s) * SECOND_NS)

    def _replace(self, now_ns: int) -> None:
        successor = self._successor
        if successor is None:
            self._open_if_due(now_ns)
        elif self._handover_ns is not None and now_ns >= self._handover_ns:
            self._hand_over(now_ns)
        elif now_ns - successor.opened_ns > self._timing.successor_s * SECOND_NS:
            successor.close()
            self._successor = None
            error = LinkLost("the new connection says nothing")
            self._count_error(error)
            self._wait(error, now_ns)

    def _hand_over(self, now_ns: int) -> None:
        successor = self._successor
        assert successor is not None
        if self._handover_ns is not None:
            self._epoll.register(successor.fileno(), select.EPOLLIN)
        if self.session is not None:
            self.session.close()
        self._successor = self._handover_ns = None
        self._begin(successor, now_ns)

    def _wait(self, error: MmdError, now_ns: int) -> None:
        self._due_ns = now_ns + int(self._retry.delay_s(error) * SECOND_NS)
