"""When the account process asks what. Pure.

Own trades tell of fills, so they are asked for again and again; all else seldom, and sooner when
something calls for it: after trouble the open orders, since an order may arrive late; after a fill
the balances.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum

_NEVER_S = float("-inf")


class Topic(Enum):
    """What there is to ask for."""

    ORDERS = "open orders"
    TRADES = "own trades"
    PRICES = "last prices"
    BALANCES = "balances"


@dataclass(frozen=True, slots=True)
class Paces:
    """Seconds from one question to the next of its kind."""

    trades_s: float = 2.5
    """Also the pace of the rounds."""
    orders_s: float = 10.0
    balances_s: float = 30.0
    balances_after_fill_s: float = 15.0
    prices_s: float = 30.0
    watchful_s: float = 6.0
    """For so long after trouble, each round asks for the open orders."""


@dataclass(slots=True)
class Agenda:
    """What is due. Times are seconds of any clock that only goes forward."""

    paces: Paces = field(default_factory=Paces)
    _asked_s: dict[Topic, float] = field(default_factory=dict)
    _watchful_until_s: float = _NEVER_S
    _has_filled: bool = False

    def trouble(self, now_s: float) -> None:
        """Something may be amiss: an unclear outcome, a new worker, a question without answer."""
        self._watchful_until_s = now_s + self.paces.watchful_s

    def filled(self) -> None:
        """There are new fills."""
        self._has_filled = True

    def asked(self, topic: Topic, now_s: float) -> None:
        """That was answered; it was asked for at `now_s`."""
        self._asked_s[topic] = now_s
        if topic is Topic.BALANCES:
            self._has_filled = False

    def due(self, now_s: float) -> Set[Topic]:
        """What this round asks for. Balances say what is free, which only means something beside
        the list of orders of the same moment."""
        paces = self.paces
        orders_s = 0.0 if now_s < self._watchful_until_s else paces.orders_s
        balances_s = paces.balances_after_fill_s if self._has_filled else paces.balances_s
        found = {Topic.TRADES}
        for topic, pace_s in (
            (Topic.ORDERS, orders_s),
            (Topic.PRICES, paces.prices_s),
            (Topic.BALANCES, balances_s),
        ):
            if now_s - self._asked_s.get(topic, _NEVER_S) >= pace_s:
                found.add(topic)
        return found | {Topic.ORDERS} if Topic.BALANCES in found else found
