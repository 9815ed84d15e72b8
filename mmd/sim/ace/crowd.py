"""The other participants: they keep a book around the fair price, trade now and then, and take
every quote that is on the wrong side of it.

Seeded and without I/O. They trade through the engine like everyone else, from one account whose
balances don't bind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from mmd.sim.ace.engine import CROWD, Engine
from mmd.sim.ace.orders import OrderRequest, SimOrder
from mmd.words.market import MarketRules, Pair, Side

Fair = Callable[[Pair, int], Decimal | None]
"""The fair price of a market at a time in ms; None while nobody knows it."""

_TWD_PER = {"TWD": 1, "USDT": 32, "BTC": 2_000_000}
"""Roughly, for the size of orders."""
_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class CrowdOptions:
    """How lively the others are."""

    active: bool = True
    levels: int = 5
    spread_bps: tuple[float, float] = (20, 40)
    """Distance of the first level from the fair price, per side: lowest and highest."""
    step_bps: float = 12
    """Distance from one level to the next."""
    rate_spread_bps: tuple[float, float] = (4, 6)
    """`spread_bps` of USDT/TWD."""
    rate_step_bps: float = 3
    level_value_twd: float = 150_000
    """A level's size, on average."""
    look_per_s: float = 2
    """How often per second and market they look at their own quotes."""
    requote_bps: float = 5
    """They renew them when the fair price moved this far."""
    takes_per_s: float = 0.1
    """Market orders per second and market, on average."""
    take_value_twd: float = 4_000
    """A market order's size: half of them are smaller."""
    take_limit_bps: float = 60
    """How far from the fair price a market order trades at most."""
    informed: float = 0
    """Share of the market orders whose sender knows where the fair price will be …"""
    foresight_s: float = 10
    """… after this time, and buys or sells accordingly. Works where `fair` answers for times to
    come."""


@dataclass(slots=True)
class _Market:
    rules: MarketRules
    spread_bps: tuple[float, float]
    step_bps: float
    quotes: list[SimOrder] = field(default_factory=list)
    quoted_at: Decimal | None = None
    next_look_ms: float = 0
    next_take_ms: float = 0


