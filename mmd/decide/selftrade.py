"""Trading with oneself, to exercise an exchange's test system: when, at what price, how much.

Pure; the random source and the clock come in. Refused in live mode by the configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum
from random import Random

from mmd.cells.layouts import VOLUME_UNIT, BookState
from mmd.config.model import FirstSide, SelfTradeMethod, SelfTradeSettings
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Entry, Ledger
from mmd.decide.plan import would_meet
from mmd.words.market import MarketRules, OrderBook, Side

_HOUR, _DAY = 60, 1440
_LEAST_PERCENT, _MOST_PERCENT = 80, 120
_MOST_OWED = 100
"""So many thresholds of volume are remembered when volume comes faster than self-trades can."""


class Cause(Enum):
    """Why a self-trade is due."""

    VOLUME = "volume"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Sum:
    """Self-trades together: how many, how much base currency, what fees in quote currency."""

    count: int = 0
    amount: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)

    def plus(self, other: Sum) -> Sum:
        return Sum(self.count + other.count, self.amount + other.amount, self.fees + other.fees)

    @classmethod
    def of(cls, parts: Iterable[Sum]) -> Sum:
        total = cls()
        for part in parts:
            total = total.plus(part)
        return total


@dataclass(frozen=True, slots=True)
class Attempt:
    """A self-trade that was begun."""

    minute: int
    amount: Decimal
    claimed_e8: int
    """The counted volume that it used up."""
    retry_s: float
    """Wall time at which it may be tried again, should nothing be matched."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What must survive restarts: how far the counting got, and what was traded."""

    epoch: int = 0
    """The book's counting that `seen_e8` belongs to."""
    seen_e8: int = 0
    """The book's volume up to which is counted, in units of 1e-8."""
    counted_e8: int = 0
    """Volume that no self-trade has answered yet."""
    factor: Decimal = Decimal(0)
    """By which the threshold is varied until the next self-trade; 0: not drawn yet."""
    due_s: float = 0.0
    """Wall time, seconds since 1970, at which a self-trade is due without volume."""
    sleeps_until_s: float = 0.0
    """Wall time before which nothing is traded."""
    minutes: tuple[tuple[int, Sum], ...] = ()
    """What was begun in each minute (since 1970) of the last day that had any, oldest first."""
    done: Sum = Sum()
    """What was traded with ourselves in all."""

    def armed(self, settings: SelfTradeSettings, now_s: float, random: Random) -> Progress:
        """With the threshold's variation and the due time drawn anew."""
        factor = Decimal(random.randint(_LEAST_PERCENT, _MOST_PERCENT)) / 100
        every = settings.every_s
        due_s = now_s + random.uniform(every.min, every.max) if every is not None else 0.0
        return replace(self, factor=factor, due_s=due_s)

    def forgotten(self) -> Progress:
        """Without what was counted: for a self-trader that is off."""
        if not self.factor:
            return self
        return replace(self, epoch=0, seen_e8=0, counted_e8=0, factor=Decimal(0), due_s=0.0)

    def looked(self, book: BookState, settings: SelfTradeSettings) -> Progress:
        """With what the book's volume grew by. Differences mean something within one epoch only;
        what an earlier epoch brought stays counted."""
        before = self.seen_e8 if book.epoch == self.epoch else book.volume_e8
        seen = max(before, book.volume_e8)
        most = _MOST_OWED * _e8(settings.volume_threshold)
        counted = min(self.counted_e8 + seen - before, most)
        return replace(self, epoch=book.epoch, seen_e8=seen, counted_e8=counted)

    def held_back(self, settings: SelfTradeSettings) -> Progress:
        """With no more than one self-trade owed: what passes while none is allowed is not made up
        for afterwards."""
        return replace(self, counted_e8=min(self.counted_e8, self.target_e8(settings)))

    def target_e8(self, settings: SelfTradeSettings) -> int:
        """The counted volume that causes the next self-trade; 0 before the first draw."""
        return _e8(settings.volume_threshold * self.factor)

    def cause(self, settings: SelfTradeSettings, now_s: float) -> Cause | None:
        """Why a self-trade is due; None if none is. A pause or due time further off than the
        configuration knows is due to a clock that was set back, and does not count."""
        if not self.factor or 0 < self.sleeps_until_s - now_s <= settings.sleep_s.max:
            return None
        if self.counted_e8 >= self.target_e8(settings):
            return Cause.VOLUME
        every = settings.every_s
        if every is not None and not 0 < self.due_s - now_s <= every.max:
            return Cause.TIME
        return None

    def within(self, minutes: int, now_s: float) -> Sum:
        """What was begun within the last so many minutes; the oldest of them counts whole."""
        since = int(now_s) // 60 - minutes
        return Sum.of(sums for minute, sums in self.minutes if minute >= since)

    def last_hour(self, now_s: float) -> Sum:
        return self.within(_HOUR, now_s)

    def last_day(self, now_s: float) -> Sum:
        return self.within(_DAY, now_s)

    def room(self, settings: SelfTradeSettings, now_s: float) -> Decimal | NoTrade:
        """How much the caps leave for the next self-trade, in base currency."""
        room = Decimal("Infinity")
        for name, spent, most in (
            ("hour", self.last_hour(now_s), settings.caps_per_hour),
            ("day", self.last_day(now_s), settings.caps_per_day),
        ):
            if spent.count >= most.count:
                return NoTrade(f"the last {name} had all {most.count} self-trades allowed")
            if most.fees is not None and spent.fees >= most.fees:
                return NoTrade(f"the last {name} had all {most.fees} of fees allowed")
            if most.amount is not None:
                room = min(room, most.amount - spent.amount)
        return room

    def begun(
        self,
        cause: Cause,
        amount: Decimal,
        settings: SelfTradeSettings,
        now_s: float,
        random: Random,
    ) -> tuple[Progress, Attempt]:
        """With one more self-trade, which counts against the caps from before it is sent, and
        the pause after it."""
        claimed = min(self.counted_e8, self.target_e8(settings)) if cause is Cause.VOLUME else 0
        retry_s = now_s + settings.sleep_s.min
        attempt = Attempt(int(now_s) // 60, amount, claimed, retry_s)
        pause_s = random.uniform(settings.sleep_s.min, settings.sleep_s.max)
        begun = replace(
            self,
            counted_e8=self.counted_e8 - claimed,
            sleeps_until_s=now_s + pause_s,
            minutes=_added(self.minutes, attempt.minute, Sum(1, amount)),
        )
        return begun.armed(settings, now_s, random), attempt

    def ended(self, attempt: Attempt, matched: Decimal, fees: Decimal) -> Progress:
        """With the outcome of a self-trade: what was not matched with ourselves is still owed, and
        where nothing was, there need be no more than the shortest pause."""
        missed = attempt.amount - matched
        sleeps_until_s = self.sleeps_until_s if matched else attempt.retry_s
        owed = int(attempt.claimed_e8 * missed / attempt.amount)
        return replace(
            self,
            counted_e8=self.counted_e8 + owed,
            sleeps_until_s=sleeps_until_s,
            minutes=_added(self.minutes, attempt.minute, Sum(0, -missed, fees)),
            done=self.done.plus(Sum(int(matched > 0), matched, fees)),
        )


@dataclass(frozen=True, slots=True)
class NoTrade:
    """Why nothing is traded now."""

    reason: str


def two_orders(
    book: OrderBook,
    settings: SelfTradeSettings,
    default_amount: tuple[Decimal, Decimal],
    room: Decimal,
    rules: MarketRules,
    random: Random,
    taken: Side | None = None,
) -> tuple[WantedQuote, WantedQuote] | NoTrade:
    """The order that goes first and its opposite, at one price strictly inside the spread.

    `default_amount`: bounds where the settings have none; `room`: the most that the caps leave;
    `taken`: the side that a third party took last time, which chance does not put first again.
    """
    if not book.bids or not book.asks:
        return NoTrade("the venue's book is one-sided")
    prices = inside_prices(book.bids[0].price, book.asks[0].price, rules.tick)
    if not prices:
        return NoTrade("there is no price inside the venue's spread")
    amount = _amount(settings, default_amount, room, rules, random)
    if isinstance(amount, NoTrade):
        return amount
    middle = settings.method is SelfTradeMethod.SELF_MIDTRADER
    price = prices[(len(prices) - 1) // 2 if middle else random.randrange(len(prices))]
    first = _first_side(settings.first_side, random, taken)
    return WantedQuote(first, SELF_TRADE_LEVEL, price, amount), WantedQuote(
        first.opposite, SELF_TRADE_LEVEL, price, amount
    )


def met_quote(ledger: Ledger, price: Decimal) -> Entry | None:
    """An order of ours that a self-trade at a price would meet, other than self-trades."""
    for entry in ledger.live():
        if entry.level != SELF_TRADE_LEVEL and would_meet(entry.side.opposite, price, entry.price):
            return entry
    return None


def inside_prices(bid: Decimal, ask: Decimal, tick: Decimal) -> Sequence[Decimal]:
    """All prices of the grid strictly between bid and ask, as a sequence that makes them on
    demand."""
    return _Grid(bid, ask, tick)


class _Grid(Sequence[Decimal]):
    def __init__(self, bid: Decimal, ask: Decimal, tick: Decimal) -> None:
        self._first = ((bid / tick).to_integral_value(ROUND_FLOOR) + 1) * tick
        self._tick = tick
        self._length = max(0, int(((ask - self._first) / tick).to_integral_value(ROUND_CEILING)))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Decimal:  # type: ignore[override]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._first + index * self._tick


def _amount(
    settings: SelfTradeSettings,
    default: tuple[Decimal, Decimal],
    room: Decimal,
    rules: MarketRules,
    random: Random,
) -> Decimal | NoTrade:
    """An amount on the lot grid, within the settings', the venue's and the caps' bounds."""
    least, most = default
    if settings.amount is not None:
        least, most = settings.amount.min, settings.amount.max
    if room < least:
        return NoTrade(f"the caps on the amount leave {max(room, Decimal(0))}")
    lowest = (max(least, rules.min_amount) / rules.lot).to_integral_value(ROUND_CEILING)
    highest = (min(most, room, rules.max_amount) / rules.lot).to_integral_value(ROUND_FLOOR)
    if lowest > highest:
        return NoTrade(f"the venue takes no amount from {least} to {most}")
    return random.randrange(int(lowest), int(highest) + 1) * rules.lot


def _first_side(chosen: FirstSide, random: Random, taken: Side | None) -> Side:
    if chosen is not FirstSide.RANDOM:
        return Side[chosen.name]
    drawn = random.choice((Side.BUY, Side.SELL))
    return drawn if taken is None else taken.opposite


def _e8(volume: Decimal) -> int:
    return int(volume / VOLUME_UNIT)


def _added(
    minutes: tuple[tuple[int, Sum], ...], minute: int, sums: Sum
) -> tuple[tuple[int, Sum], ...]:
    """With more in one minute, and without what is older than a day."""
    kept = {at: before for at, before in minutes if at >= minute - _DAY}
    kept[minute] = kept.get(minute, Sum()).plus(sums)
    return tuple(sorted(kept.items()))
