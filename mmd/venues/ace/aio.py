"""The client for asyncio loops, over aiohttp: as `client`, but calls run side by side.

aiohttp repeats GET requests on a connection that was closed under them, but no POST.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from mmd.venues.ace import batch
from mmd.venues.ace.clock import Attempt, local_clock
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import TIME_HEADER, Call, build, finish, no_clear_answer
from mmd.venues.ace.script import Script, play_async
from mmd.words.errors import KeyRejected, MmdError, Unavailable
from mmd.words.market import MarketRules, NewOrder

T = TypeVar("T")

_IDLE_S = 30.0
"""Connections idle for longer are closed by us, rather than found closed by the venue."""
_TLS_GOODBYE_S = 0.25
"""aiohttp does not wait for TLS connections to end; its documentation advises this pause."""


class AsyncAceClient:
    """Carries calls to the venue over warm connections. Make it inside the loop."""

    def __init__(self, endpoint: AceEndpoint) -> None:
        self.endpoint = endpoint
        self.clock = local_clock()
        self._proxy = endpoint.proxy()
        wait_s = endpoint.timeout_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=endpoint.ssl_context() or True,
                keepalive_timeout=_IDLE_S,
                resolver=aiohttp.ThreadedResolver(),  # not whichever happens to be installed
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=2 * wait_s, sock_connect=wait_s, sock_read=wait_s),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()
        if self.endpoint.base_url.startswith("https:"):
            await asyncio.sleep(_TLS_GOODBYE_S)

    async def call(self, call: Call[T]) -> T:
        """Asks the venue; raises as `AceClient.call` does. Cancelling it loses the answer."""
        attempt = Attempt(self.clock, time.monotonic_ns())
        try:
            return await self._send(call)
        except KeyRejected as error:
            attempt.require_wrong_clock(error, time.monotonic_ns())
        return await self._send(call)

    async def run(
        self, script: Script[T], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> T:
        """Plays a script of several calls."""
        return await play_async(self, script, sleep)

    async def submit_batch_order(
        self, rules: MarketRules, orders: Sequence[NewOrder]
    ) -> list[str | MmdError]:
        """Places orders, together where the venue allows; see `batch.submit`."""
        return await self.run(batch.submit(self.endpoint, rules, orders))

    async def cancel_batch_orders(self, order_numbers: Sequence[str]) -> list[MmdError | None]:
        """Cancels orders, together where the venue allows; see `batch.cancel`."""
        return await self.run(batch.cancel(self.endpoint, order_numbers))

    async def _send(self, call: Call[T]) -> T:
        sent_ns = time.monotonic_ns()
        request = build(call, self.endpoint, self.clock.venue_ms(sent_ns))
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                proxy=self._proxy,
                allow_redirects=False,
            ) as reply:
                body = await reply.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _failure(call, error) from None
        self.clock.observe(sent_ns, time.monotonic_ns(), reply.headers.get(TIME_HEADER))
        return finish(call, reply.status, reply.headers, body)


def _failure(call: Call[Any], error: Exception) -> MmdError:
    what = type(error).__name__
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return Unavailable(f"{call.kind}: the venue can't be reached: {what}")
    return no_clear_answer(call, what)
