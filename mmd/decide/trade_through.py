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
    _at_ns: int = 0
    _prices: tuple[float, float] = (0.0, 0.0)

    def apply(self, book: BookState, now_ns: int) -> BookState:
        """The book, with its swept side at the price of the trade that swept it."""
        prices = (book.bid_price, book.ask_price)
        if book.last_trade_id != self._trade_id:
            is_first, self._trade_id = not self._trade_id, book.last_trade_id
            self.is_active = not is_first and self._is_beyond(book)
            self._at_ns, self._prices = now_ns, prices
        if not self.is_active:
            return book
        if prices != self._prices or now_ns - self._at_ns > _HOLD_NS:
            self.is_active = False
            return book
        trade = book.last_trade_price
        return book._replace(
            bid_price=min(book.bid_price, trade), ask_price=max(book.ask_price, trade)
        )

    def _is_beyond(self, book: BookState) -> bool:
        trade, share = book.last_trade_price, self.threshold_bps * 1e-4
        below = book.bid_price * (1 - share)
        return 0 < trade <= below or trade >= book.ask_price * (1 + share)
