"""The whole market: a source and all that is derived from it. No I/O and no clock of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson

from mmd.sim.binance.events import OPENING, SNAPSHOT, Event, Source
from mmd.sim.binance.symbol_market import SymbolMarket

Handler = Callable[[Event], None]


class Market:
    """Virtual time in, events out: `next()` gives them in the order of their times."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.now_ns = source.start_ns
        """Time of the last event given."""
        self._out: deque[Event] = deque()
        self._symbols: dict[str, SymbolMarket] = {}
        self._handlers: dict[str, Handler] = {}
        self._aggregating: list[SymbolMarket] = []
        self._listened: set[str] = set()

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols to list where all are asked for."""
        return tuple(dict.fromkeys((*self.source.symbols, *self._symbols)))

    def want(self, streams: Iterable[str]) -> None:
        """Says which streams are listened to; derived ones are made only when wanted."""
        self._listened = set(streams)
        for stream in self._listened:
            name = stream.partition("@")[0]
            if name == name.lower():
                self._find(name.upper())
        for symbol in self._symbols.values():
            symbol.want(self._listened, self.source.native)
            if symbol.wants_aggregates:
                symbol.trades.activate(self.now_ns)
        self._aggregating = [s for s in self._symbols.values() if s.wants_aggregates]

    @property
    def due_ns(self) -> int | None:
        """Time of the event that `next()` gives; None while there is nothing (more) to play."""
        if self._out:
            return self._out[0][0]
        dues = [symbol.aggregate_due_ns for symbol in self._aggregating]
        return min((due for due in (self.source.due_ns, *dues) if due is not None), default=None)

    def next(self) -> Event | None:
        """The next event; None while there is nothing (more) to play."""
        while not self._out:
            if not self._advance(1) and not self._out:
                return None
        event = self._out.popleft()
        self.now_ns = event[0]
        return event

    def take(self, count: int) -> list[Event]:
        """About `count` next events, as fast as can be; empty where `next()` gives None."""
        while self._advance(count) and not self._out:
            pass
        events = list(self._out)
        self._out.clear()
        if events:
            self.now_ns = events[-1][0]
        return events

    def _advance(self, count: int) -> bool:
        """Works in `count` events of the source; False when it has no more for now."""
        for _ in range(count):
            if self._aggregating and self._finish_aggregates():
                continue
            event = self.source.next()
            if event is None:
                return False
            handler = self._handlers.get(event[1])
            if handler is None:
                handler = self._handlers[event[1]] = self._handler(event[1])
            handler(event)
        return True

    def _finish_aggregates(self) -> bool:
        """Puts out the aggregate trades that come before the source's next event."""
        before = len(self._out)
        for symbol in self._aggregating:
            symbol.finish_aggregate(self.source.due_ns)
        return len(self._out) > before

    def knows(self, symbol: str) -> bool:
        """Whether the symbol exists here. A seeded market begins its path when first asked."""
        return self._find(symbol) is not None

    def ticker(self, symbol: str) -> dict[str, Any] | None:
        """The top of the book, keys as in bookTicker; None where nothing is known of it."""
        found = self._find(symbol)
        return found.ticker() if found else None

    def top(self, symbol: str) -> tuple[Decimal, Decimal] | None:
        """Best bid and best ask now; None where nothing is known of the symbol."""
        ticker = self.ticker(symbol)
        return (Decimal(ticker["b"]), Decimal(ticker["a"])) if ticker else None

    def tops(self) -> dict[str, dict[str, Any]]:
        """The tops of all symbols that anybody has asked for."""
        tickers = {symbol: found.ticker() for symbol, found in self._symbols.items()}
        return {symbol: ticker for symbol, ticker in tickers.items() if ticker}

    def book(self, symbol: str, limit: int | None = None) -> dict[str, Any] | None:
        """The order book as REST gives it; None where nothing is known of it."""
        found = self._find(symbol)
        return found.book(limit) if found else None

    def trades(self, symbol: str) -> list[dict[str, Any]]:
        """The last trades as streamed, oldest first."""
        found = self._find(symbol)
        return [orjson.loads(data) for data in found.trades.recent] if found else []

    def aggregate_trades(self, symbol: str) -> list[dict[str, Any]]:
        """The last aggregate trades as streamed, oldest first."""
        found = self._find(symbol)
        if found is None:
            return []
        found.trades.activate(self.now_ns)
        return list(found.trades.aggregates)

    def _find(self, symbol: str) -> SymbolMarket | None:
        found = self._symbols.get(symbol)
        if found is None and self.source.want(symbol):
            found = SymbolMarket(symbol, self.source.opening(symbol), self._out)
            found.want(self._listened, self.source.native)
            self._symbols[symbol] = found
        return found

    def _handler(self, stream: str) -> Handler:
        name, _, kind = stream.partition("@")
        symbol = self._find(name.upper())
        if symbol is None:
            return self._out.append
        handlers: dict[str, Handler] = {
            "bookTicker": symbol.on_ticker,
            "trade": symbol.on_trade,
            "depth@100ms": symbol.on_diff,
            "depth": symbol.on_diff,
            SNAPSHOT[1:]: symbol.on_snapshot,
            OPENING[1:]: symbol.on_opening,
        }
        return handlers.get(kind, self._out.append)
