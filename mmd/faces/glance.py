"""Takes the looks that `mmd status` shows: cells, records, budget. Never waits for anybody."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

from mmd.config.model import Settings
from mmd.faces.sight import sight
from mmd.faces.site import Site
from mmd.faces.status_view import Extras
from mmd.processes.earned import Earned
from mmd.processes.pace import Pace
from mmd.processes.sight import Sight
from mmd.records.store import FILE, Store
from mmd.records.today import Today
from mmd.venues.ace import budget
from mmd.venues.ace.budget import BudgetSpec
from mmd.words.errors import ConfigError, Unavailable
from mmd.words.market import Pair


class Glances:
    """One look after the other. What can't be read, a broken configuration too, is left out."""

    def __init__(self, site: Site, *, many: bool = False) -> None:
        self._paths = site.paths
        self._settings = _settings(site)
        self._pace = Pace() if many else None
        self._today: Today | None = None
        if self._settings is not None and self._store.exists():
            zone = ZoneInfo(self._settings.time_zone)
            with suppress(ConfigError):
                self._today = Today(site.paths.instance(), zone)

    def look(self) -> tuple[Sight, Extras]:
        seen = sight(self._paths)
        if self._pace is not None:
            self._pace.take(seen)
        if self._settings is None:
            return seen, Extras(pace=self._pace)
        ace = self._settings.ace
        spec = BudgetSpec(self._paths.run, ace.rate_limit_per_s, ace.burst)
        left = budget.left(spec, time.monotonic_ns())
        mode = self._settings.mode.value
        return seen, Extras(mode, self._earned(), self._pace, left, ace.rate_limit_per_s)

    @property
    def _store(self) -> Path:
        return self._paths.records / FILE

    def _earned(self) -> Earned:
        if self._today is None:
            return Earned()
        try:
            with Store.look(self._store) as store:
                return Earned(self._today.read(store), store.prices(), True)
        except Unavailable:
            return Earned()


def profits_today(seen: Sight, extras: Extras) -> Mapping[str, float | None]:
    """By pair's slug, in its quote currency."""
    found = {}
    for process in seen.group("pairs"):
        quotes = seen.quotes_of(process)
        profit = extras.earned.profit(Pair.parse(process.member), quotes)
        found[process.member] = None if profit is None else float(profit)
    return found


def _settings(site: Site) -> Settings | None:
    with suppress(ConfigError):
        return site.settings()
    return None
