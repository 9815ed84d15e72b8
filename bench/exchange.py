"""Binance's streams for many symbols at the recording's own pace, from a process of its own.

    python -m bench.exchange LOG SYMBOL...

Prints its port. Every connection gets the recording under its own symbol, from a place of its own
in it, and again from the start at the end, with rising ids. REST is answered with 404.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.market import ROOT, Message, frame, load
from bench.sink import Kind, Log

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STEP_S = 0.002
"""Messages that fall due within it go out together."""
_SYMBOL = re.compile(rb"streams=(\w+)@")
_IDS = re.compile(rb'"(u|t)":(\d+)')


class Player(asyncio.Protocol):
    """One connection and its place in the recording."""

    def __init__(self, log: Log, symbols: Sequence[str]) -> None:
        self._log, self._symbols = log, symbols
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._head.endswith(b"\r\n\r\n"):
            return  # pings and closes
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        rows = dict(row.split(b": ", 1) for row in self._head.split(b"\r\n")[1:] if b": " in row)
        key = {name.lower(): value for name, value in rows.items()}.get(b"sec-websocket-key")
        symbol = _SYMBOL.search(self._head)
        if key is None or symbol is None:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            self._head = b""
            return
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._task = asyncio.get_running_loop().create_task(self._play(symbol[1]))

    async def _play(self, symbol: bytes) -> None:
        index = self._symbols.index(symbol.decode())
        messages = MARKET.messages
        at = len(messages) * index // len(self._symbols)
        shift_ns, rounds, bid = time.monotonic_ns() - messages[at].at_ns, 0, 0.0
        while not self._transport.is_closing():
            due, now_ns = [], time.monotonic_ns()
            while messages[at].at_ns + shift_ns <= now_ns:
                message = messages[at]
                due.append(_under(message, symbol, rounds))
                if message.update_id and message.prices[0] != bid:
                    bid = message.prices[0]
                    self._log.add(now_ns, Kind.ORDER, 0, int(bid * 1e8), index)
                at += 1
                if at == len(messages):
                    at, rounds = 0, rounds + 1
                    shift_ns = now_ns - messages[0].at_ns
            if due:
                self._transport.write(b"".join(due))
            await asyncio.sleep(_STEP_S)


def _under(message: Message, symbol: bytes, rounds: int) -> bytes:
    """The message's frame under another symbol; ids rise from round to round."""
    payload = message.payload
    if symbol != MARKET.symbol.encode():
        own = MARKET.symbol.encode()
        payload = payload.replace(own, symbol, 1).replace(own.upper(), symbol.upper(), 1)
    if rounds:
        payload = _IDS.sub(lambda m: b'"%b":%d' % (m[1], int(m[2]) + rounds * 10**9), payload, 1)
    return frame(payload)


@dataclass(frozen=True)
class Exchange:
    """A running exchange, seen by the benchmark."""

    stream_url: str
    rest_url: str
    log: Log
    """A row for each change of a best bid: when it was sent, the symbol's place, the price."""
    pid: int


@contextmanager
def exchange(folder: Path, symbols: Sequence[str]) -> Iterator[Exchange]:
    """The streams of so many symbols, in lower case."""
    path = folder / "exchange.log"
    log = Log(path)
    arguments = [sys.executable, "-m", "bench.exchange", str(path), *symbols]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Exchange(f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}", log, process.pid)
        finally:
            process.kill()
            log.close()
            path.unlink()


async def _serve(path: Path, symbols: Sequence[str]) -> None:
    log = Log(path)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Player(log, symbols), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    MARKET = load()
    uvloop.run(_serve(Path(sys.argv[1]), sys.argv[2:]))
