"""The simulated venue on the network: streams and REST on one port, faults under /sim."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import orjson
from aiohttp import web
from pydantic import ValidationError

from mmd.sim.binance.commands import CommandError, Subscriptions
from mmd.sim.binance.connection import Connection, Limits
from mmd.sim.binance.events import Source
from mmd.sim.binance.faults import Fault, parser
from mmd.sim.binance.frames import accept_key
from mmd.sim.binance.market import Market
from mmd.sim.binance.path import SeededSource
from mmd.sim.binance.recording import RecordedSource
from mmd.sim.binance.rest import RestApi, RestFaults
from mmd.sim.binance.strike import Striker
from mmd.sim.binance.timeline import Timeline
from mmd.sim.tls import LoopbackCertificate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BinanceSimOptions:
    """How the simulated venue is to be."""

    port: int = 0
    """0: any free one."""
    host: str = "127.0.0.1"
    replay: Sequence[Path] = ()
    """Recordings to play; without any the market is made up from `seed`."""
    once: bool = False
    """The recordings are played once; then the venue is silent, still connected."""
    speed: float = 1.0
    """Market seconds per second; `math.inf`: as fast as the readers take it."""
    seed: int = 1
    autostart: bool = False
    """The market runs before anybody listens."""
    tls: bool = False
    ca_file: Path | None = None
    """Where the authority's certificate is written for clients, with `tls`."""
    limits: Limits = field(default_factory=Limits)


