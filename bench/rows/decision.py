"""The decision: CPU from the newest book to signed requests, without sending them.

The pair's own quoter, ledger, desk and client's request builder, with a ladder of 2 x 10 levels;
all that is left out is the socket.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, cast

import uvloop

from bench.report import Table, spread
from mmd.cells.layouts import BookState, BookStatus
from mmd.config.base import AmountRange, SecondsRange
from mmd.config.model import QuoteSettings, RiskSettings
from mmd.config.quoting import WidenSettings
from mmd.config.secrets import AceKey
from mmd.decide.guard import Guard, View
from mmd.decide.ledger import Event, Ledger
from mmd.decide.quoter import Quoter
from mmd.decide.reference import AgeLimits, book_fault
from mmd.processes.desk import Desk
from mmd.processes.gate import Gate
from mmd.venues.ace import batch
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.budget import Budget, BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import Call, build
from mmd.venues.ace.script import Script
from mmd.words.ids import ClientIds
from mmd.words.market import MarketRules, NewOrder, Pair

PAIR = Pair("BTC", "USDT")
LEVELS = 10
_MOVE = 1.0047
_IDLE_CALLS = 200
_RULES = MarketRules(
    PAIR, 100, 14, Decimal("0.01"), Decimal("1e-8"), Decimal("0.0001"), Decimal(1000)
)
_SETTINGS = QuoteSettings(
    levels=LEVELS,
    spread_bps=Decimal(100),
    step_bps=Decimal(4),
    jitter_bps=Decimal(0),
    tolerance_bps=Decimal(1),
    tolerance_step_bps=Decimal(0),
    spare_orders=0,
    move_bps=Decimal(1),
    amount=AmountRange(min=Decimal("0.002"), max=Decimal("0.01")),
    refresh_s=SecondsRange(min=3000, max=3600),
    widen=WidenSettings(volatility_factor=Decimal(0)),
    max_orders_in_flight=100,
)
_LIMITS = AgeLimits(10**12, 0)


@dataclass
class Figures:
    """µs of CPU."""

    requote: list[float] = field(default_factory=list)
    """From the book to all requests signed."""
    deciding: list[float] = field(default_factory=list)
    """Of it: ladder and difference."""
    first: list[float] = field(default_factory=list)
    """From the book to the first request signed."""
    nothing: list[float] = field(default_factory=list)
    """To see that nothing is to be done."""
    bare: list[float] = field(default_factory=list)
    """The library's part: as many hashes and forms, and nothing else."""
    requests: int = 0


class Builder:
    """Stands for the client: builds and signs every request, and never answers."""

    def __init__(self, endpoint: AceEndpoint) -> None:
        self.endpoint = endpoint
        self.built = self.first_ns = 0

    def submit_batch_order(self, rules: MarketRules, orders: list[NewOrder]) -> Any:
        return self._ask(batch.submit(self.endpoint, rules, orders))

    def cancel_batch_orders(self, numbers: list[str]) -> Any:
        return self._ask(batch.cancel(self.endpoint, numbers))

    def _ask(self, script: Script[Any]) -> Any:
        for call in cast(tuple[Call[Any], ...], next(script)):
            build(call, self.endpoint, 1_700_000_000_000)
            self.first_ns = self.first_ns or time.thread_time_ns()
            self.built += 1
        return asyncio.Event().wait()


