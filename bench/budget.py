"""What ten requests a second buy: mmd beside the two usual ways to follow a price.

    (a) cancel all and replace, on each move of 1 bp
    (b) all or nothing: every second, all orders are replaced unless all are within 1 bp
    (c) mmd

All three quote the same ladder on BTC/TWD and ETH/TWD, on the recorded streams, on the simulated
venue, in virtual time, under one budget of 10 requests a second with a burst of 20. (a) and (b)
are told of fills at once and for nothing. Usage: bin/bench-budget [--seed S] [--set KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from bench.report import Table
from mmd.config.load import load
from mmd.config.model import QuoteSettings
from mmd.decide.reference import BPS, AgeLimits, NoReference, Reference, moved_bps, reference_of
from mmd.faces.overrides import changed, parse
from mmd.faces.replay import Player, ReplayJob, Run
from mmd.faces.stage import INSTANCE, Place
from mmd.sim.ace import PAPER_KEY
from mmd.sim.ace.ledger import Account
from mmd.sim.ace.orders import SimOrder
from mmd.sim.meter import Meter, Prices
from mmd.sim.virtual import VirtualLoop
from mmd.venues.ace import calls
from mmd.venues.ace.budget import Priority
from mmd.venues.ace.protocol import Call
from mmd.words.errors import MmdError, Refused
from mmd.words.ids import ClientIds
from mmd.words.market import NewOrder, Pair, Side

ROOT = Path(__file__).parent.parent
PAIRS = (Pair("BTC", "TWD"), Pair("ETH", "TWD"))
FILES = ("btcusdt_20240808.gz", "ethusdt_20240808.gz")
SAME_LADDER = {
    "quote.jitter_bps": "0",
    "quote.widen.volatility_factor": "0",
    "quote.inventory.skew_bps": "0",
    "quote.levels": "5",
    "quote.spread_bps": "20",
    "quote.step_bps": "10",
}
"""The ideal is the same for all three only without what mmd alone can do."""
_LIMITS = AgeLimits(3_000_000_000, 5_000_000_000)
_TAKES_PER_S = 0.1
"""As on the served venue."""
_NAP_S = 0.005
_LOOK_S = 0.001


class Contest(Run):
    """A replay in which somebody quotes; quotes are measured against the ladder's first level."""

    def __init__(self, job: ReplayJob, loop: VirtualLoop, folder: Path, stack: ExitStack) -> None:
        super().__init__(job, loop, folder, stack)
        self.booked_s: list[float] = []
        """From each fill at the venue to its booking."""
        self._last_fill = 0

    async def account_round(self) -> None:
        await super().account_round()
        now_ms = self.loop.wall_ms()
        for fill in self.stage.store.fills(self._last_fill):
            self.booked_s.append((now_ms - fill.trade.time_ms) / 1000)
            self._last_fill = fill.id

    def meter(self, pair: Pair, account: Account) -> Meter:
        usual = super().meter(pair, account)
        quote = self.job.settings.pairs[pair].quote
        feed = self.feeds[self.job.settings.pairs[pair].binance.symbol]
        rate = self.job.settings.rate_of(pair)
        rate_book = self.rates[rate].book if rate else None

        def ideal() -> Prices | None:
            rate_state = rate_book.read() if rate_book else None
            if (
                rate_state is not None and not rate_state.is_valid
            ) or not feed.book.read().is_valid:
                return None
            book, away = feed.book.read(), float(quote.spread_bps) * 1e-4
            bid_rate = rate_state.bid_price if rate_state else 1.0
            ask_rate = rate_state.ask_price if rate_state else 1.0
            return {
                Side.BUY: book.bid_price * bid_rate * (1 - away),
                Side.SELL: book.ask_price * ask_rate * (1 + away),
            }

        return replace(usual, ideal=ideal, reach_bps=float(quote.step_bps) / 2)


