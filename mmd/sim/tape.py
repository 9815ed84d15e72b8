"""What a feed process would show of a market, moment by moment, in virtual time.

The streams go through the feed's own decoding and judgement; messages that come within a
millisecond count as one gulp of its socket. Pure: no clock, no sockets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mmd.cells.layouts import BookState, DepthState
from mmd.sim.binance.events import Event
from mmd.sim.binance.market import Market
from mmd.venues.binance.announce import Announcer
from mmd.venues.binance.book import FeedState
from mmd.venues.binance.messages import BookTicker, PartialDepth, Trade, decode

_GULP_NS = 1_000_000
_QUIET_NS = 10_000_000
"""What readers are not woken for is shown at most this often: they look by themselves less often
still."""


class Tick(NamedTuple):
    """A new state of one symbol's cells."""

    at_ns: int
    symbol: str
    book: BookState
    depth: DepthState | None
    """Where it has changed."""
    rings: bool
    """Whether readers are to be woken."""


class _Follower:
    """One symbol's feed."""

    def __init__(self, symbol: str, volume_step_e8: int) -> None:
        self.symbol = symbol
        self._state = FeedState(BookState(), new_epoch=1)
        self._state.connected()
        self._depth = self._state.depth
        self._announcer = Announcer(self._state, volume_step_e8)
        self._shown_ns = 0
        self._last_ns: int | None = None
        """Time of the last message since what was shown."""

    def take(self, now_ns: int, payload: bytes) -> None:
        """One message. Raises Malformed."""
        event = decode(payload)
        if isinstance(event, BookTicker):
            self._state.ticker(event, now_ns)
        elif isinstance(event, Trade):
            self._state.trade(event, now_ns)
        elif isinstance(event, PartialDepth):
            self._state.partial_depth(event, now_ns)
        self._last_ns = now_ns

    def show(self) -> Tick | None:
        """The state after a gulp, where it is worth showing."""
        if self._last_ns is None:
            return None
        now_ns, state = self._last_ns, self._state
        rings = self._announcer.is_due(state)
        if not rings and now_ns - self._shown_ns < _QUIET_NS:
            return None
        self._shown_ns, self._last_ns = now_ns, None
        state.frame(now_ns)
        depth = state.depth if state.depth is not self._depth else None
        self._depth = state.depth
        return Tick(now_ns, self.symbol, state.book(), depth, rings)


def ticks(
    market: Market,
    symbols: Mapping[str, int],
    begin_ns: int,
    volume_steps_e8: Mapping[str, int],
    speed: float = 1.0,
) -> Iterator[Tick]:
    """The states of these symbols (with the depth to follow, or 0), until the market ends.

    The market's first message comes at `begin_ns`; the others follow `speed` times as fast as they
    came. Raises Malformed, and ConfigError for a file
    that is no recording.
    """
    wanted: dict[str, _Follower] = {}
    for symbol, depth in symbols.items():
        follower = _Follower(symbol, volume_steps_e8.get(symbol, 0))
        names = ["bookTicker", "trade", *([f"depth{depth}@100ms"] if depth else [])]
        wanted |= {f"{symbol.lower()}@{name}": follower for name in names}
    market.want(wanted)
    followers = tuple(dict.fromkeys(wanted.values()))
    first_ns: int | None = None
    gulp_ends_ns = 0
    for time_ns, stream, payload in _events(market):
        taker = wanted.get(stream)
        if taker is None:
            continue
        if first_ns is None:
            first_ns = time_ns
        now_ns = begin_ns + int((time_ns - first_ns) / speed)
        if now_ns >= gulp_ends_ns:
            yield from _shown(followers)
            gulp_ends_ns = now_ns + _GULP_NS
        taker.take(now_ns, payload)
    yield from _shown(followers)


def _events(market: Market) -> Iterator[Event]:
    while (event := market.next()) is not None:
        yield event


def _shown(followers: tuple[_Follower, ...]) -> list[Tick]:
    """At the end of a gulp, in the order of their times."""
    found = [tick for follower in followers if (tick := follower.show()) is not None]
    return sorted(found, key=lambda tick: tick.at_ns)
