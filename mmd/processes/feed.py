"""The feed: one Binance symbol's streams in, its book cell out.

One loop waits for the socket, for errands (opening connections and asking REST block, so they run
beside it), for the stop signal and for the parent's death, and beats the heart.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from mmd.cells.layouts import BookCell, BookStatus, DepthCell, DepthState
from mmd.cells.wake import Bell
from mmd.processes.context import ChildContext
from mmd.venues.binance.announce import Announcer
from mmd.venues.binance.book import FeedState
from mmd.venues.binance.errand import Errand
from mmd.venues.binance.frames import Cutter
from mmd.venues.binance.link import Link, LinkTiming
from mmd.venues.binance.messages import (
    BookTicker,
    CommandError,
    Malformed,
    PartialDepth,
    Shutdown,
    Trade,
    Unknown,
    decode,
)
from mmd.venues.binance.overload import Overload
from mmd.venues.binance.quiet import Quiet, Top
from mmd.venues.binance.rest import Rest
from mmd.venues.binance.retry import Retry
from mmd.venues.binance.stream import (
    SECOND_NS,
    LinkLost,
    Session,
    open_session,
    stream_address,
    ticker_prefix,
)
from mmd.words.errors import Fatal, MmdError

_TICK_S = 0.08
"""How often the loop comes round when nothing arrives; below BEAT_EVERY_S."""


@dataclass(frozen=True)
class FeedJob:
    """What one feed does."""

    symbol: str
    """As Binance writes it: BTCUSDT."""
    stream_url: str
    rest_url: str
    trades: str
    """The stream that volume is counted from: `trade` or `aggTrade`."""
    depth_levels: int
    """0, or how many levels go into the depth cell: 5, 10 or 20."""
    book: BookCell
    depth: DepthCell | None
    bell: Bell
    volume_step_e8: int
    """Readers are woken when this much was traded, in units of 1e-8; 0: not for volume."""

    @property
    def streams(self) -> list[str]:
        symbol = self.symbol.lower()
        names = [f"{symbol}@bookTicker", f"{symbol}@{self.trades}"]
        if self.depth_levels:
            names.append(f"{symbol}@depth{self.depth_levels}@100ms")
        return names


@dataclass(frozen=True)
class FeedTiming:
    """When a feed does what, in seconds."""

    link: LinkTiming = field(default_factory=LinkTiming)
    quiet_s: float = 30.0
    recheck_s: float = 2.0
    """Between two questions to REST about the same doubt."""
    lag_limit_s: float = 1.0
    """Growth of the lag; `inf` for streams whose clock runs slower than real time."""
    patience_s: float = 2.0
    """Lag or backlog over its limit for longer than this is an overflow."""


def run(
    job: FeedJob,
    context: ChildContext,
    random: Random | None = None,
    timing: FeedTiming | None = None,
) -> None:
    """Keeps the book cell up to date until asked to stop, or the parent is dead.

    Raises Fatal when Binance shuts this host out for good.
    """
    if threading.current_thread() is threading.main_thread():  # no signals elsewhere
        context.stop.on_term()
    feed = Feed(job, context, random or Random(), timing or FeedTiming())
    try:
        feed.run()
    finally:
        feed.close()


class Feed:
    """The loop's state: one symbol, one link, at most one question to REST at a time."""

    def __init__(
        self, job: FeedJob, context: ChildContext, random: Random, timing: FeedTiming
    ) -> None:
        self._job, self._context, self._timing = job, context, timing
        self._heart = context.heart
        self._messages = context.heart.state.messages
        self._symbol = job.symbol
        before = job.book.read()
        self._state = FeedState(before, new_epoch=time.time_ns())
        self._published_depth: DepthState | None = None
        self._announcer = Announcer(self._state, job.volume_step_e8)
        self._epoll = select.epoll()
        for fd in (context.stop.fd, context.parent.pidfd):
            self._epoll.register(fd, select.EPOLLIN)
        self._link = Link(self._open_session, self._epoll, random, timing.link, self._count_error)
        self._generation, self._is_up = 0, False
        self._next_tick_ns = 0
        self._rest = Rest(job.rest_url)
        self._rest_retry = Retry(random)
        self._errand: Errand[Callable[[int], None]] | None = None
        self._rest_due_ns = 0
        self._quiet = self._new_quiet()
        self._overload = self._new_overload()
        self._event_ms = 0
        self._publish()

    def run(self) -> None:
        """Goes round until it is time to leave."""
        self._heart.ready()
        while not self._context.stop.requested:
            session = self._link.session
            is_busy = session is not None and session.more
            is_hurried = is_busy or not self._next_tick_ns
            events = self._epoll.poll(0 if is_hurried else _TICK_S)
            now_ns = time.monotonic_ns()
            reads = is_busy
            for fd, _ in events:
                if session is not None and fd == session.fileno():
                    reads = True
                elif not self._handle(fd, now_ns):
                    return  # asked to stop, or the parent died
            if reads and session is not None and session is self._link.session:
                self._read(session, now_ns)
            if now_ns >= self._next_tick_ns:
                self._next_tick_ns = now_ns + int(_TICK_S * SECOND_NS)
                if not self._context.parent.is_alive(now_ns):
                    return
                self._tick(now_ns)

    def close(self) -> None:
        """Leaves nothing behind that looks current."""
        self._state.disconnected(BookStatus.STOPPED)
        self._publish()
        self._link.close()
        if self._errand is not None:
            self._errand.abandon()
        self._epoll.close()
        self._rest.close()
        self._heart.beat(connected=0, messages=self._messages)

    def _handle(self, fd: int, now_ns: int) -> bool:
        """An event of anything but the present session; False if it means to leave."""
        if fd in (self._context.stop.fd, self._context.parent.pidfd):
            return False
        if self._errand is not None and fd == self._errand.fd:
            self._finish_errand(self._errand, now_ns)
        else:
            self._link.handles(fd, now_ns)
        self._follow_link(now_ns)
        return True

    def _tick(self, now_ns: int) -> None:
        self._link.tick(now_ns)
        self._follow_link(now_ns)
        if self._link.session is not None:
            self._ask_rest_if_needed(now_ns)
            reason = self._overload.reason(now_ns)
            if reason is not None:
                self._heart.count_overflow()
                self._drop(LinkLost(f"overflow: {reason}"), now_ns)
        session = self._link.session
        self._heart.beat(
            messages=self._messages,
            progress=self._messages,
            connected=int(session is not None),
            waiting=int(session is not None and session.more),
            lag_ms=self._overload.lag_ms,
        )

    # The stream.

    def _open_session(self) -> Session:
        address = stream_address(self._job.stream_url, self._job.streams)
        cutter = Cutter(newest_only=ticker_prefix(self._job.symbol))
        link = self._timing.link
        return open_session(
            address, cutter, time.monotonic_ns, link.limits, timeout_s=link.connect_s
        )

    def _read(self, session: Session, now_ns: int) -> None:
        gulp = session.read(now_ns)
        self._messages += gulp.count
        self._event_ms = 0
        for payload in gulp.newest():
            if self._take(payload, now_ns):
                break
        for payload in gulp.messages:
            self._take(payload, now_ns)
        self._state.frame(session.last_frame_ns)
        self._publish()  # first of all: readers wait for nothing else
        self._overload.read(session.more, now_ns)
        if self._event_ms:
            self._overload.lag(self._event_ms, time.time_ns() // 1_000_000, now_ns)
        if gulp.error is not None:
            self._drop(gulp.error, now_ns)

    def _take(self, payload: bytes, now_ns: int) -> bool:
        """Applies one message; False if it can't be read."""
        try:
            event = decode(payload)
        except Malformed as error:
            self._count_error(error)
            return False
        if type(event) is Trade and event.symbol == self._symbol:
            self._event_ms = event.event_ms
            self._state.trade(event, now_ns)
        elif type(event) is BookTicker and event.symbol == self._symbol:
            self._state.ticker(event, now_ns)
        elif isinstance(event, PartialDepth):
            self._state.partial_depth(event, now_ns)
        elif isinstance(event, Shutdown):
            self._link.replace_soon()
        elif isinstance(event, (CommandError, Unknown, BookTicker, Trade)):
            self._heart.count_error(f"unexpected message: {event}")
        return True

    def _drop(self, error: MmdError, now_ns: int) -> None:
        self._link.drop(error, now_ns)
        self._follow_link(now_ns)

    def _follow_link(self, now_ns: int) -> None:
        """Notices that the link went down, or that another connection took over."""
        link = self._link
        if link.session is None:
            if self._is_up:
                self._is_up = False
                self._next_tick_ns = 0
                self._state.disconnected()
                self._publish()
        elif link.generation != self._generation:
            self._generation, self._is_up = link.generation, True
            self._next_tick_ns = 0
            self._state.connected()
            self._quiet, self._overload = self._new_quiet(), self._new_overload()
            self._rest_due_ns = now_ns

    def _new_overload(self) -> Overload:
        timing = self._timing
        return Overload(timing.lag_limit_s * 1_000, int(timing.patience_s * SECOND_NS))

    def _new_quiet(self) -> Quiet:
        timing = self._timing
        return Quiet(
            int(timing.quiet_s * SECOND_NS),
            int(timing.recheck_s * SECOND_NS),
            asked_ns=time.monotonic_ns(),
        )

    # REST.

    def _ask_rest_if_needed(self, now_ns: int) -> None:
        if self._errand is not None or now_ns < self._rest_due_ns:
            return
        symbol, generation = self._symbol, self._generation
        if self._state.wants_seed:
            self._ask(lambda: partial(self._seed, generation, self._rest.depth(symbol)))
        elif self._quiet.wants_check(self._state.last_ticker_ns, now_ns):
            self._quiet.asked(now_ns)
            self._ask(lambda: partial(self._compare, generation, self._rest.book_ticker(symbol)))

    def _ask(self, work: Callable[[], Callable[[int], None]]) -> None:
        self._errand = Errand(work)
        self._epoll.register(self._errand.fd, select.EPOLLIN)

    def _finish_errand(self, errand: Errand[Callable[[int], None]], now_ns: int) -> None:
        self._errand = None
        self._epoll.unregister(errand.fd)
        try:
            take = errand.result()
        except MmdError as error:
            self._count_error(error)
            if isinstance(error, Fatal):
                raise
            self._rest_due_ns = now_ns + int(self._rest_retry.delay_s(error) * SECOND_NS)
            return
        self._rest_retry.reset()
        take(now_ns)

    def _seed(self, generation: int, seed: PartialDepth, now_ns: int) -> None:
        if generation != self._generation or self._link.session is None:
            return  # it may be older than the connection
        if not self._state.seed(seed, now_ns):
            self._rest_due_ns = now_ns + int(self._timing.recheck_s * SECOND_NS)
        self._publish()

    def _compare(self, generation: int, theirs: Top, now_ns: int) -> None:
        if generation != self._generation or self._link.session is None:
            return
        if self._quiet.is_dead(self._state.top, theirs, self._state.last_ticker_ns):
            self._drop(LinkLost("the stream is silent though the price has moved"), now_ns)

    # The cells.

    def _publish(self) -> None:
        """Writes the cells, and wakes the readers if it is worth their while."""
        state, job = self._state, self._job
        if job.depth is not None and state.depth is not self._published_depth:
            self._published_depth = state.depth
            job.depth.write(state.depth)
        job.book.write(state.book())
        if self._announcer.is_due(state):
            job.bell.ring()

    def _count_error(self, error: MmdError) -> None:
        self._heart.count_error(str(error))
