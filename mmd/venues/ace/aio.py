"""The client for asyncio loops: as `client`, but calls run side by side.

Its methods send before they return, where a connection is warm; what they return is awaited for
the answer. So the first of many requests is on its way before the second is made up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from mmd.venues.ace import batch, calls
from mmd.venues.ace.clock import Attempt, local_clock
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import TIME_HEADER, Call, build, finish, no_clear_answer
from mmd.venues.ace.proxied import ProxiedWire
from mmd.venues.ace.script import Script, play_async
from mmd.venues.ace.wire import Carrier, NotReached, Reply, ReplyLost, Wire
from mmd.words.errors import KeyRejected, MmdError, Unavailable
from mmd.words.market import MarketRules, NewOrder

T = TypeVar("T")


class AsyncAceClient:
    """Carries calls to the venue over warm connections. Make it inside the loop."""

    def __init__(self, endpoint: AceEndpoint) -> None:
        self.endpoint = endpoint
        self.clock = local_clock()
        self._carrier = _carrier(endpoint)

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
        await self._carrier.close()

    def call(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        """Asks the venue; raises as `AceClient.call` does. Cancelling it loses the answer."""
        return self._hear(call, Attempt(self.clock, time.monotonic_ns()), self._send(call))

    async def _hear(self, call: Call[T], attempt: Attempt, answer: Coroutine[Any, Any, T]) -> T:
        try:
            return await answer
        except KeyRejected as error:
            attempt.require_wrong_clock(error, time.monotonic_ns())
        return await self._send(call)

    def run(
        self, script: Script[T], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> Coroutine[Any, Any, T]:
        """Plays a script of several calls."""
        return play_async(self, script, sleep)

    def submit_batch_order(
        self, rules: MarketRules, orders: Sequence[NewOrder]
    ) -> Coroutine[Any, Any, list[str | MmdError]]:
        """Places orders, together where the venue allows; see `batch.submit`."""
        if self.endpoint.submit_path is None and len(orders) == 1:
            return _alone(self.call(calls.new_order(rules, orders[0])))
        return self.run(batch.submit(self.endpoint, rules, orders))

    def cancel_batch_orders(
        self, order_numbers: Sequence[str]
    ) -> Coroutine[Any, Any, list[MmdError | None]]:
        """Cancels orders, together where the venue allows; see `batch.cancel`."""
        if self.endpoint.cancel_path is None and len(order_numbers) == 1:
            return _alone(self.call(calls.cancel(order_numbers[0])))
        return self.run(batch.cancel(self.endpoint, order_numbers))

    def _send(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        sent_ns = time.monotonic_ns()
        request = build(call, self.endpoint, self.clock.venue_ms(sent_ns))
        return self._answer(call, sent_ns, self._carrier.send(request))

    async def _answer(self, call: Call[T], sent_ns: int, awaited: Coroutine[Any, Any, Reply]) -> T:
        try:
            reply = await awaited
        except NotReached as error:
            raise Unavailable(f"{call.kind}: the venue can't be reached: {error}") from None
        except ReplyLost as error:
            raise no_clear_answer(call, str(error)) from None
        self.clock.observe(sent_ns, time.monotonic_ns(), reply.headers.get(TIME_HEADER))
        return finish(call, reply.status, reply.headers, reply.body)


async def _alone(answer: Coroutine[Any, Any, T]) -> list[T | MmdError]:
    """What `batch` would make of one order: the way of most orders, so it is short."""
    try:
        return [await answer]
    except MmdError as error:
        return [error]


def _carrier(endpoint: AceEndpoint) -> Carrier:
    proxy, context = endpoint.proxy(), endpoint.ssl_context()
    if proxy is None:
        return Wire(endpoint.base_url, context, endpoint.timeout_s)
    return ProxiedWire(proxy, context, endpoint.timeout_s)
