"""What hedging costs on Binance: how far beyond its best price a level's amount would trade."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

_THOUSANDTHS = 1000


def hedge_costs_bps(
    rows: Sequence[tuple[float, float]], amounts: Sequence[Decimal]
) -> list[Decimal]:
    """For each amount, one after the other: the distance of its volume-weighted price from the
    best price, in bps. `rows` are (price, quantity), best first, of either side.

    The first amount takes the best rows, the second what is left behind it, and so on: a level
    is filled when all nearer ones are. Shorter than `amounts` where the rows end. Costs never
    fall, and are rounded up to a thousandth of a bp.
    """
    costs: list[Decimal] = []
    if not rows or rows[0][0] <= 0:
        return costs
    best, index, left = rows[0][0], 0, rows[0][1]
    for amount in amounts:
        wanted, spent = float(amount), 0.0
        missing = wanted
        while missing > left:
            spent += rows[index][0] * left
            missing -= left
            index += 1
            if index == len(rows):
                return costs
            left = rows[index][1]
        spent += rows[index][0] * missing
        left -= missing
        bps = abs(spent / wanted - best) / best * 1e4
        cost = Decimal(-int(-bps * _THOUSANDTHS // 1)) / _THOUSANDTHS
        costs.append(max(cost, costs[-1]) if costs else cost)
    return costs
