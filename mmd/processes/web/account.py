"""What the page shows from the records and the venue. Runs in a thread of its own: neither a busy
disk nor a slow venue holds up the page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmd.processes.earned import Earned
from mmd.processes.inquiry import Inquiry
from mmd.records.alerts import Alert, Place, Spool
from mmd.records.store import Fill, Snapshot, Store
from mmd.records.today import Today
from mmd.venues.ace import calls
from mmd.venues.ace.budget import Budget, BudgetSpec, Priority
from mmd.venues.ace.client import AceClient
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import MmdError, Unavailable
from mmd.words.market import Balance, MarketRules, OrderBook, Pair

_BOOK_DEPTH = 20
_PAIRS_PATIENCE_S = 0.4
_FILLS_AT_FIRST = 2000


@dataclass(frozen=True)
class Account:
    """One look at the records."""

    fills: list[Fill] = field(default_factory=list)
    """New since the last look."""
    snapshot: Snapshot | None = None
    """The newest list of open orders, if it is new."""
    balances: dict[str, Balance] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    """New since the last look."""
    earned: Earned = field(default_factory=Earned)


class Records:
    """Follows the account's records and the alerts. All calls must come from one thread."""

    def __init__(self, path: Path, spool: Spool, today: Today) -> None:
        self._path, self._spool, self._today = path, spool, today
        self._store: Store | None = None
        self._last_fill = 0
        self._last_list = 0
        self._place = Place()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def look(self) -> Account:
        """What is new; what can't be read now is new at the next look."""
        alerts, self._place = self._spool.read(self._place)
        try:
            store = self._open()
            if store is None:
                return Account(alerts=alerts)
            snapshot = store.newest_open_orders(self._last_list)
            fills = store.fills(self._last_fill)
            balances = store.balances()
            earned = Earned(self._today.read(store), store.prices(), True)
        except Unavailable:
            return Account(alerts=alerts)
        if snapshot is not None:
            self._last_list = snapshot.number
        if fills:
            self._last_fill = fills[-1].id
        return Account(fills, snapshot, balances, alerts, earned)

    def _open(self) -> Store | None:
        if self._store is None and self._path.exists():
            self._store = Store.look(self._path)
            self._last_fill = max(0, self._store.last_fill_id() - _FILLS_AT_FIRST)
        return self._store


class VenueBooks:
    """The venue's order books of pairs that somebody looks at, asked for seldom and only when the
    budget has nothing better to do. All calls must come from one thread."""

    def __init__(self, ace: AceEndpoint, budget: BudgetSpec) -> None:
        self._client = AceClient(ace)
        self._budget = Budget(budget, ace.key.api_key)
        self._rules: dict[Pair, MarketRules] = {}

    def close(self) -> None:
        self._client.close()
        self._budget.close()

    def ask(self, pairs: Iterable[Pair]) -> dict[Pair, OrderBook]:
        """New books of those pairs that the budget allows. Never raises: what fails is asked
        again."""
        found = {}
        for pair in pairs:
            try:
                book = self._ask(pair)
            except MmdError:
                continue
            if book is not None:
                found[pair] = book
        return found

    def _ask(self, pair: Pair) -> OrderBook | None:
        if not self._rules and self._may_ask():
            self._rules = {rules.pair: rules for rules in self._client.call(calls.markets())}
        rules = self._rules.get(pair)
        if rules is None or not self._may_ask():
            return None
        return self._client.call(calls.order_book(rules, _BOOK_DEPTH))

    def _may_ask(self) -> bool:
        return self._budget.try_take(Priority.POLL, time.monotonic_ns())


class OwnLadders:
    """Asks pairs that somebody looks at for their own orders: the venue's lists of them, which the
    records hold, are asked for too seldom to be looked at. All calls must come from one thread."""

    def __init__(self, run: Path) -> None:
        self._run = run

    def ask(self, pairs: Iterable[Pair]) -> dict[Pair, dict[str, Any] | None]:
        """What each pair says; None for one that does not answer."""
        return {pair: self._ask(pair) for pair in pairs}

    def _ask(self, pair: Pair) -> dict[str, Any] | None:
        try:
            return Inquiry(self._run, f"pairs:{pair.slug}").ask(_PAIRS_PATIENCE_S)
        except Unavailable:
            return None


class Thread:
    """Runs one thing at a time, away from the loop."""

    def __init__(self, name: str) -> None:
        self.executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    def close(self, last: Callable[[], None]) -> None:
        """Does one last thing after what is under way, and does not wait for it."""
        self.executor.submit(last)
        self.executor.shutdown(wait=False)
