"""Which request a fault strikes, decided without sockets."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mmd.sim.ace.faults import NO_FAULT, Decision, Fault, FaultKind, FaultPlan
from mmd.sim.ace.venue import Call
from tests.sim_ace.client import VirtualClient, bare_exchange, order_form, signed

FAULTS = st.builds(
    Fault,
    kind=st.sampled_from(FaultKind),
    probability=st.floats(0, 1),
    count=st.none() | st.integers(1, 5),
    skip=st.integers(0, 5),
    path=st.sampled_from(["", "order", "cancel"]),
    delay_ms=st.floats(0, 1000),
)


def plan(*faults: Fault, seed: int = 1) -> FaultPlan:
    made = FaultPlan(Random(seed))
    for fault in faults:
        made.add(fault)
    return made


def kinds(made: FaultPlan, times: int, path: str = "/x") -> list[str | None]:
    return [made.decide(path, "k").name for _ in range(times)]


def test_fault_strikes_as_often_as_counted_after_those_it_skips() -> None:
    made = plan(Fault(kind=FaultKind.RESET, count=2, skip=1))
    assert kinds(made, 5) == [None, "reset", "reset", None, None]
    assert made.rows() == []


def test_filters_spare_other_paths_and_keys() -> None:
    made = plan(Fault(kind=FaultKind.RESET, path="cancel", api_key="k"))
    assert made.decide("/open/v2/order/order", "k") == NO_FAULT
    assert made.decide("/open/v2/order/cancel", "l") == NO_FAULT
    assert made.decide("/open/v2/order/cancel", "k").name == "reset"


def test_delays_add_up_and_go_with_another_fault() -> None:
    made = plan(
        Fault(kind=FaultKind.DELAY, delay_ms=100),
        Fault(kind=FaultKind.DELAY, delay_ms=50),
        Fault(kind=FaultKind.DELAY, delay_ms=20, after=True),
        Fault(kind=FaultKind.LOST_REPLY),
    )
    decision = made.decide("/x", None)
    assert (round(decision.delay_before_s, 6), decision.delay_after_s) == (0.15, 0.02)
    assert decision.name == "lost_reply"


def test_skew_lasts_until_it_is_cleared() -> None:
    made = plan(Fault(kind=FaultKind.SKEW, skew_ms=700), Fault(kind=FaultKind.SKEW, skew_ms=-200))
    assert made.decide("/x", "k") == NO_FAULT
    assert made.skew_ms == 500
    made.clear(1)
    assert made.skew_ms == -200
    made.clear()
    assert made.skew_ms == 0


@given(faults=st.lists(FAULTS, max_size=4), seed=st.integers(0, 99))
def test_same_seed_strikes_the_same_requests(faults: list[Fault], seed: int) -> None:
    first, second = plan(*faults, seed=seed), plan(*faults, seed=seed)
    paths = ["/order/order", "/order/cancel", "/x"] * 10
    assert [first.decide(p, "k") for p in paths] == [second.decide(p, "k") for p in paths]


@given(data=st.data(), fault=FAULTS)
def test_request_is_carried_out_exactly_when_the_fault_lets_it(
    data: st.DataObject, fault: Fault
) -> None:
    exchange, entries = bare_exchange()
    client = VirtualClient(exchange)
    decision = Decision(fault=fault)
    before = len(entries)
    answer = exchange.handle(_order(client), decision, client.now_ms)
    carried_out = {FaultKind.ERROR_AFTER, FaultKind.LOST_REPLY, FaultKind.MALFORMED}
    assert bool(client.open_numbers()) is (fault.kind in carried_out)
    assert (answer is not None) is (fault.kind in carried_out)
    assert entries[before].fault == fault.kind.value


def _order(client: VirtualClient) -> Call:
    form: dict[str, Any] = order_form("buy", 1_000_000, "0.1")
    return Call("POST", "/open/v2/order/order", signed("k", "k-secret", client.now_ms, form))
