"""REST questions: what is read from the answers, and which error each failure is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mmd.sim.tls import LoopbackCertificate
from mmd.venues.binance.messages import PartialDepth
from mmd.venues.binance.rest import Rest, SymbolRules
from mmd.words.errors import Fatal, RateLimited, Refused, Unavailable
from tests.venues_binance.wire import RestServer


@pytest.fixture
def server() -> Iterator[RestServer]:
    with RestServer() as server:
        yield server


@pytest.fixture
def client(server: RestServer) -> Iterator[Rest]:
    with Rest(server.url, timeout_s=1.0) as rest:
        yield rest


def test_the_best_prices(server: RestServer, client: Rest) -> None:
    server.set_ticker("4.00000000", "431.00000000", "4.00000200", "9.00000000")
    assert client.book_ticker("BTCUSDT") == (4.0, 431.0, 4.000002, 9.0)
    assert server.asked == [("ticker/bookTicker", {"symbol": ["BTCUSDT"]})]


def test_depth_with_its_id(server: RestServer, client: Rest) -> None:
    server.set_depth(1027024, ("4.00000000", "431.00000000"), ("4.00000200", "12.00000000"))
    expected = PartialDepth(1027024, ((4.0, 431.0),), ((4.000002, 12.0),))
    assert client.depth("BTCUSDT") == expected
    assert server.asked == [("depth", {"symbol": ["BTCUSDT"], "limit": ["5"]})]


def test_rules_of_a_symbol(server: RestServer, client: Rest) -> None:
    row = {
        "symbol": "ETHBTC",
        "status": "TRADING",
        "baseAsset": "ETH",
        "quoteAsset": "BTC",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.1", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.1", "stepSize": "0.00010000"},
        ],
    }
    server.replies["exchangeInfo"] = {"symbols": [row]}
    rules = SymbolRules("ETHBTC", "TRADING", "ETH", "BTC", Decimal("0.01"), Decimal("0.0001"))
    assert client.exchange_info("ETHBTC") == rules
    row["filters"] = []
    assert client.exchange_info("ETHBTC").tick == 0


def test_the_exchange_clock(server: RestServer, client: Rest) -> None:
    server.replies["time"] = {"serverTime": 1499827319559}
    assert client.server_time_ms() == 1499827319559


CALLS: list[Callable[[Rest], object]] = [
    lambda rest: rest.book_ticker("BTCUSDT"),
    lambda rest: rest.depth("BTCUSDT"),
    lambda rest: rest.exchange_info("BTCUSDT"),
    lambda rest: rest.server_time_ms(),
]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b"null", b'{"symbols":[]}'])
@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_can_not_be_read_is_unavailable(
    server: RestServer, client: Rest, call: Callable[[Rest], object], body: bytes
) -> None:
    for path in ("ticker/bookTicker", "depth", "exchangeInfo", "time"):
        server.replies[path] = body
    with pytest.raises(Unavailable, match="Binance's"):
        call(client)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, RateLimited), (418, RateLimited), (403, RateLimited), (451, Fatal), (503, Unavailable)],
)
def test_failures_by_status(
    server: RestServer, client: Rest, status: int, kind: type[Exception]
) -> None:
    server.replies["time"] = (status, {"Retry-After": "900"}, b"{}")
    with pytest.raises(kind) as caught:
        client.server_time_ms()
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after_s == 900


def test_a_wrong_symbol_is_refused_in_binance_s_words(server: RestServer, client: Rest) -> None:
    body = b'{"code":-1121,"msg":"Invalid symbol."}'
    server.replies["depth"] = (400, {}, body)
    with pytest.raises(Refused, match=r"Invalid symbol\.") as caught:
        client.depth("NOPE")
    assert caught.value.status == 400


def test_nobody_there_is_unavailable() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as closed,
        Rest(f"http://127.0.0.1:{closed.getsockname()[1]}", timeout_s=0.1) as rest,
        pytest.raises(Unavailable, match="Timeout"),
    ):
        rest.server_time_ms()


def test_loopback_goes_past_a_proxy(
    server: RestServer, client: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.replies["time"] = {"serverTime": 5}
    assert client.server_time_ms() == 5


def test_https_trusts_whom_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = LoopbackCertificate()
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(certificate.authority_pem)
    with RestServer(tls=certificate.server_context()) as server, Rest(server.url) as rest:
        server.replies["time"] = {"serverTime": 5}
        with pytest.raises(Unavailable, match="SSL"):
            rest.server_time_ms()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        assert rest.server_time_ms() == 5
