"""What only the whole worker can show: crosses, real balances, sweeps. Virtual time, no luck."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mmd.cells.layouts import BookState, BookStatus
from mmd.config.model import PairSettings
from mmd.config.secrets import AceKey
from mmd.faces.stage import Feed, Life, Place, Stage
from mmd.sim.ace import PAPER_KEY, PAPER_SECRET, CrowdOptions, paper_accounts
from mmd.sim.ace.engine import CROWD
from mmd.sim.ace.entries import Entry
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.orders import OrderRequest
from mmd.sim.ace.venue import VenueRules
from mmd.sim.virtual import VirtualLoop
from mmd.venues.ace.budget import BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.market import Pair, Side

WAY_S = 0.005
"""From us to the venue, or back."""
ROUND_S = 0.02


@dataclass
class Scene:
    """One worker on a venue of its own; prices are what the script says."""

    stage: Stage
    place: Place
    feeds: list[Feed]
    prices: list[BookState | None]
    """Of the feeds; None: the feed is frozen."""
    record: list[Entry]
    life: Life | None = None

    async def wait(self, seconds: float) -> None:
        """Lets time pass on living links."""
        end_s = self.stage.loop.time() + seconds
        while self.stage.loop.time() < end_s:
            self.stage.beat()
            for feed, prices in zip(self.feeds, self.prices, strict=True):
                if prices is not None:
                    feed.book.write(prices._replace(last_frame_ns=self.stage.loop.clock_ns()))
                    feed.bell.ring()
            await asyncio.sleep(max(1e-6, min(ROUND_S, end_s - self.stage.loop.time())))

    def sell_into_the_best_bid(self) -> None:
        """A third party takes our best bid whole."""
        account = self.stage.exchange.engine.account(PAPER_KEY)
        best = max(
            (order for order in account.open.values() if order.side is Side.BUY),
            key=lambda order: order.price,
        )
        taken = OrderRequest(best.pair, Side.SELL, price=best.price, amount=best.remaining)
        self.stage.exchange.engine.place(CROWD, taken, self.stage.loop.wall_ms())

    def resting(self, side: Side) -> list[Decimal]:
        """Our prices on the venue, best first."""
        orders = self.stage.exchange.engine.account(PAPER_KEY).open.values()
        found = (order.price for order in orders if order.side is side)
        return sorted(found, reverse=side is Side.BUY)

    def counts(self) -> list[int]:
        return [len(self.resting(side)) for side in Side]


Script = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Plot:
    """What is special about a scene."""

    pair: str
    settings: dict[str, Any]
    prices: list[BookState]
    """Of the feed, and of a cross's second feed."""
    balances: dict[str, Decimal] = field(default_factory=dict)


def play(folder: Path, plot: Plot, script: Script) -> None:
    loop, record = VirtualLoop(), list[Entry]()
    quote = {"amount": {"min": "0.01", "max": "0.02"}, "levels": 3, "jitter_bps": 0}
    settings = PairSettings.model_validate(
        {**plot.settings, "rate": None, "quote": quote | plot.settings.get("quote", {})}
    )
    with ExitStack() as stack:
        stack.callback(loop.close)
        exchange = Exchange(
            paper_accounts(plot.balances),
            VenueRules(),
            lambda _pair, _ms: None,
            (),
            1,
            record.append,
            CrowdOptions(active=False),
        )
        exchange.open(loop.wall_ms())
        endpoint = AceEndpoint("http://venue", AceKey(PAPER_KEY, PAPER_SECRET), timeout_s=1.0)
        budget = BudgetSpec(folder, None, 1)
        stage = Stage(exchange, loop, folder, stack, endpoint, budget, lambda: WAY_S)
        feeds = [stage.feed() for _ in plot.prices]
        place = Place(stage, Pair.parse(plot.pair), settings, feeds[0])
        place.leg = feeds[1] if feeds[1:] else None
        scene = Scene(stage, place, feeds, [*plot.prices], record)
        loop.run_until_complete(_act(scene, script))


async def _act(scene: Scene, script: Script) -> None:
    await scene.stage.learn_markets()
    await scene.wait(ROUND_S)
    scene.life = scene.place.begin(1)
    await scene.wait(0.5)
    try:
        await script(scene)
    finally:
        scene.life.stop.request()
        await asyncio.wait({scene.life.task})
    scene.life.task.result()
    assert scene.counts() == [0, 0]


def book(bid: float, ask: float) -> BookState:
    return BookState(
        status=BookStatus.VALID, bid_price=bid, bid_qty=1.0, ask_price=ask, ask_qty=1.0,
        last_trade_id=1, last_trade_price=bid,
    )  # fmt: skip


def test_a_cross_is_quoted_while_both_its_books_hold(tmp_path: Path) -> None:
    plot = Plot(
        "ETH/BTC",
        {"binance": "ETHUSDT / BTCUSDT"},
        [book(2_600.0, 2_600.1), book(60_000.0, 60_000.1)],
    )

    async def script(scene: Scene) -> None:
        assert scene.counts() == [3, 3]
        fair = Decimal(2_600) / 60_000
        for side, sign in ((Side.BUY, -1), (Side.SELL, 1)):
            off = sign * (scene.resting(side)[0] / fair - 1) * 10_000
            assert 19 < off < 22
        scene.prices[1] = book(60_000.0, 60_000.1)._replace(status=BookStatus.DISCONNECTED)
        await scene.wait(0.2)
        assert scene.counts() == [0, 0]
        scene.prices[1] = book(60_300.0, 60_300.1)
        await scene.wait(0.2)
        assert scene.counts() == [3, 3]
        assert scene.resting(Side.SELL)[0] < fair
        scene.prices[1] = None  # its last state stands and grows old
        await scene.wait(scene.place.settings.quote.max_price_age_s + 0.2)
        assert scene.counts() == [0, 0]

    play(tmp_path, plot, script)


