"""The order desk against the simulated exchange: orders are sent once, and every outcome is found
out, whatever happens to the reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from mmd.config.secrets import AceKey
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import Ledger, State
from mmd.decide.plan import Action, Place, Urgency, cancel_all
from mmd.processes.desk import Desk
from mmd.sim.ace import PAPER_KEY, PAPER_SECRET, AceSim, AceSimOptions, CrowdOptions, running
from mmd.venues.ace import calls
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.budget import Budget, BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.ids import ClientIds
from mmd.words.market import Pair, Side
from tests.pair.open_gate import OpenGate

PAIR = Pair("BTC", "TWD")
FAR_FUTURE = 10**18


@pytest.fixture
def venue() -> Iterator[AceSim]:
    quiet = AceSimOptions(pairs=(), crowd=CrowdOptions(), batch=True)
    with running(quiet) as sim:
        yield sim


def fault(venue: AceSim, **what: Any) -> None:
    requests.post(f"{venue.root_url}/sim/faults", json=what, timeout=5).raise_for_status()


def report(venue: AceSim) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(f"{venue.root_url}/sim/report", timeout=5).json()
    return answer


def sell_into(venue: AceSim, price: int) -> None:
    """A third party takes our bid."""
    order = {"pair": "BTC/TWD", "side": "sell", "amount": "0.01", "price": str(price)}
    requests.post(f"{venue.root_url}/sim/order", json=order, timeout=5).raise_for_status()


Script = Callable[[Desk], Awaitable[None]]


def at_desk(venue: AceSim, folder: Path, script: Script, batch: bool = False) -> Ledger:
    """Runs a script at a desk that talks to the venue; returns the ledger at its end."""
    ledger = Ledger()
    endpoint = AceEndpoint(
        venue.base_url,
        AceKey(PAPER_KEY, PAPER_SECRET),
        timeout_s=1.0,
        submit_path="/open/v2/order/submit_batch_order" if batch else None,
        cancel_path="/open/v2/order/cancel_batch_orders" if batch else None,
    )

    async def run() -> None:
        with Budget(BudgetSpec(folder, None, 1), PAPER_KEY) as budget:
            async with AsyncAceClient(endpoint) as client:
                markets = await client.call(calls.markets())
                desk = Desk(
                    client,
                    next(rules for rules in markets if rules.pair == PAIR),
                    ledger,
                    ClientIds("abc123", PAIR, time.time_ns() // 1_000_000),
                    budget,
                    max_in_flight=20,
                    on_change=lambda: None,
                    may_send=lambda: None,
                    gate=OpenGate(),
                    on_unclear=lambda: None,
                )
                await script(desk)
                await desk.settle_down()

    asyncio.run(run())
    return ledger


def places(*prices: int, side: Side = Side.BUY) -> list[Action]:
    return [
        Place(WantedQuote(side, level, Decimal(price), Decimal("0.01")), Urgency.TOUCH, "test")
        for level, price in enumerate(prices)
    ]


def send(desk: Desk, actions: list[Action]) -> None:
    assert desk.carry_out(actions, time.monotonic_ns(), lambda: FAR_FUTURE) == 0


@pytest.mark.parametrize("batch", [False, True])
def test_orders_are_placed_and_cancelled(venue: AceSim, tmp_path: Path, batch: bool) -> None:
    async def script(desk: Desk) -> None:
        send(desk, places(1_000_000, 999_000, 998_000))
        await desk.settle_down()
        assert [entry.state for entry in desk.ledger.live()] == [State.OPEN] * 3
        listed = await desk.list_open()
        assert {order.client_id for order in listed} == set(desk.ledger.entries)
        send(desk, cancel_all(desk.ledger, "test"))

    ledger = at_desk(venue, tmp_path, script, batch)
    assert not ledger.entries
    assert {entry.state for entry in ledger.finished.values()} == {State.CANCELLED}
    assert report(venue)["open_orders"] == []


@pytest.mark.parametrize("kind", ["lost_reply", "error_after", "malformed"])
def test_an_order_whose_reply_is_lost_is_found_and_not_sent_again(
    venue: AceSim, tmp_path: Path, kind: str
) -> None:
    fault(venue, kind=kind, count=1, path="/order/order")

    async def script(desk: Desk) -> None:
        send(desk, places(1_000_000))

    ledger = at_desk(venue, tmp_path, script)
    [entry] = ledger.entries.values()
    assert entry.state is State.OPEN
    assert entry.order_no
    assert len(report(venue)["open_orders"]) == 1
    assert report(venue)["duplicate_client_ids"] == []


@pytest.mark.parametrize("kind", ["error_before", "reset"])
def test_an_order_that_never_arrived_is_given_up_only_after_patience(
    venue: AceSim, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmd.processes.desk._PATIENCE_S", 0.5)
    fault(venue, kind=kind, count=1, path="/order/order")

    async def script(desk: Desk) -> None:
        send(desk, places(1_000_000))
        await asyncio.sleep(0.2)
        assert [entry.state for entry in desk.ledger.live()] == [State.UNKNOWN]

    ledger = at_desk(venue, tmp_path, script)
    assert not ledger.entries
    assert report(venue)["open_orders"] == []


@pytest.mark.parametrize("kind", ["lost_reply", "error_before", "reset", "malformed"])
def test_a_cancel_without_a_clear_answer_leaves_the_order_to_be_cancelled_again(
    venue: AceSim, tmp_path: Path, kind: str
) -> None:
    async def script(desk: Desk) -> None:
        send(desk, places(1_000_000))
        await desk.settle_down()
        fault(venue, kind=kind, count=1, path="/order/cancel")
        send(desk, cancel_all(desk.ledger, "test"))
        await desk.settle_down()
        assert [entry.state for entry in desk.ledger.live()] == [State.OPEN]
        send(desk, cancel_all(desk.ledger, "again"))

    ledger = at_desk(venue, tmp_path, script)
    assert not ledger.entries
    assert report(venue)["open_orders"] == []


def test_an_order_filled_in_the_moment_of_its_cancel_is_booked_as_filled(
    venue: AceSim, tmp_path: Path
) -> None:
    async def script(desk: Desk) -> None:
        send(desk, places(1_000_000))
        await desk.settle_down()
        sell_into(venue, 1_000_000)
        send(desk, cancel_all(desk.ledger, "too late"))

    ledger = at_desk(venue, tmp_path, script)
    [entry] = ledger.finished.values()
    assert entry.state is State.FILLED
    assert entry.filled == Decimal("0.01")


def test_a_refused_order_holds_its_side_off(venue: AceSim, tmp_path: Path) -> None:
    fault(venue, kind="refuse", status=2021, count=1, path="/order/order")

    async def script(desk: Desk) -> None:
        send(desk, places(1_000_000))
        await desk.settle_down()
        assert desk.carry_out(places(999_000), time.monotonic_ns(), lambda: 0) == 0
        assert not desk.ledger.entries
        send(desk, places(2_000_000, side=Side.SELL))

    ledger = at_desk(venue, tmp_path, script)
    assert [entry.side for entry in ledger.entries.values()] == [Side.SELL]


def test_nothing_is_sent_once_the_price_no_longer_holds(venue: AceSim, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.may_send = lambda: "the price is too old"
        send(desk, places(1_000_000))

    ledger = at_desk(venue, tmp_path, script)
    assert [entry.state for entry in ledger.finished.values()] == [State.REFUSED]
    assert report(venue)["open_orders"] == []


def test_an_order_of_an_earlier_run_is_adopted_and_a_foreign_one_left_alone(
    venue: AceSim, tmp_path: Path
) -> None:
    async def place(desk: Desk) -> None:
        send(desk, places(1_000_000))

    earlier = at_desk(venue, tmp_path, place)

    async def adopt(desk: Desk) -> None:
        foreign = ClientIds("zzz999", PAIR, time.time_ns() // 1_000_000)
        own = desk.ids
        desk.ids = foreign
        send(desk, places(900_000))
        await desk.settle_down()
        desk.ledger.entries.clear()
        desk.ids = own
        desk.take_list(await desk.list_open(), time.monotonic_ns(), 0, FAR_FUTURE)

    ledger = at_desk(venue, tmp_path, adopt)
    assert set(ledger.entries) == set(earlier.entries)


def test_an_order_that_vanished_is_looked_up(venue: AceSim, tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        send(desk, places(1_000_000))
        await desk.settle_down()
        sell_into(venue, 1_000_000)
        desk.take_list(await desk.list_open(), time.monotonic_ns(), 0, FAR_FUTURE)

    ledger = at_desk(venue, tmp_path, script)
    assert [entry.state for entry in ledger.finished.values()] == [State.FILLED]
