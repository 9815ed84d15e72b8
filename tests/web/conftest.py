"""The page's process on loopback, looking at whatever a test shows it."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mmd.cells.layouts import (
    HEALTH,
    PARENT,
    BookState,
    BookStatus,
    HealthState,
    ParentState,
    QuoteState,
    StateCell,
)
from mmd.config.secrets import AceKey, Secret
from mmd.processes import web
from mmd.processes.context import ChildContext, Heart, ParentLink, Stop
from mmd.processes.sight import Process, Sight
from mmd.records.store import Store
from mmd.venues.ace.budget import BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import Unavailable
from mmd.words.ids import ClientIds
from mmd.words.market import Balance, Order, OrderStatus, OwnTrade, Pair, Side

BTC = Pair("BTC", "TWD")
INSTANCE = "abc123"
TOKEN = "a-token-of-some-length"


def seen(**changes: Any) -> Sight:
    """Two pairs that quote, as the page is shown them."""
    now_s = time.time()
    names = ("feeds:btcusdt", "rates:usdt_twd", "jobs:account", "pairs:btc_twd", "pairs:eth_twd")
    processes = tuple(
        Process(name, 1000 + number, "running", now_s - 90, 0, "", 42.5)
        for number, name in enumerate(names)
    )
    now_ns = time.monotonic_ns()
    book = BookState(BookStatus.VALID, 61000.0, 1.0, 61001.0, 2.0, last_frame_ns=now_ns)
    quotes = QuoteState(
        reference_bid=1_970_000.0,
        reference_ask=1_972_000.0,
        rate_bid=31.9,
        rate_ask=31.95,
        best_bid=1_966_000.5,
        best_ask=1_976_000.5,
        open_orders=10,
        position=-0.0123,
        pnl=1234.5,
        fills=7,
        requests=99,
        price_age_ms=12,
    )
    sight = Sight(
        now_ns=now_ns,
        wall_s=now_s,
        parent_state="running",
        parent_pid=999,
        parent_since_s=now_s - 100,
        processes=processes,
        books={"btcusdt": book, "usdt_twd": book},
        quotes={"btc_twd": quotes, "eth_twd": quotes._replace(best_bid=85_000.0)},
        health={"pairs:btc_twd": HealthState(pid=1003, heartbeat_ns=now_ns, errors=3)},
    )
    return replace(sight, **changes)


class Site:
    """A running page, and what it did to the parent."""

    def __init__(self, home: Path, token: str | None) -> None:
        self.home = home
        self.token = token
        self.sight: Callable[[], Sight] = seen
        self.sample_s = 1.0
        self.commands: list[tuple[str, str]] = []
        self.parent_is_dead = False
        self.stop = Stop()
        self.health = StateCell(HEALTH, memoryview(bytearray(HEALTH.size)), 0)
        self._parent = StateCell(PARENT, memoryview(bytearray(PARENT.size)), 0)
        self._parent.write(ParentState(os.getpid(), 2**62))
        self._pidfd = os.pidfd_open(os.getpid())
        self._fault: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="page")

    def start(self) -> None:
        (self.home / "run").mkdir(parents=True, exist_ok=True)
        self._thread.start()
        until_s = time.monotonic() + 10
        while not self.health.read().ready:
            assert self._thread.is_alive(), self._fault
            assert time.monotonic() < until_s
            time.sleep(0.01)

    def close(self) -> None:
        self.stop.request()
        self._thread.join(10)
        for fd in (self._pidfd, self.stop.fd):
            os.close(fd)
        assert not self._fault, self._fault

    @property
    def url(self) -> str:
        return (self.home / "run" / "web.address").read_text().strip()

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def job(self) -> web.WebJob:
        key = AceKey("paper", "paper-secret")
        return web.WebJob(
            host="127.0.0.1",
            port=0,
            token=Secret(self.token) if self.token else None,
            mode="paper",
            time_zone="Asia/Taipei",
            instance=INSTANCE,
            look=lambda: self.sight(),
            command=self._command,
            store=self.home / "records" / "account.sqlite",
            ace=AceEndpoint(base_url="http://127.0.0.1:9", key=key, timeout_s=0.2),
            budget=BudgetSpec(self.home / "run", Decimal(10), 20),
            sample_s=self.sample_s,
        )

    def ask(
        self,
        path: str,
        *,
        document: object = None,
        headers: dict[str, str] | None = None,
        method: str | None = None,
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of an answer; redirects are not followed."""
        data = None if document is None else json.dumps(document).encode()
        given = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(
            self.url + path, data, {**given, **(headers or {})}, method=method
        )
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(request, timeout=5) as answer:
                return answer.status, dict(answer.headers), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read().decode()

    def _command(self, do: str, name: str) -> dict[str, Any]:
        if self.parent_is_dead:
            raise Unavailable("mmd is not running")
        self.commands.append((do, name))
        return {"ok": True, "text": f"{name}: {do} done", "results": []}

    def _run(self) -> None:
        link = ParentLink(self._parent, os.getpid(), self._pidfd, lease_s=2.0)
        context = ChildContext("jobs:web", Heart(self.health), self.stop, link, self.home)
        self.stop.on_term = lambda: None  # type: ignore[method-assign]  # no main thread
        try:
            web.run(self.job(), context)
        except BaseException as error:  # noqa: BLE001  (the test is told when it closes)
            self._fault.append(error)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Redirects are the test's to judge."""


@contextmanager
def running(home: Path, token: str | None = None, *, sample_s: float = 0.2) -> Iterator[Site]:
    site = Site(home, token)
    site.sample_s = sample_s
    site.start()
    try:
        yield site
    finally:
        site.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The page without a token."""
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    """The page behind a token."""
    with running(tmp_path, TOKEN) as found:
        yield found


def record(home: Path) -> None:
    """Fills, balances and open orders, as the account process records them."""
    now_ms = time.time_ns() // 1_000_000
    ids = ClientIds(INSTANCE, BTC, now_ms)
    with Store.open(home / "records" / "account.sqlite") as store:
        store.cursor(0)
        store.add_fills(
            OwnTrade(n, str(n), ids.make(), BTC, side, Decimal(price), Decimal("0.01"),
                     Decimal(0), True, False, now_ms - 1000 * n)
            for n, side, price in ((1, Side.BUY, 1_966_000), (2, Side.SELL, 1_976_000))
        )  # fmt: skip
        balances = [Balance("TWD", Decimal(10**8), Decimal(99_000_000))]
        orders = [
            Order(str(n), ids.make(), BTC, side, Decimal(price), Decimal("0.005"), Decimal(0),
                  OrderStatus.OPEN, now_ms)
            for n, side, price in ((1, Side.BUY, 1_966_000), (2, Side.SELL, 1_976_000))
        ]  # fmt: skip
        store.set_open_orders(orders, now_ms, 0, 1, balances)
