"""The currencies and markets of the simulated exchange.

Currency ids are ACE's own (API v2 document, list of currencies). Precisions and limits are of
the real size, but made up: on the real exchange the markets call is the authority.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mmd.words.market import MarketRules, Pair

CURRENCY_IDS = {
    "TWD": 1,
    "BTC": 2,
    "ETH": 4,
    "LTC": 7,
    "XRP": 10,
    "USDT": 14,
    "BNB": 17,
    "USDC": 57,
    "LINK": 89,
    "DOT": 112,
    "DOGE": 116,
    "ADA": 122,
    "SOL": 130,
    "AVAX": 132,
}


@dataclass(frozen=True, slots=True)
class _Coin:
    amount_digits: int
    minimum: str
    maximum: str
    twd_digits: int
    usdt_digits: int | None
    """Decimal places of the price against USDT; None where there is no such market."""


_COINS = {
    "BTC": _Coin(6, "0.0001", "120", 1, 2),
    "ETH": _Coin(5, "0.001", "1500", 1, 2),
    "USDT": _Coin(2, "1", "2000000", 3, None),
    "SOL": _Coin(3, "0.01", "20000", 2, 3),
    "XRP": _Coin(1, "1", "2000000", 3, 5),
    "DOGE": _Coin(1, "5", "10000000", 4, 5),
    "ADA": _Coin(2, "1", "2000000", 3, 5),
    "BNB": _Coin(3, "0.01", "5000", 1, 2),
    "LTC": _Coin(4, "0.01", "20000", 1, 2),
    "LINK": _Coin(3, "0.1", "100000", 2, 3),
    "AVAX": _Coin(3, "0.1", "100000", 2, 3),
    "DOT": _Coin(3, "0.1", "200000", 2, 4),
}


def _rules(base: str, quote: str, coin: _Coin, price_digits: int) -> MarketRules:
    return MarketRules(
        pair=Pair(base, quote),
        base_id=CURRENCY_IDS[base],
        quote_id=CURRENCY_IDS[quote],
        tick=Decimal(1).scaleb(-price_digits),
        lot=Decimal(1).scaleb(-coin.amount_digits),
        min_amount=Decimal(coin.minimum),
        max_amount=Decimal(coin.maximum),
    )


def all_markets() -> dict[Pair, MarketRules]:
    """Every market: each coin against TWD and, USDT itself aside, against USDT; and ETH/BTC."""
    rules = [_rules(base, "TWD", coin, coin.twd_digits) for base, coin in _COINS.items()]
    rules += [
        _rules(base, "USDT", coin, coin.usdt_digits)
        for base, coin in _COINS.items()
        if coin.usdt_digits is not None
    ]
    rules.append(_rules("ETH", "BTC", _COINS["ETH"], 6))
    return {rule.pair: rule for rule in rules}


def digits(step: Decimal) -> int:
    """Decimal places of a power of ten: 0.001 has three."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
