"""Carries faults out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from decimal import Decimal

import orjson

from mmd.sim.binance.connection import Connection
from mmd.sim.binance.faults import (
    BadFrame,
    Burst,
    Drop,
    Fault,
    HalfOpen,
    Heal,
    MutePings,
    OldUpdate,
    Refuse,
    RestFault,
    ServerShutdown,
    Split,
    Stall,
    TradeGap,
)
from mmd.sim.binance.frames import Opcode, encode
from mmd.sim.binance.rest import RestFaults
from mmd.sim.binance.timeline import Timeline


class Striker:
    """Strikes connections, timeline, handshakes and REST with faults."""

    def __init__(
        self, connections: dict[int, Connection], timeline: Timeline, rest: RestFaults
    ) -> None:
        self.counts: dict[str, int] = {}
        """How often each fault struck."""
        self.refusal = Refuse(for_s=1)
        self._refuse_until = 0.0
        self._connections = connections
        self._timeline = timeline
        self._rest = rest

    @property
    def refuses(self) -> bool:
        """Whether handshakes are refused now, with `refusal`."""
        return time.monotonic() < self._refuse_until

    def strike(self, fault: Fault) -> int:
        """Carries a fault out; gives how many connections (or listeners) it struck."""
        self.counts[fault.fault] = self.counts.get(fault.fault, 0) + 1
        match fault:
            case Burst():
                self._timeline.hurry(fault.count)
            case OldUpdate():
                return self._old_update(fault)
            case TradeGap():
                self._timeline.skip_trades[fault.symbol] = fault.count
            case Refuse():
                self.refusal, self._refuse_until = fault, time.monotonic() + fault.for_s
            case RestFault():
                self._rest.set(fault.status, fault.code, fault.count, fault.retry_after_s)
            case Heal():
                self._heal()
            case _:
                struck = self._chosen(fault.connection, fault.symbol)
                for connection in struck:
                    self._strike_one(connection, fault)
                return len(struck)
        return 0

    def _strike_one(
        self,
        connection: Connection,
        fault: Drop | Stall | HalfOpen | MutePings | Split | BadFrame | ServerShutdown,
    ) -> None:
        match fault:
            case Drop(how="close"):
                connection.close(fault.code, "simulated")
            case Drop(how="eof"):
                connection.hang_up()
            case Drop():
                connection.reset()
            case BadFrame():
                connection.send_raw(_BAD_FRAMES[fault.kind]())
            case ServerShutdown():
                _announce_shutdown(connection)
                if fault.close_after_s is not None:
                    _later(fault.close_after_s, lambda: connection.close(1001, "shutdown"))
            case Stall():
                connection.stall(fault.backlog)
            case HalfOpen():
                connection.half_open()
            case MutePings():
                connection.mute_pings = True
            case Split():
                connection.piece_bytes = fault.size
        if isinstance(fault, Stall | HalfOpen | MutePings | Split) and fault.for_s is not None:
            _later(fault.for_s, connection.heal)

    def _chosen(self, number: int | None, symbol: str | None) -> list[Connection]:
        chosen: Iterable[Connection] = list(self._connections.values())
        if number is not None:
            chosen = [c for c in chosen if c.number == number]
        if symbol is not None:
            start = f"{symbol.lower()}@"
            chosen = [
                c for c in chosen if any(s.startswith(start) for s in c.subscriptions.streams)
            ]
        return list(chosen)

    def _old_update(self, fault: OldUpdate) -> int:
        ticker = self._timeline.market.ticker(fault.symbol)
        if ticker is None:
            return 0
        factor = 1 + Decimal(fault.shift_bps) / 10_000
        ticker["u"] -= fault.by
        for key in ("b", "a"):
            ticker[key] = f"{Decimal(ticker[key]) * factor:.8f}"
        stream = f"{fault.symbol.lower()}@bookTicker"
        return self._timeline.inject(stream, orjson.dumps(ticker))

    def _heal(self) -> None:
        for connection in self._connections.values():
            connection.heal()
        self._refuse_until = 0.0
        self._rest.left = 0
        self._timeline.skip_trades.clear()


def _announce_shutdown(connection: Connection) -> None:
    data = b'{"e":"serverShutdown","E":%d}' % (time.time_ns() // 1_000_000)
    if connection.subscriptions.combined:
        data = b'{"stream":"!serverShutdown","data":%s}' % data
    connection.send_text(data)


def _later(delay_s: float, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(delay_s, action)


def _fragments() -> bytes:
    first = encode(Opcode.TEXT, b'{"result":', final=False)
    ping = encode(Opcode.PING, b"between fragments")
    return first + ping + encode(Opcode.CONTINUATION, b'null,"id":null}')


_BAD_FRAMES: dict[str, Callable[[], bytes]] = {
    "not_json": lambda: encode(Opcode.TEXT, b"this is not JSON"),
    "garbage": lambda: bytes(range(0x70, 0xFF, 7)) * 4,
    "reserved_bits": lambda: encode(Opcode.TEXT, b"{}", reserved=4),
    "reserved_opcode": lambda: encode(3, b"{}"),
    "invalid_utf8": lambda: encode(Opcode.TEXT, b'{"e":"\xff\xfe"}'),
    "cut_off": lambda: encode(Opcode.TEXT, b'{"u":1,"s":"BTCUSDT","b":'),
    "fragments": _fragments,
}
