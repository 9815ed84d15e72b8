"""The state of one symbol, as events make it. Pure: times and ids come in, a BookState comes out.

Rules, in the order of their weight:
  - a bookTicker counts if its id is greater than that of the published one;
  - Binance may restart its ids (the test system is wiped monthly). Then every id of a new
    connection is too low, which REST must confirm before the low ids are taken for the new ones;
  - trades are counted once each by id, a gap in the ids counts as missed trades, over
    connections and over lives of this process alike, because counting goes on in the cell;
  - after a disconnect the price stays invalid until a new one comes by stream or REST;
  - the price that a killed process left goes on to age in the next life: nobody need pull quotes
    for a feed that is back in time, and a live link proves nothing for it.
"""

from __future__ import annotations

from math import inf

from mmd.cells.layouts import BookState, BookStatus, DepthState
from mmd.venues.binance.messages import BookTicker, PartialDepth, Trade

IDS_RESTARTED_MS = 1_000
"""A trade this much newer than the last one, yet with a lower id, tells that ids began anew."""
_new = tuple.__new__  # a third of the time of a named tuple's own constructor
_LOW_WORD = (1 << 64) - 1
_LOW_SEEDS = 2
_SEED_GUARD_NS = 1_000_000_000
"""For this long a snapshot's id holds back bookTickers that are older. That both count alike is
customary but not promised, so it must not hold them back for ever."""


