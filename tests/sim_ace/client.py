"""Small clients for tests: one over HTTP, one that calls the venue's pure function."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import requests

from mmd.sim.ace import AccountOptions, AceSim, CrowdOptions
from mmd.sim.ace.entries import Entry
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.faults import NO_FAULT
from mmd.sim.ace.gate import signature
from mmd.sim.ace.markets import CURRENCY_IDS
from mmd.sim.ace.venue import Answer, Call, VenueRules
from mmd.words.market import Pair

BTC_TWD = Pair("BTC", "TWD")
QUIET = CrowdOptions(active=False)


def signed(key: str, secret: str, time_ms: int, parameters: dict[str, Any]) -> dict[str, str]:
    form = {name: str(value) for name, value in parameters.items()}
    form |= {"apiKey": key, "timeStamp": str(time_ms)}
    return form | {"signKey": signature(secret, form)}


def order_form(
    side: str, price: object, amount: object, client_id: str | None = None, pair: Pair = BTC_TWD
) -> dict[str, Any]:
    form: dict[str, Any] = {
        "baseCurrencyId": CURRENCY_IDS[pair.base],
        "quoteCurrencyId": CURRENCY_IDS[pair.quote],
        "buyOrSell": {"buy": 1, "sell": 2}[side],
        "type": 1,
        "price": price,
        "num": amount,
    }
    return form | ({"customOrderId": client_id} if client_id else {})


def bare_exchange(rules: VenueRules | None = None, *keys: str) -> tuple[Exchange, list[Entry]]:
    """An exchange without crowd in virtual time, and the list its entries go to."""
    entries: list[Entry] = []
    rich = {"TWD": Decimal(10**9), "BTC": Decimal(1000)}
    accounts = {key: AccountOptions(f"{key}-secret", rich) for key in keys or ("k",)}
    exchange = Exchange(
        accounts, rules or VenueRules(), lambda _p, _t: None, (), 1, entries.append, QUIET
    )
    exchange.open(1000)
    return exchange, entries


@dataclass
class VirtualClient:
    """Signs calls and hands them to an exchange in virtual time."""

    exchange: Exchange
    key: str = "k"
    now_ms: int = 1_700_000_000_000

    def post(self, path: str, **parameters: Any) -> Answer:
        form = signed(self.key, f"{self.key}-secret", self.now_ms, parameters)
        return self.send(Call("POST", path, form))

    def send(self, call: Call) -> Answer:
        answer = self.exchange.handle(call, NO_FAULT, self.now_ms)
        assert answer is not None
        return answer

    def order(self, side: str, price: object, amount: object, client_id: str | None = None) -> str:
        answer = self.post("/open/v2/order/order", **order_form(side, price, amount, client_id))
        assert answer.status == 200, answer.message
        return str(answer.body["attachment"]["orderNo"])

    def open_numbers(self, **parameters: Any) -> list[str]:
        answer = self.post("/open/v2/order/getOrderList", **parameters)
        return [row["orderNo"] for row in answer.body["attachment"]]


@dataclass
class HttpClient:
    """Signs calls and sends them to a running simulation; also its control calls."""

    base_url: str
    root_url: str
    key: str = "paper"
    secret: str = "paper-secret"
    session: requests.Session = field(default_factory=requests.Session)

    @classmethod
    def of(cls, sim: AceSim) -> HttpClient:
        return cls(sim.base_url, sim.root_url)

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def raw(self, path: str, timeout: float = 5, **parameters: Any) -> requests.Response:
        form = signed(self.key, self.secret, time.time_ns() // 1_000_000, parameters)
        return self.session.post(self.base_url + path, data=form, timeout=timeout)

    def post(self, path: str, **parameters: Any) -> Any:
        reply = self.raw(path, **parameters).json()
        assert reply["status"] == 200, reply
        return reply["attachment"]

    def order(self, side: str, price: object, amount: object, client_id: str | None = None) -> str:
        attachment = self.post("/open/v2/order/order", **order_form(side, price, amount, client_id))
        return str(attachment["orderNo"])

    def open_orders(self) -> list[dict[str, Any]]:
        found = self.post("/open/v2/order/getOrderList", size=500)
        assert isinstance(found, list)
        return found

    def sim(self, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        reply = self.session.request(
            method, f"{self.root_url}/sim/{path}", json=body, params=query, timeout=5
        )
        assert reply.status_code == 200, reply.text
        return reply.json()
