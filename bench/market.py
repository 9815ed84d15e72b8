"""What is sent to the readers: recorded messages, or made-up ones where no recording is at hand."""

from __future__ import annotations

import gzip
import json
import os
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).parent.parent
_IDS = re.compile(rb'"(u|t)":(\d+)')
_PRICES = re.compile(rb'"b":"([0-9.]+)".*"a":"([0-9.]+)"')
_SYNTHETIC_COUNT = 38_000
_MOVE_SHARE = 0.09
_TRADE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a combined stream."""

    payload: bytes
    at_ns: int
    """When it was received, by the recorder's clock."""
    update_id: int
    """Of a bookTicker; 0: a trade."""
    trade_id: int
    prices: tuple[float, float] = (0.0, 0.0)
    """Best bid and ask of a bookTicker."""

    @property
    def frame(self) -> bytes:
        return frame(self.payload)


@dataclass(frozen=True)
class Market:
    """The messages of one symbol, in their order."""

    symbol: str
    messages: list[Message]
    origin: str
    """For the report."""


def folder() -> Path:
    """Where recordings lie."""
    return Path(os.environ.get("MMD_DATA", ROOT.parent / "shared" / "data"))


def load(symbol: str = "btcusdt", synthetic: bool = False) -> Market:
    """The recorded bookTickers and trades of a symbol; a seeded path where there are none."""
    files = sorted(folder().glob(f"{symbol}_*.gz"))
    if synthetic or not files:
        return Market(symbol, _synthetic(symbol), "synthetic (no recording at hand)")
    messages = []
    with gzip.open(files[0]) as lines:
        for line in lines:
            at_ns, _, payload = line.rstrip().partition(b" ")
            if b"@bookTicker" in payload or b"@trade" in payload:
                messages.append(_message(payload, int(at_ns)))
    return Market(symbol, messages, f"recorded: {files[0].name}")


def frame(payload: bytes) -> bytes:
    """A server's text frame."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return b"\x81\x7e" + struct.pack(">H", size) + payload


def as_aggregated(payload: bytes) -> bytes:
    """A trade as the aggregated stream would tell it."""
    wrapped = json.loads(payload)
    data = wrapped["data"]
    if data.get("e") != "trade":
        return payload
    stream = wrapped["stream"].replace("@trade", "@aggTrade")
    number = data.pop("t")
    data = {**data, "e": "aggTrade", "a": number, "f": number, "l": number}
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()


def joined(messages: Iterable[Message], aggregated: bool = False) -> bytes:
    """All frames, back to back."""
    if aggregated:
        return b"".join(frame(as_aggregated(message.payload)) for message in messages)
    return b"".join(message.frame for message in messages)


def ticker(symbol: str, update_id: int, bid: str, ask: str) -> bytes:
    """A bookTicker as Binance writes it."""
    return (
        f'{{"stream":"{symbol}@bookTicker","data":{{"u":{update_id},"s":"{symbol.upper()}",'
        f'"b":"{bid}","B":"3.78826000","a":"{ask}","A":"1.54698000"}}}}'
    ).encode()


def _message(payload: bytes, at_ns: int) -> Message:
    found = _IDS.search(payload)
    assert found is not None
    number = int(found[2])
    if found[1] == b"t":
        return Message(payload, at_ns, 0, number)
    prices = _PRICES.search(payload)
    assert prices is not None
    return Message(payload, at_ns, number, 0, (float(prices[1]), float(prices[2])))


def _synthetic(symbol: str) -> list[Message]:
    """A seeded path with about the recording's pace, and its shares of trades and of moves."""
    random = Random(1)
    at_ns, cents, update_id, trade_id = 1_723_161_253_000_000_000, 6_183_763, 10**10, 10**9
    messages = []
    while len(messages) < _SYNTHETIC_COUNT:
        at_ns += int(random.expovariate(110) * 1e9)
        at_ms = at_ns // 1_000_000
        if random.random() < _TRADE_SHARE:
            trade_id += 1
            payload = (
                f'{{"stream":"{symbol}@trade","data":{{"e":"trade","E":{at_ms},'
                f'"s":"{symbol.upper()}","t":{trade_id},"p":"{cents / 100:.8f}",'
                f'"q":"{random.random():.8f}","T":{at_ms},"m":true,"M":true}}}}'
            ).encode()
        else:
            update_id += random.randrange(1, 9)
            if random.random() < _MOVE_SHARE:
                cents += random.randrange(-300, 301)
            bid, ask = f"{cents / 100:.8f}", f"{cents / 100 + 0.01:.8f}"
            payload = ticker(symbol, update_id, bid, ask)
        messages.append(_message(payload, at_ns))
    return messages
