"""The referee: what the record says about the behaviour of API accounts.

It sees each entry once, as it happens or as a restart reads it back, and keeps only sums and the
incidents. Nothing it says depends on what a client claims about itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from mmd.sim.ace.entries import Entry
from mmd.sim.ace.ledger import Ledger
from mmd.sim.ace.orders import Closed, Filled, Opened, OrderType, SimOrder
from mmd.words.market import Pair, Side

_KEPT_INCIDENTS = 10_000
_KEPT_IDS = 200_000


@dataclass(slots=True)
class Incident:
    """Two orders of one account that should perhaps not have met."""

    time_ms: int
    account: str
    pair: str
    client_ids: tuple[str | None, str | None]
    order_nos: tuple[str, str]


@dataclass(slots=True)
class Pace:
    """Requests per second of the clock."""

    total: int = 0
    first_ms: int = 0
    last_ms: int = 0
    peak: int = 0
    second: int = 0
    in_second: int = 0

    def count(self, now_ms: int) -> None:
        self.first_ms = self.first_ms or now_ms
        self.last_ms = now_ms
        self.total += 1
        second = now_ms // 1000
        self.in_second = self.in_second + 1 if second == self.second else 1
        self.second = second
        self.peak = max(self.peak, self.in_second)

    def row(self) -> dict[str, Any]:
        span_s = max(1.0, (self.last_ms - self.first_ms) / 1000)
        return {
            "total": self.total,
            "peak_per_s": self.peak,
            "mean_per_s": round(self.total / span_s, 3),
        }


@dataclass(slots=True)
class Presence:
    """For how long an account had orders on both sides of a market, while the venue was up."""

    watched_ms: int = 0
    both_ms: int = 0
    since_ms: int | None = None
    both: bool = False

    def note(self, now_ms: int, both: bool) -> None:
        """Says how things stand from now on."""
        self.pause(now_ms)
        self.since_ms, self.both = now_ms, both

    def pause(self, now_ms: int) -> None:
        """Counts up to now, and no further."""
        if self.since_ms is not None:
            passed = max(0, now_ms - self.since_ms)
            self.watched_ms += passed
            self.both_ms += passed if self.both else 0
        self.since_ms = None

    def resume(self, now_ms: int) -> None:
        self.since_ms = now_ms

    def row(self, now_ms: int) -> dict[str, Any]:
        running = 0 if self.since_ms is None else max(0, now_ms - self.since_ms)
        watched, both = self.watched_ms + running, self.both_ms + (running if self.both else 0)
        return {
            "watched_s": watched / 1000,
            "both_sides_s": both / 1000,
            "share": round(both / watched, 4) if watched else 0.0,
        }


@dataclass(slots=True)
class Turnover:
    """What an account traded in one market."""

    fills: int = 0
    maker_fills: int = 0
    self_fills: int = 0
    bought: Decimal = Decimal(0)
    sold: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    received: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)


@dataclass(slots=True)
class Memory:
    """All that the referee remembers; part of a checkpoint. Keys are `account pair`."""

    pace: Pace = field(default_factory=Pace)
    paces: dict[str, Pace] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    http_errors: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    client_ids: dict[str, str] = field(default_factory=dict)
    """`account id` → number of the order that carried it first."""
    duplicates: list[Incident] = field(default_factory=list)
    self_matches: list[Incident] = field(default_factory=list)
    crossings: list[Incident] = field(default_factory=list)
    presence: dict[str, Presence] = field(default_factory=dict)
    turnover: dict[str, Turnover] = field(default_factory=dict)
    last_ms: int = 0


class Referee:
    """Watches entries. `report` is what it has to say."""

    def __init__(self, memory: Memory | None = None, open_orders: Iterable[SimOrder] = ()) -> None:
        """With the memory and the open API orders of a checkpoint, or as new."""
        self.memory = memory or Memory()
        self._resting: dict[str, dict[str, Opened | SimOrder]] = {}
        for order in open_orders:
            self._side_of(_key(order.account, order.pair))[order.order_no] = order

    def see(self, entry: Entry) -> None:
        """Takes one entry into account."""
        memory = self.memory
        if entry.cause == "start":
            for presence in memory.presence.values():
                presence.pause(memory.last_ms)
                presence.resume(entry.t)
        if entry.cause == "stop":
            for presence in memory.presence.values():
                presence.pause(entry.t)
        if entry.cause == "api":
            self._see_request(entry)
        touched = set()
        for event in entry.events:
            match event:
                case Opened():
                    touched.add(self._see_order(event))
                case Filled():
                    touched.add(self._see_fill(event))
                case Closed():
                    for key in self._keys_of(event.account):
                        if self._resting[key].pop(event.order_no, None) is not None:
                            touched.add(key)
        for key in touched:
            sides = {order.side for order in self._resting[key].values()}
            memory.presence.setdefault(key, Presence()).note(entry.t, len(sides) == 2)
        memory.last_ms = max(memory.last_ms, entry.t)

    def report(
        self, ledger: Ledger, now_ms: int, intended: re.Pattern[str] | None = None
    ) -> dict[str, Any]:
        """Everything, for people and tests.

        `intended` tells a self-match that was meant from one that was not: it matches both
        customOrderIds whole, and its groups are the same in both. Without it none was meant.
        """
        memory = self.memory
        matches = [_row(i, _is_intended(i, intended)) for i in memory.self_matches]
        crossings = [i for i in memory.crossings if not _is_intended(i, intended)]
        return {
            "time_ms": now_ms,
            "requests": {
                **memory.pace.row(),
                "by_account": {name: pace.row() for name, pace in memory.paces.items()},
            },
            "refused_by_status": memory.refused,
            "http_errors": memory.http_errors,
            "faults": memory.faults,
            "duplicate_client_ids": [_row(i) for i in memory.duplicates],
            "self_matches": matches,
            "unintended_self_matches": sum(not row["intended"] for row in matches),
            "crossed_own_quotes": [_row(i) for i in crossings],
            "open_orders": [
                {
                    "account": account.name,
                    "pair": str(order.pair),
                    "order_no": order.order_no,
                    "client_id": order.client_id,
                    "side": order.side.name.lower(),
                    "price": str(order.price),
                    "remaining": str(order.remaining),
                    "age_s": (now_ms - order.time_ms) / 1000,
                }
                for account in ledger.accounts.values()
                if account.limited
                for order in account.open.values()
            ],
            "presence": {key: value.row(now_ms) for key, value in memory.presence.items()},
            "trades": {key: asdict(value) for key, value in memory.turnover.items()},
        }

    def _see_request(self, entry: Entry) -> None:
        memory = self.memory
        memory.pace.count(entry.t)
        if entry.account is not None:
            memory.paces.setdefault(entry.account, Pace()).count(entry.t)
        if entry.status not in (None, 200):
            _count(memory.refused, str(entry.status))
        if entry.http_status not in (None, 200):
            _count(memory.http_errors, str(entry.http_status))
        if entry.fault is not None:
            _count(memory.faults, entry.fault)

    def _see_order(self, order: Opened) -> str:
        key = _key(order.account, order.pair)
        self._see_client_id(order)
        resting = self._side_of(key)
        if order.type is not OrderType.LIMIT:
            return key
        crossed = next((other for other in resting.values() if _crosses(order, other)), None)
        if crossed is not None:
            _keep(self.memory.crossings, _incident(order, crossed.client_id, crossed.order_no))
        resting[order.order_no] = order
        return key

    def _see_client_id(self, order: Opened) -> None:
        if order.client_id is None:
            return
        ids = self.memory.client_ids
        name = f"{order.account} {order.client_id}"
        first = ids.setdefault(name, order.order_no)
        if first != order.order_no:
            _keep(self.memory.duplicates, _incident(order, order.client_id, first))
        if len(ids) > _KEPT_IDS:
            del ids[next(iter(ids))]

    def _see_fill(self, event: Filled) -> str:
        fill = event.fill
        key = _key(event.account, fill.pair)
        sums = self.memory.turnover.setdefault(key, Turnover())
        sums.fills += 1
        sums.maker_fills += fill.is_maker
        sums.self_fills += fill.is_self
        sums.fees += fill.fee
        if fill.side is Side.BUY:
            sums.bought += fill.amount
            sums.paid += fill.amount * fill.price
        else:
            sums.sold += fill.amount
            sums.received += fill.amount * fill.price
        if fill.is_self and fill.is_maker:
            ids = (fill.client_id, event.other_client_id)
            numbers = (fill.order_no, event.other_order_no or "")
            _keep(
                self.memory.self_matches,
                Incident(fill.time_ms, event.account, str(fill.pair), ids, numbers),
            )
        if event.done:
            self._side_of(key).pop(fill.order_no, None)
        return key

    def _side_of(self, key: str) -> dict[str, Opened | SimOrder]:
        return self._resting.setdefault(key, {})

    def _keys_of(self, account: str) -> list[str]:
        return [key for key in self._resting if key.startswith(f"{account} ")]


def _key(account: str, pair: Pair) -> str:
    return f"{account} {pair}"


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _keep(incidents: list[Incident], incident: Incident) -> None:
    if len(incidents) < _KEPT_INCIDENTS:
        incidents.append(incident)


def _incident(order: Opened, other_id: str | None, other_no: str) -> Incident:
    return Incident(
        order.time_ms,
        order.account,
        str(order.pair),
        (order.client_id, other_id),
        (order.order_no, other_no),
    )


def _crosses(order: Opened, other: Opened | SimOrder) -> bool:
    """Whether a new order's price reaches an own order on the other side."""
    if order.side is other.side:
        return False
    if order.side is Side.BUY:
        return order.price >= other.price
    return order.price <= other.price


def _is_intended(incident: Incident, pattern: re.Pattern[str] | None) -> bool:
    if pattern is None:
        return False
    first, second = (pattern.fullmatch(i) if i else None for i in incident.client_ids)
    return first is not None and second is not None and first.groups() == second.groups()


def _row(incident: Incident, intended: bool | None = None) -> dict[str, Any]:
    row = asdict(incident)
    return row if intended is None else {**row, "intended": intended}
