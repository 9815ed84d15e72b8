"""Watches self-trades at the venue, from its own record: were they as they should be?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from mmd.config.model import PairSettings
from mmd.decide.ledger import SELF_TRADE_LEVEL, Ledger
from mmd.sim.ace.entries import Entry
from mmd.sim.ace.orders import Closed, Filled, Opened

_ZERO = Decimal(0)


@dataclass(frozen=True)
class SelfTradeReport:
    """How self-trades went; amounts in base currency."""

    asked: Decimal
    """What the threshold asks for: Binance's volume over it, times the mean amount."""
    matched: Decimal
    """What the venue says we traded with ourselves."""
    matches: int
    longest_rest_s: float
    """The longest time that one of their orders rested."""
    taken: Decimal
    """What third parties took of their orders; real fills, booked as such."""
    unmeant: int
    """Meetings of our own orders that were not the two of one self-trade, or without isSelf."""

    @property
    def share(self) -> float | None:
        """Of what was asked for; None where nothing was."""
        return float(self.matched / self.asked) if self.asked else None


@dataclass
class SelfTradeWatch:
    """One account in one market."""

    account: str
    settings: PairSettings
    volume: Callable[[], Decimal]
    """What was traded on Binance so far."""
    ledger: Ledger | None = None
    """The worker's, which knows what an order was meant for."""
    _began: Decimal = _ZERO
    _orders: dict[str, Opened] = field(default_factory=dict)
    """Those of self-trades, by number."""
    _open: set[str] = field(default_factory=set)
    _longest_ms: int = 0
    _matched: Decimal = _ZERO
    _matches: int = 0
    _taken: Decimal = _ZERO
    _unmeant: int = 0

    def begin(self, ledger: Ledger) -> None:
        """Counts from now on."""
        self.ledger, self._began = ledger, self.volume()

    def see(self, entry: Entry) -> None:
        """An entry of the venue's record, at once."""
        for event in entry.events:
            if event.account != self.account or self.ledger is None:
                continue
            if isinstance(event, Opened):
                self._opened(event, self.ledger)
            elif isinstance(event, Filled):
                self._filled(event)
                if event.done:
                    self._ended(event.fill.order_no, entry.t)
            elif isinstance(event, Closed):
                self._ended(event.order_no, entry.t)

    def report(self, now_ms: int) -> SelfTradeReport:
        for number in list(self._open):
            self._ended(number, now_ms)
        chosen = self.settings.self_trade
        amount = chosen.amount or self.settings.quote.amount
        mean = (amount.min + amount.max) / 2
        return SelfTradeReport(
            asked=(self.volume() - self._began) / chosen.volume_threshold * mean,
            matched=self._matched,
            matches=self._matches,
            longest_rest_s=self._longest_ms / 1000,
            taken=self._taken,
            unmeant=self._unmeant,
        )

    def _opened(self, event: Opened, ledger: Ledger) -> None:
        entry = ledger.find(event.client_id or "")
        if entry is not None and entry.level == SELF_TRADE_LEVEL:
            self._orders[event.order_no] = event
            self._open.add(event.order_no)

    def _filled(self, event: Filled) -> None:
        fill = event.fill
        order = self._orders.get(fill.order_no)
        if event.other_order_no is None:
            self._taken += fill.amount if order is not None else _ZERO
            return
        other = self._orders.get(event.other_order_no)
        if order is None or other is None or not _belong(order, other) or not fill.is_self:
            self._unmeant += 1
        elif fill.is_maker:  # a match has two fills
            self._matched += fill.amount
            self._matches += 1

    def _ended(self, order_no: str, now_ms: int) -> None:
        if order_no in self._open:
            self._open.remove(order_no)
            rested_ms = now_ms - self._orders[order_no].time_ms
            self._longest_ms = max(self._longest_ms, rested_ms)


def _belong(one: Opened, other: Opened) -> bool:
    """Whether two orders are those of one self-trade."""
    return one.side is other.side.opposite and (one.price, one.amount) == (
        other.price,
        other.amount,
    )
