"""Self-trades beside a quoting ladder, in virtual time: the real worker and the real engine, other
participants who take what they gain by, and then faults and kills as well."""

from __future__ import annotations

from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest

from mmd.config.model import PairSettings
from mmd.decide.ledger import SELF_TRADE_LEVEL
from mmd.processes.sweep import SweepPlan, sweep_async
from mmd.sim.ace import PAPER_KEY
from mmd.sim.virtual import VirtualLoop
from tests.orders import trial
from tests.orders.trial import Drama, Life, Story

THRESHOLD = 10
AMOUNT = (Decimal("0.002"), Decimal("0.004"))
E8 = 10**8
SECONDS = 240


class SelfTradeStage(Drama):
    """A stage where Binance trades in bursts, and orders of self-trades are told apart."""

    volume_e8 = 0
    self_trade_ids: set[str]
    oldest_s = 0.0
    """The longest time that an order of a self-trade was seen resting."""

    def move(self) -> None:
        super().move()
        burst = 10 if self.random.random() < 0.02 else 1
        self.volume_e8 += int(self.random.expovariate(1 / 0.2) * burst * E8)
        book = self.place.feed.book
        book.write(book.read()._replace(epoch=1, volume_low=self.volume_e8))

    def watch(self, life: Life | None) -> None:
        """Notes which orders are self-trades, and how long they rest."""
        if life is not None:
            ledger = life.worker.ledger
            for entry in (*ledger.live(), *ledger.finished.values()):
                if entry.level == SELF_TRADE_LEVEL:
                    self.self_trade_ids.add(entry.order.client_id)
        for order in self.exchange.engine.account(PAPER_KEY).open.values():
            if order.client_id in self.self_trade_ids:
                age_s = (self.loop.wall_ms() - order.time_ms) / 1000
                self.oldest_s = max(self.oldest_s, age_s)


class Watch(trial.OrphanWatch):
    """Watches the self-trades, too."""

    def __init__(self, stage: SelfTradeStage) -> None:
        super().__init__(stage)
        self._self_trades = stage

    def look(self, life: Life | None) -> None:
        super().look(life)
        self._self_trades.watch(life)


def with_self_trades(settings: PairSettings, quotes: bool) -> PairSettings:
    """The trial's settings, with self-trades."""
    raw = settings.model_dump()
    raw["quote"]["enabled"] = quotes
    raw["self_trade"] |= {
        "enabled": True,
        "volume_threshold": THRESHOLD,
        "amount": {"min": AMOUNT[0], "max": AMOUNT[1]},
        "max_per_hour": 3_600,
        "sleep_s": {"min": 0.2, "max": 0.6},
    }
    return PairSettings.model_validate(raw)


async def tell(stage: SelfTradeStage, story: Story, seconds: float, trouble: bool) -> Life:
    """A story with an orderly end."""
    await stage.learn_markets()
    watch = Watch(stage)
    life = await trial.play(stage, story, watch, None, seconds, trouble=trouble)
    stage.exchange.faults.clear()
    life = await trial.play(stage, story, watch, life, 12, trouble=False)
    life.stop.request()
    await life.task
    plan = SweepPlan(trial.PAIR, trial.INSTANCE, 0.5, stage.loop.time() + 20)
    swept = await sweep_async(stage.clerk, stage.endpoint, plan, stage.loop.time)
    assert swept.proven
    await stage.account_round()
    story.faults += watch.found
    return life


def run(seed: int, folder: Path, seconds: float, **kind: bool) -> tuple[SelfTradeStage, Life]:
    story, loop = Story(seed), VirtualLoop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        stage = SelfTradeStage(seed, folder, loop, stack)
        stage.self_trade_ids = set()
        stage.place.settings = with_self_trades(stage.place.settings, kind.get("quotes", True))
        trouble = kind.get("trouble", False)
        life = loop.run_until_complete(tell(stage, story, seconds, trouble))
        check_the_venue(stage, story)
    return stage, life


def check_the_venue(stage: SelfTradeStage, story: Story) -> None:
    """Booked is what was traded; whatever met of ours was meant to."""
    trial.judge(stage, story)
    meetings = [fault for fault in story.faults if fault.startswith(("self_", "crossed_"))]
    assert [fault for fault in story.faults if fault not in meetings] == []
    orders = stage.exchange.engine.account(PAPER_KEY).finished
    memory = stage.exchange.referee.memory
    for incident in (*memory.self_matches, *memory.crossings):
        one, other = (orders[number] for number in incident.order_nos)
        assert {one.client_id, other.client_id} <= stage.self_trade_ids
        assert one.side is other.side.opposite
        assert (one.price, one.amount) == (other.price, other.amount)


def matched(stage: Drama) -> Decimal:
    """What the venue says we traded with ourselves."""
    fills = stage.exchange.engine.account(PAPER_KEY).fills
    return sum((fill.amount for fill in fills if fill.is_self and fill.is_maker), Decimal(0))


def asked(stage: SelfTradeStage) -> Decimal:
    """What the threshold asks for, on average, for the volume that Binance had."""
    return Decimal(stage.volume_e8) / (THRESHOLD * E8) * sum(AMOUNT) / 2


@pytest.mark.parametrize("quotes", [True, False])
def test_volume_follows_the_threshold_and_nothing_is_left_over(
    tmp_path: Path, quotes: bool
) -> None:
    stage, life = run(7, tmp_path, SECONDS, quotes=quotes)
    assert abs(matched(stage) / asked(stage) - 1) < Decimal("0.1")
    assert stage.oldest_s < 2
    assert life.worker.selftrader.done.amount == matched(stage)
    assert life.worker.selftrader.done.count > 20
    taken = [
        fill
        for fill in stage.exchange.engine.account(PAPER_KEY).fills
        if fill.client_id in stage.self_trade_ids and not fill.is_self
    ]
    assert taken, "the others never came between: the test proves too little"
    quoted = len(stage.exchange.engine.account(PAPER_KEY).finished) - len(stage.self_trade_ids)
    assert (quoted > 0) is quotes


@pytest.mark.parametrize("seed", range(6))
def test_faults_and_kills_leave_no_order_no_unmeant_meeting_and_no_unbooked_fill(
    tmp_path: Path, seed: int
) -> None:
    stage, _ = run(seed, tmp_path, 40, trouble=True)
    assert stage.self_trade_ids
