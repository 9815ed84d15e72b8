"""What the referee sees, and what it does not blame anyone for."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from mmd.sim.ace.entries import Entry, read_entry
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.orders import OrderRequest
from mmd.sim.ace.referee import Referee
from mmd.words.market import Pair, Side
from tests.sim_ace.client import VirtualClient, bare_exchange

MEANT = re.compile(r"meant-(\d+)-[bs]")


def report(exchange: Exchange, client: VirtualClient) -> dict[str, Any]:
    return exchange.referee.report(exchange.engine.ledger, client.now_ms, MEANT)


def made() -> tuple[Exchange, list[Entry], VirtualClient]:
    exchange, entries = bare_exchange()
    return exchange, entries, VirtualClient(exchange)


def test_same_client_id_twice_is_a_duplicate() -> None:
    exchange, _, client = made()
    numbers = [client.order("buy", 1_000_000, "0.1", name) for name in ("a", "b", "a")]
    [row] = report(exchange, client)["duplicate_client_ids"]
    assert row["client_ids"] == ("a", "a")
    assert row["order_nos"] == (numbers[2], numbers[0])


def test_self_match_is_intended_only_when_both_ids_say_the_same() -> None:
    exchange, _, client = made()
    for maker, taker in (("meant-1-s", "meant-1-b"), ("meant-2-s", "meant-3-b"), ("x", "y")):
        client.order("sell", 1_000_000, "0.1", maker)
        client.order("buy", 1_000_000, "0.1", taker)
    found = report(exchange, client)
    assert [row["intended"] for row in found["self_matches"]] == [True, False, False]
    assert found["unintended_self_matches"] == 2
    assert len(found["crossed_own_quotes"]) == 2


def test_crossing_is_seen_even_when_another_order_stood_in_between() -> None:
    exchange, _, client = made()
    client.order("sell", 1_010_000, "0.1", "ask")
    other = OrderRequest(
        Pair("BTC", "TWD"), Side.SELL, price=Decimal("1000000"), amount=Decimal("0.5")
    )
    exchange.place_as_stranger(other, True, client.now_ms)
    client.order("buy", 1_009_999, "0.1", "below")
    assert report(exchange, client)["crossed_own_quotes"] == []
    client.order("buy", 1_010_000, "0.1", "reaches")
    found = report(exchange, client)
    assert [row["client_ids"] for row in found["crossed_own_quotes"]] == [("reaches", "ask")]
    assert found["self_matches"] == []


def test_time_on_both_sides_counts_only_while_both_stand() -> None:
    exchange, _, client = made()
    client.order("buy", 1_000_000, "0.1")
    client.now_ms += 1000
    ask = client.order("sell", 1_100_000, "0.1")
    client.now_ms += 3000
    client.post("/open/v2/order/cancel", orderNo=ask)
    client.now_ms += 6000
    presence = report(exchange, client)["presence"]["k BTC/TWD"]
    assert presence == {"watched_s": 10.0, "both_sides_s": 3.0, "share": 0.3}


def test_time_while_the_exchange_was_down_does_not_count() -> None:
    exchange, entries, client = made()
    client.order("buy", 1_000_000, "0.1")
    client.order("sell", 1_100_000, "0.1")
    client.now_ms += 2000
    client.open_numbers()
    referee = Referee()
    for entry in entries:
        referee.see(entry)
    referee.see(Entry(n=99, t=client.now_ms + 60_000, cause="start"))
    found = referee.report(exchange.engine.ledger, client.now_ms + 61_000)
    assert found["presence"]["k BTC/TWD"]["both_sides_s"] == 3.0


def test_requests_are_counted_by_second_account_and_refusal() -> None:
    exchange, _, client = made()
    for _ in range(5):
        client.open_numbers()
    client.now_ms += 9000
    client.post("/open/v2/order/cancel", orderNo="1")
    client.post("/open/v2/order/order", price="x")
    found = report(exchange, client)
    assert found["requests"]["total"] == 7
    assert found["requests"]["peak_per_s"] == 5
    assert found["requests"]["mean_per_s"] == round(7 / 9, 3)
    assert found["requests"]["by_account"]["k"]["total"] == 7
    assert found["refused_by_status"] == {"9996": 2}


def test_open_orders_have_their_ages_and_trades_their_sums() -> None:
    exchange, _, client = made()
    client.order("sell", 1_000_000, "0.3", "s")
    client.now_ms += 1500
    stranger = OrderRequest(
        Pair("BTC", "TWD"), Side.BUY, price=Decimal("1000000"), amount=Decimal("0.1")
    )
    exchange.place_as_stranger(stranger, False, client.now_ms)
    found = report(exchange, client)
    [row] = found["open_orders"]
    assert (row["client_id"], row["remaining"], row["age_s"]) == ("s", "0.2", 1.5)
    trades = found["trades"]["k BTC/TWD"]
    assert (trades["fills"], trades["maker_fills"], trades["sold"]) == (1, 1, Decimal("0.1"))
    assert trades["received"] == 100_000
    assert trades["fees"] == 50


def test_entries_survive_their_text_form() -> None:
    exchange, entries, client = made()
    client.order("sell", 1_000_000, "0.3", "s")
    client.order("buy", 1_000_000, "0.4", None)
    client.post("/open/v2/order/cancel", orderNo="1")
    exchange.set_balance("k", "TWD", Decimal("5.50"), client.now_ms)
    assert [read_entry(entry.line()) for entry in entries] == entries
