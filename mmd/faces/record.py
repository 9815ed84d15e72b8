"""`mmd record`: keeps what Binance's streams say, word for word, to be played again.

One line per message: local receive time in ns since 1970, a blank, the combined JSON as it came;
gzip. Each connection adds one REST depth snapshot per symbol, a line without `stream`, taken once
the stream flows, so that the depth changes around it fit.
"""

from __future__ import annotations

import gzip
import logging
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mmd.processes.context import Stop
from mmd.venues.binance.errand import Errand
from mmd.venues.binance.frames import Cutter
from mmd.venues.binance.link import Link, LinkTiming
from mmd.venues.binance.rest import Rest
from mmd.venues.binance.retry import Retry
from mmd.venues.binance.stream import SECOND_NS, Session, open_session, stream_address
from mmd.words.errors import ConfigError, Fatal, MmdError

log = logging.getLogger(__name__)

STREAMS = ("bookTicker", "trade", "depth@100ms")
"""What the simulator needs to play a symbol in full."""
SNAPSHOT_LEVELS = 1000
_TICK_S = 0.1
_FLUSH_NS = SECOND_NS


@dataclass(slots=True)
class Recorded:
    """What came of a recording."""

    messages: int = 0
    connections: int = 0
    errors: int = 0


def record(
    stream_url: str,
    rest_url: str,
    symbols: Sequence[str],
    file: Path,
    stop: Stop,
    streams: Sequence[str] = STREAMS,
    timing: LinkTiming | None = None,
) -> Recorded:
    """Writes messages to a new file until asked to stop; connections are opened anew when lost.

    Raises ConfigError when the file can't be made, Fatal when Binance shuts this host out.
    """
    try:
        sink = gzip.open(file, "xb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise ConfigError(f"{file} can't be made: {error.strerror}") from None
    with sink, Rest(rest_url) as rest:
        address = stream_address(
            stream_url, [f"{symbol.lower()}@{name}" for symbol in symbols for name in streams]
        )
        recorder = _Recorder(address, symbols, rest, sink, stop, timing or LinkTiming())
        try:
            recorder.run()
        finally:
            recorder.close()
        return recorder.recorded


class _Recorder:
    """The loop's state: one link, one file, at most one set of snapshots under way."""

    def __init__(
        self,
        address: str,
        symbols: Sequence[str],
        rest: Rest,
        sink: gzip.GzipFile,
        stop: Stop,
        timing: LinkTiming,
    ) -> None:
        self._address, self._symbols, self._rest = address, symbols, rest
        self._sink, self._stop, self._timing = sink, stop, timing
        self._epoll = select.epoll()
        self._epoll.register(stop.fd, select.EPOLLIN)
        self._link = Link(self._open, self._epoll, Random(), timing, self._count_error)
        self._errand: Errand[list[bytes]] | None = None
        self._snapshots_due_ns: int | None = None
        self._retry = Retry(Random())
        self._flushed_ns = 0
        self.recorded = Recorded()

    def run(self) -> None:
        while not self._stop.requested:
            session = self._link.session
            events = self._epoll.poll(0 if session and session.more else _TICK_S)
            now_ns = time.monotonic_ns()
            for fd, _ in events:
                self._handle(fd, now_ns)
            if session is not None and session is self._link.session:
                self._read(session, now_ns)
            self._link.tick(now_ns)
            if self._link.generation != self.recorded.connections:
                self.recorded.connections = self._link.generation
                self._snapshots_due_ns = now_ns
            if self._snapshots_due_ns is not None and now_ns >= self._snapshots_due_ns:
                self._ask_snapshots()
            if now_ns - self._flushed_ns > _FLUSH_NS:
                self._flushed_ns = now_ns
                self._sink.flush()

    def close(self) -> None:
        self._link.close()
        if self._errand is not None:
            self._errand.abandon()
        self._epoll.close()

    def _open(self) -> Session:
        limits, connect_s = self._timing.limits, self._timing.connect_s
        return open_session(self._address, Cutter(), time.monotonic_ns, limits, timeout_s=connect_s)

    def _handle(self, fd: int, now_ns: int) -> None:
        if self._errand is not None and fd == self._errand.fd:
            self._write_snapshots(self._errand, now_ns)
        else:
            self._link.handles(fd, now_ns)

    def _read(self, session: Session, now_ns: int) -> None:
        gulp = session.read(now_ns)
        self._write(gulp.messages)
        self.recorded.messages += len(gulp.messages)
        if gulp.error is not None:
            self._link.drop(gulp.error, now_ns)

    def _write(self, messages: Sequence[bytes]) -> None:
        if messages:
            stamp = b"%d " % time.time_ns()
            self._sink.write(b"".join(stamp + message + b"\n" for message in messages))

    def _ask_snapshots(self) -> None:
        if self._errand is not None:
            return  # one after the other
        self._snapshots_due_ns = None
        rest, symbols = self._rest, self._symbols
        self._errand = Errand(lambda: [rest.depth_text(s, SNAPSHOT_LEVELS) for s in symbols])
        self._epoll.register(self._errand.fd, select.EPOLLIN)

    def _write_snapshots(self, errand: Errand[list[bytes]], now_ns: int) -> None:
        self._errand = None
        self._epoll.unregister(errand.fd)
        try:
            self._write(errand.result())
            self._retry.reset()
        except MmdError as error:
            self._count_error(error)
            if isinstance(error, Fatal):
                raise
            self._snapshots_due_ns = now_ns + int(self._retry.delay_s(error) * SECOND_NS)

    def _count_error(self, error: MmdError) -> None:
        self.recorded.errors += 1
        log.warning("%s", error)
