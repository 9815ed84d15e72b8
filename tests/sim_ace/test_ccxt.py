"""ccxt's own client of this exchange must understand every reply."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import ccxt
import pytest

from mmd.sim.ace import AceSim, AceSimOptions, CrowdOptions, running
from mmd.sim.ace.markets import all_markets
from mmd.words.market import Pair
from tests.sim_ace.client import HttpClient

FAIR = Decimal(2_000_000)
SYMBOL = "BTC/TWD"


@pytest.fixture(scope="module")
def sim() -> Iterator[AceSim]:
    options = AceSimOptions(
        pairs=(Pair("BTC", "TWD"), Pair("USDT", "TWD")), crowd=CrowdOptions(takes_per_s=0)
    )
    prices = {Pair("BTC", "TWD"): FAIR, Pair("USDT", "TWD"): Decimal(32)}
    with running(options, lambda pair, _ms: prices.get(pair)) as made:
        yield made


def exact(client: ccxt.ace) -> ccxt.ace:
    """Makes the client calculate in Decimal.

    With its default, float, it turns the status 2021 into the text `2021.0`, finds that in no
    table and takes every refusal for a success.
    """
    client.number = Decimal
    return client


@pytest.fixture
def ace(sim: AceSim) -> Iterator[ccxt.ace]:
    client = ccxt.ace({"apiKey": "paper", "secret": "paper-secret", "enableRateLimit": False})
    client.urls["api"] = {"public": sim.base_url, "private": sim.base_url + "/open"}
    yield client
    with HttpClient.of(sim) as control:
        control.sim("DELETE", "faults")
        for row in control.open_orders():
            client.cancel_order(row["orderNo"])
    client.session.close()


def test_markets_have_their_precisions_and_limits(ace: ccxt.ace) -> None:
    markets = ace.load_markets()
    assert set(markets) == {str(pair) for pair in all_markets()}
    assert markets[SYMBOL]["precision"]["price"] == 0.1
    assert markets[SYMBOL]["limits"]["amount"] == {"min": 0.0001, "max": 120}


def test_book_stands_around_the_fair_price_with_room_inside(ace: ccxt.ace) -> None:
    book = ace.fetch_order_book(SYMBOL)
    assert len(book["bids"]) == len(book["asks"]) == 5
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    fair = float(FAIR)
    assert fair * (1 - 0.0041) < bid < fair * (1 - 0.0019)
    assert fair * (1 + 0.0019) < ask < fair * (1 + 0.0041)
    assert book["bids"] == sorted(book["bids"], reverse=True)
    rate = ace.fetch_order_book("USDT/TWD")
    assert rate["asks"][0][0] / rate["bids"][0][0] < 1.0015


def test_order_lives_from_creation_to_cancel(ace: ccxt.ace) -> None:
    before = ace.fetch_balance()["TWD"]["free"]
    made = ace.create_order(SYMBOL, "limit", "buy", 0.01, 1_500_000, {"customOrderId": "mine"})
    assert ace.fetch_balance()["TWD"]["free"] == pytest.approx(before - 15_015)
    [listed] = ace.fetch_open_orders(SYMBOL)
    assert listed["id"] == made["id"]
    assert (listed["side"], listed["price"], listed["amount"]) == ("buy", 1_500_000, 0.01)
    assert listed["status"] == "open"
    assert abs(listed["timestamp"] - time.time() * 1000) < 5000
    assert listed["info"]["customOrderId"] == "mine"
    assert ace.cancel_order(made["id"])["status"] in (200, "200")
    cancelled = ace.fetch_order(made["id"])
    assert cancelled["status"] == "canceled"
    assert abs(cancelled["timestamp"] - time.time() * 1000) < 5000
    assert ace.fetch_open_orders(SYMBOL) == []
    assert ace.fetch_balance()["TWD"]["free"] == pytest.approx(before)


def test_fill_shows_in_order_trades_and_balances(ace: ccxt.ace) -> None:
    before = ace.fetch_balance()
    ask = ace.fetch_order_book(SYMBOL)["asks"][0][0]
    made = ace.create_order(SYMBOL, "limit", "buy", 0.01, ask)
    assert ace.fetch_order(made["id"])["status"] == "closed"
    [trade] = ace.fetch_my_trades(SYMBOL, limit=1)
    assert (trade["order"], trade["side"], trade["info"]["isMaker"]) == (made["id"], "buy", False)
    [part] = ace.fetch_order_trades(made["id"], SYMBOL)
    assert (part["price"], part["amount"]) == (ask, 0.01)
    after = ace.fetch_balance()
    assert after["BTC"]["total"] - before["BTC"]["total"] == pytest.approx(0.01)
    assert before["TWD"]["total"] - after["TWD"]["total"] == pytest.approx(ask * 0.01 * 1.001)


def test_market_orders_trade_at_once(ace: ccxt.ace) -> None:
    made = ace.create_order(SYMBOL, "market", "sell", 0.005)
    shown = ace.fetch_order(made["id"])
    assert (shown["status"], shown["type"], shown["filled"]) == ("closed", "market", 0.005)


def test_prices_and_candles_follow_the_trades(ace: ccxt.ace) -> None:
    ace.create_order(SYMBOL, "market", "sell", 0.005)
    last = float(ace.fetch_my_trades(SYMBOL, limit=1)[0]["info"]["tradePrice"])
    assert ace.fetch_ticker(SYMBOL)["last"] == last
    candle = ace.fetch_ohlcv(SYMBOL)[-1]
    assert candle[4] == last
    assert candle[0] % 60_000 == 0
    assert abs(candle[0] - time.time() * 1000) < 120_000


def test_page_of_open_orders_is_ten_by_default(ace: ccxt.ace) -> None:
    for i in range(12):
        ace.create_order(SYMBOL, "limit", "buy", 0.001, 1_400_000 + i)
    assert len(ace.fetch_open_orders(SYMBOL)) == 10
    assert len(ace.fetch_open_orders(SYMBOL, limit=500)) == 12


def test_refusals_come_as_ccxts_own_error_classes(ace: ccxt.ace, sim: AceSim) -> None:
    exact(ace)
    with pytest.raises(ccxt.InsufficientFunds):
        ace.create_order(SYMBOL, "limit", "buy", 100, 1_900_000)
    with pytest.raises(ccxt.InvalidOrder):
        ace.create_order(SYMBOL, "limit", "buy", 0.00005, 1_900_000)
    made = ace.create_order(SYMBOL, "limit", "buy", 0.01, 1_500_000)
    ace.cancel_order(made["id"])
    with pytest.raises(ccxt.BadRequest):
        ace.cancel_order(made["id"])
    stranger = ccxt.ace({"apiKey": "paper", "secret": "wrong", "enableRateLimit": False})
    exact(stranger).urls = ace.urls
    with pytest.raises(ccxt.AuthenticationError):
        stranger.fetch_balance()
    stranger.session.close()


def test_clock_that_is_off_is_an_authentication_error(ace: ccxt.ace, sim: AceSim) -> None:
    ace.load_markets()
    with HttpClient.of(sim) as control:
        control.sim("POST", "faults", {"kind": "skew", "skew_ms": -60_000})
        exact(ace)
        with pytest.raises(ccxt.AuthenticationError):
            ace.fetch_balance()


def test_busy_and_broken_server_are_ccxts_network_errors(ace: ccxt.ace, sim: AceSim) -> None:
    ace.load_markets()
    with HttpClient.of(sim) as control:
        control.sim("POST", "faults", {"kind": "rate_limit", "count": 1})
        with pytest.raises((ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
            ace.fetch_balance()
        control.sim("POST", "faults", {"kind": "error_before", "http_status": 503, "count": 1})
        with pytest.raises(ccxt.ExchangeNotAvailable):
            ace.fetch_balance()
        control.sim("POST", "faults", {"kind": "lost_reply", "count": 1})
        with pytest.raises(ccxt.NetworkError):
            ace.fetch_balance()
    assert ace.fetch_balance()["BTC"]["total"] > 0
