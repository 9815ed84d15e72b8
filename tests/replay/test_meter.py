"""Presence, distance and risk are counted for as long as they last."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mmd.sim.ace.engine import Engine
from mmd.sim.ace.entries import Entry
from mmd.sim.ace.orders import OrderRequest
from mmd.sim.meter import Histogram, Meter
from mmd.words.market import Pair, Side

PAIR = Pair("BTC", "TWD")
SECOND_NS = 1_000_000_000


class Scene:
    """An account that places and cancels, while the price moves."""

    def __init__(self, reach_bps: float = float("inf")) -> None:
        self.engine = Engine()
        self.account = self.engine.add_account("me")
        for currency in ("BTC", "TWD"):
            self.engine.set_balance("me", currency, Decimal(10**9))
        self.engine.take_outcome()
        self.fair: float | None = 1_000_000.0
        self.meter = Meter(
            PAIR,
            self.account,
            lambda: self.fair,
            lambda: None if self.fair is None else dict.fromkeys(Side, self.fair),
            reach_bps,
        )
        self.meter.begin(0)

    def place(self, side: Side, price: int, at_s: float) -> str:
        request = OrderRequest(PAIR, side, price=Decimal(price), amount=Decimal("0.01"))
        number = self.engine.place("me", request, 0).order_no
        self.told(at_s)
        return number

    def cancel(self, number: str, at_s: float) -> None:
        self.engine.cancel("me", number, 0)
        self.told(at_s)

    def told(self, at_s: float) -> None:
        entry = Entry(n=1, t=0, cause="api", events=self.engine.take_outcome().events)
        self.meter.see(entry, int(at_s * SECOND_NS))

    def move(self, fair: float | None, at_s: float) -> None:
        self.meter.turn(int(at_s * SECOND_NS))
        self.fair = fair
        self.meter.compare()

    def end(self, at_s: float) -> Meter:
        self.meter.turn(int(at_s * SECOND_NS))
        return self.meter


def test_time_on_both_sides_and_without_a_quote() -> None:
    scene = Scene()
    scene.place(Side.BUY, 999_000, at_s=1)
    number = scene.place(Side.SELL, 1_001_000, at_s=2)
    scene.cancel(number, at_s=5)
    meter = scene.end(at_s=6)
    assert meter.watched_ns == 6 * SECOND_NS
    assert meter.both_ns == 3 * SECOND_NS
    assert meter.absent_ns == (1 + 6 - 3) * SECOND_NS


def test_distance_follows_the_price_and_the_best_order() -> None:
    scene = Scene()
    scene.place(Side.BUY, 998_000, at_s=0)  # 20 bps for 1 s
    scene.place(Side.BUY, 999_000, at_s=1)  # 10 bps for 1 s
    scene.move(1_001_000.0, at_s=2)  # 19.98 bps for 2 s
    meter = scene.end(at_s=4)
    assert meter.distances.mean is not None
    assert abs(meter.distances.mean - (20 + 10 + 2 * 19.98) / 4) < 0.01
    assert meter.distances.total_ns == 4 * SECOND_NS


def test_a_quote_on_the_wrong_side_of_fair_is_at_risk() -> None:
    scene = Scene()
    scene.place(Side.BUY, 999_000, at_s=0)
    scene.place(Side.SELL, 1_001_000, at_s=0)
    scene.move(998_000.0, at_s=3)
    scene.move(1_000_000.0, at_s=3.5)
    assert scene.end(at_s=9).risk_ns == SECOND_NS // 2


def test_a_far_level_is_no_quote_at_the_touch() -> None:
    scene = Scene(reach_bps=5)
    scene.place(Side.BUY, 998_000, at_s=0)
    scene.place(Side.SELL, 1_000_100, at_s=0)
    meter = scene.end(at_s=2)
    assert meter.both_ns == 0
    assert meter.absent_ns == 2 * SECOND_NS
    assert meter.distances.mean is not None
    assert abs(meter.distances.mean - 1) < 0.01


def test_without_a_price_nothing_is_at_the_touch() -> None:
    scene = Scene()
    scene.place(Side.BUY, 999_000, at_s=0)
    scene.move(None, at_s=1)
    meter = scene.end(at_s=3)
    assert meter.absent_ns == (3 + 2) * SECOND_NS
    assert meter.risk_ns == 0


def test_position_is_weighted_by_time_and_fills_are_kept() -> None:
    scene = Scene()
    scene.place(Side.BUY, 999_000, at_s=0)
    other = OrderRequest(PAIR, Side.SELL, price=Decimal(999_000), amount=Decimal("0.01"))
    scene.engine.place("crowd", other, 0)
    scene.told(at_s=2)
    meter = scene.end(at_s=6)
    assert len(meter.fills) == 1
    assert meter.most_position == 0.01
    assert meter.positions.mean == pytest.approx(0.01 * 4 / 6)
    assert meter.positions.percentile(95) == pytest.approx(0.01)


def test_the_drawdown_is_the_worst_fall_from_the_best_profit_so_far() -> None:
    scene = Scene()
    scene.place(Side.BUY, 999_000, at_s=0)
    other = OrderRequest(PAIR, Side.SELL, price=Decimal(999_000), amount=Decimal("0.01"))
    scene.engine.place("crowd", other, 0)
    scene.told(at_s=1)
    assert scene.meter.drawdown == 0
    for at_s, fair in enumerate((1_005_000.0, 1_002_000.0, 1_004_000.0, 1_010_000.0), start=2):
        scene.move(fair, at_s)
    assert scene.end(at_s=9).drawdown == pytest.approx(30)  # 0.01 from 1,005,000 to 1,002,000


def test_percentiles_are_weighted_by_time() -> None:
    distances = Histogram()
    distances.add(1.0, 98)
    distances.add(7.0, 2)
    assert distances.percentile(50) == 1.0
    assert distances.percentile(98) == 1.0
    assert distances.percentile(99) == 7.0
    other = Histogram()
    other.add(3.0, 100)
    distances.join(other)
    assert distances.percentile(99) == 3.0
    assert distances.mean is not None
    assert abs(distances.mean - 2.06) < 1e-9
    assert Histogram().percentile(99) is None
