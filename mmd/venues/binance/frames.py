"""Cuts WebSocket frames (RFC 6455, server to client) out of a receive buffer.

Made for bursts. Of one kind of message only the newest counts (bookTickers); such a message is
recognised by its first bytes and skipped over with one comparison, and is not even copied. All
others come out in their order. However the bytes were split on their way, the outcome is alike.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

from mmd.words.errors import Unavailable

FIN = 0x80
_RESERVED_BITS = 0x70
_MASKED = 0x80
_CONTROL_LIMIT = 125
BUFFER_BYTES = 1 << 20
MESSAGE_LIMIT = 16 << 20


class Opcode(IntEnum):
    """What a frame carries."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_WHOLE_TEXT = 0x817E  # a text message in one frame, its size in the next two bytes
_COMMA = ord(",")
_head_of = struct.Struct(">HH").unpack_from
_DATA = (Opcode.TEXT, Opcode.BINARY)
_CONTROLS = (Opcode.CLOSE, Opcode.PING, Opcode.PONG)


class ProtocolError(Unavailable):
    """The server sent what RFC 6455 forbids: drop the connection and open a new one."""


class Gulp:
    """What one read brought."""

    __slots__ = ("controls", "data", "error", "messages", "tickers")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.messages: list[bytes] = []
        """Whole messages in their order, all of which count."""
        self.tickers: list[int] = []
        """Where in `data` the messages lie of which the newest counts. Each one's id is higher
        than all before it in this gulp, so these go first and what is in `messages` can't undo
        them."""
        self.controls: list[tuple[int, bytes]] = []
        """Opcode and payload of control frames."""
        self.error: Unavailable | None = None
        """Why nothing more will come; what came before it is good."""

    @property
    def count(self) -> int:
        """How many messages there are, skipped ones included."""
        return len(self.messages) + len(self.tickers)

    def newest(self) -> Iterator[bytes]:
        """The messages of which the newest counts, newest first: the next is for the case that
        the one before can't be decoded."""
        for position in reversed(self.tickers):
            start = position + 4
            size = int.from_bytes(self.data[position + 2 : start], "big")
            yield self.data[start : start + size]