class Crowd:
    """Acts whenever `step` is called; call it several times a second."""

    def __init__(
        self,
        engine: Engine,
        fair: Fair,
        pairs: Iterable[Pair],
        random: Random,
        options: CrowdOptions,
    ) -> None:
        self.active = options.active
        self._engine = engine
        self._fair = fair
        self._random = random
        self._options = options
        self._markets: dict[Pair, _Market] = {}
        for pair in pairs:
            self.join(pair)

    @property
    def pairs(self) -> Collection[Pair]:
        """The markets they take part in."""
        return self._markets.keys()

    def join(self, pair: Pair) -> None:
        """Makes a market lively from now on."""
        rules = self._engine.markets.get(pair)
        if rules is None or pair in self._markets:
            return
        options = self._options
        spread_bps, step_bps = options.spread_bps, options.step_bps
        if pair == Pair("USDT", "TWD"):
            spread_bps, step_bps = options.rate_spread_bps, options.rate_step_bps
        self._markets[pair] = _Market(rules, spread_bps, step_bps)

    def step(self, now_ms: int) -> None:
        """Lets everyone act who is due. An inactive crowd takes its quotes back."""
        for market in self._markets.values():
            fair = self._fair(market.rules.pair, now_ms) if self.active else None
            if fair is None:
                self._withdraw(market, now_ms)
                continue
            if now_ms >= market.next_look_ms:
                market.next_look_ms = now_ms + self._wait_ms(self._options.look_per_s)
                self._look(market, fair, now_ms)
            self._hit(market, fair, now_ms)
            if now_ms >= market.next_take_ms:
                first = not market.next_take_ms
                market.next_take_ms = now_ms + self._wait_ms(self._options.takes_per_s)
                if not first:
                    self._take(market, fair, now_ms)

    def hit(self, pairs: Iterable[Pair], now_ms: int) -> None:
        """Takes every quote in the given markets that is off the fair price."""
        for pair in pairs:
            market = self._markets.get(pair)
            if not self.active or market is None:
                continue
            fair = self._fair(pair, now_ms)
            if fair is not None:
                self._hit(market, fair, now_ms)

    def _wait_ms(self, per_s: float) -> float:
        """Time to the next of events that come at random, `per_s` a second on average."""
        return self._random.expovariate(per_s) * 1000 if per_s > 0 else float("inf")

    def _look(self, market: _Market, fair: Decimal, now_ms: int) -> None:
        quotes = [order for order in market.quotes if order.status.is_open]
        moved_bps = abs(fair / market.quoted_at - 1) * _BPS if market.quoted_at else _BPS
        whole = len(quotes) == 2 * self._options.levels
        if whole and moved_bps < self._options.requote_bps:
            return
        self._withdraw(market, now_ms)
        market.quoted_at = fair
        for side in Side:
            distance = self._random.uniform(*market.spread_bps)
            for _ in range(self._options.levels):
                self._quote(market, fair, side, distance, now_ms)
                distance += market.step_bps * self._random.uniform(0.7, 1.3)

    def _withdraw(self, market: _Market, now_ms: int) -> None:
        for order in market.quotes:
            if order.status.is_open:
                self._engine.cancel(CROWD, order.order_no, now_ms)
        market.quotes.clear()
        market.quoted_at = None

    def _quote(
        self, market: _Market, fair: Decimal, side: Side, distance_bps: float, now_ms: int
    ) -> None:
        away = Decimal(distance_bps if side is Side.SELL else -distance_bps)
        price = market.rules.round_price(fair * (1 + away / _BPS), side)
        value = self._options.level_value_twd * self._random.uniform(0.3, 1.7)
        amount = self._amount(market, fair, value)
        if price <= 0:
            return
        request = OrderRequest(market.rules.pair, side, price=price, amount=amount)
        market.quotes.append(self._engine.place(CROWD, request, now_ms))

    def _hit(self, market: _Market, fair: Decimal, now_ms: int) -> None:
        book = self._engine.books[market.rules.pair]
        for side in Side:
            best = book.side(side).best()
            if best is not None and _is_off(best, fair):
                off = [order for order in book.side(side) if _is_off(order, fair)]
                self._trade(market, side.opposite, off[-1].price, _sum(off), now_ms)

    def _take(self, market: _Market, fair: Decimal, now_ms: int) -> None:
        side = self._side(market, fair, now_ms)
        away = Decimal(self._options.take_limit_bps) / _BPS
        limit = fair * (1 + away if side is Side.BUY else 1 - away)
        price = market.rules.round_price(limit, side)
        value = self._options.take_value_twd * self._random.lognormvariate(0, 1)
        if price > 0:
            self._trade(market, side, price, self._amount(market, fair, value), now_ms)

    def _side(self, market: _Market, fair: Decimal, now_ms: int) -> Side:
        """What a market order does: by chance, or as one who knows what comes."""
        options = self._options
        side = self._random.choice(list(Side))
        if not options.informed or self._random.random() >= options.informed:
            return side
        later = self._fair(market.rules.pair, now_ms + int(options.foresight_s * 1000))
        if later is None or later == fair:
            return side
        return Side.BUY if later > fair else Side.SELL

    def _trade(
        self, market: _Market, side: Side, price: Decimal, amount: Decimal, now_ms: int
    ) -> None:
        """Trades at once at `price` or better; the rest is dropped."""
        amount = min(amount, market.rules.max_amount)
        if amount < market.rules.min_amount:
            # A remainder below the minimum can't be traded by a limit order of its size.
            amount = market.rules.min_amount
        request = OrderRequest(market.rules.pair, side, price=price, amount=amount)
        order = self._engine.place(CROWD, request, now_ms)
        if order.status.is_open:
            self._engine.cancel(CROWD, order.order_no, now_ms)

    def _amount(self, market: _Market, fair: Decimal, value_twd: float) -> Decimal:
        rules = market.rules
        value = Decimal(value_twd / _TWD_PER[rules.pair.quote])
        return min(max(rules.round_amount(value / fair), rules.min_amount), rules.max_amount)


def _is_off(order: SimOrder, fair: Decimal) -> bool:
    """Whether someone gains by taking the order: a bid above fair, an ask below it."""
    return order.price > fair if order.side is Side.BUY else order.price < fair


def _sum(orders: list[SimOrder]) -> Decimal:
    return sum((order.remaining for order in orders), Decimal(0))
