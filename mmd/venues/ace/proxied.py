"""The carrier for addresses behind a proxy: aiohttp, which knows how to talk to one."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp

from mmd.venues.ace.protocol import Request
from mmd.venues.ace.wire import NotReached, Reply, ReplyLost

_IDLE_S = 30.0
_TLS_GOODBYE_S = 0.25
"""aiohttp does not wait for TLS connections to end; its documentation advises this pause."""


class ProxiedWire:
    """As `Wire`, through a proxy. aiohttp repeats a GET on a connection that was closed under it,
    but no POST."""

    def __init__(self, proxy: str, context: ssl.SSLContext | None, timeout_s: float) -> None:
        self._proxy = proxy
        self._has_tls = context is not None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=context or True,
                keepalive_timeout=_IDLE_S,
                resolver=aiohttp.ThreadedResolver(),  # not whichever happens to be installed
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=2 * timeout_s, sock_connect=timeout_s, sock_read=timeout_s
            ),
        )

    async def send(self, request: Request) -> Reply:
        """Sends a request and waits for the reply. Raises NotReached, ReplyLost."""
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
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotReached(type(error).__name__) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ReplyLost(type(error).__name__) from error
        return Reply(reply.status, reply.headers.copy(), bytearray(body))

    async def close(self) -> None:
        await self._session.close()
        if self._has_tls:
            await asyncio.sleep(_TLS_GOODBYE_S)
