"""What follows a fill: which side waits, which side is silent, which orders hang."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from mmd.config.quoting import AfterFillSettings
from mmd.decide.ledger import Ledger, SideFills
from mmd.words.market import Side


def waits_until_ns(settings: AfterFillSettings, fills: Mapping[Side, SideFills], side: Side) -> int:
    """Until when a side gets no new order; 0: it need not wait."""
    if not settings.replenish_s and not settings.pause_s:
        return 0
    waits = {side: max(settings.replenish_s, settings.pause_s), side.opposite: settings.pause_s}
    return max(
        fills[filled].last_ns + int(seconds * 1e9) if seconds and fills[filled].count else 0
        for filled, seconds in waits.items()
    )


def is_silent(
    settings: AfterFillSettings, fills: Mapping[Side, SideFills], side: Side, least: Decimal
) -> bool:
    """Ping-pong: whether a side was filled by at least one order more than the other one."""
    if not settings.ping_pong:
        return False
    return fills[side].amount - fills[side.opposite].amount >= least


@dataclass(slots=True)
class Hanging:
    """The orders that stay where they are because their opposite was filled."""

    client_ids: set[str] = field(default_factory=set)
    _counts: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def look(self, ledger: Ledger) -> None:
        """Takes note of fills since the last look, and forgets orders that are gone."""
        self.client_ids &= ledger.entries.keys()
        for side in Side:
            fills = ledger.fills[side]
            if fills.count == self._counts[side]:
                continue
            self._counts[side] = fills.count
            self.client_ids |= {
                entry.order.client_id
                for entry in ledger.live(side.opposite)
                if entry.state.rests and entry.level == fills.last_level
            }
