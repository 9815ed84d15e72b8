"""A simulated exchange, and either client behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import pytest
import requests

from mmd.config.secrets import PAPER_KEY
from mmd.sim.ace import AceSim, AceSimOptions, CrowdOptions, Fault, FaultKind, running
from mmd.venues.ace import calls
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.client import AceClient
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import Call
from mmd.venues.ace.script import Script
from mmd.words.market import MarketRules, Pair

T = TypeVar("T")

BTC_TWD = Pair("BTC", "TWD")


class Asker(Protocol):
    """What both clients look like to a test."""

    def call(self, call: Call[T]) -> T: ...

    def run(self, script: Script[T]) -> T: ...


class _AsyncAsker:
    """The asynchronous client, played from a synchronous test."""

    def __init__(self, endpoint: AceEndpoint) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._make(endpoint))

    @staticmethod
    async def _make(endpoint: AceEndpoint) -> AsyncAceClient:
        return AsyncAceClient(endpoint)

    def call(self, call: Call[T]) -> T:
        return self._runner.run(self._client.call(call))

    def run(self, script: Script[T]) -> T:
        return self._runner.run(self._client.run(script))

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


class Exchange:
    """A running simulation and what tests do to it from outside."""

    def __init__(self, sim: AceSim) -> None:
        self.sim = sim
        self.endpoint = AceEndpoint(sim.base_url, PAPER_KEY, timeout_s=1.0)
        self._verify: str | bool = True

    def fault(self, kind: FaultKind, **details: Any) -> None:
        """Sets a fault over the simulation's own control calls."""
        body = Fault(kind=kind, **details).model_dump_json(exclude_defaults=True)
        requests.post(f"{self.sim.root_url}/sim/faults", body, timeout=5).raise_for_status()

    def clear_faults(self) -> None:
        requests.delete(f"{self.sim.root_url}/sim/faults", timeout=5).raise_for_status()

    def stranger(
        self, side: str, amount: str, price: str | None = None, pair: str = "BTC/TWD"
    ) -> None:
        """An order of somebody else."""
        body = {"pair": pair, "side": side, "amount": amount, "price": price}
        requests.post(f"{self.sim.root_url}/sim/order", json=body, timeout=5).raise_for_status()

    def executed(self, path: str) -> int:
        """How many requests to a path the exchange carried out."""
        reply = requests.get(
            f"{self.sim.root_url}/sim/record", {"path": path, "limit": 10_000}, timeout=5
        )
        return sum(1 for entry in reply.json()["entries"] if entry["events"])


def start(stack: ExitStack, **options: Any) -> Exchange:
    """A simulated exchange without other participants; ends with the stack."""
    crowd = CrowdOptions(active=False)
    return Exchange(stack.enter_context(running(AceSimOptions(crowd=crowd, **options))))


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with ExitStack() as stack:
        yield start(stack)


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[[AceEndpoint], Asker]]:
    """Makes a client of the one kind, then of the other."""
    with ExitStack() as stack:

        def make(endpoint: AceEndpoint) -> Asker:
            client: AceClient | _AsyncAsker
            client = AceClient(endpoint) if request.param == "sync" else _AsyncAsker(endpoint)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(exchange: Exchange, connect: Callable[[AceEndpoint], Asker]) -> Asker:
    return connect(exchange.endpoint)


@pytest.fixture
def rules(client: Asker) -> MarketRules:
    return next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)


def unreachable(endpoint: AceEndpoint) -> AceEndpoint:
    """An address where nobody listens."""
    return replace(endpoint, base_url="http://127.0.0.1:9/polarisex")
