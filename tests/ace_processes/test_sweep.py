"""A sweep cancels what it must, nothing else, and claims nothing that it has not proven."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mmd.config.secrets import PAPER_KEY, AceKey
from mmd.processes import sweep as sweeps
from mmd.processes.sweep import SweepJob, SweepPlan, SweepResult, Whose, sweep, sweep_async
from mmd.sim.ace import FaultKind
from mmd.venues.ace import calls
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.budget import BudgetSpec
from mmd.venues.ace.client import AceClient
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.protocol import Call, Kind
from mmd.words.errors import (
    ConfigError,
    KeyRejected,
    MmdError,
    OrderGone,
    OrdersLeft,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
)
from mmd.words.ids import ClientIds
from mmd.words.market import MarketRules, NewOrder, Order, OrderStatus, Pair, Side
from tests.ace_processes.conftest import House
from tests.venues_ace.conftest import BTC_TWD, Exchange, start, unreachable

T = TypeVar("T")

INSTANCE = "abc123"
NOWHERE = AceEndpoint("http://127.0.0.1:9", PAPER_KEY)


class Clock:
    """Time that passes by sleeping, and a little with each call."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds


class Venue:
    """Lists the orders it holds and cancels them, with a script of mishaps by kind of call."""

    def __init__(self, clock: Clock, *names: str) -> None:
        self.clock = clock
        self.orders = {str(at): self.order(at, name) for at, name in enumerate(names, 1)}
        self.mishaps: dict[Kind, list[MmdError]] = {}
        self.log: list[tuple[float, Kind]] = []

    @staticmethod
    def order(number: int, name: str) -> Order:
        one = Decimal(1)
        return Order(
            str(number), name, BTC_TWD, Side.BUY, one, one, Decimal(0), OrderStatus.OPEN, 0
        )

    def call(self, call: Call[T]) -> T:
        self.clock.sleep(0.01)
        self.log.append((self.clock(), call.kind))
        if mishaps := self.mishaps.get(call.kind):
            raise mishaps.pop(0)
        answer: Any = self._answer(call)
        return answer  # type: ignore[no-any-return]

    def _answer(self, call: Call[Any]) -> Any:
        if call.kind is Kind.OPEN_ORDERS:
            return list(self.orders.values())
        assert call.kind is Kind.CANCEL
        if self.orders.pop(call.params["orderNo"], None) is None:
            raise OrderGone("gone", 2061)
        return None

    def times(self, kind: Kind) -> list[float]:
        return [at for at, kind_ in self.log if kind_ is kind]


def ours(number: int = 0) -> str:
    return ClientIds(INSTANCE, BTC_TWD, 1_710_000_000_000, number).make()


def another() -> str:
    return ClientIds("zzz999", BTC_TWD, 1_710_000_000_000).make()


def play(venue: Venue, whose: Whose = Whose.OURS, time_s: float = 10) -> SweepResult:
    clock = venue.clock
    plan = SweepPlan(None, INSTANCE, 2.0, clock() + time_s, whose)
    return sweep(venue, NOWHERE, plan, clock, clock.sleep)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_to_do_is_proven_by_two_lists_apart(clock: Clock) -> None:
    venue = Venue(clock, "by hand")
    assert play(venue) == SweepResult((), (), True, ())
    first, second = venue.times(Kind.OPEN_ORDERS)
    assert second - first >= 2.0


def test_ours_go_and_others_stay(clock: Clock) -> None:
    venue = Venue(clock, ours(0), "by hand", another(), ours(1))
    result = play(venue)
    assert (result.cancelled, result.already_gone, result.proven) == (("1", "4"), (), True)
    assert list(venue.orders) == ["2", "3"]
    result.require_proof()


def test_all_means_all(clock: Clock) -> None:
    venue = Venue(clock, ours(), "by hand", another())
    assert play(venue, Whose.ALL).proven
    assert venue.orders == {}


def test_an_order_that_arrives_late_is_seen_by_the_second_list(clock: Clock) -> None:
    """A dead pair's last request may still be on its way when the first list is empty."""
    venue = Venue(clock)

    def late(seconds: float) -> None:
        clock.sleep(seconds)
        if len(venue.log) == 1:
            venue.orders["9"] = venue.order(9, ours())

    plan = SweepPlan(None, INSTANCE, 2.0, clock() + 10)
    result = sweep(venue, NOWHERE, plan, clock, late)
    assert (result.cancelled, result.proven) == (("9",), True)
    assert len(venue.times(Kind.OPEN_ORDERS)) == 4


