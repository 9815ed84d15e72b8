"""A simulated venue in a thread of its own, so that blocking clients can be tried on it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import websocket

from mmd.sim.binance import BinanceSim, BinanceSimOptions

TIMEOUT_S = 5


class Venue:
    """A running venue as a client sees it."""

    def __init__(self, sim: BinanceSim, loop: asyncio.AbstractEventLoop) -> None:
        self.sim = sim
        self._loop = loop
        self._session = requests.Session()
        self._session.trust_env = False
        self._tls: dict[str, Any] = {}
        self._sockets: list[websocket.WebSocket] = []

    def trust(self, ca_file: Path) -> None:
        """Makes this client trust the venue's certificate."""
        self._session.verify = str(ca_file)
        self._tls = {"ca_certs": str(ca_file)}

    def open(self, path: str, **options: Any) -> websocket.WebSocket:
        socket = websocket.create_connection(
            self.sim.stream_url + path,
            timeout=TIMEOUT_S,
            http_no_proxy=["127.0.0.1"],
            sslopt=self._tls,
            **options,
        )
        self._sockets.append(socket)
        return socket

    def get(self, path: str, **params: Any) -> requests.Response:
        return self._session.get(self.sim.rest_url + path, params=params, timeout=TIMEOUT_S)

    def strike(self, fault: str, **details: Any) -> int:
        answer = self._session.post(
            self.sim.rest_url + "/sim/faults",
            data=json.dumps({"fault": fault, **details}),
            timeout=TIMEOUT_S,
        )
        assert answer.status_code == 200, answer.text
        return int(answer.json()["struck"])

    def post_fault(self, body: str) -> requests.Response:
        url = self.sim.rest_url + "/sim/faults"
        return self._session.post(url, data=body, timeout=TIMEOUT_S)

    def state(self) -> dict[str, Any]:
        return dict(self.get("/sim/state").json())

    def in_loop(self, action: Callable[[], Any]) -> Any:
        """What `action` gives when run in the venue's own thread."""

        async def run() -> Any:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(TIMEOUT_S)

    def close(self) -> None:
        for socket in self._sockets:
            socket.shutdown()
        self._session.close()


@contextmanager
def venue(
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop, **options: Any
) -> Iterator[Venue]:
    """A venue that runs as long as the block."""
    sim = BinanceSim(BinanceSimOptions(**options))
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sim.start(), loop).result(TIMEOUT_S)
        found = Venue(sim, loop)
        try:
            yield found
        finally:
            found.close()
            asyncio.run_coroutine_threadsafe(sim.stop(), loop).result(TIMEOUT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def ask(socket: websocket.WebSocket, method: str, *params: Any, request_id: Any = 1) -> Any:
    """Sends a command and gives the reply to it, past all data."""
    socket.send(json.dumps({"method": method, "params": list(params), "id": request_id}))
    return reply_in(socket)


def reply_in(socket: websocket.WebSocket) -> Any:
    while True:
        message = json.loads(socket.recv())
        if "result" in message or "code" in message:
            return message


def eventually(check: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
    """The first true thing that `check` gives."""
    end = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)
    return found


def ticker(update_id: int, bid: str, ask: str, symbol: str = "BTCUSDT") -> dict[str, Any]:
    data = {"u": update_id, "s": symbol, "b": bid, "B": "1.00000000", "a": ask, "A": "2.00000000"}
    return {"stream": f"{symbol.lower()}@bookTicker", "data": data}


def trade(
    trade_id: int,
    price: str,
    amount: str = "0.50000000",
    time_ms: int = 1_700_000_000_000,
    buyer_is_maker: bool = False,
    symbol: str = "BTCUSDT",
) -> dict[str, Any]:
    data = {
        "e": "trade",
        "E": time_ms,
        "s": symbol,
        "t": trade_id,
        "p": price,
        "q": amount,
        "T": time_ms,
        "m": buyer_is_maker,
        "M": True,
    }
    return {"stream": f"{symbol.lower()}@trade", "data": data}


def diff(
    first_id: int,
    last_id: int,
    bids: list[list[str]],
    asks: list[list[str]],
    time_ms: int = 1_700_000_000_000,
    symbol: str = "BTCUSDT",
) -> dict[str, Any]:
    data = {
        "e": "depthUpdate",
        "E": time_ms,
        "s": symbol,
        "U": first_id,
        "u": last_id,
        "b": bids,
        "a": asks,
    }
    return {"stream": f"{symbol.lower()}@depth@100ms", "data": data}


def write_recording(path: Path, *messages: dict[str, Any] | str, step_ms: int = 1) -> list[str]:
    """Writes a plain recording with equal distances; gives its lines' JSON texts."""
    texts = [m if isinstance(m, str) else json.dumps(m, separators=(",", ":")) for m in messages]
    start_ns = 1_700_000_000_000_000_000
    lines = [f"{start_ns + i * step_ms * 1_000_000} {text}\n" for i, text in enumerate(texts)]
    path.write_text("".join(lines))
    return texts
