"""Whether the account's balances are what its fills explain. Pure.

Counted from the first look on. A difference that the next look confirms is told once, and from
then on the venue is believed. Orders of others on the account are explained by their fills too;
payments in and out are not, and show here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from mmd.words.market import Balance, OwnTrade, Side

_ZERO = Decimal(0)
_TOLERANCE = Decimal("1e-6")
"""Of a balance: venues round fees. Less than this counts as equal."""
_LEAST = Decimal("1e-8")


@dataclass(frozen=True, slots=True)
class BalanceDifference:
    """What the fills do not explain."""

    currency: str
    amount: Decimal
    """The venue has so much more (+) or less (-)."""
    total: Decimal
    """What the venue has."""

    def __str__(self) -> str:
        return (
            f"{self.currency}: the venue has {self.total:f}, "
            f"{self.amount:+f} of it not explained by fills"
        )


@dataclass(slots=True)
class BalanceCheck:
    """Follows one account."""

    _explained: dict[str, Decimal] = field(default_factory=dict)
    _before: dict[str, Decimal] = field(default_factory=dict)
    """What each balance was without all that is explained."""
    _doubtful: dict[str, Decimal] = field(default_factory=dict)

    def explain(self, trades: Iterable[OwnTrade]) -> None:
        """Takes in fills of the account, each once."""
        for trade in trades:
            signed = trade.amount if trade.side is Side.BUY else -trade.amount
            self._add(trade.pair.base, signed)
            self._add(trade.pair.quote, -signed * trade.price - trade.fee)

    def look(self, balances: Mapping[str, Balance]) -> list[BalanceDifference]:
        """What has come about since the look before the last and is not explained."""
        found = []
        for currency, balance in balances.items():
            unexplained = balance.total - self._explained.get(currency, _ZERO)
            before = self._before.setdefault(currency, unexplained)
            amount = unexplained - before
            if abs(amount) <= max(abs(balance.total) * _TOLERANCE, _LEAST):
                self._doubtful.pop(currency, None)
            elif self._doubtful.get(currency) != amount:
                self._doubtful[currency] = amount  # a fill may be on its way to us
            else:
                del self._doubtful[currency]
                self._before[currency] = unexplained
                found.append(BalanceDifference(currency, amount, balance.total))
        return found

    def _add(self, currency: str, amount: Decimal) -> None:
        self._explained[currency] = self._explained.get(currency, _ZERO) + amount
