"""The exchange on real sockets: base path, headers, what faults do to a connection, control."""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
import requests

from mmd.sim.ace import AceSim, AceSimOptions, running
from mmd.sim.ace.markets import all_markets
from mmd.sim.ace.venue import BatchPaths
from mmd.words.errors import Unavailable
from tests.sim_ace.client import QUIET, HttpClient, order_form

ORDER = "/open/v2/order/order"


@pytest.fixture(scope="module")
def sim() -> Iterator[AceSim]:
    with running(AceSimOptions(crowd=QUIET, batch=True)) as made:
        yield made


@pytest.fixture
def client(sim: AceSim) -> Iterator[HttpClient]:
    with HttpClient.of(sim) as made:
        yield made
        made.sim("DELETE", "faults")
        for row in made.open_orders():
            made.post("/open/v2/order/cancel", orderNo=row["orderNo"])
        made.sim("DELETE", "order")


def ids_on_venue(client: HttpClient) -> set[str]:
    return {row["customOrderId"] for row in client.open_orders()}


def test_reply_carries_the_servers_time(client: HttpClient) -> None:
    reply = client.raw("/open/v2/coin/customerAccount")
    assert abs(int(reply.headers["X-RESPONSE-TIME"]) - time.time() * 1000) < 2000
    client.sim("POST", "faults", {"kind": "skew", "skew_ms": 3000})
    skewed = client.raw("/open/v2/coin/customerAccount")
    assert abs(int(skewed.headers["X-RESPONSE-TIME"]) - time.time() * 1000 - 3000) < 2000


def test_base_path_may_be_left_out(client: HttpClient) -> None:
    for base in (client.base_url, client.root_url):
        reply = client.session.get(base + "/oapi/v2/list/marketPair", timeout=5)
        assert len(reply.json()) == len(all_markets())


def test_json_body_is_refused(client: HttpClient) -> None:
    reply = client.session.post(client.base_url + ORDER, json={"apiKey": "paper"}, timeout=5)
    assert reply.json()["status"] == 9996


def test_error_before_does_nothing_and_error_after_does_it(client: HttpClient) -> None:
    client.sim("POST", "faults", {"kind": "error_before", "http_status": 500, "count": 1})
    client.sim("POST", "faults", {"kind": "error_after", "http_status": 503, "count": 1})
    codes = [
        client.raw(ORDER, **order_form("buy", 1_000_000, "0.1", name)).status_code
        for name in ("before", "after")
    ]
    assert codes == [500, 503]
    assert ids_on_venue(client) == {"after"}


@pytest.mark.parametrize(("kind", "executed"), [("lost_reply", True), ("reset", False)])
def test_connection_ends_without_a_reply(client: HttpClient, kind: str, executed: bool) -> None:
    client.sim("POST", "faults", {"kind": kind, "count": 1, "path": "order/order"})
    with pytest.raises(requests.ConnectionError) as failure:
        client.raw(ORDER, **order_form("buy", 1_000_000, "0.1", kind))
    assert ("reset by peer" in str(failure.value)) is (kind == "reset")
    assert ids_on_venue(client) == ({kind} if executed else set())


def test_frozen_request_gets_no_answer_while_others_do(client: HttpClient) -> None:
    client.sim("POST", "faults", {"kind": "freeze", "count": 1, "seconds": 30, "path": "cancel"})
    number = client.order("buy", 1_000_000, "0.1")
    with pytest.raises(requests.ReadTimeout):
        client.raw("/open/v2/order/cancel", timeout=0.2, orderNo=number)
    assert [row["orderNo"] for row in client.open_orders()] == [number]


def test_malformed_body_is_no_json_though_it_was_done(client: HttpClient) -> None:
    client.sim("POST", "faults", {"kind": "malformed", "count": 1})
    reply = client.raw(ORDER, **order_form("buy", 1_000_000, "0.1", "m"))
    with pytest.raises(requests.JSONDecodeError):
        reply.json()
    assert ids_on_venue(client) == {"m"}


def test_delay_comes_before_the_deed_or_after_it(client: HttpClient) -> None:
    for after in (False, True):
        fault = {"kind": "delay", "delay_ms": 400, "after": after, "count": 1, "path": "order/ord"}
        client.sim("POST", "faults", fault)
        with HttpClient(client.base_url, client.root_url) as other:
            sender = threading.Thread(target=other.order, args=("buy", 1_000_000, "0.1", "d"))
            start = time.monotonic()
            sender.start()
            time.sleep(0.15)
            assert ids_on_venue(client) == ({"d"} if after else set())
            sender.join()
        assert time.monotonic() - start >= 0.4
        for row in client.open_orders():
            client.post("/open/v2/order/cancel", orderNo=row["orderNo"])


