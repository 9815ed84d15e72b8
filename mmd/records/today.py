"""What the fills of the present day amount to.

Positions that were carried over from the day before are left out: what changes by them is not
what today's trading brought.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo

from mmd.records.pnl import Result
from mmd.records.store import Store
from mmd.words.ids import Owner, owner_of
from mmd.words.market import Pair


class Today:
    """Adds up our own fills since midnight, pair by pair."""

    def __init__(
        self, instance: str, zone: tzinfo, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._instance, self._zone, self._wall_s = instance, zone, wall_s
        self._since_ms = 0
        self._last_fill = 0
        self._results: dict[Pair, Result] = {}

    def read(self, store: Store) -> Mapping[Pair, Result]:
        """The day so far. Raises Unavailable; nothing is lost by that."""
        midnight_ms = self._midnight_ms()
        if midnight_ms != self._since_ms:
            self._since_ms, self._last_fill, self._results = midnight_ms, 0, {}
        fills = store.fills(self._last_fill, since_ms=midnight_ms)
        results = dict(self._results)
        for fill in fills:
            trade = fill.trade
            if owner_of(trade.client_id, self._instance) is Owner.OURS:
                results[trade.pair] = results.get(trade.pair, Result()).after(trade)
            self._last_fill = fill.id
        self._results = results
        return results

    def _midnight_ms(self) -> int:
        now = datetime.fromtimestamp(self._wall_s(), self._zone)
        return int(now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