def test_lists_that_differ_prove_nothing_yet(clock: Clock) -> None:
    venue = Venue(clock, "by hand")

    def move(seconds: float) -> None:
        clock.sleep(seconds)
        if len(venue.log) == 1:
            venue.orders["7"] = venue.order(7, "by hand too")

    plan = SweepPlan(None, INSTANCE, 2.0, clock() + 10)
    assert sweep(venue, NOWHERE, plan, clock, move).proven
    assert len(venue.times(Kind.OPEN_ORDERS)) == 3


def test_a_failed_list_between_two_starts_the_proof_anew(clock: Clock) -> None:
    venue = Venue(clock)

    def trouble(seconds: float) -> None:
        clock.sleep(seconds)
        if len(venue.log) == 1:
            venue.mishaps[Kind.OPEN_ORDERS] = [Unavailable("down")]

    plan = SweepPlan(None, INSTANCE, 2.0, clock() + 10)
    assert sweep(venue, NOWHERE, plan, clock, trouble).proven
    asked = venue.times(Kind.OPEN_ORDERS)
    assert len(asked) == 4
    assert asked[3] - asked[2] >= 2.0


def test_every_mishap_is_ridden_out(clock: Clock) -> None:
    venue = Venue(clock, ours(0), ours(1), ours(2))
    venue.mishaps = {
        Kind.OPEN_ORDERS: [Unavailable("a"), RateLimited("b", 0.5), Unavailable("c")],
        Kind.CANCEL: [OutcomeUnknown("d"), RateLimited("e", 0.5), Unavailable("f")],
    }
    result = play(venue, time_s=20)
    assert (sorted(result.cancelled), result.proven) == (["1", "2", "3"], True)


def test_a_filled_order_is_gone_not_left(clock: Clock) -> None:
    venue = Venue(clock, ours(0), ours(1))
    venue.mishaps = {Kind.CANCEL: [OrderGone("filled", 2061)]}
    listed = venue.orders.pop("1")

    class Stale(Venue):
        def _answer(self, call: Call[Any]) -> Any:
            if call.kind is Kind.OPEN_ORDERS and len(self.log) == 1:
                return [listed, *self.orders.values()]
            return super()._answer(call)

    venue.__class__ = Stale
    result = play(venue)
    assert (result.cancelled, result.already_gone, result.proven) == (("2",), ("1",), True)


def test_what_can_not_be_cancelled_is_named_at_the_deadline(clock: Clock) -> None:
    venue = Venue(clock, ours(0), ours(1))
    venue.mishaps = {Kind.CANCEL: [Unavailable("down")] * 10_000}
    result = play(venue, time_s=5)
    assert not result.proven
    assert result.left == ("1", "2")
    with pytest.raises(OrdersLeft, match="1, 2") as caught:
        result.require_proof()
    assert caught.value.order_numbers == ("1", "2")
    assert clock() < 1000 + 5 + 1


def test_without_a_second_list_nothing_is_proven(clock: Clock) -> None:
    venue = Venue(clock)
    result = play(venue, time_s=1)
    assert (result.proven, result.left) == (False, ())
    with pytest.raises(OrdersLeft, match="no proof"):
        result.require_proof()


def test_a_rejected_key_ends_the_sweep_at_once(clock: Clock) -> None:
    venue = Venue(clock, ours())
    venue.mishaps = {Kind.CANCEL: [KeyRejected("no")]}
    with pytest.raises(KeyRejected):
        play(venue)


# Against the simulated exchange.


@pytest.fixture
def client(exchange: Exchange) -> Iterator[AceClient]:
    with AceClient(exchange.endpoint) as client:
        yield client


@pytest.fixture
def rules(client: AceClient) -> MarketRules:
    return next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)


def place(client: AceClient, rules: MarketRules, *names: str) -> None:
    for name in names:
        order = NewOrder(name, Side.BUY, Decimal(1_000_000), Decimal("0.0001"))
        client.call(calls.new_order(rules, order))


def left(client: AceClient) -> set[str]:
    return {order.client_id for order in client.call(calls.open_orders())}


def plan(pair: Pair | None = BTC_TWD, time_s: float = 10) -> SweepPlan:
    return SweepPlan(pair, INSTANCE, 0.1, time.monotonic() + time_s)


def test_more_orders_than_the_default_page_are_swept(
    client: AceClient, exchange: Exchange, rules: MarketRules
) -> None:
    place(client, rules, *(ours(n) for n in range(25)), "by hand", another())
    result = sweep(client, exchange.endpoint, plan())
    assert (len(result.cancelled), result.proven) == (25, True)
    assert left(client) == {"by hand", another()}


