"""Trading with oneself, to exercise an exchange's test system: when, at what price, how much.

Pure; the random source and the clock come in. Refused in live mode by the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal
from random import Random

from mmd.cells.layouts import BookState
from mmd.config.model import FirstSide, SelfTradeMethod, SelfTradeSettings
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL
from mmd.words.market import MarketRules, OrderBook, Side

_E8 = Decimal("1e8")
_HOUR_S, _DAY_S = 3600, 86_400
_SPREAD_OF_THRESHOLD = (0.8, 1.2)


@dataclass(frozen=True, slots=True)
class Progress:
    """What must survive restarts: where the counting stands, and when trades took place."""

    epoch: int = 0
    """The book's counting that `from_e8` belongs to."""
    from_e8: int = 0
    """Cumulative volume at the last trade, in units of 1e-8."""
    target_e8: int = 0
    """Volume beyond `from_e8` that causes the next trade."""
    traded_s: tuple[int, ...] = ()
    """Wall times of the trades of the last day, seconds since 1970."""
    traded_amount: Decimal = Decimal(0)
    """Amount traded with ourselves in all, in base currency."""
    sleeps_until_s: float = 0.0
    """Wall time before which nothing is traded."""

    def rearmed(self, book: BookState, settings: SelfTradeSettings, random: Random) -> Progress:
        """Counting anew from the book's present volume, to a threshold varied at random."""
        factor = Decimal(repr(random.uniform(*_SPREAD_OF_THRESHOLD)))
        target = int(settings.volume_threshold * factor * _E8)
        return replace(self, epoch=book.epoch, from_e8=book.volume_e8, target_e8=target)

    def traded(
        self, amount: Decimal, now_s: float, settings: SelfTradeSettings, random: Random
    ) -> Progress:
        """With one more trade, and the pause after it."""
        kept = tuple(when for when in self.traded_s if now_s - when < _DAY_S)
        return replace(
            self,
            traded_s=(*kept, int(now_s)),
            traded_amount=self.traded_amount + amount,
            sleeps_until_s=now_s + random.uniform(settings.sleep_s.min, settings.sleep_s.max),
        )

    def is_counting(self, book: BookState) -> bool:
        """Whether the volumes of the book and of this progress may be compared."""
        return self.target_e8 > 0 and self.epoch == book.epoch and book.volume_e8 >= self.from_e8

    def is_due(self, book: BookState, settings: SelfTradeSettings, now_s: float) -> bool:
        """Whether enough was traded on Binance, and neither pause nor cap forbids it."""
        if not self.is_counting(book) or book.volume_e8 - self.from_e8 < self.target_e8:
            return False
        return now_s >= self.sleeps_until_s and not self.is_capped(settings, now_s)

    def is_capped(self, settings: SelfTradeSettings, now_s: float) -> bool:
        """Whether the trades of the last hour or day are as many as allowed."""
        last_hour = sum(1 for when in self.traded_s if now_s - when < _HOUR_S)
        last_day = sum(1 for when in self.traded_s if now_s - when < _DAY_S)
        return last_hour >= settings.max_per_hour or last_day >= settings.max_per_day


@dataclass(frozen=True, slots=True)
class NoTrade:
    """Why nothing is traded now."""

    reason: str


def two_orders(
    book: OrderBook,
    settings: SelfTradeSettings,
    default_amount: tuple[Decimal, Decimal],
    rules: MarketRules,
    random: Random,
) -> tuple[WantedQuote, WantedQuote] | NoTrade:
    """The order that goes first and its opposite, at one price strictly inside the spread."""
    if not book.bids or not book.asks:
        return NoTrade("the venue's book is one-sided")
    prices = inside_prices(book.bids[0].price, book.asks[0].price, rules.tick)
    if not prices:
        return NoTrade("there is no price inside the venue's spread")
    middle = settings.method is SelfTradeMethod.SELF_MIDTRADER
    price = prices[(len(prices) - 1) // 2 if middle else random.randrange(len(prices))]
    least, most = default_amount
    if settings.amount is not None:
        least, most = settings.amount.min, settings.amount.max
    share = Decimal(random.randrange(1 << 30)) / (1 << 30)
    amount = rules.round_amount(least + (most - least) * share)
    if not rules.min_amount <= amount <= rules.max_amount:
        return NoTrade(f"the venue does not take an amount of {amount}")
    first = _first_side(settings.first_side, random)
    return WantedQuote(first, SELF_TRADE_LEVEL, price, amount), WantedQuote(
        first.opposite, SELF_TRADE_LEVEL, price, amount
    )


def inside_prices(bid: Decimal, ask: Decimal, tick: Decimal) -> Sequence[Decimal]:
    """All prices of the grid strictly between bid and ask, as a sequence that makes them on
    demand."""
    return _Grid(bid, ask, tick)


class _Grid(Sequence[Decimal]):
    def __init__(self, bid: Decimal, ask: Decimal, tick: Decimal) -> None:
        self._first = ((bid / tick).to_integral_value(ROUND_FLOOR) + 1) * tick
        self._tick = tick
        below = ask - self._first
        self._length = max(0, -int((-below / tick).to_integral_value(ROUND_FLOOR)))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Decimal:  # type: ignore[override]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._first + index * self._tick


def _first_side(chosen: FirstSide, random: Random) -> Side:
    if chosen is FirstSide.RANDOM:
        return random.choice((Side.BUY, Side.SELL))
    return Side[chosen.name]