def measure(rounds: int) -> Figures:
    """Re-quotes all levels, again and again, from a ladder that rests."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            uvloop.run(_round(Path(folder), number, figures))
    return figures


async def _round(folder: Path, number: int, figures: Figures) -> None:
    ledger, quoter = Ledger(), Quoter(_SETTINGS, _RULES, _LIMITS, Random(number))
    book = _book(61_837.63)
    builder = Builder(AceEndpoint("http://127.0.0.1:1", AceKey("bench-key", "bench-secret")))
    with Budget(BudgetSpec(folder, Decimal(10_000), 10_000), "bench-key") as budget:
        desk = Desk(
            client=cast(AsyncAceClient, builder),
            rules=_RULES,
            ledger=ledger,
            ids=ClientIds("bench0", PAIR, 1_750_000_000_000),
            budget=budget,
            max_in_flight=100,
            on_change=lambda: None,
            on_unclear=lambda: None,
            may_send=lambda: book_fault("book", book, time.monotonic_ns(), 10**12),
            gate=Gate(
                Guard(_RULES, RiskSettings(), _SETTINGS.inventory),
                ledger,
                lambda: View(None, quoter.reference),
                time.monotonic_ns,
            ),
        )
        _fill(desk, quoter, ledger, book)
        figures.nothing.append(_see_nothing(quoter, ledger, book))
        moved = _book(61_837.63 * _MOVE)
        began_ns = time.thread_time_ns()
        now_ns = time.monotonic_ns()
        actions = quoter.decide(moved, None, ledger, now_ns, False)
        decided_ns = time.thread_time_ns()
        left = desk.carry_out(actions, now_ns, lambda: quoter.expiry_ns(now_ns))
        ended_ns = time.thread_time_ns()
        assert not left
        assert builder.built == len(actions)
        figures.requests = len(actions)
        figures.bare.append(_bare_us(len(actions)))
        figures.requote.append((ended_ns - began_ns) / 1e3)
        figures.first.append((builder.first_ns - began_ns) / 1e3)
        figures.deciding.append((decided_ns - began_ns) / 1e3)
        await desk.abandon()


def _bare_us(count: int) -> float:
    """µs of CPU for a hash and a form of each request."""
    began_ns = time.thread_time_ns()
    for number in range(count):
        form = {f"field{index}": f"{number}{index}.25" for index in range(9)}
        text = "".join([form[name] for name in sorted(form)])
        form["signKey"] = sha256(text.encode()).hexdigest()
        "&".join([f"{name}={value}" for name, value in form.items()]).encode()
    return (time.thread_time_ns() - began_ns) / 1e3


def _fill(desk: Desk, quoter: Quoter, ledger: Ledger, book: BookState) -> None:
    """The ladder rests on the venue."""
    now_ns = time.monotonic_ns() - 10**9
    for number, action in enumerate(quoter.decide(book, None, ledger, now_ns, False)):
        entry = desk._want(cast(Any, action), now_ns, now_ns + 10**13)
        entry.order_no = str(10**30 + number)
        for event in (Event.SENT, Event.ACCEPTED):
            ledger.apply(entry.order.client_id, event, now_ns)
    assert len(ledger.entries) == 2 * LEVELS


def _see_nothing(quoter: Quoter, ledger: Ledger, book: BookState) -> float:
    """The quantity has changed, the price has moved too little to matter."""
    nearly = book._replace(bid_qty=2.0, bid_price=book.bid_price + 0.01)
    began_ns = time.thread_time_ns()
    for _ in range(_IDLE_CALLS):
        assert not quoter.decide(nearly, None, ledger, time.monotonic_ns(), False)
    return (time.thread_time_ns() - began_ns) / _IDLE_CALLS / 1e3


def _book(bid: float) -> BookState:
    price = round(bid, 2)
    return BookState(
        BookStatus.VALID, price, 1.0, round(price + 0.02, 2), 1.0, 1,
        last_frame_ns=time.monotonic_ns(),
    )  # fmt: skip


def table(figures: Figures, rounds: int) -> Table:
    result = Table("Decision, ladder of 2 x 10 levels", ["what", "µs of CPU", "wanted"])
    result.add(
        f"full re-quote: ladder, diff, guard, {figures.requests} requests signed",
        spread(figures.requote, 0),
        "≤ 300",
    )
    result.add("of it ladder and diff", spread(figures.deciding, 0), "")
    result.add("first request signed after", spread(figures.first, 0), "")
    name = f"bare: {figures.requests} hashes and forms, no decision"
    result.add(name, spread(figures.bare, 0), "")
    result.add("nothing to be done", spread(figures.nothing, 1), "≤ 30")
    result.notes.append(f"{rounds} rounds; CPU time of the thread")
    return result