def test_a_sweep_of_one_pair_leaves_the_others_alone(
    client: AceClient, exchange: Exchange, rules: MarketRules
) -> None:
    other = next(r for r in client.call(calls.markets()) if r.pair == Pair("ETH", "TWD"))
    place(client, rules, ours(0))
    order = NewOrder(ours(1), Side.BUY, Decimal(50_000), Decimal("0.01"))
    client.call(calls.new_order(other, order))
    assert sweep(client, exchange.endpoint, plan()).proven
    assert left(client) == {ours(1)}
    assert sweep(client, exchange.endpoint, plan(None)).proven
    assert left(client) == set()


def test_an_unknown_market_can_not_be_swept(client: AceClient, exchange: Exchange) -> None:
    with pytest.raises(ConfigError, match="NO/WHERE"):
        sweep(client, exchange.endpoint, plan(Pair("NO", "WHERE")))


@pytest.mark.parametrize("batch", [False, True])
def test_a_sweep_gets_through_a_bad_day(batch: bool) -> None:
    with ExitStack() as stack:
        exchange = start(stack, batch=batch)
        path = "/open/v2/order/cancel_batch_orders" if batch else None
        endpoint = replace(exchange.endpoint, timeout_s=0.3, cancel_path=path)
        client = stack.enter_context(AceClient(endpoint))
        rules = next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)
        place(client, rules, *(ours(n) for n in range(12)))
        for kind in (
            FaultKind.LOST_REPLY,
            FaultKind.RESET,
            FaultKind.ERROR_AFTER,
            FaultKind.MALFORMED,
        ):
            exchange.fault(kind, path="/order/", probability=0.3, count=3)
        exchange.fault(FaultKind.RATE_LIMIT, path="cancel", count=1)
        result = sweep(client, endpoint, plan(time_s=15))
        assert result.proven
        assert left(client) == set()
        assert {*result.cancelled, *result.already_gone} <= {
            *result.cancelled,
            *result.already_gone,
        }
        assert len({*result.cancelled, *result.already_gone}) <= 12


def test_a_pairs_loop_sweeps_the_same_way(
    client: AceClient, exchange: Exchange, rules: MarketRules
) -> None:
    place(client, rules, *(ours(n) for n in range(25)))

    async def work() -> SweepResult:
        async with AsyncAceClient(exchange.endpoint) as asynchronous:
            return await sweep_async(asynchronous, exchange.endpoint, plan())

    result = asyncio.run(work())
    assert (len(result.cancelled), result.proven) == (25, True)
    assert left(client) == set()


@pytest.fixture
def job(exchange: Exchange, tmp_path: Path) -> SweepJob:
    return SweepJob(
        pair=BTC_TWD,
        ace=exchange.endpoint,
        instance=INSTANCE,
        settle_s=0.1,
        time_s=5,
        budget=BudgetSpec(tmp_path, Decimal(100), 20),
    )


def test_the_process_goes_on_though_it_is_asked_to_leave(
    house: House, client: AceClient, rules: MarketRules, job: SweepJob
) -> None:
    place(client, rules, *(ours(n) for n in range(5)))
    house.context.stop.request()
    house.parent.write(house.parent.read()._replace(heartbeat_ns=0))
    sweeps.run(job, house.context)
    assert left(client) == set()
    assert house.health.read().ready == 1


def test_the_process_fails_when_it_can_not_prove(house: House, job: SweepJob) -> None:
    away = replace(job, ace=unreachable(job.ace), time_s=0.3)
    with pytest.raises(OrdersLeft):
        sweeps.run(away, house.context)


def test_the_process_beats_while_the_venue_is_silent(
    house: House, exchange: Exchange, job: SweepJob
) -> None:
    exchange.fault(FaultKind.FREEZE, seconds=0.6, count=1)
    beats: set[int] = set()

    def until() -> bool:
        beats.add(house.health.read().heartbeat_ns)
        return len(beats) > 8

    house.run(lambda: sweeps.run(job, house.context), until)
    gaps = [b - a for a, b in zip(sorted(beats), sorted(beats)[1:], strict=False)]
    assert max(gaps) < 0.5e9


def test_a_wrong_key_is_reported_as_such(house: House, job: SweepJob) -> None:
    wrong = replace(job, ace=replace(job.ace, key=AceKey("paper", "wrong-secret")))
    with pytest.raises(KeyRejected):
        sweeps.run(wrong, house.context)
