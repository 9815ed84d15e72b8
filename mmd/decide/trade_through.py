"""A trade beyond Binance's best price: its book is swept, and will say so in a moment.

The trade may reach us before the book's own update. Until then that side of the book counts as
gone down (or up) to the trade's price, so that the endangered quotes are pulled at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmd.cells.layouts import BookState

_HOLD_NS = 500_000_000
"""A book that does not follow for this long was right, and the trade a late message."""


@dataclass(slots=True)
class TradeThrough:
    """Watches trades against the best prices."""

    threshold_bps: float
    is_active: bool = False
    _trade_id: int = 0
    _price: float = 0.0
    """Of the trade that swept the book."""
    _at_ns: int = 0
    _prices: tuple[float, float] = (0.0, 0.0)

    def apply(self, book: BookState, now_ns: int) -> BookState:
        """The book, with its swept side at the price of the trade that swept it."""
        prices = (book.bid_price, book.ask_price)
        if self.is_active and (prices != self._prices or now_ns - self._at_ns > _HOLD_NS):
            self.is_active = False
        if book.last_trade_id != self._trade_id:
            is_first, self._trade_id = not self._trade_id, book.last_trade_id
            if not is_first and is_beyond(book, self.threshold_bps):
                self.is_active, self._price = True, book.last_trade_price
                self._at_ns, self._prices = now_ns, prices
        if not self.is_active:
            return book
        return book._replace(
            bid_price=min(book.bid_price, self._price), ask_price=max(book.ask_price, self._price)
        )


def is_beyond(book: BookState, bps: float) -> bool:
    """Whether the last trade lies so far beyond the best prices."""
    trade, share = book.last_trade_price, bps * 1e-4
    below = book.bid_price * (1 - share)
    return 0 < trade <= below or trade >= book.ask_price * (1 + share)
