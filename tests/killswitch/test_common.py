"""The kill switch of all pairs together: valued in TWD, it throws the latch of each."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from mmd.cells.layouts import QUOTES, QuoteState
from mmd.config.model import KillLevel, KillSettings
from mmd.decide.killswitch import Thrown
from mmd.faces.stage import cell
from mmd.processes.brake import CommonBrake, Member
from mmd.records import killed
from mmd.records.alerts import Kind, Spool
from mmd.words.market import OwnTrade, Pair, Side

D = Decimal
BTC, ETH = Pair("BTC", "TWD"), Pair("ETH", "USDT")
RATE = {Pair("USDT", "TWD"): D(30)}


def make(folder: Path, **settings: object) -> CommonBrake:
    limits = KillSettings.model_validate(settings)
    members = [Member(pair, cell(QUOTES)) for pair in (BTC, ETH)]
    return CommonBrake(folder, limits, members, Spool(folder), lambda: 1_800_000_000_000)


def fill(pair: Pair, side: Side, amount: str, price: str) -> OwnTrade:
    return OwnTrade(1, "1", "", pair, side, D(price), D(amount), D(0), True, False, 0)


def reference(brake: CommonBrake, pair: Pair, price: float, refused: int = 0) -> None:
    member = next(member for member in brake.members if member.pair == pair)
    member.quotes.write(QuoteState(reference_bid=price, reference_ask=price, refused=refused))


def thrown(folder: Path, pair: Pair) -> Thrown | None:
    return killed.read(killed.latch_of(folder, pair.slug))


def test_the_losses_of_all_pairs_add_up_in_twd_and_throw_all(tmp_path: Path) -> None:
    brake = make(tmp_path, max_loss="100", on_loss="cancel")
    brake.count([fill(BTC, Side.BUY, "1", "1000"), fill(ETH, Side.BUY, "1", "20")])
    reference(brake, BTC, 1000)
    reference(brake, ETH, 20)
    assert brake.turn(RATE) == []
    reference(brake, BTC, 960)  # 40 TWD lost
    reference(brake, ETH, 18.5)  # 1.5 USDT lost: 45 TWD
    assert brake.turn(RATE) == []
    reference(brake, ETH, 18)
    assert brake.turn(RATE) == [BTC, ETH]
    for pair in (BTC, ETH):
        found = thrown(tmp_path, pair)
        assert found is not None
        assert found.level is KillLevel.CANCEL
        assert "all pairs: lost 100 TWD" in found.reason
    alerts = Spool(tmp_path).read_all()[0]
    assert {a.subject for a in alerts if a.kind is Kind.KILL_SWITCH} == {
        "pairs:btc_twd",
        "pairs:eth_usdt",
    }
    assert brake.turn(RATE) == [], "once is enough"


def test_it_begins_anew_once_it_was_thrown_and_in_the_next_life(tmp_path: Path) -> None:
    brake = make(tmp_path, max_loss="100")
    brake.count([fill(BTC, Side.BUY, "1", "1000")])
    for price in (1200, 1100):
        reference(brake, BTC, price)
        last = brake.turn({})
    assert last == [BTC, ETH]
    for pair in (BTC, ETH):
        killed.clear(killed.latch_of(tmp_path, pair.slug))
    brake = make(tmp_path, max_loss="100")  # restarted
    brake.count([fill(BTC, Side.BUY, "1", "1000")])
    for price, expected in ((1100, []), (1001, []), (1000, [BTC, ETH])):
        reference(brake, BTC, price)
        assert brake.turn({}) == expected


def test_the_peak_outlives_a_restart(tmp_path: Path) -> None:
    trades = [fill(BTC, Side.BUY, "1", "1000")]
    for price, expected in ((1090, []), (1100, []), (1000, [BTC, ETH])):
        brake = make(tmp_path, max_loss="100")
        brake.count(trades)
        reference(brake, BTC, price)
        assert brake.turn({}) == expected


def test_a_position_that_cannot_be_valued_throws_nothing(tmp_path: Path) -> None:
    brake = make(tmp_path, max_loss="1")
    brake.count([fill(BTC, Side.BUY, "1", "1000")])
    assert brake.profit({}) is None
    assert brake.profit({BTC: D(990)}) == -10
    brake.count([fill(ETH, Side.BUY, "1", "20"), fill(ETH, Side.SELL, "1", "20")])
    assert brake.profit({BTC: D(990)}) is None  # no rate for USDT
    assert brake.turn({}) == []


def test_losing_fills_are_counted_over_all_pairs(tmp_path: Path) -> None:
    brake = make(tmp_path, max_losing_fills=2, on_losing_fills="pause")
    brake.count([fill(BTC, Side.BUY, "3", "100"), fill(ETH, Side.BUY, "3", "100")])
    brake.count([fill(BTC, Side.SELL, "1", "99"), fill(ETH, Side.SELL, "1", "101")])
    brake.count([fill(BTC, Side.SELL, "1", "99")])
    assert brake.turn({}) == []
    brake.count([fill(ETH, Side.SELL, "1", "99")])
    assert brake.turn({}) == [BTC, ETH]
    assert brake.turn({}) == []


def test_refused_orders_are_counted_over_all_pairs(tmp_path: Path) -> None:
    brake = make(tmp_path, max_refused=5)
    reference(brake, BTC, 1, refused=2)
    reference(brake, ETH, 1, refused=2)
    assert brake.turn({}) == []
    reference(brake, ETH, 1, refused=3)
    assert brake.turn({}) == [BTC, ETH]


def test_a_graver_level_of_a_pairs_own_stays(tmp_path: Path) -> None:
    own = Thrown(KillLevel.STOP, "its own loss")
    killed.throw(killed.latch_of(tmp_path, BTC.slug), own, 1)
    brake = make(tmp_path, max_refused=1, on_refused="pause")
    reference(brake, ETH, 1, refused=1)
    brake.turn({})
    assert thrown(tmp_path, BTC) == own
    found = thrown(tmp_path, ETH)
    assert found is not None
    assert found.level is KillLevel.PAUSE


def test_latches_that_the_disk_did_not_take_are_thrown_later(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    folder.write_text("a file in the way")
    brake = make(folder, max_refused=1, on_refused="stop")
    reference(brake, BTC, 1, refused=1)
    assert brake.turn({}) == []
    folder.unlink()
    assert brake.turn({}) == [BTC, ETH]
