"""WebSocket frames from the server's side (RFC 6455): plain out, masked in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_CLIENT_PAYLOAD = 1 << 16
"""More than any command needs."""


class Opcode(IntEnum):
    """Kinds of frame."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class ProtocolError(Exception):
    """The client broke the protocol; `code` is the close code that tells it so."""

    def __init__(self, message: str, code: int = 1002) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message of the client, or one control frame."""

    opcode: Opcode
    payload: bytes


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def encode(opcode: int, payload: bytes, final: bool = True, reserved: int = 0) -> bytes:
    """One frame. `reserved` are the three reserved bits as a number: the fault of that name."""
    first = (0x80 if final else 0) | reserved << 4 | opcode
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


_TEXT_HEADERS = tuple(
    encode(Opcode.TEXT, bytes(size))[: 2 if size < 126 else 4] for size in range(2048)
)


def encode_text(payload: bytes) -> bytes:
    """One text frame, quickly."""
    size = len(payload)
    return _TEXT_HEADERS[size] + payload if size < 2048 else encode(Opcode.TEXT, payload)


def encode_close(code: int, reason: str = "") -> bytes:
    """A close frame."""
    return encode(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode()[:120])


class FrameReader:
    """Cuts a client's bytes into messages, however they were split on the way."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts = bytearray()
        self._opcode: Opcode | None = None

    def feed(self, data: bytes) -> Iterator[Message]:
        """Takes bytes, gives the messages they complete. Raises ProtocolError."""
        self._buffer += data
        while (frame := self._cut()) is not None:
            final, opcode, payload = frame
            if opcode >= Opcode.CLOSE:
                if not final or len(payload) > 125:
                    raise ProtocolError("a control frame is whole and short")
                yield Message(opcode, payload)
                continue
            message = self._join(final, opcode, payload)
            if message is not None:
                yield message

    def _join(self, final: bool, opcode: Opcode, payload: bytes) -> Message | None:
        if (opcode is Opcode.CONTINUATION) is (self._opcode is None):
            raise ProtocolError("a continuation without a beginning, or the reverse")
        self._parts += payload
        if len(self._parts) > _MAX_CLIENT_PAYLOAD:
            raise ProtocolError("message too big", 1009)
        begun = self._opcode or opcode
        self._opcode = None if final else begun
        if not final:
            return None
        whole = bytes(self._parts)
        self._parts.clear()
        return Message(begun, whole)

    def _cut(self) -> tuple[bool, Opcode, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70:
            raise ProtocolError("reserved bits")
        if not buffer[1] & 0x80:
            raise ProtocolError("a client masks its frames")
        size, start = buffer[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            start += width
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if size > _MAX_CLIENT_PAYLOAD:
            raise ProtocolError("frame too big", 1009)
        end = start + 4 + size
        if len(buffer) < end:
            return None
        try:
            opcode = Opcode(buffer[0] & 0x0F)
        except ValueError:
            raise ProtocolError("reserved opcode") from None
        payload = _unmask(bytes(buffer[start : start + 4]), bytes(buffer[start + 4 : end]))
        final = bool(buffer[0] & 0x80)
        del buffer[:end]
        return final, opcode, payload


def _unmask(mask: bytes, payload: bytes) -> bytes:
    size = len(payload)
    stream = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ stream).to_bytes(size, "big")
