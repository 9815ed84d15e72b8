"""The account process: what the venue says reaches the records, once, whatever goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import requests

from mmd.cells.wake import Watch
from mmd.config.secrets import AceKey
from mmd.decide.agenda import Paces
from mmd.processes import account
from mmd.processes.account import AccountJob
from mmd.records.alerts import Kind, Spool
from mmd.records.store import Store
from mmd.sim.ace import FaultKind
from mmd.venues.ace import calls
from mmd.venues.ace.budget import BudgetSpec
from mmd.venues.ace.client import AceClient
from mmd.words.errors import KeyRejected
from mmd.words.ids import ClientIds
from mmd.words.market import MarketRules, NewOrder, Pair, Side
from tests.ace_processes.conftest import House
from tests.venues_ace.conftest import BTC_TWD, Exchange

INSTANCE = "abc123"


@pytest.fixture
def client(exchange: Exchange) -> Iterator[AceClient]:
    with AceClient(exchange.endpoint) as client:
        yield client


@pytest.fixture
def rules(client: AceClient) -> MarketRules:
    return next(r for r in client.call(calls.markets()) if r.pair == BTC_TWD)


@pytest.fixture
def job(house: House, exchange: Exchange, tmp_path: Path) -> AccountJob:
    return AccountJob(
        ace=exchange.endpoint,
        instance=INSTANCE,
        store=tmp_path / "account.sqlite",
        budget=BudgetSpec(tmp_path, Decimal(100), 20),
        bell=house.bell,
        trouble=house.trouble,
        paces=Paces(0.05, 0, 0, 0, 10),
    )


def ids(instance: str = INSTANCE) -> ClientIds:
    return ClientIds(instance, BTC_TWD, 1_710_000_000_000)


def bid(name: str, amount: str = "0.003") -> NewOrder:
    return NewOrder(name, Side.BUY, Decimal(2_000_000), Decimal(amount))


def test_orders_fills_and_balances_reach_the_records(
    house: House, exchange: Exchange, client: AceClient, rules: MarketRules, job: AccountJob
) -> None:
    name = ids().make()
    number = client.call(calls.new_order(rules, bid(name)))
    exchange.stranger("sell", "0.001", "2000000")
    watch = Watch(house.bell)
    house.run(lambda: account.run(job, house.context), lambda: house.health.read().progress >= 2)
    with Store.look(job.store) as store:
        snapshot = store.newest_open_orders()
        assert snapshot is not None
        (order,) = snapshot.orders
        assert (order.order_no, order.client_id) == (number, name)
        assert (order.filled, order.remaining) == (Decimal("0.001"), Decimal("0.002"))
        assert snapshot.number >= 2
        assert snapshot.asked_ns < snapshot.answered_ns
        (fill,) = store.fills()
        assert (fill.trade.order_no, fill.trade.amount) == (number, Decimal("0.001"))
        btc = store.balances()["BTC"]
        assert btc.total == {b.currency: b for b in client.call(calls.balances())}["BTC"].total
    assert watch.consume()
    watch.close()
    health = house.health.read()
    assert (health.ready, health.connected, health.errors) == (1, 1, 0)


def test_a_list_shows_no_fill_that_is_not_recorded(
    house: House, exchange: Exchange, client: AceClient, rules: MarketRules, job: AccountJob
) -> None:
    client.call(calls.new_order(rules, bid(ids().make(), "0.05")))
    wrong: list[object] = []

    def until() -> bool:
        exchange.stranger("sell", "0.001", "2000000")
        if not house.health.read().ready:
            return False
        with Store.look(job.store) as store:
            snapshot = store.newest_open_orders()
            assert snapshot is not None
            recorded = sum(fill.trade.amount for fill in store.fills())
        filled = snapshot.orders[0].filled
        if recorded < filled:
            wrong.append(snapshot)
        return filled >= Decimal("0.02")

    house.run(lambda: account.run(job, house.context), until)
    assert wrong == []


def test_every_fill_is_recorded_once_over_outages_and_restarts(
    house: House, exchange: Exchange, client: AceClient, rules: MarketRules, job: AccountJob
) -> None:
    client.call(calls.new_order(rules, bid(ids().make(), "0.05")))
    kinds = (FaultKind.RESET, FaultKind.MALFORMED, FaultKind.ERROR_AFTER, FaultKind.LOST_REPLY)
    for number, kind in enumerate(kinds):
        exchange.fault(kind, path="getTradeList", skip=2 * number, count=1)
    for life in range(1, 4):
        for _ in range(3):
            exchange.stranger("sell", "0.001", "2000000")
        begun = house.health.read().messages
        house.new_life()
        house.run(
            lambda: account.run(job, house.context),
            lambda begun=begun: house.health.read().messages >= begun + 2,
        )
        with Store.look(job.store) as store:
            assert len(store.fills()) == 3 * life
    assert house.health.read().errors == 4


def test_another_mmd_on_the_account_is_reported_once(
    house: House, client: AceClient, rules: MarketRules, job: AccountJob
) -> None:
    number = client.call(calls.new_order(rules, bid(ids("zzz999").make())))
    client.call(calls.new_order(rules, bid(ids().make())))
    client.call(calls.new_order(rules, bid("by hand")))
    house.run(lambda: account.run(job, house.context), lambda: house.health.read().progress >= 3)
    health = house.health.read()
    assert health.errors == 1
    assert number in health.error_text


def test_a_rejected_key_ends_the_process(house: House, job: AccountJob) -> None:
    wrong = replace(job, ace=replace(job.ace, key=AceKey("paper", "wrong-secret")))
    with pytest.raises(KeyRejected):
        account.run(wrong, house.context)


def test_polling_keeps_to_the_budget(
    house: House, exchange: Exchange, client: AceClient, job: AccountJob, tmp_path: Path
) -> None:
    """12 of a burst of 20 are for polls; a round asks three questions."""
    poor = replace(
        job, budget=BudgetSpec(tmp_path, Decimal("0.001"), 20), paces=Paces(0, 0, 0, 0, 10)
    )
    began = time.monotonic()
    house.run(
        lambda: account.run(poor, house.context),
        lambda: house.health.read().progress == 4 and time.monotonic() - began > 0.4,
    )
    assert house.health.read().progress == 4


def test_a_pair_elsewhere_is_listed_too(house: House, client: AceClient, job: AccountJob) -> None:
    other = next(r for r in client.call(calls.markets()) if r.pair == Pair("ETH", "TWD"))
    order = NewOrder(ids().make(), Side.BUY, Decimal(50_000), Decimal("0.01"))
    client.call(calls.new_order(other, order))
    house.run(lambda: account.run(job, house.context), lambda: house.health.read().progress >= 1)
    with Store.look(job.store) as store:
        snapshot = store.newest_open_orders()
    assert snapshot is not None
    assert [o.pair for o in snapshot.orders] == [Pair("ETH", "TWD")]


def test_last_prices_reach_the_records_and_hold_nothing_up(
    house: House, exchange: Exchange, client: AceClient, rules: MarketRules, job: AccountJob
) -> None:
    client.call(calls.new_order(rules, bid(ids().make())))
    exchange.stranger("sell", "0.001", "2000000")
    house.run(lambda: account.run(job, house.context), lambda: house.health.read().progress >= 1)
    with Store.look(job.store) as store:
        assert store.prices()[BTC_TWD].price == 2_000_000
    house.new_life()
    exchange.fault(FaultKind.REFUSE, path="tradePrice", status=9996)
    house.run(lambda: account.run(job, house.context), lambda: house.health.read().progress >= 3)


def test_a_balance_that_fills_do_not_explain_is_counted_and_told_once(
    house: House,
    exchange: Exchange,
    client: AceClient,
    rules: MarketRules,
    job: AccountJob,
    tmp_path: Path,
) -> None:
    def alerts() -> list[str]:
        found = Spool.of_home(tmp_path).read_all()[0]
        return [alert.text for alert in found if alert.kind is Kind.DIFFERENCE]

    paid = [False]

    def is_told() -> bool:
        if house.health.read().progress >= 2 and not paid[0]:
            paid[0] = True
            body = {"account": job.ace.key.api_key, "currency": "ETH", "total": "7.5"}
            address = f"{exchange.sim.root_url}/sim/balance"
            requests.post(address, json=body, timeout=5).raise_for_status()
        return bool(alerts()) and house.health.read().progress >= 8

    client.call(calls.new_order(rules, bid(ids().make())))
    exchange.stranger("sell", "0.001", "2000000")
    house.run(lambda: account.run(job, house.context), is_told)
    assert len(alerts()) == 1
    assert alerts()[0].startswith("ETH: the venue has 7.5")
    assert house.health.read().errors == 1
