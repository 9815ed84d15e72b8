"""The self-trader of one pair: two orders of ours that meet each other inside the venue's spread.

For the exchange's test system and the simulated one only. It lives in the pair's worker, beside
the ladder, and shares its desk, ledger and budget. Whatever a third party takes in between is a
real fill and is recorded as such; whatever is left over is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random

from mmd.cells.layouts import BookState
from mmd.config.model import (
    WASH_TRADING,
    Mode,
    PairSettings,
    SelfTradeSettings,
    is_public_ace,
)
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Entry
from mmd.decide.plan import Action, Cancel, Urgency
from mmd.decide.selftrade import Attempt, Cause, NoTrade, Sum, met_quote, two_orders
from mmd.processes.desk import Desk, describe, describe_trade
from mmd.records import selftrade as records
from mmd.venues.ace import calls
from mmd.venues.ace.calls import plain
from mmd.words.errors import ConfigError, MmdError, Unavailable
from mmd.words.market import OrderBook, OwnTrade, Side

log = logging.getLogger("selftrader")

_WRITE_EVERY_NS = 1_000_000_000
"""A count of volume is at most this old on disk."""
_LOOK_AGAIN_NS = 1_000_000_000
"""After something was in the way."""
_REFUSED_NS = 5_000_000_000
"""After the venue did not take the orders."""
_STRAYS_NS = 250_000_000
_BOOK_LIMIT_NS = 500_000_000
"""An order book asked for longer ago than this is not traded on."""
_STEP_S = 0.01
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0
_ACCOUNT_LIMIT_NS = 5_000_000_000
"""So long the venue may take to list the trades of orders that it calls filled."""
_TRADES = 100
"""The newest own trades, among which those of two fresh orders are."""


def require_allowed(settings: SelfTradeSettings, mode: Mode, base_url: str) -> None:
    """Raises ConfigError where trading with oneself would meet real people. The configuration
    refuses it already; this is the second lock."""
    if settings.enabled and (mode is Mode.LIVE or is_public_ace(base_url)):
        raise ConfigError(f"self_trade.enabled {WASH_TRADING}")


@dataclass(frozen=True)
class SelfTradeJob:
    """What a self-trader is told."""

    mode: Mode
    base_url: str
    file: Path
    """Where its progress is kept."""
    random: Random
    may_trade: Callable[[], str | None]
    """Why nothing may be sent now; None if it may."""
    wall_s: Callable[[], float]
    """Seconds since 1970."""


class SelfTrader:
    """Looks at the traded volume each turn; at most one self-trade is under way."""

    def __init__(self, job: SelfTradeJob, desk: Desk, settings: PairSettings) -> None:
        self._job, self._desk = job, desk
        self.progress = records.read(job.file)
        self._written, self._written_ns = self.progress, desk.clock_ns()
        self._rests_until_ns = self._strays_until_ns = 0
        self._in_the_way = ""
        self._taken: Side | None = None
        """The side of the first order, if a third party took it last time."""
        self._task: asyncio.Task[None] | None = None
        self.use(settings)

    def use(self, settings: PairSettings) -> None:
        """Takes parameters over. Raises ConfigError where self-trades must not take place."""
        require_allowed(settings.self_trade, self._job.mode, self._job.base_url)
        self._settings = settings.self_trade
        self._quote_amount = (settings.quote.amount.min, settings.quote.amount.max)

    @property
    def done(self) -> Sum:
        """What was traded with ourselves in all, in this life and earlier ones."""
        return self.progress.done

    def turn(self, book: BookState) -> None:
        """Counts, and begins a self-trade if one is due. `book` is Binance's."""
        now_ns, now_s = self._desk.clock_ns(), self._job.wall_s()
        if self._task is not None:
            return
        self._cancel_strays(now_ns)
        if not self._settings.enabled:
            self.progress = self.progress.forgotten()
            return
        if not book.epoch:
            return
        if not self.progress.factor:
            self.progress = self.progress.armed(self._settings, now_s, self._job.random)
        if (self.progress.epoch, self.progress.seen_e8) != (book.epoch, book.volume_e8):
            self.progress = self.progress.looked(book, self._settings)
        if now_ns < self._rests_until_ns:
            return
        if now_ns - self._written_ns >= _WRITE_EVERY_NS:
            self._keep()
        cause = self.progress.cause(self._settings, now_s)
        if cause is None:
            return
        room = self.progress.room(self._settings, now_s)
        reason = room.reason if isinstance(room, NoTrade) else self._job.may_trade()
        if reason is not None or isinstance(room, NoTrade):
            self.progress = self.progress.held_back(self._settings)
            self._wait(reason or "")
            return
        self._task = asyncio.get_running_loop().create_task(self._trade(cause, room))
        self._task.add_done_callback(self._finished)

    async def stop(self) -> None:
        """Ends; orders that rest are left to whoever cancels all."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._keep()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.result()  # what went wrong unexpectedly ends the worker, through its loop

    def _wait(self, reason: str, for_ns: int = _LOOK_AGAIN_NS) -> None:
        """Something is in the way: said once, looked at again later."""
        self._rests_until_ns = self._desk.clock_ns() + for_ns
        if reason != self._in_the_way:
            log.info("no self-trade now: %s", reason)
        self._in_the_way = reason

    def _keep(self) -> bool:
        """Brings the progress to disk; False when that can't be done now."""
        self._written_ns = self._desk.clock_ns()
        if self.progress == self._written:
            return True
        try:
            records.write(self._job.file, self.progress)
        except Unavailable as error:
            self._wait(str(error))
            return False
        self._written = self.progress
        return True

    async def _trade(self, cause: Cause, room: Decimal) -> None:
        asked_ns = self._desk.clock_ns()
        try:
            book = await self._desk.ask(calls.order_book(self._desk.rules))
        except MmdError as error:
            self._wait(str(error))
            return
        orders = two_orders(
            book,
            self._settings,
            self._quote_amount,
            room,
            self._desk.rules,
            self._job.random,
            self._taken,
        )
        if isinstance(orders, NoTrade):
            self._wait(orders.reason)
            return
        await self._execute(cause, book, orders, asked_ns)

    async def _execute(
        self, cause: Cause, book: OrderBook, orders: tuple[WantedQuote, WantedQuote], asked_ns: int
    ) -> None:
        first, second = orders
        reason = self._fault(first.price, asked_ns)
        if reason is not None:
            self._wait(reason)
            return
        before = self.progress
        self.progress, attempt = before.begun(
            cause, first.amount, self._settings, self._job.wall_s(), self._job.random
        )
        entries = []
        if self._keep():  # what is not on disk before it is sent could be done twice
            log.info("begins: %s", _describe(orders, book, cause))
            entries = await self._desk.place_opposites(
                first, second, lambda: self._fault(first.price, asked_ns)
            )
        if not any(entry.order_no or not entry.state.is_final for entry in entries):
            self.progress = before
            self._keep()
            self._wait("the orders were refused, or not sent", _REFUSED_NS)
            return
        trades = await self._settle(entries)
        self._in_the_way = ""
        self._book(attempt, entries, trades)

    def _fault(self, price: Decimal, asked_ns: int) -> str | None:
        """Why a self-trade at a price must not be sent now."""
        reason = self._job.may_trade()
        if reason is not None:
            return reason
        if self._desk.clock_ns() - asked_ns > _BOOK_LIMIT_NS:
            return "the order book came too long ago"
        met = met_quote(self._desk.ledger, price)
        return f"it would meet {describe(met)}" if met is not None else None

    async def _settle(self, entries: list[Entry]) -> list[OwnTrade]:
        """Waits until neither order can rest any more, cancelling what does; returns their trades.

        The venue's list of our trades must account for all that was filled; it is waited for.
        """
        trades: list[OwnTrade] = []
        pause_s, since_ns = _FIRST_PAUSE_S, self._desk.clock_ns()
        while True:
            trades = await self._ask_trades(entries) or trades
            self._cancel([entry for entry in entries if entry.state.rests])
            await self._until_final(entries, pause_s)
            if all(entry.state.is_final for entry in entries):
                if sum(trade.amount for trade in trades) == sum(entry.filled for entry in entries):
                    return trades
                if self._desk.clock_ns() - since_ns > _ACCOUNT_LIMIT_NS:
                    log.warning("the venue does not list all trades of this self-trade")
                    return trades
                await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _ask_trades(self, entries: list[Entry]) -> list[OwnTrade]:
        """The orders' trades, booked in the ledger; none when the venue does not say."""
        ids = {entry.order.client_id: entry for entry in entries}
        try:
            found = await self._desk.ask(calls.own_trades(self._desk.rules, size=_TRADES))
        except MmdError as error:
            log.warning("%s", error)
            return []
        trades = [trade for trade in found if trade.client_id in ids]
        for client_id in ids:
            filled = sum((t.amount for t in trades if t.client_id == client_id), Decimal(0))
            self._desk.ledger.book_fill(client_id, filled, self._desk.clock_ns())
        return trades

    async def _until_final(self, entries: list[Entry], limit_s: float) -> None:
        until_ns = self._desk.clock_ns() + int(limit_s * 1e9)
        while self._desk.clock_ns() < until_ns:
            if all(entry.state.is_final for entry in entries):
                return
            await asyncio.sleep(_STEP_S)

    def _cancel(self, entries: list[Entry]) -> None:
        actions: list[Action] = [Cancel(e, Urgency.HARM, "left over") for e in entries]
        self._desk.carry_out(actions, self._desk.clock_ns(), lambda: 0)

    def _cancel_strays(self, now_ns: int) -> None:
        """Orders of a self-trade that turned up after it had ended."""
        strays = [e for e in self._desk.ledger.live() if e.level == SELF_TRADE_LEVEL]
        if strays and now_ns >= self._strays_until_ns:
            self._strays_until_ns = now_ns + _STRAYS_NS
            self._cancel([entry for entry in strays if entry.state.rests])

    def _book(self, attempt: Attempt, entries: list[Entry], trades: list[OwnTrade]) -> None:
        """Takes note of how it ended."""
        matched = _amount(
            t for t in trades if t.is_self and t.client_id == entries[0].order.client_id
        )
        opposite = _amount(t for t in trades if t.is_self) - matched
        fees = sum((trade.fee for trade in trades), Decimal(0))
        self.progress = self.progress.ended(attempt, min(matched, opposite), fees)
        self._keep()
        self._taken = None
        for trade in trades:
            if not trade.is_self:
                self._taken = entries[0].side
                log.warning("a third party took: %s", describe_trade(trade))
        if matched != opposite:
            log.error("an order met another order of ours that was not meant: %s", trades)
        now_s = self._job.wall_s()
        log.info(
            "ended: matched %s of %s, fees %s; within an hour %s, within a day %s, in all %s",
            plain(min(matched, opposite)),
            plain(attempt.amount),
            plain(fees),
            _total(self.progress.last_hour(now_s)),
            _total(self.progress.last_day(now_s)),
            _total(self.progress.done),
        )


def _amount(trades: Iterable[OwnTrade]) -> Decimal:
    return sum((trade.amount for trade in trades), Decimal(0))


def _total(sums: Sum) -> str:
    return f"{sums.count} of {plain(sums.amount)} for {plain(sums.fees)}"


def _describe(orders: tuple[WantedQuote, WantedQuote], book: OrderBook, cause: Cause) -> str:
    """A self-trade as the log shows it."""
    first = orders[0]
    return (
        f"{plain(first.amount)} @ {plain(first.price)}, {first.side.name.lower()} first, between "
        f"{plain(book.bids[0].price)} and {plain(book.asks[0].price)}, by {cause.value}"
    )
