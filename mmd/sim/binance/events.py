"""What a market puts out: timed messages in the form of the combined streams.

An event is a plain tuple because half a million of them pass in a second.
Payload formats: binance-spot-api-docs, web-socket-streams.md.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

Event: TypeAlias = tuple[int, str, bytes]
"""Time in ns on the market's clock, stream name, combined JSON `{"stream":…,"data":…}`."""

E8 = 100_000_000
SNAPSHOT = "@snapshot"
"""Ending of a made-up stream name: a whole order book, for the simulator's own use."""
OPENING = "@opening"
"""The same, where the market jumps to another book: a recording begins anew."""


class Source(Protocol):
    """A market without derived streams: bookTicker, trade, depth@100ms and snapshots.

    Order of the events is the order of their times.
    """

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols to list where all are asked for, upper case."""

    @property
    def native(self) -> frozenset[str]:
        """Streams that come ready-made and must not be derived besides."""

    @property
    def start_ns(self) -> int:
        """The clock's reading when the first event can come at the earliest."""

    @property
    def due_ns(self) -> int | None:
        """Time of the event that `next()` gives."""

    def next(self) -> Event | None:
        """The next event; None while there is nothing (more) to play."""

    def want(self, symbol: str) -> bool:
        """Someone asks for this symbol from now on. False when it doesn't exist here."""

    def opening(self, symbol: str) -> bytes | None:
        """The book that holds until the first snapshot event, as REST would show it."""


def wrap(stream: str, data: bytes) -> bytes:
    """The combined form of a raw payload."""
    return b'{"stream":"%s","data":%s}' % (stream.encode(), data)


def unwrap(payload: bytes) -> bytes:
    """The raw payload inside a combined one, byte for byte."""
    return payload[payload.index(b'"data":') + 7 : -1].strip()


def parse_e8(text: str) -> int:
    """A decimal text as an integer count of 1e-8."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(8, "0")[:8])


def format_e8(value: int) -> str:
    """An integer count of 1e-8 as Binance writes it: always eight decimals."""
    return f"{value // E8}.{value % E8:08d}"