class Cutter:
    """A receive buffer with the frames in it.

    `newest_only` is how a message begins of which only the newest counts, up to the digits of
    its rising id: `{"stream":"btcusdt@bookTicker","data":{"u":`. Empty: every message counts.
    """

    def __init__(
        self,
        newest_only: bytes = b"",
        size: int = BUFFER_BYTES,
        message_limit: int = MESSAGE_LIMIT,
    ) -> None:
        self._prefix = newest_only or b"\xff"  # no text begins so
        self._limit = message_limit
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)
        self._begin = self._end = 0
        self._fragments: bytearray | None = None
        self._digits = 0

    def make_room(self) -> None:
        """Moves the rest to the front, and grows the buffer for a frame that is too big for it."""
        if self._begin == self._end:
            self._begin = self._end = 0
            return
        rest = self._buffer[self._begin : self._end]
        if len(rest) == len(self._buffer):
            self._buffer = bytearray(min(2 * len(rest), self._limit + 16))
            self._view = memoryview(self._buffer)
        self._buffer[: len(rest)] = rest
        self._begin, self._end = 0, len(rest)

    @property
    def room(self) -> memoryview:
        """Where the next bytes go; empty when the buffer is full."""
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """So many bytes were put where `room` was."""
        self._end += count

    def feed(self, data: bytes) -> Gulp:
        """Puts bytes in and cuts: for what was not read into `room`. `data` must fit."""
        self.make_room()
        self.room[: len(data)] = data
        self.filled(len(data))
        return self.cut()

    def cut(self) -> Gulp:
        """Takes out all messages that have arrived whole."""
        # Bytes, not the buffer itself: JSON is decoded from bytes in half the time.
        gulp = Gulp(bytes(self._view[self._begin : self._end]))
        try:
            self._begin += self._cut(gulp)
        except ProtocolError as error:
            gulp.error = error
        return gulp

    def _cut(self, gulp: Gulp) -> int:
        """Sorts whole frames into the gulp; returns where the first incomplete one begins."""
        data, end, position = gulp.data, len(gulp.data), 0
        prefix, starts_with = self._prefix, data.startswith
        keep, note = gulp.messages.append, gulp.tickers.append
        newest = b""
        while True:
            digits_from = 4 + len(prefix)
            digits_to = digits_from + self._digits
            # Up to here a frame's head and the byte after its id are there to be looked at.
            last = end - 1 - digits_to if self._fragments is None else -1
            # The hot loop: whole text messages of 126 to 65,535 bytes, one after the other.
            while position <= last:
                head, size = _head_of(data, position)
                start = position + 4
                stop = start + size
                if head != _WHOLE_TEXT or stop > end:
                    break
                if starts_with(prefix, start):
                    update_id = data[position + digits_from : position + digits_to]
                    # Ids of equal length compare as texts. Any other goes the slow way.
                    if data[position + digits_to] != _COMMA or not update_id.isdigit():
                        break
                    if update_id <= newest:
                        break
                    newest = update_id
                    note(position)
                else:
                    keep(data[start:stop])
                position = stop
            frame = self._frame(data, position)
            if frame is None:
                return position
            first, start, stop = frame
            if starts_with(prefix, start):
                digits = start + len(prefix)
                update_id = data[digits : data.find(b",", digits, stop)]
                if (len(update_id), update_id) > (len(newest), newest) and update_id.isdigit():
                    newest, self._digits = update_id, len(update_id)
            self._take(first, data[start:stop], gulp)
            position = stop

    def _frame(self, data: bytes, position: int) -> tuple[int, int, int] | None:
        """First byte, start and end of the payload of the frame that begins here; None while it
        has not arrived whole."""
        end = len(data)
        if end - position < 2:
            return None
        first, length = data[position], data[position + 1]
        if first & _RESERVED_BITS:
            raise ProtocolError("a frame has reserved bits set")
        if length & _MASKED:
            raise ProtocolError("a frame from the server is masked")
        start = position + 2
        if length >= 126:
            start += 2 if length == 126 else 8
            if start > end:
                return None
            length = int.from_bytes(data[position + 2 : start], "big")
            if length > self._limit:
                raise ProtocolError(f"a frame of {length} bytes is too big")
        stop = start + length
        return (first, start, stop) if stop <= end else None

    def _take(self, first: int, payload: bytes, gulp: Gulp) -> None:
        final, opcode = first & FIN, first & 0x0F
        if opcode in _CONTROLS:
            if not final or len(payload) > _CONTROL_LIMIT:
                raise ProtocolError("a control frame is fragmented or too long")
            gulp.controls.append((opcode, payload))
            return
        if opcode == Opcode.CONTINUATION:
            if self._fragments is None:
                raise ProtocolError("a continuation frame continues nothing")
            if len(self._fragments) + len(payload) > self._limit:
                raise ProtocolError("a message in many frames is too big")
            self._fragments += payload
        elif opcode not in _DATA:
            raise ProtocolError(f"a frame has the unknown opcode {opcode}")
        elif self._fragments is not None:
            raise ProtocolError("a new message begins inside another one")
        else:
            self._fragments = bytearray(payload)
        if final:
            gulp.messages.append(bytes(self._fragments))
            self._fragments = None


def client_frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """A frame from the client, which must be masked with 4 random bytes. At most 125 bytes of
    payload: all we ever say is ping, pong and close."""
    size = len(payload)
    if size > _CONTROL_LIMIT:
        raise ValueError(f"{size} bytes are too many for a control frame")
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    masked = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return bytes((FIN | opcode, _MASKED | size)) + mask + masked