class Rival:
    """A bot that replaces its whole ladder, or leaves it."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place, self.stage = place, place.stage
        self.quote: QuoteSettings = place.settings.quote
        self.client, self.budget = place.stage.client(), place.stage.open_budget()
        self.random = Random(f"{seed} {place.pair}")
        self.rules = place.stage.markets[place.pair]
        self.ids = ClientIds(INSTANCE, place.pair, place.stage.loop.wall_ms())
        self.leaving = False
        self.quoted: Reference | None = None

    async def run(self) -> None:
        while not self.leaving:
            await self.wait()
            found = self.reference()
            if found is not None and not self.leaving and self.is_due(found):
                await self.replace_all()
        await self.cancel_all()

    def leave(self) -> None:
        self.leaving = True

    async def wait(self) -> None:
        """Until the next look."""
        raise NotImplementedError

    def is_due(self, found: Reference) -> bool:
        """Whether everything is to be replaced."""
        raise NotImplementedError

    def reference(self) -> Reference | None:
        rate = self.place.rate.book.read() if self.place.rate else None
        now_ns = self.stage.loop.clock_ns()
        found = reference_of(self.place.feed.book.read(), rate, now_ns, _LIMITS)
        return None if isinstance(found, NoReference) else found

    def ladder(self, found: Reference) -> list[tuple[Side, Decimal]]:
        prices = []
        for distance in self.quote.distance_table():
            bid = found.bid * (1 - distance * BPS)
            ask = found.ask * (1 + distance * BPS)
            prices += [(Side.BUY, self.rules.round_price(bid, Side.BUY))]
            prices += [(Side.SELL, self.rules.round_price(ask, Side.SELL))]
        return prices

    def open_orders(self) -> list[SimOrder]:
        account = self.stage.exchange.engine.account(PAPER_KEY)
        return [order for order in account.open.values() if order.pair == self.place.pair]

    async def replace_all(self) -> None:
        """Cancels all, and places all at the price that holds when nothing is left."""
        await self.cancel_all()
        found = self.reference()
        if found is None:
            return
        self.quoted = found
        low, high = self.quote.amount.min, self.quote.amount.max
        for side, price in self.ladder(found):
            share = Decimal(self.random.randrange(1001)) / 1000
            amount = self.rules.round_amount(low + (high - low) * share)
            order = NewOrder(self.ids.make(), side, price, amount)
            await self.send(calls.new_order(self.rules, order))
        await asyncio.sleep(_NAP_S)

    async def cancel_all(self) -> None:
        for order in self.open_orders():
            await self.send(calls.cancel(order.order_no))
        while self.open_orders():
            await asyncio.sleep(_NAP_S)
            for order in self.open_orders():
                await self.send(calls.cancel(order.order_no))

    async def send(self, call: Call[object]) -> None:
        """Waits for the budget, and for nothing else."""
        while True:
            if self.budget.try_take(Priority.TOUCH, self.stage.loop.clock_ns()):
                break
            await asyncio.sleep(_NAP_S)
        try:
            await self.client.call(call)
        except Refused:
            return  # filled meanwhile


class OnMove(Rival):
    """(a): cancel all and replace, on each move of 1 bp."""

    async def wait(self) -> None:
        await asyncio.sleep(_LOOK_S)

    def is_due(self, found: Reference) -> bool:
        return self.quoted is None or moved_bps(self.quoted, found) >= 1


class OnTick(Rival):
    """(b): every second, all orders are replaced unless each is within 1 bp of its place."""

    async def wait(self) -> None:
        now_s = self.stage.loop.time()
        await asyncio.sleep(1.0 - now_s % 1.0)

    def is_due(self, found: Reference) -> bool:
        wanted = sorted(self.ladder(found))
        there = sorted((order.side, order.price) for order in self.open_orders())
        if len(wanted) != len(there):
            return True
        return any(
            side is not other_side or abs(price - other) > price * BPS
            for (side, price), (other_side, other) in zip(wanted, there, strict=True)
        )


def contest(job: ReplayJob, rival: Callable[[Place, int], Rival] | None) -> tuple[Contest, int]:
    """Runs the job with mmd, or with a rival in its place; also the orders left at the end."""
    loop = VirtualLoop()
    with ExitStack() as stack, TemporaryDirectory(prefix="mmd-budget-") as folder:
        stack.callback(loop.close)
        run = Contest(job, loop, Path(folder), stack)
        if rival is not None:

            def begin(place: Place) -> Player:
                player = rival(place, job.seed)
                return Player(loop.create_task(player.run()), player.leave)

            run.begin = begin  # type: ignore[method-assign]
        report = loop.run_until_complete(run.run())
    run.counter.by_kind = dict(report.requests)
    return run, report.left


def table(job: ReplayJob, contestants: Sequence[tuple[str, Callable[..., Rival] | None]]) -> Table:
    """One row for each."""
    found = Table(
        "Ten requests a second, two pairs of five levels a side",
        (
            "who",
            "orders and cancels",
            "account",
            "rate, ACE's book",
            "requests in all",
            "distance mean, bps",
            "distance p99, bps",
            "no quote at the touch",
            "both sides",
            "at risk, s",
            "fills",
            "of them taken as stale",
            "fill to booking, s: median, most",
        ),
    )
    for name, rival in contestants:
        run, left = contest(job, rival)
        if left:
            raise MmdError(f"{name} left {left} orders")
        found.add(name, *_figures(run))
    return found


def _figures(run: Contest) -> list[str]:
    meters, sent = list(run.meters.values()), run.counter.by_kind
    watched = sum(meter.watched_ns for meter in meters)
    distances = meters[0].distances
    for meter in meters[1:]:
        distances.join(meter.distances)
    stale = sum(_is_stale(run, meter) for meter in meters)
    return [
        f"{sent['orders'] + sent['cancels']:,}",
        f"{sent['account']:,}",
        f"{sent['market']:,}",
        f"{sum(sent.values()):,}",
        f"{distances.mean or 0:.2f}",
        f"{distances.percentile(99) or 0:.2f}",
        f"{sum(meter.absent_ns for meter in meters) / watched / 2:.2%}",
        f"{sum(meter.both_ns for meter in meters) / watched:.2%}",
        f"{sum(meter.risk_ns for meter in meters) / 1e9:.2f}",
        f"{sum(len(meter.fills) for meter in meters):,}",
        f"{stale}",
        f"{median(run.booked_s):.2f}, {max(run.booked_s):.2f}" if run.booked_s else "-",
    ]


def _is_stale(run: Contest, meter: Meter) -> int:
    """Fills against us: at a price on the wrong side of the fair one."""
    count = 0
    for fill in meter.fills:
        fair = run.fair.at(meter.pair, fill.time_ms)
        if fair is not None:
            count += fill.price > fair if fill.side is Side.BUY else fill.price < fair
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="of the ladder, for all three")
    parser.add_argument("--mmd", action="append", default=[], help="of mmd alone")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--only", default="abc")
    options = parser.parse_args()
    for name in ("mmaker", "selftrader"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    data = Path(os.environ.get("MMD_DATA", ROOT.parent / "shared" / "data"))
    settings = changed(load(ROOT / "conf" / "pairs.yaml"), PAIRS, SAME_LADDER)
    settings = changed(settings, PAIRS, parse(options.set))
    job = ReplayJob(
        settings=settings,
        pairs=PAIRS,
        files=tuple(data / name for name in FILES),
        minutes=options.minutes,
        seed=options.seed,
        takes_per_s=_TAKES_PER_S,
        informed=0,
    )
    ours = replace(job, settings=changed(settings, PAIRS, parse(options.mmd)))
    rows = table(job, [row for row in RIVALS if row[0][1] in options.only])
    if "c" in options.only:
        rows.rows += table(ours, [("(c) mmd", None)]).rows
    print(rows.markdown())
    return 0


RIVALS: list[tuple[str, Callable[[Place, int], Rival] | None]] = [
    ("(a) cancel all and replace on 1 bp", OnMove),
    ("(b) all or nothing, 1 bp, each second", OnTick),
]


if __name__ == "__main__":
    sys.exit(main())