class _TakenOver(web.StreamResponse):
    """What a handler returns when the connection is no longer aiohttp's."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class BinanceSim:
    """The simulated venue. An async context manager; the methods belong to its event loop."""

    def __init__(
        self,
        options: BinanceSimOptions | None = None,
        certificate: LoopbackCertificate | None = None,
    ) -> None:
        """Raises ConfigError when a recording can't be used."""
        self.options = options or BinanceSimOptions()
        self.certificate = certificate
        if self.options.tls and certificate is None:
            self.certificate = LoopbackCertificate()
        self.market = Market(_source(self.options))
        self.timeline = Timeline(self.market, self.options.speed)
        self.connections: dict[int, Connection] = {}
        self.handshakes = 0
        self.refused = 0
        self.port = self.options.port
        self._sent_before = 0
        rest_faults = RestFaults()
        self._rest = RestApi(self.market, rest_faults)
        self._striker = Striker(self.connections, self.timeline, rest_faults)
        self._runner: web.AppRunner | None = None
        self._player: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens and plays. Raises OSError when the port is taken."""
        app = web.Application()
        app.add_routes(
            [
                *self._rest.routes(),
                web.get("/ws", self._open_raw),
                web.get("/ws/{streams:.*}", self._open_raw),
                web.get("/stream", self._open_combined),
                web.get("/sim/state", self._answer_state),
                web.post("/sim/faults", self._answer_fault),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, self.options.host, self.options.port, ssl_context=self._tls())
        try:
            await site.start()
        except OSError:
            await self.stop()
            raise
        self.port = runner.addresses[0][1]
        self._player = asyncio.create_task(self.timeline.run())
        self._player.add_done_callback(_report)
        if self.options.autostart:
            self.timeline.start()

    async def stop(self) -> None:
        """Ends all connections and the market."""
        if self._player is not None:
            self._player.cancel()
            await asyncio.wait([self._player])
        for connection in list(self.connections.values()):
            connection.reset()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def wait_broken(self) -> None:
        """Returns never; raises what made the market stop playing."""
        if self._player is not None:
            await asyncio.shield(self._player)

    @property
    def stream_url(self) -> str:
        """Base URL of the streams."""
        return f"{'wss' if self.options.tls else 'ws'}://{self.options.host}:{self.port}"

    @property
    def rest_url(self) -> str:
        """Base URL of REST."""
        return f"{'https' if self.options.tls else 'http'}://{self.options.host}:{self.port}"

    def top(self, symbol: str) -> tuple[Decimal, Decimal] | None:
        """Best bid and best ask of the timeline now; None where nothing is known of it."""
        return self.market.top(symbol)

    def strike(self, fault: Fault) -> int:
        """Carries a fault out; gives how many connections (or listeners) it struck."""
        return self._striker.strike(fault)

    def state(self) -> dict[str, Any]:
        """What goes on, as `GET /sim/state` gives it."""
        connections = self.connections.values()
        return {
            "timeline": self.timeline.state,
            "time_ns": self.market.now_ns,
            "events": self.timeline.events,
            "messages_sent": self._sent_before + sum(c.sent for c in connections),
            "handshakes": self.handshakes,
            "refused": self.refused,
            "rest_requests": self._rest.requests,
            "faults": self._striker.counts,
            "tops": {s: {"bid": t["b"], "ask": t["a"]} for s, t in self.market.tops().items()},
            "connections": [
                {
                    "number": c.number,
                    "flow": c.flow.value,
                    "combined": c.subscriptions.combined,
                    "streams": list(c.subscriptions.streams),
                    "sent": c.sent,
                    "received": c.received,
                }
                for c in connections
            ],
        }

    def _tls(self) -> ssl.SSLContext | None:
        if self.certificate is None or not self.options.tls:
            return None
        if self.options.ca_file is not None:
            self.options.ca_file.write_bytes(self.certificate.authority_pem)
        return self.certificate.server_context()

    async def _open_raw(self, request: web.Request) -> web.StreamResponse:
        return await self._open(request, request.match_info.get("streams", ""), combined=False)

    async def _open_combined(self, request: web.Request) -> web.StreamResponse:
        return await self._open(request, request.query.get("streams", ""), combined=True)

    async def _open(self, request: web.Request, streams: str, combined: bool) -> web.StreamResponse:
        if self._striker.refuses:
            return self._refuse()
        key = request.headers.get("Sec-WebSocket-Key", "")
        is_upgrade = request.headers.get("Upgrade", "").lower() == "websocket" and key
        if not is_upgrade or request.headers.get("Sec-WebSocket-Version") != "13":
            return web.Response(status=400, text="this is a WebSocket endpoint")
        subscriptions = Subscriptions(combined, self.options.limits.max_streams)
        try:
            subscriptions.add(streams.split("/"))
        except CommandError as error:
            return web.Response(status=400, text=str(error))
        connection = self._take_over(request, subscriptions, key)
        await connection.closed
        return _TakenOver()

    def _refuse(self) -> web.Response:
        self.refused += 1
        refusal = self._striker.refusal
        response = web.Response(status=refusal.status, text="simulated fault")
        if refusal.retry_after_s is not None:
            response.headers["Retry-After"] = str(refusal.retry_after_s)
        return response

    def _take_over(
        self, request: web.Request, subscriptions: Subscriptions, key: str
    ) -> Connection:
        http = request.protocol

        def lost(connection: Connection, error: Exception | None) -> None:
            del self.connections[connection.number]
            self._sent_before += connection.sent
            self._listen(connection)
            http.connection_lost(error)

        self.handshakes += 1
        connection = Connection(
            self.handshakes, subscriptions, self.options.limits, self._listen, lost
        )
        response = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
        )
        self.connections[connection.number] = connection
        connection.attach(cast(asyncio.Transport, request.transport), response.encode())
        self._listen(connection)
        return connection

    def _listen(self, _: Connection) -> None:
        self.timeline.listen(list(self.connections.values()))

    async def _answer_state(self, _: web.Request) -> web.Response:
        return _json(self.state())

    async def _answer_fault(self, request: web.Request) -> web.Response:
        try:
            fault = parser.validate_json(await request.read())
        except ValidationError as error:
            return _json(
                {
                    "error": error.errors(
                        include_url=False, include_input=False, include_context=False
                    )
                },
                400,
            )
        return _json({"struck": self.strike(fault)})


def _report(player: asyncio.Task[None]) -> None:
    if not player.cancelled() and (error := player.exception()) is not None:
        log.error("the market stopped playing: %s", error, exc_info=error)


def _source(options: BinanceSimOptions) -> Source:
    if options.replay:
        return RecordedSource(options.replay, options.once)
    return SeededSource(options.seed, time.time_ns())


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")
