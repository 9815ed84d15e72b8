"""A made-up market: each symbol's order book wanders along a path that its seed decides.

Shaped after recorded BTCUSDT: 20 to 80 bookTickers a second in bursts, about one in seven
moving a price, trades in clumps, a depth diff every 100 ms. All changes of a book carry one
rising update id, so that bookTicker, diffs and snapshots fit together.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator

import orjson

from mmd.sim.binance.events import SNAPSHOT, Event, format_e8, wrap
from mmd.sim.binance.symbols import TABLE, SymbolRules, rules_of

_LEVELS = 60
"""Levels a side that a book is kept at."""
_DIFF_NS = 100_000_000
_CALM_HZ, _BUSY_HZ = 30.0, 110.0
_MOVE_SHARE = 0.13
_VOLATILITY = 0.5
"""Of the fair price, a year."""
_YEAR_NS = 365 * 86_400 * 1e9
_RETURN_NS = 5e13
"""Time scale on which the fair price is drawn back to its start, so that a long run stays sane."""


class SymbolPath:
    """One symbol's market. Prices are counted in ticks, amounts in lots."""

    def __init__(self, rules: SymbolRules, seed: int, start_ns: int) -> None:
        self.rules = rules
        self._random = random.Random(f"{seed}/{rules.symbol}")
        self._name = rules.symbol.lower()
        self._now_ns = start_ns
        self._next_diff_ns = start_ns + _DIFF_NS
        self._fair = float(rules.price / rules.tick)
        self._start = self._fair
        self._busy = False
        self._update_id = self._random.randrange(10**9, 10**10)
        self._trade_id = self._random.randrange(10**8, 10**9)
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._dirty: tuple[set[int], set[int]] = (set(), set())
        self._bid = max(1, int(self._fair))
        self._ask = self._bid + 1
        self._fill()
        for dirty in self._dirty:
            dirty.clear()
        self._diff_id = self._update_id

    def opening(self) -> bytes:
        """The whole book as it stands, as REST gives it."""
        bids, asks = self._sides
        return orjson.dumps(
            {
                "lastUpdateId": self._update_id,
                "bids": [self._row(tick, bids[tick]) for tick in sorted(bids, reverse=True)],
                "asks": [self._row(tick, asks[tick]) for tick in sorted(asks)],
            }
        )

    def events(self) -> Iterator[Event]:
        """The endless path, beginning with a snapshot and the first top of the book."""
        stream = self._name + SNAPSHOT
        yield self._now_ns, stream, wrap(stream, self.opening())
        yield self._book_ticker()
        while True:
            wait_ns = self._wait_ns()
            while self._next_diff_ns <= self._now_ns + wait_ns:
                yield from self._diff()
            self._now_ns += wait_ns
            self._wander(wait_ns)
            if self._random.random() < _MOVE_SHARE:
                yield from self._move()
            else:
                yield from self._breathe()

    def _wait_ns(self) -> int:
        if self._random.random() < (0.02 if self._busy else 0.01):
            self._busy = not self._busy
        return int(self._random.expovariate(_BUSY_HZ if self._busy else _CALM_HZ) * 1e9)

    def _wander(self, step_ns: int) -> None:
        pull = math.log(self._start / self._fair) * step_ns / _RETURN_NS
        shock = _VOLATILITY * math.sqrt(step_ns / _YEAR_NS) * self._random.gauss(0, 1)
        self._fair *= math.exp(pull + shock)

    def _move(self) -> Iterator[Event]:
        """The top of the book goes to the fair price, or jumps by one tick around it."""
        bid = max(1, round(self._fair + self._random.choice((-1, 0, 0, 1))))
        if bid == self._bid:
            bid = max(1, bid + self._random.choice((-1, 1)))
        up = bid > self._bid
        yield from self._trades(buyer_is_maker=not up, count=self._random.randint(1, 4))
        self._bid, self._ask = bid, bid + self._random.choice((1, 1, 1, 1, 2))
        self._fill()
        yield self._book_ticker()

    def _breathe(self) -> Iterator[Event]:
        """A quantity changes: mostly at the top, at times after a trade, at times further off."""
        chance = self._random.random()
        side = self._random.randrange(2)
        if chance < 0.12:
            yield from self._trades(buyer_is_maker=side == 0, count=self._random.randint(1, 2))
        if chance < 0.9:
            self._set(side, (self._bid, self._ask)[side], self._amount())
            yield self._book_ticker()
            return
        # A change further off shows in the diffs alone.
        top = (self._bid, self._ask)[side]
        off = [tick for tick in self._sides[side] if tick != top]
        self._set(side, self._random.choice(off or [top]), self._amount())

    def _fill(self) -> None:
        """Clears what the new top of the book has passed and tops up both sides."""
        for side, top, away in ((0, self._bid, -1), (1, self._ask, 1)):
            rows = self._sides[side]
            for tick in [tick for tick in rows if (tick - top) * away < 0]:
                self._set(side, tick, 0)
            if top not in rows:
                self._set(side, top, self._amount())
            ticks = sorted(rows, reverse=away < 0)
            self._thin_out(side, ticks)
            tick = ticks[min(len(ticks), _LEVELS) - 1]
            while len(rows) < _LEVELS and tick + away > 0:
                tick += away * min(self._random.choice((1, 1, 2, 3, 8, 20)), max(1, tick // 50))
                self._set(side, tick, self._amount())

    def _thin_out(self, side: int, ticks: list[int]) -> None:
        for tick in ticks[_LEVELS + 20 :]:
            self._set(side, tick, 0)

    def _set(self, side: int, tick: int, lots: int) -> None:
        if lots:
            self._sides[side][tick] = lots
        else:
            del self._sides[side][tick]
        self._dirty[side].add(tick)
        self._update_id += 1

    def _amount(self) -> int:
        """A log-normal quantity around 3,000 of quote currency for dollar-like quotes."""
        price = self._bid * float(self.rules.tick)
        lots = 3_000 / price / float(self.rules.lot)
        if self.rules.quote in ("BTC", "ETH", "BNB"):
            lots /= 30_000
        return max(1, int(lots * self._random.lognormvariate(0, 1.5)))

    def _book_ticker(self) -> Event:
        bids, asks = self._sides
        bid, bid_amount = self._row(self._bid, bids[self._bid])
        ask, ask_amount = self._row(self._ask, asks[self._ask])
        data = (
            f'{{"u":{self._update_id},"s":"{self.rules.symbol}","b":"{bid}","B":"{bid_amount}",'
            f'"a":"{ask}","A":"{ask_amount}"}}'
        )
        return self._event("bookTicker", data)

    def _trades(self, buyer_is_maker: bool, count: int) -> Iterator[Event]:
        """Fills of one taker order at the present top."""
        side = 0 if buyer_is_maker else 1
        tick = (self._bid, self._ask)[side]
        left = self._sides[side][tick]
        for _ in range(count):
            lots = max(1, min(left, self._amount() // 4))
            self._trade_id += 1
            price, amount = self._row(tick, lots)
            now_ms = self._now_ns // 1_000_000
            data = (
                f'{{"e":"trade","E":{now_ms},"s":"{self.rules.symbol}","t":{self._trade_id},'
                f'"p":"{price}","q":"{amount}","T":{now_ms},'
                f'"m":{str(buyer_is_maker).lower()},"M":true}}'
            )
            yield self._event("trade", data)
            left -= lots
            if left <= 0:
                return

    def _diff(self) -> Iterator[Event]:
        at_ns, self._next_diff_ns = self._next_diff_ns, self._next_diff_ns + _DIFF_NS
        if self._diff_id == self._update_id:
            return
        bids, asks = (
            [self._row(tick, rows.get(tick, 0)) for tick in sorted(dirty)]
            for rows, dirty in zip(self._sides, self._dirty, strict=True)
        )
        data = {
            "e": "depthUpdate",
            "E": at_ns // 1_000_000,
            "s": self.rules.symbol,
            "U": self._diff_id + 1,
            "u": self._update_id,
            "b": bids,
            "a": asks,
        }
        self._diff_id = self._update_id
        for dirty in self._dirty:
            dirty.clear()
        stream = self._name + "@depth@100ms"
        yield at_ns, stream, wrap(stream, orjson.dumps(data))

    def _row(self, tick: int, lots: int) -> tuple[str, str]:
        return format_e8(tick * self.rules.tick_e8), format_e8(lots * self.rules.lot_e8)

    def _event(self, kind: str, data: str) -> Event:
        stream = f"{self._name}@{kind}"
        return self._now_ns, stream, wrap(stream, data.encode())


class SeededSource:
    """The paths of all symbols asked for, on one clock.

    A symbol's path begins when it is first asked for, at the clock's reading of that moment;
    from there on it depends on the seed alone.
    """

    def __init__(self, seed: int, start_ns: int) -> None:
        self.symbols = tuple(TABLE)
        self.native: frozenset[str] = frozenset()
        self.start_ns = start_ns
        self._seed = seed
        self._now_ns = start_ns
        self._paths: dict[str, SymbolPath] = {}
        self._openings: dict[str, bytes] = {}
        self._heads: list[tuple[int, int, Event, Iterator[Event]]] = []

    @property
    def due_ns(self) -> int | None:
        return self._heads[0][0] if self._heads else None

    def next(self) -> Event | None:
        if not self._heads:
            return None
        _, order, event, events = self._heads[0]
        following = next(events)
        heapq.heapreplace(self._heads, (following[0], order, following, events))
        self._now_ns = event[0]
        return event

    def want(self, symbol: str) -> bool:
        if symbol in self._paths:
            return True
        rules = rules_of(symbol)
        if rules is None:
            return False
        path = SymbolPath(rules, self._seed, self._now_ns)
        self._paths[symbol] = path
        self._openings[symbol] = path.opening()
        events = path.events()
        first = next(events)
        heapq.heappush(self._heads, (first[0], len(self._paths), first, events))
        return True

    def opening(self, symbol: str) -> bytes | None:
        return self._openings.get(symbol)