def test_a_target_share_leans_on_the_balances_that_the_venue_tells(tmp_path: Path) -> None:
    """The account holds base worth 2 million and quote of 1 million: 67 %."""

    def distances(target_pct: int, folder: Path) -> list[int]:
        found: list[int] = []
        plot = Plot(
            "BTC/USDT",
            {
                "binance": "BTCUSDT",
                "quote": {"inventory": {"target_pct": target_pct, "range_pct": 10, "skew_bps": 8}},
            },
            [book(50_000.0, 50_000.01)],
            {"BTC": Decimal(40), "USDT": Decimal(1_000_000)},
        )

        async def script(scene: Scene) -> None:
            await scene.stage.account_round()
            await scene.wait(0.2)
            found.extend(round(abs(scene.resting(side)[0] / 50_000 - 1) * 10_000) for side in Side)

        folder.mkdir()
        play(folder, plot, script)
        return found

    assert distances(40, tmp_path / "too much") == [28, 12]
    assert distances(90, tmp_path / "too little") == [12, 28]
    assert distances(62, tmp_path / "half way") == [24, 16]


def test_ping_pong_survives_a_restart(tmp_path: Path) -> None:
    plot = Plot(
        "BTC/USDT",
        {"binance": "BTCUSDT", "quote": {"after_fill": {"ping_pong": True}}},
        [book(50_000.0, 50_000.01)],
    )

    async def script(scene: Scene) -> None:
        assert scene.life is not None
        scene.sell_into_the_best_bid()
        await scene.stage.account_round()
        await scene.wait(0.2)
        assert scene.counts() == [0, 3]
        scene.life.stop.request()
        await scene.life.task
        scene.life = scene.place.begin(2)
        await scene.wait(0.5)
        assert scene.counts() == [0, 3]

    play(tmp_path, plot, script)


def test_a_filled_side_is_replenished_by_itself_after_its_time(tmp_path: Path) -> None:
    after_fill = {"replenish_s": 1, "hanging_bps": 60}
    quote = {"after_fill": after_fill, "refresh_s": {"min": 0.5, "max": 0.6}}
    plot = Plot("BTC/USDT", {"binance": "BTCUSDT", "quote": quote}, [book(50_000.0, 50_000.01)])

    async def script(scene: Scene) -> None:
        opposite = scene.resting(Side.SELL)[0]
        scene.sell_into_the_best_bid()
        await scene.stage.account_round()
        await scene.wait(0.3)
        assert scene.counts()[0] == 2
        assert opposite in scene.resting(Side.SELL)
        await scene.wait(1.2)
        assert scene.counts()[0] == 3
        assert opposite in scene.resting(Side.SELL)  # old, and hangs

    play(tmp_path, plot, script)


@pytest.mark.parametrize(("hours", "levels"), [("16:00-17:00", 3), ("17:00-16:00", 0)])
def test_quotes_are_there_in_session_hours_only(tmp_path: Path, hours: str, levels: int) -> None:
    """Virtual time begins on 15 January 2027 at 16:00 in Taipei."""
    plot = Plot(
        "BTC/USDT",
        {"binance": "BTCUSDT", "quote": {"session": {"hours": [hours]}}},
        [book(50_000.0, 50_000.01)],
    )

    async def script(scene: Scene) -> None:
        assert scene.counts() == [levels, levels]

    play(tmp_path, plot, script)


def test_no_more_requests_are_under_way_than_allowed(tmp_path: Path) -> None:
    plot = Plot(
        "BTC/USDT",
        {
            "binance": "BTCUSDT",
            "quote": {"levels": 10, "max_orders_in_flight": 4, "spare_orders": 0},
        },
        [book(50_000.0, 50_000.01)],
    )

    async def script(scene: Scene) -> None:
        assert scene.life is not None
        scene.prices = [book(51_000.0, 51_000.01)]
        most = 0
        for _ in range(100):
            await scene.wait(0.002)
            busy = [entry for entry in scene.life.worker.ledger.live() if not entry.state.rests]
            most = max(most, len(busy))
        assert 0 < most <= 4
        prices = sorted(entry.order.price for entry in scene.life.worker.ledger.live())
        assert prices[1] > 50_100  # all but the furthest bid, within its tolerance, have moved
        assert scene.counts() == [10, 10]

    play(tmp_path, plot, script)


def test_a_sweep_on_binance_pulls_the_endangered_side_first_and_at_once(tmp_path: Path) -> None:
    plot = Plot("BTC/USDT", {"binance": "BTCUSDT"}, [book(60_000.0, 60_000.01)])

    async def script(scene: Scene) -> None:
        asks = scene.resting(Side.SELL)
        swept = book(60_000.0, 60_000.01)._replace(last_trade_id=2, last_trade_price=59_760.0)
        scene.prices[0] = swept  # 40 bps below the best bid, which says nothing yet
        before, at_s = len(scene.record), scene.stage.loop.time()
        await scene.wait(WAY_S + 0.001)
        asked = [entry.path for entry in scene.record[before:] if entry.path]
        assert asked[:2] == ["/open/v2/order/cancel"] * 2, asked
        await scene.wait(0.1)
        assert max(scene.resting(Side.BUY)) <= 59_760
        assert scene.resting(Side.SELL) == asks
        assert scene.stage.loop.time() - at_s < 0.2

    play(tmp_path, plot, script)
