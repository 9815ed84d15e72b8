"""Plays a market to all connections on one clock, at a pace or as fast as they take it."""

from __future__ import annotations

import asyncio
import math

from mmd.sim.binance.connection import Connection
from mmd.sim.binance.events import Event, unwrap
from mmd.sim.binance.frames import encode_text
from mmd.sim.binance.market import Market

_BATCH = 512
"""Events between two looks at the event loop."""
_IDLE_S = 0.1


class Timeline:
    """The market's clock. It starts once and then runs whether anybody listens or not.

    At the speed `inf` it waits for readers instead: it stands still while nobody listens, and
    for the slowest connection, so that nothing is lost and memory stays bounded.
    """

    def __init__(self, market: Market, speed: float) -> None:
        self.market = market
        self.speed = speed
        """Market seconds per second; `math.inf`: no waiting."""
        self.events = 0
        """Events played, listened to or not."""
        self.skip_trades: dict[str, int] = {}
        """Fault: how many next trades of a symbol are swallowed."""
        self._connections: list[Connection] = []
        self._raw: dict[str, list[Connection]] = {}
        self._combined: dict[str, list[Connection]] = {}
        self._started = asyncio.Event()
        self._changed = asyncio.Event()
        self._hurry = 0

    @property
    def state(self) -> str:
        """`waiting` for the first subscription, `playing`, or `idle`: nothing (more) to play."""
        if not self._started.is_set():
            return "waiting"
        return "idle" if self.market.due_ns is None else "playing"

    def start(self) -> None:
        """Sets the clock going; a running one goes on."""
        self._started.set()

    def hurry(self, count: int) -> None:
        """Plays the next `count` messages that somebody listens to at once."""
        self._hurry += count
        self._changed.set()

    def listen(self, connections: list[Connection]) -> None:
        """Says who is connected; call it whenever a subscription changes."""
        raw: dict[str, list[Connection]] = {}
        combined: dict[str, list[Connection]] = {}
        for connection in connections:
            table = combined if connection.subscriptions.combined else raw
            for stream in connection.subscriptions.streams:
                table.setdefault(stream, []).append(connection)
        self._raw, self._combined, self._connections = raw, combined, list(connections)
        self.market.want(raw.keys() | combined.keys())
        if raw or combined:
            self.start()
        self._changed.set()

    def inject(self, stream: str, data: bytes) -> int:
        """Sends a message that is not the market's to a stream's listeners; gives their number."""
        raw, combined = self._raw.get(stream, []), self._combined.get(stream, [])
        for connection in raw:
            connection.send_text(data)
        for connection in combined:
            connection.send_text(b'{"stream":"%s","data":%s}' % (stream.encode(), data))
        return len(raw) + len(combined)

    async def run(self) -> None:
        """Plays until cancelled."""
        await self._started.wait()
        if self.speed == math.inf:
            await self._rush()
        else:
            await self._pace()

    async def _rush(self) -> None:
        while True:
            events = self.market.take(_BATCH) if self._raw or self._combined else []
            if events:
                self._dispatch(events)
                self._flush()
                await self._wait_for_readers()
            else:
                await self._wait_for_change()

    async def _wait_for_readers(self) -> None:
        await asyncio.sleep(0)
        for connection in self._connections:
            if connection.is_behind:
                await connection.wait_writable()

    async def _pace(self) -> None:
        loop = asyncio.get_running_loop()
        anchor: tuple[float, int] | None = None
        while True:
            due_ns = self.market.due_ns
            if due_ns is None:
                self._flush()
                await self._wait_for_change()
                anchor = None
                continue
            if anchor is None or self._hurry:
                anchor = (loop.time(), due_ns)
            await self._wait_until(anchor[0] + (due_ns - anchor[1]) / 1e9 / self.speed)
            event = self.market.next()
            if event is not None:
                self._dispatch((event,))
            if self.events % _BATCH == 0:
                self._flush()
                await asyncio.sleep(0)

    async def _wait_until(self, due: float) -> None:
        """Returns when the time has come, or when there is hurry."""
        loop = asyncio.get_running_loop()
        while (left := due - loop.time()) > 0 and not self._hurry:
            self._flush()
            self._changed.clear()
            if left < 0.002:
                await asyncio.sleep(left)
                return
            timer = loop.call_later(left, self._changed.set)
            await self._changed.wait()
            timer.cancel()

    async def _wait_for_change(self) -> None:
        """Returns soon at the latest, since a question by REST may begin a symbol's path."""
        self._changed.clear()
        timer = asyncio.get_running_loop().call_later(_IDLE_S, self._changed.set)
        await self._changed.wait()
        timer.cancel()

    def _dispatch(self, events: tuple[Event, ...] | list[Event]) -> None:
        """Queues the events' frames with all who listen to them."""
        raw, combined = self._raw, self._combined
        delivered = 0
        for _, stream, payload in events:
            if stream not in raw and stream not in combined:
                continue
            if self.skip_trades and self._is_skipped(stream):
                continue
            delivered += 1
            if stream in combined:
                frame = encode_text(payload)
                for connection in combined[stream]:
                    if connection.takes_data:
                        connection.put(frame)
            if stream in raw:
                frame = encode_text(unwrap(payload))
                for connection in raw[stream]:
                    if connection.takes_data:
                        connection.put(frame)
        self.events += len(events)
        if self._hurry:
            self._hurry = max(0, self._hurry - delivered)

    def _is_skipped(self, stream: str) -> bool:
        name, _, kind = stream.partition("@")
        left = self.skip_trades.get(name.upper(), 0)
        if not left or kind not in ("trade", "aggTrade"):
            return False
        self.skip_trades[name.upper()] = left - 1
        if left == 1:
            del self.skip_trades[name.upper()]
        return True

    def _flush(self) -> None:
        for connection in self._connections:
            connection.flush()
