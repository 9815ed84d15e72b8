"""Which troubles there are, judged from the cells, the status block and the records. Pure.

Beside what processes say of themselves: a process that hangs does not say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from mmd.cells.layouts import BookStatus
from mmd.config.model import AlertSettings
from mmd.processes.sight import UP, Process, Sight
from mmd.records.alerts import Alert, Kind
from mmd.words.market import Balance

_CALM_S = 60.0
"""Without a further overflow for so long, overflows count as over."""
_CONFIRMED_S = 5.0
"""A valid book whose price nobody confirmed for so long has none."""
_SETTLED_S = 3.0
"""A restarted process that does its job for so long has recovered."""
_MB = 1 << 20
_ENDS_WHEN_UP = (Kind.STALL, Kind.RESTART, Kind.NOT_READY, Kind.PARKED, Kind.ORDERS_LEFT)

Key = tuple[Kind, str]


class News(NamedTuple):
    """Something to put on the spool."""

    kind: Kind
    subject: str
    text: str
    is_recovery: bool = False


class Account(NamedTuple):
    """What the records and the disk say."""

    balances: Mapping[str, Balance] = {}
    free_bytes: int | None = None
    thrown: Mapping[str, str] = {}
    """Pairs whose kill switch is thrown, and why."""


@dataclass
class Watchman:
    """Compares each look with the troubles that have been told, and says what is new."""

    settings: AlertSettings
    open: dict[Key, Alert]
    """Troubles that stand on the spool without their end."""
    _bad_since: dict[str, float] = field(default_factory=dict)
    _overflows: dict[str, tuple[int, float]] = field(default_factory=dict)

    def heard(self, alerts: Iterable[Alert]) -> None:
        """Takes note of what stands on the spool, whoever put it there."""
        for alert in alerts:
            if alert.is_recovery:
                self.open.pop(alert.key, None)
            elif alert.kind.lasts:
                self.open.setdefault(alert.key, alert)

    def watch(self, sight: Sight, account: Account) -> list[News]:
        """What is to be told now. Put it on the spool before the next call."""
        now = {
            **self._prices(sight),
            **self._parked(sight),
            **self._overflown(sight),
            **self._poor(account),
            **self._full(account),
            **{(Kind.KILL_SWITCH, f"pairs:{slug}"): why for slug, why in account.thrown.items()},
        }
        begun = [News(*key, text) for key, text in now.items() if key not in self.open]
        return begun + [
            News(*key, text, is_recovery=True)
            for key in self.open
            if key not in now and (text := self._end(key, sight, account))
        ]

    # Troubles.

    def _prices(self, sight: Sight) -> dict[Key, str]:
        found: dict[Key, str] = {}
        for process in (*sight.group("feeds"), *sight.group("rates")):
            if process.state == "stopped":
                self._bad_since.pop(process.name, None)
                continue
            fault = self._price_fault(process, sight)
            if not fault:
                self._bad_since.pop(process.name, None)
                continue
            since = self._bad_since.setdefault(process.name, sight.wall_s)
            if sight.wall_s - since >= self.settings.stale_price_s:
                found[Kind.STALE_PRICE, process.name] = (
                    f"no price for {self.settings.stale_price_s:g} s or longer: {fault}"
                )
        return found

    @staticmethod
    def _price_fault(process: Process, sight: Sight) -> str:
        book = sight.books.get(process.member)
        if book is None:
            return "it never had one"
        if not book.is_valid:
            return BookStatus(book.status).name.lower().replace("_", " ")
        age_s = book.age_ns(sight.now_ns) / 1e9
        return f"not confirmed since {age_s:.0f} s" if age_s > _CONFIRMED_S else ""

    @staticmethod
    def _parked(sight: Sight) -> dict[Key, str]:
        return {
            (Kind.PARKED, process.name): f"parked: {process.text}"
            for process in sight.processes
            if process.state == "parked"
        }

    def _overflown(self, sight: Sight) -> dict[Key, str]:
        found: dict[Key, str] = {}
        for process in sight.processes:
            health = sight.health.get(process.name)
            if health is None:
                continue
            count, since = self._overflows.get(process.name, (health.overflows, -_CALM_S))
            if health.overflows != count:
                since = sight.wall_s
            self._overflows[process.name] = health.overflows, since
            if sight.wall_s - since < _CALM_S:
                found[Kind.OVERFLOW, process.name] = f"overflowed; {health.overflows} times by now"
        return found

    def _poor(self, account: Account) -> dict[Key, str]:
        return {
            (Kind.BALANCE_LOW, currency): (
                f"{_free(account, currency):f} {currency} free, less than {least:f}"
            )
            for currency, least in self.settings.min_balances.items()
            if account.balances and _free(account, currency) < least
        }

    def _full(self, account: Account) -> dict[Key, str]:
        free = account.free_bytes
        if free is None or free >= self.settings.min_disk_mb * _MB:
            return {}
        return {(Kind.DISK_FULL, "mmd"): f"{free // _MB} MB of disk space left"}

    # Their ends.

    def _end(self, key: Key, sight: Sight, account: Account) -> str:
        """How a trouble that is no more ended; '' while that can't be said."""
        kind, subject = key
        if kind is Kind.BALANCE_LOW:
            if subject not in self.settings.min_balances:
                return "is watched no more"
            return f"{_free(account, subject):f} {subject} free" if account.balances else ""
        if kind is Kind.DISK_FULL:
            free = account.free_bytes
            return f"{free // _MB} MB of disk space left" if free is not None else ""
        if kind is Kind.OVERFLOW:
            return "no overflow any more"
        if kind is Kind.KILL_SWITCH:
            return "somebody has resumed it"
        process = next((p for p in sight.processes if p.name == subject), None)
        if process is None:
            return "is configured no more"
        if kind is Kind.STALE_PRICE:
            return "is stopped" if process.state == "stopped" else "has its price again"
        if kind not in _ENDS_WHEN_UP:
            return ""
        if process.state == "stopped" and kind is not Kind.ORDERS_LEFT:
            return "is stopped"
        is_settled = process.state in UP and sight.wall_s - process.since_s >= _SETTLED_S
        return "does its job again" if is_settled else ""


def _free(account: Account, currency: str) -> Decimal:
    balance = account.balances.get(currency)
    return balance.free if balance else Decimal(0)
