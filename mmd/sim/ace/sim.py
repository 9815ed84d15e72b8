"""The simulated exchange as something to start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from aiohttp import web

from mmd.sim.ace.control import Control
from mmd.sim.ace.crowd import CrowdOptions, Fair
from mmd.sim.ace.exchange import AccountOptions, Exchange
from mmd.sim.ace.faults import FaultPlan
from mmd.sim.ace.paths import PairPaths
from mmd.sim.ace.record import Record
from mmd.sim.ace.server import BASE_PATH, Server, wall_ms
from mmd.sim.ace.venue import BatchPaths, VenueRules
from mmd.sim.tls import LoopbackCertificate
from mmd.words.errors import MmdError, Unavailable
from mmd.words.market import Pair

PAPER_KEY = "paper"
PAPER_SECRET = "paper-secret"
DEFAULT_BALANCES = {
    "TWD": Decimal(30_000_000),
    "USDT": Decimal(1_000_000),
    "BTC": Decimal(10),
    "ETH": Decimal(100),
    "SOL": Decimal(3_000),
    "XRP": Decimal(500_000),
    "DOGE": Decimal(2_000_000),
    "ADA": Decimal(500_000),
    "BNB": Decimal(500),
    "LTC": Decimal(4_000),
    "LINK": Decimal(20_000),
    "AVAX": Decimal(10_000),
    "DOT": Decimal(50_000),
}
DEFAULT_PAIRS = tuple(
    Pair.parse(name)
    for name in ("BTC/TWD", "ETH/TWD", "SOL/TWD", "XRP/TWD", "BTC/USDT", "ETH/USDT", "USDT/TWD")
)
_TICK_S = 0.1
_SYNC_EVERY_TICKS = 3


def paper_accounts(
    balances: Mapping[str, Decimal] | None = None,
) -> dict[str, AccountOptions]:
    """The one well-known account of paper mode. Its secret is no secret."""
    return {PAPER_KEY: AccountOptions(PAPER_SECRET, {**DEFAULT_BALANCES, **(balances or {})})}


@dataclass(frozen=True)
class AceSimOptions:
    """How the simulated exchange behaves."""

    port: int = 0
    """0: any free one."""
    host: str = "127.0.0.1"
    seed: int = 1
    folder: Path | None = None
    """Where the record lives; None: a temporary folder, gone at the end."""
    accounts: Mapping[str, AccountOptions] = field(default_factory=paper_accounts)
    """API key → account. Balances count only when an account is seen for the first time."""
    pairs: tuple[Pair, ...] = DEFAULT_PAIRS
    """Markets with other participants from the start; they join any other that a client names."""
    crowd: CrowdOptions = field(default_factory=CrowdOptions)
    batch: bool = False
    tls: bool = False
    window_ms: int = 5000
    rate_limit_per_s: float | None = None
    rate_burst: float | None = None
    paging: Literal["page", "row"] = "page"

    def rules(self) -> VenueRules:
        return VenueRules(
            window_ms=self.window_ms,
            rate_limit_per_s=self.rate_limit_per_s,
            rate_burst=self.rate_burst,
            paging=self.paging,
            batch=BatchPaths() if self.batch else None,
        )


class AceSim:
    """One simulated exchange on one port.

    `fair` says what things are worth; without it, prices follow the seed's own paths.
    """

    def __init__(self, options: AceSimOptions, fair: Fair | None = None) -> None:
        self.options = options
        self.port = 0
        self.certificate = LoopbackCertificate() if options.tls else None
        self.ca_file: Path | None = None
        """With TLS: the certificate of the authority that clients must trust, in a file."""
        self._fair = fair or PairPaths(options.seed).at
        self._exchange: Exchange | None = None
        self._cleanup = contextlib.AsyncExitStack()
        self._life: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()

    @property
    def exchange(self) -> Exchange:
        """The exchange itself; only while it runs, and only from its own event loop."""
        if self._exchange is None:
            raise MmdError("the simulated exchange does not run")
        return self._exchange

    @property
    def faults(self) -> FaultPlan:
        return self.exchange.faults

    @property
    def root_url(self) -> str:
        """Where `/sim/…` is."""
        return f"{'https' if self.options.tls else 'http'}://{self.options.host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client of the exchange is given."""
        return self.root_url + BASE_PATH

    async def start(self) -> None:
        """Restores what the record says and listens. Raises Unavailable when the port is taken,
        ConfigError when the record can't be used."""
        try:
            await self._start()
        except BaseException:
            await self._cleanup.aclose()
            raise

    async def stop(self) -> None:
        """Ends in order. Raises what broke the simulation, if anything did."""
        self._leave.set()
        try:
            if self._life is not None:
                await self._life
        finally:
            await self._cleanup.aclose()

    async def run(self) -> None:
        """Runs until it is stopped, or breaks. The caller still has to call `stop`."""
        assert self._life is not None
        await asyncio.wait([self._life])

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

    async def _start(self) -> None:
        options, stack = self.options, self._cleanup
        folder = options.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mmd-ace-")))
        record = Record(folder)
        stack.callback(record.close)
        exchange = self._exchange = Exchange(
            options.accounts,
            options.rules(),
            self._fair,
            options.pairs,
            options.seed,
            record.append,
            options.crowd,
        )
        exchange.restore(*record.load())
        _turn_page(exchange, record)
        exchange.open(wall_ms())
        stack.callback(lambda: exchange.close(wall_ms()))
        server = Server(exchange, Control(exchange, record, wall_ms))
        runner = web.ServerRunner(web.Server(server.handle, access_log=None), shutdown_timeout=0.2)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(server.close)
        context = None
        if self.certificate is not None:
            context = self.certificate.server_context()
            self.ca_file = folder / "ca.pem"
            self.ca_file.write_bytes(self.certificate.authority_pem)
        site = web.TCPSite(
            runner, options.host, options.port, ssl_context=context, reuse_address=True
        )
        try:
            await site.start()
        except OSError as error:
            raise Unavailable(f"port {options.port} can't be used: {error.strerror}") from error
        self.port = runner.addresses[0][1]
        exchange.step(wall_ms())
        self._life = asyncio.create_task(self._live(exchange, record))

    async def _live(self, exchange: Exchange, record: Record) -> None:
        """Lets the crowd act and brings the record to disk, until asked to leave."""
        ticks = 0
        while not self._leave.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leave.wait(), _TICK_S)
            exchange.step(wall_ms())
            ticks += 1
            if ticks % _SYNC_EVERY_TICKS == 0:
                record.retry()
                await asyncio.to_thread(record.sync)
                if record.is_full:
                    _turn_page(exchange, record)


def _turn_page(exchange: Exchange, record: Record) -> None:
    """A new segment, and a checkpoint of all before it."""
    record.save(exchange.checkpoint(record.begin()))


async def serve(options: AceSimOptions) -> None:
    """Runs a simulated exchange until TERM or INT, and prints where it listens."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    sim = AceSim(options)
    async with sim:
        print(f"ACE simulation: {sim.base_url} (control: {sim.root_url}/sim/state)", flush=True)
        if sim.ca_file is not None:
            print(f"trust this authority: {sim.ca_file}", flush=True)
        waits = [asyncio.create_task(asked.wait()), asyncio.create_task(sim.run())]
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
