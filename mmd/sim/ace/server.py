"""The sockets of the simulated exchange: HTTP in and out, and faults done to connections."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from mmd.sim.ace.control import Control
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.faults import Fault, FaultKind
from mmd.sim.ace.rows import envelope
from mmd.sim.ace.venue import Answer, Call

BASE_PATH = "/polarisex"
"""As on the real host. Requests without it are answered just the same."""
_FORM = "application/x-www-form-urlencoded"


def wall_ms() -> int:
    """The time that stands in records and replies."""
    return time.time_ns() // 1_000_000


class Server:
    """Answers requests of clients and, under `/sim/`, of those who run the simulation."""

    def __init__(self, exchange: Exchange, control: Control) -> None:
        self._exchange = exchange
        self._control = control
        self._handling: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Drops the requests that are held up. aiohttp forgets those whose client has left."""
        held_up = list(self._handling)
        for task in held_up:
            task.cancel()
        await asyncio.gather(*held_up, return_exceptions=True)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/sim/"):
            return await self._control.handle(request)
        task = asyncio.current_task()
        assert task is not None
        self._handling.add(task)
        try:
            return await self._handle(request)
        finally:
            self._handling.discard(task)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = await _read(request)
        decision = self._exchange.faults.decide(call.path, call.api_key)
        if decision.delay_before_s:
            await asyncio.sleep(decision.delay_before_s)
        answer = self._exchange.handle(call, decision, wall_ms())
        if decision.delay_after_s:
            await asyncio.sleep(decision.delay_after_s)
        if decision.fault is None:
            assert answer is not None
            return self._reply(answer)
        return await self._spoiled(request, decision.fault, answer)

    def _reply(self, answer: Answer) -> web.Response:
        return web.Response(
            body=orjson.dumps(answer.body),
            status=answer.http_status,
            content_type="application/json",
            headers={"X-RESPONSE-TIME": str(self._exchange.venue_ms(wall_ms()))},
        )

    async def _spoiled(
        self, request: web.BaseRequest, fault: Fault, answer: Answer | None
    ) -> web.StreamResponse:
        """What the client sees of a request that a fault struck."""
        match fault.kind:
            case FaultKind.ERROR_BEFORE | FaultKind.ERROR_AFTER:
                return web.Response(
                    text="<html>bad gateway</html>",
                    status=fault.http_status,
                    content_type="text/html",
                )
            case FaultKind.RATE_LIMIT:
                return self._reply(Answer(envelope(None, 429, "too many requests"), 429))
            case FaultKind.REFUSE:
                return self._reply(Answer(envelope(None, fault.status, "refused on request")))
            case FaultKind.MALFORMED:
                body = orjson.dumps(answer.body if answer else None)
                return web.Response(body=body[: len(body) // 2], content_type="application/json")
            case FaultKind.RESET:
                _reset(request)
            case FaultKind.FREEZE:
                await asyncio.sleep(fault.seconds)
                _close(request)
            case _:
                _close(request)
        return web.Response()


async def _read(request: web.BaseRequest) -> Call:
    path = request.path.removeprefix(BASE_PATH)
    if request.method != "POST":
        return Call(request.method, path, dict(request.query))
    body = await request.read()
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return Call("POST", path, dict(pairs), is_form=request.content_type == _FORM)


def _close(request: web.BaseRequest) -> None:
    """Ends the connection without a word. What aiohttp writes later goes nowhere."""
    if request.transport is not None:
        request.transport.close()


def _reset(request: web.BaseRequest) -> None:
    """Ends the connection by RST: closing with a linger time of zero makes the kernel send it."""
    if request.transport is None:
        return
    connection = request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
