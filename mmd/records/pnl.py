"""What our fills amount to: position, average cost and realised profit of each pair. Pure.

Average cost method. `cash` and `fees` are exact sums; the cost of what is held is divided when a
position shrinks, so it is right to 28 digits. Self-matches are left out: they move nothing but
from one hand to the other; what they cost is summed up apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from mmd.words.market import OwnTrade, Pair, Side

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Result:
    """One pair's account since its first fill."""

    position: Decimal = _ZERO
    """Base currency held; negative when more was sold than bought."""
    cost: Decimal = _ZERO
    """What the position was bought for, in quote currency; negative for a short position."""
    cash: Decimal = _ZERO
    """Quote currency earned less spent, before fees."""
    fees: Decimal = _ZERO
    """In quote currency."""
    fills: int = 0
    losing_in_a_row: int = 0
    """Fills that closed a position, or part of it, at a loss after fees; one that closed with
    profit ends the row."""
    volume: Decimal = _ZERO
    """Worth of all that was bought and sold, in quote currency."""
    self_fees: Decimal = _ZERO
    """What trading with ourselves cost, in quote currency; not in `fees`."""

    @property
    def average_cost(self) -> Decimal | None:
        """Quote currency per unit held; None without a position."""
        return self.cost / self.position if self.position else None

    @property
    def realised(self) -> Decimal:
        """Profit from what was bought and sold again, after fees."""
        return self.cash + self.cost - self.fees

    def unrealised(self, price: Decimal) -> Decimal:
        """Profit that the position would bring at a price."""
        return self.position * price - self.cost

    def after(self, trade: OwnTrade) -> Result:
        """The account with one more fill."""
        if trade.is_self:
            return replace(self, self_fees=self.self_fees + trade.fee)
        signed = trade.amount if trade.side is Side.BUY else -trade.amount
        result = replace(
            self,
            position=self.position + signed,
            cost=_cost_after(self.position, self.cost, signed, trade.price),
            cash=self.cash - signed * trade.price,
            fees=self.fees + trade.fee,
            fills=self.fills + 1,
            volume=self.volume + trade.amount * trade.price,
        )
        if not self.is_closed_by(trade):
            return result
        lost = result.realised < self.realised
        return replace(result, losing_in_a_row=self.losing_in_a_row + 1 if lost else 0)

    def is_closed_by(self, trade: OwnTrade) -> bool:
        """Whether a fill closes the position, or part of it."""
        is_sold = trade.side is Side.SELL
        return not trade.is_self and (self.position > 0 if is_sold else self.position < 0)


def results(trades: Iterable[OwnTrade]) -> dict[Pair, Result]:
    """The account of every pair that appears in the trades, which come oldest first."""
    found: dict[Pair, Result] = {}
    for trade in trades:
        found[trade.pair] = found.get(trade.pair, Result()).after(trade)
    return found


def _cost_after(position: Decimal, cost: Decimal, signed: Decimal, price: Decimal) -> Decimal:
    grows = position * signed >= 0
    if grows:
        return cost + signed * price
    left = position + signed
    turned = left * position < 0
    if turned:
        return left * price
    return cost * left / position
