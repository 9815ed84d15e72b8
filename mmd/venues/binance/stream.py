"""One connection to Binance's market streams.

`websocket-client` opens it: address, proxy, TLS, handshake. From then on we read the socket
ourselves, in gulps as big as what has arrived. Nothing is lost between the two, since its
handshake reads byte by byte and stops at the empty line.

What Binance demands (web-socket-streams.md): pongs echo their ping's payload, come within a minute,
and together with our own pings number at most 5 in a second.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import websocket

from mmd.venues.binance.frames import Cutter, Gulp, Opcode, client_frame
from mmd.venues.binance.refusal import refusal
from mmd.venues.binance.rest import LOOPBACK
from mmd.words.errors import Unavailable

SECOND_NS = 1_000_000_000
_RECEIVE_BYTES = 512 << 10
"""Half of the cutter's buffer: the kernel doubles it, and one gulp should take all there is."""
_USER_TIMEOUT_MS = 10_000
_UNSENT_LIMIT = 1 << 14
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS),
)
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
NORMAL_CLOSURE = 1000


class LinkLost(Unavailable):
    """The connection is gone, or as good as gone."""


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """What a silent link is allowed."""

    ping_after_s: float = 1.0
    """Silence after which we ping; also the least time between two pings."""
    dead_after_s: float = 5.0
    """Silence after which the link counts as dead."""


def stream_address(base_url: str, streams: Iterable[str]) -> str:
    """The address of a combined stream. Symbols need not be ASCII, so they are quoted."""
    names = "/".join(quote(name, safe="@!") for name in streams)
    return f"{base_url.rstrip('/')}/stream?streams={names}"


def ticker_prefix(symbol: str) -> bytes:
    """How this symbol's bookTickers begin on a combined stream, up to the digits of their id."""
    return f'{{"stream":"{symbol.lower()}@bookTicker","data":{{"u":'.encode()


class Session:
    """An open connection, read and written without ever blocking."""

    def __init__(
        self,
        connection: socket.socket,
        cutter: Cutter,
        now_ns: int,
        limits: LinkLimits = LinkLimits(),
        mask: Callable[[int], bytes] = os.urandom,
    ) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._is_tls = isinstance(connection, ssl.SSLSocket)
        self._cutter = cutter
        self._limits = limits
        self._mask = mask
        self._unsent = bytearray()
        self._pinged_ns = now_ns
        self.opened_ns = now_ns
        self.last_frame_ns = now_ns
        self.more = False
        """The last read ended before all was read. With TLS, a selector can't see the rest."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self, now_ns: int) -> Gulp:
        """Whatever has arrived; answers pings. `gulp.error` tells of the end of the connection."""
        ended = self._receive()
        gulp = self._cutter.cut()
        if gulp.controls:
            ended = self._answer(gulp.controls) or ended
        gulp.error = gulp.error or ended
        if gulp.messages or gulp.tickers or gulp.controls:
            self.last_frame_ns = now_ns
        return gulp

    def check(self, now_ns: int) -> None:
        """Pings a silent link. Raises LinkLost when it stays silent. To be called several times a
        second."""
        silence_ns = now_ns - self.last_frame_ns
        if silence_ns > self._limits.dead_after_s * SECOND_NS:
            raise LinkLost(f"no frame for {silence_ns / SECOND_NS:.1f} s")
        pause_ns = self._limits.ping_after_s * SECOND_NS
        if silence_ns >= pause_ns and now_ns - self._pinged_ns >= pause_ns:
            self.ping(now_ns)
        elif self._unsent:
            self._send(b"")

    def ping(self, now_ns: int) -> None:
        """Asks for a sign of life. Raises LinkLost."""
        self._pinged_ns = now_ns
        self._send(client_frame(Opcode.PING, b"", self._mask(4)))

    def close(self) -> None:
        """Says good-bye if that is possible at once, and closes."""
        try:
            code = NORMAL_CLOSURE.to_bytes(2, "big")
            self._send(client_frame(Opcode.CLOSE, code, self._mask(4)))
        except LinkLost:
            pass  # nobody to say good-bye to
        finally:
            self._socket.close()

    def _receive(self) -> LinkLost | None:
        """Fills the cutter until nothing is left to read, or the buffer is full."""
        cutter, receive = self._cutter, self._socket.recv_into
        cutter.make_room()
        self.more = True
        room = cutter.room
        while room:
            try:
                count = receive(room)
            except _WOULD_BLOCK:
                self.more = False
                return None
            except OSError as error:
                return LinkLost(f"the connection broke: {error}")
            if not count:
                return LinkLost("the server hung up without a close frame")
            cutter.filled(count)
            if count < len(room) and not self._is_tls:  # TLS reads one record at a time
                self.more = False
                return None
            room = cutter.room
        return None

    def _answer(self, controls: list[tuple[int, bytes]]) -> LinkLost | None:
        """Answers the newest ping, which stands for all (RFC 6455, 5.5.3), and a close."""
        frames = dict(controls)
        try:
            if Opcode.CLOSE in frames:
                payload = frames[Opcode.CLOSE]
                self._send(client_frame(Opcode.CLOSE, payload[:2], self._mask(4)))
                code = int.from_bytes(payload[:2], "big")
                reason = payload[2:].decode("utf-8", "replace")
                return LinkLost(f"the server closed the connection: {code} {reason}".rstrip())
            if Opcode.PING in frames:
                self._send(client_frame(Opcode.PONG, frames[Opcode.PING], self._mask(4)))
        except LinkLost as error:
            return error
        return None

    def _send(self, data: bytes) -> None:
        """Sends what can be sent now and keeps the rest for the next time."""
        self._unsent += data
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except _WOULD_BLOCK:
            if len(self._unsent) > _UNSENT_LIMIT:
                raise LinkLost("the server reads nothing") from None
        except OSError as error:
            raise LinkLost(f"the connection broke: {error}") from None


def open_session(
    address: str,
    cutter: Cutter,
    clock_ns: Callable[[], int],
    limits: LinkLimits = LinkLimits(),
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 5.0,
) -> Session:
    """Opens a connection; blocks for up to `timeout_s` at each of its steps.

    Raises Unavailable (RateLimited among them), Refused for a wrong address, or Fatal.
    """
    host = urlsplit(address).hostname or ""
    options: dict[str, Any] = {"sslopt": {"context": tls}} if tls else {}
    if host in LOOPBACK:
        # websocket-client exempts a host from the environment's proxies only if it is on the
        # exemption list of a proxy given by hand, which is then not used.
        options |= {"http_proxy_host": "unused", "http_no_proxy": [host]}
    try:
        opened = websocket.create_connection(
            address,
            timeout=timeout_s,
            sockopt=_SOCKET_OPTIONS,
            skip_utf8_validation=True,
            suppress_origin=True,
            enable_multithread=False,
            **options,
        )
    except websocket.WebSocketBadStatusException as error:
        body = error.resp_body or b""
        text = body.decode("utf-8", "replace") or error.status_message or ""
        raise refusal(error.status_code, error.resp_headers or {}, text) from None
    except (websocket.WebSocketException, OSError, ValueError) as error:
        raise Unavailable(f"can't connect to {host}: {type(error).__name__}: {error}") from None
    assert opened.sock is not None
    return Session(opened.sock, cutter, clock_ns(), limits)
