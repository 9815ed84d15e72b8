"""The symbols of the seeded market: start prices near those of 2024-08-09, real steps.

Any other symbol that looks like one gets a generic price, so that nobody needs to edit a table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

QUOTES = ("USDT", "FDUSD", "USDC", "BUSD", "TUSD", "TRY", "EUR", "BTC", "ETH", "BNB")
_SYMBOL = re.compile(r"[A-Z0-9]{5,20}")


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """What a symbol is made of and the steps its numbers move in."""

    symbol: str
    base: str
    quote: str
    price: Decimal
    """Where the seeded path starts."""
    tick: Decimal
    lot: Decimal

    @property
    def tick_e8(self) -> int:
        return int(self.tick.scaleb(8))

    @property
    def lot_e8(self) -> int:
        return int(self.lot.scaleb(8))


def _rules(base: str, quote: str, price: str, tick: str, lot: str) -> SymbolRules:
    return SymbolRules(base + quote, base, quote, Decimal(price), Decimal(tick), Decimal(lot))


TABLE = {
    rules.symbol: rules
    for rules in (
        _rules("BTC", "USDT", "61837.63", "0.01", "0.00001"),
        _rules("ETH", "USDT", "2683.80", "0.01", "0.0001"),
        _rules("BNB", "USDT", "511.40", "0.10", "0.001"),
        _rules("SOL", "USDT", "157.28", "0.01", "0.001"),
        _rules("XRP", "USDT", "0.6036", "0.0001", "1"),
        _rules("ADA", "USDT", "0.3521", "0.0001", "0.1"),
        _rules("DOGE", "USDT", "0.10542", "0.00001", "1"),
        _rules("LTC", "USDT", "61.58", "0.01", "0.001"),
        _rules("BCH", "USDT", "345.10", "0.10", "0.001"),
        _rules("LINK", "USDT", "10.47", "0.01", "0.01"),
        _rules("DOT", "USDT", "4.694", "0.001", "0.01"),
        _rules("TRX", "USDT", "0.12710", "0.00001", "0.1"),
        _rules("AVAX", "USDT", "22.18", "0.01", "0.01"),
        _rules("MATIC", "USDT", "0.4215", "0.0001", "0.1"),
        _rules("SHIB", "USDT", "0.00001412", "0.00000001", "1"),
        _rules("USDC", "USDT", "1.0004", "0.0001", "1"),
        _rules("ETH", "BTC", "0.04340", "0.00001", "0.0001"),
    )
}


def rules_of(symbol: str) -> SymbolRules | None:
    """Rules of a symbol, made up where the table has none; None when it can't be a symbol."""
    if symbol in TABLE:
        return TABLE[symbol]
    quote = next((q for q in QUOTES if symbol.endswith(q) and symbol != q), None)
    if quote is None or not _SYMBOL.fullmatch(symbol):
        return None
    return _rules(symbol.removesuffix(quote), quote, "10", "0.001", "0.01")
