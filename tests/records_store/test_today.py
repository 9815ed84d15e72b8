"""The day's account: own fills since midnight, and nothing of yesterday."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from mmd.records.store import Store
from mmd.records.today import Today
from mmd.words.ids import ClientIds
from mmd.words.market import OwnTrade, Pair, Side

TAIPEI = ZoneInfo("Asia/Taipei")
BTC = Pair("BTC", "TWD")
MIDNIGHT_S = 1_772_294_400.0  # 2026-03-01 00:00 in Taipei
INSTANCE = "abc123"


def _trade(number: int, time_s: float, side: Side, price: int, owner: str = INSTANCE) -> OwnTrade:
    client_id = ClientIds(owner, BTC, int(MIDNIGHT_S * 1000)).make()
    return OwnTrade(
        number, str(number), client_id, BTC, side, Decimal(price), Decimal("0.5"), Decimal(1),
        True, False, int(time_s * 1000),
    )  # fmt: skip


def test_the_day_begins_at_midnight_of_the_zone_and_counts_our_own(tmp_path: Path) -> None:
    now_s = [MIDNIGHT_S + 60]
    today = Today(INSTANCE, TAIPEI, lambda: now_s[0])
    with Store.open(tmp_path / "account.sqlite") as store:
        store.cursor(0)
        store.add_fills([
            _trade(1, MIDNIGHT_S - 1, Side.BUY, 90),
            _trade(2, MIDNIGHT_S, Side.BUY, 100),
            _trade(3, MIDNIGHT_S + 5, Side.SELL, 500, owner="zzz999"),
        ])  # fmt: skip
        first = today.read(store)[BTC]
        assert (first.fills, first.position, first.fees) == (1, Decimal("0.5"), 1)
        store.add_fills([_trade(4, MIDNIGHT_S + 30, Side.SELL, 110)])
        second = today.read(store)[BTC]
        assert (second.fills, second.position, second.realised) == (2, 0, 3)
        assert today.read(store)[BTC] == second, "nothing is counted twice"
        now_s[0] += 86_400
        assert today.read(store) == {}, "the next day begins at nothing"
