"""Where a pair's price comes from: one book of Binance, or a cross of two."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

PATTERN = r"([A-Z0-9]{5,20})(?: *([*/]) *([A-Z0-9]{5,20}))?"
_SOURCE = re.compile(PATTERN)


@dataclass(frozen=True, slots=True)
class Source:
    """`BTCUSDT`, `ETHBTC * BTCUSDT` or `ETHUSDT / BTCUSDT`."""

    symbol: str
    """Its base is the pair's own, so its traded volume is what the pair goes by."""
    other: str | None = None
    """The cross's second symbol."""
    divides: bool = False
    """Whether the price is the first over the second; else it is the first times the second."""

    @classmethod
    def parse(cls, text: str) -> Source:
        """Raises ValueError for what is no source."""
        match = _SOURCE.fullmatch(text.strip())
        if match is None or match[1] == match[3]:
            raise ValueError(f"{text!r} is no source of prices; write it as BTCUSDT")
        return cls(match[1], match[3], match[2] == "/")

    @property
    def symbols(self) -> tuple[str, ...]:
        return (self.symbol,) if self.other is None else (self.symbol, self.other)

    def middle(self, of: Callable[[str], Decimal | None]) -> Decimal | None:
        """The price, from each symbol's; None while one is unknown."""
        price = of(self.symbol)
        if self.other is None or price is None:
            return price
        other = of(self.other)
        if other is None:
            return None
        return price / other if self.divides else price * other

    def __str__(self) -> str:
        if self.other is None:
            return self.symbol
        return f"{self.symbol} {'/' if self.divides else '*'} {self.other}"
