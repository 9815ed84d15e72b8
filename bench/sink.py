"""A venue that only stamps and answers: just enough of ACE for mmd to quote on it.

    python -m bench.sink LOG DELAY_MS PAIR...

Prints its port. Answers every request `DELAY_MS` after it came, and logs when the first byte of
each order and cancel arrived. An order rests until it is cancelled; nothing is ever filled.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench.market import ROOT

_ROWS = 400_000
_ROW_WORDS = 4
_BYTES = 8 + 8 * _ROW_WORDS * _ROWS
_PRICE_UNIT = 10**8
_KINDS = 16
_FIRST_BASE = 100
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_FIELD = re.compile(rb"(\w+)=([^&]*)")
_START_S = 10.0


class Kind(IntEnum):
    """What came."""

    ORDER = 1
    CANCEL = 2


class Row(NamedTuple):
    """One order or cancel as it came."""

    at_ns: int
    """When its first byte was there."""
    kind: int
    order_no: int
    price: float
    """Of an order; of a cancel 0."""
    market: int = 0
    """Its place among the pairs; of an order."""


class Log:
    """What came when, in a file that the sink and the benchmark map."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(_BYTES)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)
        self._words = memoryview(self._map).cast("q")

    def add(self, at_ns: int, kind: Kind, order_no: int, price_e8: int, market: int = 0) -> None:
        words, count = self._words, self._words[0]
        at = 1 + _ROW_WORDS * count
        words[at], words[at + 1] = at_ns, kind + _KINDS * market
        words[at + 2], words[at + 3] = order_no, price_e8
        words[0] = count + 1

    @property
    def count(self) -> int:
        return self._words[0]

    def rows(self, start: int = 0) -> list[Row]:
        """All from one on."""
        words = self._words[1 + _ROW_WORDS * start : 1 + _ROW_WORDS * self.count].tolist()
        numbers = [iter(words)] * _ROW_WORDS
        return [
            Row(at_ns, code % _KINDS, order_no, price_e8 / _PRICE_UNIT, code // _KINDS)
            for at_ns, code, order_no, price_e8 in zip(*numbers, strict=True)
        ]

    def close(self) -> None:
        self._words.release()
        self._map.close()


@dataclass
class Venue:
    """All orders that rest."""

    log: Log
    delay_s: float
    pairs: Sequence[str]

    def __post_init__(self) -> None:
        self.orders: dict[int, dict[bytes, bytes]] = {}
        self.next_no = 1
        self.loop = asyncio.get_running_loop()

    def answer(self, path: bytes, body: bytes, at_ns: int) -> bytes:
        """The attachment of the answer; what it stands for is done."""
        if path.endswith(b"/order/order"):
            return self._take_order(dict(_FIELD.findall(body)), at_ns)
        if path.endswith(b"/order/cancel"):
            number = int(dict(_FIELD.findall(body))[b"orderNo"])
            self.orders.pop(number, None)
            self.log.add(at_ns, Kind.CANCEL, number, 0)
            return b"200"
        if path.endswith(b"/getOrderList"):
            return self._list(dict(_FIELD.findall(body)))
        if path.endswith(b"/getOrderBook"):
            return b'{"bids":[],"asks":[]}'
        return b"[]"

    def markets(self) -> bytes:
        rows = []
        for index, pair in enumerate(self.pairs):
            base, quote = pair.split("/")
            rows.append(
                {
                    "symbol": pair,
                    "base": base,
                    "baseCurrencyId": str(_FIRST_BASE + index),
                    "quote": quote,
                    "quoteCurrencyId": "14",
                    "basePrecision": "8",
                    "quotePrecision": "2",
                    "minLimitBaseAmount": "0.0001",
                    "maxLimitBaseAmount": "1000000",
                }
            )
        return json.dumps(rows).encode()

    def _take_order(self, fields: dict[bytes, bytes], at_ns: int) -> bytes:
        number, self.next_no = self.next_no, self.next_no + 1
        self.orders[number] = fields
        price_e8 = int(float(fields[b"price"]) * _PRICE_UNIT)
        market = int(fields[b"baseCurrencyId"]) - _FIRST_BASE
        self.log.add(at_ns, Kind.ORDER, number, price_e8, market)
        return b'{"orderNo":"%d"}' % number

    def _list(self, fields: dict[bytes, bytes]) -> bytes:
        base = fields.get(b"baseCurrencyId")
        rows = [
            self._row(number, order)
            for number, order in self.orders.items()
            if base is None or order[b"baseCurrencyId"] == base
        ]
        size, page = int(fields[b"size"]), int(fields[b"start"]) - 1
        return json.dumps(rows[page * size : (page + 1) * size]).encode()

    def _row(self, number: int, order: dict[bytes, bytes]) -> dict[str, object]:
        base, quote = self.pairs[int(order[b"baseCurrencyId"]) - _FIRST_BASE].split("/")
        amount = order[b"num"].decode()
        return {
            "orderNo": str(number),
            "customOrderId": order.get(b"customOrderId", b"").decode(),
            "orderTimeStamp": int(time.time() * 1000),
            "baseCurrencyName": base,
            "quoteCurrencyName": quote,
            "buyOrSell": order[b"buyOrSell"].decode(),
            "num": amount,
            "remainNum": amount,
            "tradeNum": "0",
            "price": order[b"price"].decode(),
            "status": 0,
            "type": 1,
        }


class Connection(asyncio.Protocol):
    """Requests of one connection, one after the other."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._rest = b""
        self._first_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        if not self._rest:
            self._first_ns = now_ns
        rest = self._rest + data
        while rest:
            head_end = rest.find(b"\r\n\r\n") + 4
            if head_end < 4:
                break
            length = _LENGTH.search(rest, 0, head_end)
            end = head_end + (int(length[1]) if length else 0)
            if len(rest) < end:
                break
            self._take(rest[: rest.find(b"\r\n")], rest[head_end:end])
            rest, self._first_ns = rest[end:], now_ns
        self._rest = rest

    def _take(self, request: bytes, body: bytes) -> None:
        venue = self._venue
        path, _, query = request.split(b" ")[1].partition(b"?")
        if path.endswith(b"/list/marketPair"):
            reply = venue.markets()
        else:
            attachment = venue.answer(path, body or query, self._first_ns)
            reply = b'{"attachment":%b,"message":null,"parameters":null,"status":200}' % attachment
        reply = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-RESPONSE-TIME: %d\r\n"
            b"Content-Length: %d\r\n\r\n" % (time.time_ns() // 1_000_000, len(reply))
        ) + reply
        if venue.delay_s:
            venue.loop.call_later(venue.delay_s, self._write, reply)
        else:
            self._write(reply)

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Sink:
    """A running sink, seen by the benchmark."""

    url: str
    log: Log
    pid: int


@contextmanager
def sink(folder: Path, pairs: Sequence[str], delay_ms: float = 0) -> Iterator[Sink]:
    """A sink in a process of its own."""
    path = folder / "sink.log"
    log = Log(path)
    arguments = [sys.executable, "-m", "bench.sink", str(path), str(delay_ms), *pairs]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Sink(f"http://127.0.0.1:{port}", log, process.pid)
        finally:
            process.kill()
            log.close()
            path.unlink()


async def _serve(path: Path, delay_ms: float, pairs: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    venue = Venue(Log(path), delay_ms / 1e3, pairs)
    server = await loop.create_server(lambda: Connection(venue), "127.0.0.1", 0, backlog=512)
    asked = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asked.wait()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