def test_regular_refusal_on_request(client: HttpClient) -> None:
    client.sim("POST", "faults", {"kind": "refuse", "status": 4711, "count": 1})
    reply = client.raw(ORDER, **order_form("buy", 1_000_000, "0.1"))
    assert (reply.status_code, reply.json()["status"]) == (200, 4711)
    assert client.open_orders() == []


def test_faults_are_listed_and_cleared(client: HttpClient) -> None:
    first = client.sim("POST", "faults", {"kind": "reset", "probability": 0.0})["id"]
    client.sim("POST", "faults", {"kind": "delay", "delay_ms": 1})
    assert [row["kind"] for row in client.sim("GET", "faults")] == ["reset", "delay"]
    assert [row["kind"] for row in client.sim("DELETE", "faults", id=first)] == ["delay"]
    assert client.sim("DELETE", "faults") == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"kind": "earthquake"}),
        ("faults", {"kind": "reset", "chance": 1}),
        ("order", {"pair": "BTC/TWD", "side": "up", "amount": "1"}),
        ("order", {"pair": "BTC/TWD", "side": "buy", "price": "1", "amount": "0"}),
        ("balance", {"account": "nobody", "currency": "TWD", "total": "1"}),
    ],
)
def test_control_says_what_is_wrong(client: HttpClient, path: str, body: object) -> None:
    reply = client.session.post(f"{client.root_url}/sim/{path}", json=body, timeout=5)
    assert reply.status_code == 400
    assert reply.json()["error"]


def test_third_party_fills_our_quote(client: HttpClient) -> None:
    number = client.order("sell", 2_100_000, "0.1")
    order = {"pair": "BTC/TWD", "side": "buy", "price": "2100000", "amount": "0.25"}
    result = client.sim("POST", "order", order | {"keep": False})
    assert (result["filled"], result["status"]) == ("0.1", 5)
    shown = client.post("/open/v2/order/showOrderStatus", orderNo=number)
    assert shown["status"] == 2
    assert client.sim("POST", "order", order)["status"] == 0
    assert client.sim("DELETE", "order") == {"cancelled": 1}


def test_balance_can_be_set(client: HttpClient) -> None:
    body = {"account": "paper", "currency": "ETH", "total": "7.5"}
    client.sim("POST", "balance", body)
    rows = client.post("/open/v2/coin/customerAccount")
    assert [row["cashAmount"] for row in rows if row["currencyName"] == "ETH"] == ["7.5"]
    assert client.sim("GET", "state")["accounts"]["paper"]["balances"]["ETH"]["total"] == "7.5"


def test_record_is_filtered_and_paged_and_keeps_no_signature(client: HttpClient) -> None:
    after = client.sim("GET", "state")["entries"]
    numbers = [client.order("buy", 1_000_000 + i, "0.1", f"rec{i}") for i in range(3)]
    client.post("/open/v2/order/cancel", orderNo=numbers[1])
    placed = client.sim("GET", "record", after=after, path=ORDER)["entries"]
    assert [e["events"][0]["client_id"] for e in placed] == ["rec0", "rec1", "rec2"]
    assert not any("signKey" in e["parameters"] for e in placed)
    of_one = client.sim("GET", "record", after=after, order_no=numbers[1])["entries"]
    assert [e["events"][0]["kind"] for e in of_one] == ["opened", "closed"]
    page = client.sim("GET", "record", after=after, limit=2)
    rest = client.sim("GET", "record", after=page["next"], limit=100)
    assert len(page["entries"]) + len(rest["entries"]) == 4


def test_batch_goes_over_the_wire(client: HttpClient) -> None:
    orders = json.dumps([order_form("buy", 1_000_000, "0.1", f"b{i}") for i in range(3)])
    results = client.post(BatchPaths().submit, orders=orders)
    numbers = json.dumps([row["orderNo"] for row in results])
    assert ids_on_venue(client) == {"b0", "b1", "b2"}
    results = client.post(BatchPaths().cancel, orderNos=numbers)
    assert [row["status"] for row in results] == [200] * 3


def test_over_tls_with_a_certificate_made_on_the_spot() -> None:
    with running(AceSimOptions(crowd=QUIET, tls=True)) as sim:
        assert sim.certificate is not None
        url = f"{sim.base_url}/oapi/v2/list/marketPair"
        context = sim.certificate.client_context()
        with urllib.request.urlopen(url, context=context, timeout=5) as reply:
            assert reply.status == 200
        with pytest.raises(OSError, match="certificate verify failed"):
            urllib.request.urlopen(url, context=ssl.create_default_context(), timeout=5)


def test_taken_port_is_unavailable_not_a_traceback(sim: AceSim) -> None:
    with (
        pytest.raises(Unavailable, match=str(sim.port)),
        running(AceSimOptions(port=sim.port, crowd=QUIET)),
    ):
        pass
