"""One stream connection: takes over the TCP stream after the handshake and writes raw frames."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import cast

from mmd.sim.binance.commands import Subscriptions
from mmd.sim.binance.frames import (
    FrameReader,
    Message,
    Opcode,
    ProtocolError,
    encode,
    encode_close,
    encode_text,
)

_CLOSE_WAIT_S = 1.0
"""How long the answer to a close frame is waited for."""
_WRITE_BUFFER = 1 << 20


class Flow(Enum):
    """What a connection still does."""

    NORMAL = "normal"
    STALLED = "stalled"
    """Answers pings but sends no data."""
    HALF_OPEN = "half-open"
    """Neither reads nor writes; the TCP connection stays."""
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the venue grants one connection and demands of it."""

    ping_interval_s: float = 20.0
    pong_timeout_s: float = 60.0
    inbound_per_s: int = 5
    max_streams: int = 1024
    lifetime_s: float = 86_400.0
    max_backlog: int = 64 << 20
    """A reader that is this many bytes behind is cut off."""


class Connection(asyncio.Protocol):
    """A client's stream connection, from the end of the handshake on."""

    def __init__(
        self,
        number: int,
        subscriptions: Subscriptions,
        limits: Limits,
        on_change: Callable[[Connection], None],
        on_lost: Callable[[Connection, Exception | None], None],
    ) -> None:
        self.number = number
        self.subscriptions = subscriptions
        self.flow = Flow.NORMAL
        self.sent = 0
        """Data messages handed to the transport."""
        self.received = 0
        self.mute_pings = False
        """Fault: no pings of our own."""
        self.piece_bytes = 0
        """Fault: at most so many bytes in one write; 0 is off."""
        self._limits = limits
        self._on_change = on_change
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._inbound: deque[float] = deque(maxlen=limits.inbound_per_s)
        self._frames: list[bytes] = []
        self._backlog: list[bytes] | None = None
        self._backlog_bytes = 0
        self._pieces = bytearray()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._transport: asyncio.Transport
        self.closed = self._loop.create_future()

    def attach(self, transport: asyncio.Transport, response: bytes) -> None:
        """Takes the transport over and writes the handshake's answer."""
        self._transport = transport
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        transport.write(response)
        self._later("ping", self._limits.ping_interval_s, self._ping)
        self._later("end", self._limits.lifetime_s, lambda: self.close(1001, "24 hours"))

    # What the market sends

    @property
    def takes_data(self) -> bool:
        """Whether messages of the market go to this connection now."""
        return self.flow is Flow.NORMAL or self._backlog is not None

    def put(self, frame: bytes) -> None:
        """Queues the frame of one message; `flush` sends all that is queued."""
        self._frames.append(frame)

    def flush(self) -> None:
        """Sends what is queued in one write."""
        if not self._frames:
            return
        frames, self._frames = self._frames, []
        if self._backlog is not None:
            self._keep(frames)
        elif self.flow is Flow.NORMAL:
            self.sent += len(frames)
            self._write(b"".join(frames))

    @property
    def is_behind(self) -> bool:
        """Whether the client reads more slowly than it is sent to."""
        return not self._writable.is_set() and self.flow is Flow.NORMAL

    async def wait_writable(self) -> None:
        """Waits until the client has taken most of what was sent."""
        await self._writable.wait()

    def send_text(self, payload: bytes) -> None:
        """Sends one message now, after all that is queued."""
        self.put(encode_text(payload))
        self.flush()

    def send_raw(self, data: bytes) -> None:
        """Sends bytes as they are: faults need that."""
        self.flush()
        self._write(data)

    # Faults and endings

    def close(self, code: int, reason: str = "") -> None:
        """Ends the connection as the protocol demands: close frame, answer, end of TCP."""
        if self.flow is Flow.CLOSING:
            return
        self.heal()
        self.flush()
        self._write(encode_close(code, reason))
        self.flow = Flow.CLOSING
        self._later("end", _CLOSE_WAIT_S, self._transport.abort)

    def hang_up(self) -> None:
        """Ends TCP without a close frame."""
        self.flow = Flow.CLOSING
        self._later("end", _CLOSE_WAIT_S, self._transport.abort)
        self._transport.close()

    def reset(self) -> None:
        """Ends TCP with an RST."""
        self.flow = Flow.CLOSING
        tcp = cast(socket.socket, self._transport.get_extra_info("socket"))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def stall(self, keep_backlog: bool) -> None:
        """Sends no more data but answers pings. The backlog, if kept, comes at `heal`."""
        if self.flow is Flow.NORMAL:
            self.flow = Flow.STALLED
            self._writable.set()
            self._backlog = [] if keep_backlog else None

    def half_open(self) -> None:
        """Neither reads nor writes any more."""
        if self.flow is not Flow.CLOSING:
            self.flow = Flow.HALF_OPEN
            self._cancel("pong")
            self._writable.set()
            self._transport.pause_reading()

    def heal(self) -> None:
        """Ends stall, half-open, muted pings and split writes."""
        self.mute_pings, self.piece_bytes = False, 0
        if self.flow is Flow.HALF_OPEN:
            self._transport.resume_reading()
        if self.flow in (Flow.STALLED, Flow.HALF_OPEN):
            self.flow = Flow.NORMAL
            if self._paused:
                self._writable.clear()
            backlog, self._backlog, self._backlog_bytes = self._backlog or [], None, 0
            self._frames[:0] = backlog
            self.flush()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._take(message)
        except ProtocolError as error:
            self.close(error.code, str(error))

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self._paused = False
        if not self._pieces:
            self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.flow = Flow.CLOSING
        for timer in self._timers.values():
            timer.cancel()
        self._writable.set()
        self._frames.clear()
        self._pieces.clear()
        if not self.closed.done():
            self.closed.set_result(None)
        self._on_lost(self, exc)

    # Inside

    def _take(self, message: Message) -> None:
        self.received += 1
        if message.opcode is Opcode.CLOSE:
            if self.flow is not Flow.CLOSING:
                self.send_raw(encode(Opcode.CLOSE, message.payload[:2]))
            self.hang_up()
            return
        if self.flow is Flow.CLOSING or self._is_too_fast():
            return
        if message.opcode is Opcode.PING:
            self.send_raw(encode(Opcode.PONG, message.payload))
        elif message.opcode is Opcode.PONG:
            if message.payload == self._ping_payload:
                self._cancel("pong")
        else:
            self.send_raw(encode_text(self.subscriptions.answer(message.payload)))
            self._on_change(self)

    def _is_too_fast(self) -> bool:
        now = self._loop.time()
        full = len(self._inbound) == self._inbound.maxlen
        if full and now - self._inbound[0] < 1.0:
            self.close(1008, "Too many requests")
            return True
        self._inbound.append(now)
        return False

    @property
    def _ping_payload(self) -> bytes:
        return b"%d" % self.number

    def _ping(self) -> None:
        self._later("ping", self._limits.ping_interval_s, self._ping)
        if self.mute_pings or self.flow in (Flow.HALF_OPEN, Flow.CLOSING):
            return
        self.send_raw(encode(Opcode.PING, self._ping_payload))
        if "pong" not in self._timers:
            self._later("pong", self._limits.pong_timeout_s, lambda: self.close(1008, "no pong"))

    def _keep(self, frames: list[bytes]) -> None:
        if self._backlog is None:
            return
        self._backlog += frames
        self._backlog_bytes += sum(map(len, frames))
        if self._backlog_bytes > self._limits.max_backlog:
            self.reset()

    def _write(self, data: bytes) -> None:
        if self.flow in (Flow.HALF_OPEN, Flow.CLOSING):
            return
        if self._pieces or self.piece_bytes:
            if not self._pieces:
                self._loop.call_soon(self._write_piece)
            self._pieces += data
            self._writable.clear()
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > self._limits.max_backlog:
            self.reset()

    def _write_piece(self) -> None:
        if not self._pieces:
            return
        size = self.piece_bytes or len(self._pieces)
        self._transport.write(bytes(self._pieces[:size]))
        del self._pieces[:size]
        if self._pieces:
            self._loop.call_soon(self._write_piece)
        elif not self._paused:
            self._writable.set()

    def _later(self, name: str, delay_s: float, action: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = self._loop.call_later(delay_s, action)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
