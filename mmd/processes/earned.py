"""Does it earn? What today's fills brought, for the terminal and the page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from mmd.cells.layouts import BookState, QuoteState, exact
from mmd.processes.sight import Sight
from mmd.records.pnl import Result
from mmd.records.store import LastPrice
from mmd.words.market import TWD, Pair


class Earned(NamedTuple):
    """What the records say of the present day."""

    today: Mapping[Pair, Result] = {}
    """Of today's fills alone; positions carried over are left out."""
    last: Mapping[Pair, LastPrice] = {}
    """ACE's last prices: they value a position until the pair has found its reference."""
    is_known: bool = False
    """False while the records can't be read."""

    def profit(self, pair: Pair, quotes: QuoteState) -> Decimal | None:
        """Realised and unrealised, in quote currency; None while it can't be told."""
        if not self.is_known:
            return None
        result = self.today.get(pair, Result())
        mark = self._mark(pair, quotes)
        if mark is None:
            return None if result.position else result.realised
        return result.realised + result.unrealised(mark)

    def profit_twd(self, sight: Sight) -> Decimal | None:
        """Of all pairs together; None while that of one of them can't be told."""
        total = Decimal(0)
        for pair in self.today:
            quotes = sight.quotes.get(pair.slug, QuoteState())
            profit, rate = (
                self.profit(pair, quotes),
                twd_rate(pair.quote, sight.books, self._last_price),
            )
            if profit is None or rate is None:
                return None
            total += profit * rate
        return total if self.is_known else None

    def volume_twd(self, sight: Sight) -> Decimal | None:
        """Worth of all that was bought and sold today."""
        if not self.is_known:
            return None
        rates = {pair: twd_rate(pair.quote, sight.books, self._last_price) for pair in self.today}
        worth = [self.today[pair].volume * rate for pair, rate in rates.items() if rate is not None]
        return sum(worth, Decimal(0))

    @property
    def fills(self) -> int:
        return sum(result.fills for result in self.today.values())

    def _mark(self, pair: Pair, quotes: QuoteState) -> Decimal | None:
        if quotes.mark:
            return exact(quotes.mark)
        return self._last_price(pair)

    def _last_price(self, pair: Pair) -> Decimal | None:
        last = self.last.get(pair)
        return None if last is None else last.price


def twd_rate(
    currency: str, books: Mapping[str, BookState], last: Callable[[Pair], Decimal | None]
) -> Decimal | None:
    """TWD for one unit: the middle of the rate's book, or else ACE's last price."""
    if currency == TWD:
        return Decimal(1)
    pair = Pair(currency, TWD)
    book = books.get(pair.slug)
    if book is not None and book.is_valid:
        return (exact(book.bid_price) + exact(book.ask_price)) / 2
    return last(pair)
