"""HTTP/1.1 over warm connections: as little of it as a venue's API takes, and as fast as Python
does it.

aiohttp takes three times the CPU (75 µs for a request instead of 24, on loopback) and, before
Python 3.12, writes a request one round of the loop after it was built, so that the first order of
a ladder left after the last was ready. The parser is llhttp (httptools). Where a proxy lies
between, see `proxied`.

Nothing is ever sent twice, but for a GET on a connection that the venue closed meanwhile.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import httptools
from multidict import CIMultiDict

import mmd
from mmd.venues.ace.protocol import Request

_IDLE_S = 30.0
"""Connections idle for longer are closed by us, rather than found closed by the venue."""
_BODY_LIMIT = 32 << 20
_GOODBYE_ROUNDS = 10
"""Closing takes the event loop a round or two."""
_PORTS = {"http": 80, "https": 443}


class NotReached(Exception):
    """Nothing was sent: there is no connection."""


class ReplyLost(Exception):
    """The request left us, and no whole reply came."""


@dataclass(slots=True)
class Reply:
    """What the venue answered."""

    status: int = 0
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytearray = field(default_factory=bytearray)


class Carrier(Protocol):
    """Whatever carries requests to one venue."""

    def send(self, request: Request) -> Coroutine[Any, Any, Reply]:
        """Sends a request, and waits for the reply where it is awaited; it may leave before.

        Awaiting raises NotReached, ReplyLost."""

    async def close(self) -> None: ...


class Wire:
    """All connections to one origin; each carries one request at a time."""

    def __init__(self, base_url: str, context: ssl.SSLContext | None, timeout_s: float) -> None:
        """`timeout_s` limits the making of a connection, and the wait for each piece of a reply;
        a whole reply may take twice as long."""
        parts = urlsplit(base_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._context = context
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._post_heads: dict[str, bytes] = {}
        self._head = (
            f"Host: {parts.netloc.rpartition('@')[2]}\r\nUser-Agent: mmd/{mmd.__version__}\r\n"
            "Accept: */*\r\nAccept-Encoding: identity\r\n"
        )

    def send(self, request: Request) -> Coroutine[Any, Any, Reply]:
        """Sends a request: at once where a connection is warm, so that it leaves before whatever
        its caller does next. Awaiting gives the reply; cancelling that loses it.

        Awaiting raises NotReached, ReplyLost.
        """
        data = self._bytes(request)
        connection = self._take()
        if connection is None:
            return self._send_anew(data)
        reply = connection.ask(data, self._timeout_s)
        return self._hear(connection, reply, data, may_repeat=request.method == "GET")

    async def _send_anew(self, data: bytes) -> Reply:
        connection = await self._connect()
        return await self._keep(connection, connection.ask(data, self._timeout_s))

    async def _hear(
        self, connection: _Connection, reply: asyncio.Future[Reply], data: bytes, may_repeat: bool
    ) -> Reply:
        try:
            return await self._keep(connection, reply)
        except ReplyLost:
            if not may_repeat or connection.has_heard:
                raise
        return await self._send_anew(data)

    async def close(self) -> None:
        """Closes all connections; replies that are waited for are lost."""
        self._idle.clear()
        for connection in self._open:
            connection.close()
        for _ in range(_GOODBYE_ROUNDS):
            if not self._open:
                break
            await asyncio.sleep(0)

    async def _keep(self, connection: _Connection, reply: asyncio.Future[Reply]) -> Reply:
        """The reply; its connection serves again, if it may."""
        try:
            return await reply
        finally:
            connection.rest()
            if connection.is_reusable:
                connection.idle_since_s = self._loop.time()
                self._idle.append(connection)
            else:
                connection.close()  # whatever still comes belongs to nobody

    def _take(self) -> _Connection | None:
        """The connection that was used last, while those used long ago are closed."""
        idle, old_s = self._idle, self._loop.time() - _IDLE_S
        while idle and idle[0].idle_since_s < old_s:
            idle.popleft().close()
        while idle:
            connection = idle.pop()
            if not connection.is_closed:
                return connection
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(self._timeout_s):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self._loop, self._open),
                    self._host,
                    self._port,
                    ssl=self._context,
                    server_hostname=self._host if self._context else None,
                )
        except (OSError, TimeoutError) as error:
            raise NotReached(type(error).__name__) from error
        return connection

    def _bytes(self, request: Request) -> bytes:
        """The request as it goes over the wire."""
        body = request.body
        if body is None:
            return self._head_of(request) + b"\r\n"
        # POSTs go to few addresses, with the same headers each time.
        head = self._post_heads.get(request.url)
        if head is None:
            head = self._post_heads[request.url] = self._head_of(request)
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)

    def _head_of(self, request: Request) -> bytes:
        target = request.url.removeprefix(self._origin) or "/"
        lines = [f"{name}: {value}\r\n" for name, value in request.headers.items()]
        return "".join((f"{request.method} {target} HTTP/1.1\r\n{self._head}", *lines)).encode()


class _Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, open_ones: set[_Connection]) -> None:
        self._loop = loop
        self._open_ones = open_ones
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reply = Reply()
        self._timeout_s = self._heard_s = self._give_up_s = 0.0
        self._has_length = False
        self.is_closed = False
        self.is_reusable = False
        self.has_heard = False
        """Something came in answer to the last request."""
        self.idle_since_s = 0.0

    def ask(self, data: bytes, timeout_s: float) -> asyncio.Future[Reply]:
        """Sends a request; its reply, or ReplyLost, is to come."""
        assert self._transport is not None
        self._transport.write(data)
        self._waiter = waiter = self._loop.create_future()
        self.has_heard = self.is_reusable = False
        self._heard_s = self._loop.time()
        self._timeout_s, self._give_up_s = timeout_s, self._heard_s + 2 * timeout_s
        if self._timer is None:  # else it looks in time, and then waits for the rest
            self._timer = self._loop.call_later(timeout_s, self._look)
        return waiter

    def rest(self) -> None:
        """Nobody waits for a reply any more."""
        self._waiter = None

    def close(self) -> None:
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _look(self) -> None:
        """Gives up when nothing has come for long, or not all of it."""
        self._timer = None
        if self._waiter is None:
            return
        due_s = min(self._heard_s + self._timeout_s, self._give_up_s)
        if self._loop.time() >= due_s:
            self._lose("TimeoutError")
        else:
            self._timer = self._loop.call_at(due_s, self._look)

    def _lose(self, why: str) -> None:
        self.is_reusable = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ReplyLost(why))

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        # uvloop writes at once only what exceeds the limit; the rest waits for its next round.
        self._transport.set_write_buffer_limits(high=0)
        self._open_ones.add(self)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()  # nobody asked for it
            return
        self.has_heard = True
        self._heard_s = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._lose(type(error).__name__)

    def connection_lost(self, error: Exception | None) -> None:
        self.close()
        self._open_ones.discard(self)
        if error is None and self._reply.status and not self._has_length:
            self._deliver()  # a reply that ends with the connection
        self._lose(type(error).__name__ if error else "the venue hung up")

    # What the parser tells.

    def on_message_begin(self) -> None:
        self._reply = Reply()
        self._has_length = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reply.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        reply = self._reply
        reply.status = self._parser.get_status_code()
        self._has_length = "Content-Length" in reply.headers or "Transfer-Encoding" in reply.headers

    def on_body(self, part: bytes) -> None:
        self._reply.body += part
        if len(self._reply.body) > _BODY_LIMIT:
            self._lose("the reply is too long")

    def on_message_complete(self) -> None:
        if self._reply.status >= 200:  # below lie announcements of the reply
            self.is_reusable = self._parser.should_keep_alive()
            self._deliver()

    def _deliver(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._reply)