class FeedState:
    """One symbol's top of book and traded volume."""

    def __init__(self, before: BookState, new_epoch: int) -> None:
        """Goes on from what stands in the cell. `new_epoch` names the counting if there is none
        yet; later countings get the numbers after it."""
        self._inherited = before.status == BookStatus.VALID
        """The price is from an earlier life; what it is now is not known yet."""
        self.status: int = BookStatus.VALID if self._inherited else BookStatus.DISCONNECTED
        self._top = (before.bid_price, before.bid_qty, before.ask_price, before.ask_qty)
        self.update_id = before.update_id
        self.volume_e8 = before.volume_e8
        self._trade_count = before.trade_count
        self._missed_trades = before.missed_trades
        self.epoch = before.epoch or new_epoch
        self._last_trade_price = before.last_trade_price
        self._last_trade_id = before.last_trade_id
        self._last_frame_ns = before.last_frame_ns
        self._last_data_ns = before.last_data_ns
        self._exchange_ms = before.exchange_ms
        self._last_ticker_ns = 0
        self._stream_id = before.update_id
        self._seeded_ns = 0
        self._taken = self._refused = self._low_seeds = 0
        self.depth = DepthState(status=BookStatus.DISCONNECTED)

    @property
    def top(self) -> tuple[float, float, float, float]:
        """Bid price and quantity, ask price and quantity."""
        return self._top

    @property
    def prices(self) -> tuple[int, float, float]:
        """What readers are woken for: status, bid and ask."""
        return (self.status, self._top[0], self._top[2])

    @property
    def last_trade_price(self) -> float:
        """0 before the first trade."""
        return self._last_trade_price

    @property
    def wants_seed(self) -> bool:
        """Whether REST must say what holds: this connection has brought no price that counts, and
        there is none that still holds, or all its ids are suspiciously low."""
        is_known = self.status == BookStatus.VALID and not self._inherited
        return not self._taken and (not is_known or self._refused > 0)

    @property
    def last_ticker_ns(self) -> int:
        """When the stream last brought a price that counted; 0: not in this life."""
        return self._last_ticker_ns

    def connected(self) -> None:
        """A new connection begins; what the last one's ids told of a restart is forgotten."""
        self._taken = self._refused = self._low_seeds = 0

    def disconnected(self, status: BookStatus = BookStatus.DISCONNECTED) -> None:
        """The price no longer holds, as of now."""
        self._inherited = False
        self.status = status
        self.depth = self.depth._replace(status=status)

    def frame(self, now_ns: int) -> None:
        """The link lives."""
        if not self._inherited:
            self._last_frame_ns = now_ns

    def ticker(self, ticker: BookTicker, now_ns: int) -> bool:
        """Takes a bookTicker; False if it is not newer than what stands."""
        _, update_id, bid_price, bid_qty, ask_price, ask_qty = ticker
        if update_id <= self.update_id and not self._outlasts_seed(update_id, now_ns):
            self._refused += 1
            return False
        self._taken += 1
        self._stream_id = update_id
        self._last_ticker_ns = self._last_frame_ns = now_ns
        self._set_top(update_id, (bid_price, bid_qty, ask_price, ask_qty), now_ns)
        return True

    def trade(self, trade: Trade, now_ns: int) -> bool:
        """Counts a trade, or a run of trades; False if it was counted before."""
        _, first_id, last_id, price, qty_e8, _, trade_ms = trade
        last = self._last_trade_id
        if first_id != last + 1 and not self._accepts(first_id, last_id, trade_ms):
            return False
        self._last_trade_id = last_id
        self._trade_count += last_id - first_id + 1
        self.volume_e8 += qty_e8
        self._last_trade_price = price
        self._exchange_ms = trade_ms
        self._last_data_ns = now_ns
        return True

    def _accepts(self, first_id: int, last_id: int, trade_ms: int) -> bool:
        """Judges a trade that is not the next one."""
        last = self._last_trade_id
        if last_id <= last and trade_ms > self._exchange_ms + IDS_RESTARTED_MS:
            self._new_epoch()
            last = 0
        if last_id <= last:
            return False
        if first_id <= last:  # one part is counted already, and nothing says how much
            self._missed_trades += last_id - last
            self._last_trade_id = last_id
            return False
        if last:
            self._missed_trades += first_id - last - 1
        return True

    def partial_depth(self, depth: PartialDepth, now_ns: int) -> bool:
        """Takes a depth message; False if it is not newer than what stands."""
        stands = self.depth.status == BookStatus.VALID
        if stands and depth.update_id <= self.depth.update_id:
            return False
        status = _status(*_best(depth))
        self.depth = DepthState(status, depth.update_id, now_ns, depth.bids, depth.asks)
        self._last_data_ns = now_ns
        return True

    def seed(self, seed: PartialDepth, now_ns: int) -> bool:
        """Takes a REST snapshot; False if it doesn't settle what holds: ask again, a while later.

        A snapshot with a lower id may come from a cache. It counts, and restarted ids with it, if
        the stream brought none but low ids as well and the next snapshot is low too.
        """
        if seed.update_id < self.update_id:
            if self._taken:
                return True  # the stream is ahead
            self._low_seeds += 1
            if self._low_seeds < _LOW_SEEDS:
                return False
            self._new_epoch()
            self._stream_id = 0
            self.depth = self.depth._replace(status=BookStatus.DISCONNECTED)
        self._low_seeds = 0
        self._last_frame_ns = self._seeded_ns = now_ns
        self._set_top(seed.update_id, _best(seed), now_ns)
        if self.status != BookStatus.VALID:
            return False  # an empty book, perhaps of a symbol that does not trade yet
        self._taken += 1
        return True

    def book(self) -> BookState:
        """What is to be published."""
        volume_e8 = self.volume_e8
        fields = (
            self.status,
            *self._top,
            self.update_id,
            volume_e8 >> 64,
            volume_e8 & _LOW_WORD,
            self._trade_count,
            self._missed_trades,
            self.epoch,
            self._last_trade_price,
            self._last_trade_id,
            self._last_frame_ns,
            self._last_data_ns,
            self._exchange_ms,
        )
        return _new(BookState, fields)

    def _outlasts_seed(self, update_id: int, now_ns: int) -> bool:
        """Whether nothing but a snapshot's id speaks against this id, and has done so for long."""
        is_held_back = self._stream_id < update_id <= self.update_id
        return is_held_back and now_ns - self._seeded_ns > _SEED_GUARD_NS

    def _set_top(self, update_id: int, top: tuple[float, float, float, float], now_ns: int) -> None:
        self._inherited = False
        self.update_id = update_id
        self._top = top
        self.status = _status(*top)
        self._last_data_ns = now_ns

    def _new_epoch(self) -> None:
        """Ids have begun anew: what was counted before says nothing of what comes."""
        self.epoch += 1
        self.volume_e8 = self._trade_count = self._missed_trades = self._last_trade_id = 0


def _best(depth: PartialDepth) -> tuple[float, float, float, float]:
    bid = depth.bids[0] if depth.bids else (0.0, 0.0)
    ask = depth.asks[0] if depth.asks else (0.0, 0.0)
    return (*bid, *ask)


def _status(bid_price: float, bid_qty: float, ask_price: float, ask_qty: float) -> BookStatus:
    if not (0 < bid_price < inf and bid_qty > 0 and 0 < ask_price < inf and ask_qty > 0):
        return BookStatus.ONE_SIDED
    return BookStatus.CROSSED if bid_price >= ask_price else BookStatus.VALID
