"""The simulated exchange in virtual time: hours pass in seconds, and nothing is left to luck.

A loop whose clock jumps to the next timer when nothing is ready, and a client that puts every
call through the real building and parsing to the real engine, with the real faults, but without
sockets.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import orjson

from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.faults import Fault, FaultKind
from mmd.sim.ace.venue import Answer
from mmd.sim.ace.venue import Call as Received
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.clock import VenueClock
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import TIME_HEADER, Call, build, finish, no_clear_answer

T = TypeVar("T")

EPOCH_MS = 1_800_000_000_000
"""Wall time at the moment 0 of the virtual clock."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: time jumps to when the loop wanted to be woken. Descriptors are looked at once
    nothing else is left to do at a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout == 0:
            return []
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which starts at 1 s. Real descriptors work as ever."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.now_s = 1.0
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def clock_ns(self) -> int:
        """In place of `time.monotonic_ns`."""
        return int(self._jumping.now_s * 1e9)

    def wall_ms(self) -> int:
        """In place of the wall clock, in ms since 1970."""
        return EPOCH_MS + int(self._jumping.now_s * 1000)


class VirtualClient(AsyncAceClient):
    """The client of asyncio loops, joined to an exchange without sockets."""

    def __init__(
        self,
        endpoint: AceEndpoint,
        exchange: Exchange,
        loop: VirtualLoop,
        latency_s: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self.clock = VenueClock(loop.clock_ns(), loop.wall_ms())
        self.is_cut = False
        """What this client sends arrives nowhere any more: its process is dead."""
        self._exchange, self._loop, self._latency_s = exchange, loop, latency_s

    async def close(self) -> None:
        """Nothing is open."""

    async def _send(self, call: Call[T]) -> T:
        if self.is_cut:
            await asyncio.Event().wait()
        sent_ns = self._loop.clock_ns()
        request = build(call, self.endpoint, self.clock.venue_ms(sent_ns))
        received = _received(call.path, request.method, request.url, request.body)
        decision = self._exchange.faults.decide(received.path, received.api_key)
        # Shielded: what has left is carried out, though the sender dies meanwhile.
        answer, headers = await asyncio.shield(
            self._loop.create_task(
                self._carry_out(received, decision.delay_before_s, decision.delay_after_s, decision)
            )
        )
        if decision.fault is not None:
            return await self._spoiled(call, decision.fault, answer)
        assert answer is not None
        self.clock.observe(sent_ns, self._loop.clock_ns(), headers.get(TIME_HEADER))
        return finish(call, answer.http_status, headers, orjson.dumps(answer.body))

    async def _carry_out(
        self, received: Received, before_s: float, after_s: float, decision: Any
    ) -> tuple[Answer | None, Mapping[str, str]]:
        await asyncio.sleep(self._latency_s() + before_s)
        answer = self._exchange.handle(received, decision, self._loop.wall_ms())
        headers = {TIME_HEADER: str(self._exchange.venue_ms(self._loop.wall_ms()))}
        await asyncio.sleep(self._latency_s() + after_s)
        return answer, headers

    async def _spoiled(self, call: Call[T], fault: Fault, answer: Answer | None) -> T:
        """What the client sees of a request that a fault struck."""
        match fault.kind:
            case FaultKind.ERROR_BEFORE | FaultKind.ERROR_AFTER:
                return finish(call, fault.http_status, {}, b"<html>bad gateway</html>")
            case FaultKind.RATE_LIMIT:
                return finish(call, 429, {}, b"")
            case FaultKind.REFUSE:
                refusal = {"attachment": None, "message": "refused", "status": fault.status}
                return finish(call, 200, {}, orjson.dumps(refusal))
            case FaultKind.MALFORMED:
                body = orjson.dumps(answer.body if answer else None)
                return finish(call, 200, {}, body[: len(body) // 2])
            case FaultKind.FREEZE:
                await asyncio.sleep(min(fault.seconds, self.endpoint.timeout_s))
        raise no_clear_answer(call, fault.kind.value)


def _received(path: str, method: str, url: str, body: bytes | None) -> Received:
    text = body.decode() if body is not None else urlsplit(url).query
    form = dict(parse_qsl(text, keep_blank_values=True))
    return Received(method, path, form, is_form=body is not None)
