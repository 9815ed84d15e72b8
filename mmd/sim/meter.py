"""Measures how an account quotes one market: presence, distance and risk, weighted by time.

Exact: told of every change of a price and of every entry of the venue's record, it counts each
state for as long as it lasted. Statistics, not money, so it counts in floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mmd.sim.ace.entries import Entry
from mmd.sim.ace.ledger import Account
from mmd.sim.ace.orders import Filled, OwnFill
from mmd.words.market import Pair, Side

Prices = Mapping[Side, float]
_POSITION_BIN = 1e-4


@dataclass(slots=True)
class Histogram:
    """Values of 0 and more, weighted by time."""

    width: float = 0.01
    """Of a bin."""
    _bins: dict[int, int] = field(default_factory=dict)
    total_ns: int = 0
    _weighted: float = 0.0

    def add(self, value: float, for_ns: int) -> None:
        key = round(value / self.width)
        self._bins[key] = self._bins.get(key, 0) + for_ns
        self.total_ns += for_ns
        self._weighted += value * for_ns

    def join(self, other: Histogram) -> None:
        """Adds the other's."""
        for key, for_ns in other._bins.items():
            self._bins[key] = self._bins.get(key, 0) + for_ns
        self.total_ns += other.total_ns
        self._weighted += other._weighted

    @property
    def mean(self) -> float | None:
        return self._weighted / self.total_ns if self.total_ns else None

    def percentile(self, percent: float) -> float | None:
        """The value that was not exceeded for so much of the time."""
        left = self.total_ns * percent / 100
        for key in sorted(self._bins):
            left -= self._bins[key]
            if left <= 0:
                return key * self.width
        return max(self._bins) * self.width if self._bins else None


@dataclass
class Meter:
    """One account in one market."""

    pair: Pair
    account: Account
    fair: Callable[[], float | None]
    """What the thing is worth now; None while nobody knows."""
    ideal: Callable[[], Prices | None]
    """Where the best bid and ask ought to be now; None while there ought to be none."""
    reach_bps: float = float("inf")
    """A best quote further than this from its ideal is none at the touch."""
    watched_ns: int = 0
    both_ns: int = 0
    """Both sides at the touch at once."""
    absent_ns: int = 0
    """No quote at the touch, summed up over both sides."""
    risk_ns: int = 0
    """A quote on the wrong side of the fair price, summed up over both sides."""
    distances: Histogram = field(default_factory=Histogram)
    """Of the best quotes from their ideal, in bps, while at the touch, both sides."""
    positions: Histogram = field(default_factory=lambda: Histogram(_POSITION_BIN))
    """Absolute, in base currency."""
    most_position: float = 0.0
    drawdown: float = 0.0
    """The worst fall of the profit below its best so far, in quote currency."""
    fills: list[OwnFill] = field(default_factory=list)
    _position: float = 0.0
    _cash: float = 0.0
    _best_profit: float = 0.0
    _since_ns: int | None = None
    _best: dict[Side, float | None] = field(default_factory=dict)
    _off: list[float | None] = field(default_factory=list)
    _at_risk: int = 0

    def begin(self, now_ns: int) -> None:
        """Counts from now on."""
        self._since_ns = now_ns
        self._look()

    def turn(self, now_ns: int) -> None:
        """Something changes now: what was until now is counted."""
        if self._since_ns is None:
            return
        passed_ns = now_ns - self._since_ns
        if passed_ns > 0:
            self._count(passed_ns)
            self._since_ns = now_ns

    def see(self, entry: Entry, now_ns: int) -> None:
        """An entry of the venue's record, at once."""
        ours = [event for event in entry.events if event.account == self.account.name]
        if not ours or self._since_ns is None:
            return
        self.turn(now_ns)
        for event in ours:
            if isinstance(event, Filled) and event.fill.pair == self.pair:
                self._book(event.fill)
        self._look()

    def _look(self) -> None:
        """Our orders have changed."""
        orders = [order for order in self.account.open.values() if order.pair == self.pair]
        bids = [float(order.price) for order in orders if order.side is Side.BUY]
        asks = [float(order.price) for order in orders if order.side is Side.SELL]
        self._best = {Side.BUY: max(bids, default=None), Side.SELL: min(asks, default=None)}
        self.compare()

    def _book(self, fill: OwnFill) -> None:
        self.fills.append(fill)
        self._cash -= float(fill.fee)
        if not fill.is_self:
            amount = float(fill.amount if fill.side is Side.BUY else -fill.amount)
            self._position += amount
            self._cash -= amount * float(fill.price)
            self.most_position = max(self.most_position, abs(self._position))

    def compare(self) -> None:
        """The prices have changed."""
        fair, ideal = self.fair(), self.ideal()
        self._off = [_off_bps(self._best.get(side), ideal, side) for side in Side]
        self._at_risk = 0
        if fair is not None:
            profit = self._cash + self._position * fair
            self._best_profit = max(self._best_profit, profit)
            self.drawdown = max(self.drawdown, self._best_profit - profit)
            bid, ask = self._best.get(Side.BUY), self._best.get(Side.SELL)
            self._at_risk = (bid is not None and bid > fair) + (ask is not None and ask < fair)

    def _count(self, passed_ns: int) -> None:
        self.watched_ns += passed_ns
        present = [off for off in self._off if off is not None and off <= self.reach_bps]
        for off in present:
            self.distances.add(abs(off), passed_ns)
        self.absent_ns += (len(Side) - len(present)) * passed_ns
        self.both_ns += passed_ns if len(present) == len(Side) else 0
        self.risk_ns += self._at_risk * passed_ns
        self.positions.add(abs(self._position), passed_ns)


def _off_bps(best: float | None, ideal: Prices | None, side: Side) -> float | None:
    """How far a best quote is behind its ideal; below 0: in front of it."""
    if best is None or ideal is None:
        return None
    wanted = ideal[side]
    behind = wanted - best if side is Side.BUY else best - wanted
    return behind / wanted * 1e4
