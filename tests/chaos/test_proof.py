"""Each thing that must always be true is missed when it is not."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chaos import proof
from chaos.blows import ALONE, BLOWS, LAST
from chaos.campaign import rounds
from chaos.chronicle import Chronicle
from chaos.soak import Curve
from chaos.watch import Absence, Watch
from mmd.words.market import OwnTrade, Pair, Side

PAIR = Pair("BTC", "TWD")
RUN = "mmd1abc123btctwd00000000"


class Record:
    """Makes entries of the venue's record."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(
        self,
        t: int,
        *events: dict[str, Any],
        client_id: str = "",
        status: int = 200,
        fault: str | None = None,
    ) -> None:
        path = "/open/v2/order/order" if client_id else "/open/v2/order/cancel"
        entry = {"n": len(self.entries) + 1, "t": t, "cause": "api", "path": path}
        entry |= {"status": status, "fault": fault}
        self.entries.append(entry | {"parameters": {"customOrderId": client_id}, "events": events})

    def place(
        self, t: int, number: str, side: Side = Side.BUY, price: str = "100", client_id: str = ""
    ) -> None:
        client_id = client_id or RUN + number.rjust(5, "0")
        opened = {
            "kind": "opened",
            "order_no": number,
            "client_id": client_id,
            "pair": {"base": "BTC", "quote": "TWD"},
            "side": int(side),
            "price": price,
            "amount": "2",
        }
        self.add(t, opened, client_id=client_id)

    def close(self, t: int, number: str) -> None:
        self.add(t, {"kind": "closed", "order_no": number})

    def fill(self, t: int, number: str, trade_no: int, amount: str = "1") -> None:
        fill = {
            "trade_no": str(trade_no),
            "order_no": number,
            "client_id": RUN + number.rjust(5, "0"),
            "pair": {"base": "BTC", "quote": "TWD"},
            "side": int(Side.BUY),
            "price": "100",
            "amount": amount,
            "fee": "0.1",
            "is_self": False,
        }
        self.add(t, {"kind": "filled", "fill": fill, "done": False})

    def told(self) -> Chronicle:
        chronicle = Chronicle()
        chronicle.take(self.entries)
        return chronicle


def own_trade(trade_no: int, number: str, amount: str = "1") -> OwnTrade:
    return OwnTrade(
        trade_no=trade_no,
        order_no=number,
        client_id=RUN + number.rjust(5, "0"),
        pair=PAIR,
        side=Side.BUY,
        price=Decimal(100),
        amount=Decimal(amount),
        fee=Decimal("0.1"),
        is_maker=True,
        is_self=False,
        time_ms=5,
    )


def test_the_chronicle_tells_when_an_order_rested() -> None:
    record = Record()
    record.place(1000, "1")
    record.place(1500, "2", Side.SELL)
    record.close(2000, "1")
    told = record.told()
    assert [story.order_no for story in told.open_orders("BTC/TWD")] == ["2"]
    assert told.sides("BTC/TWD") == {Side.SELL}
    assert told.stories["1"].rests_between(1999, 5000)
    assert not told.stories["1"].rests_between(2000, 5000)
    assert not told.stories["1"].rests_between(0, 1000)
    assert told.last == 3


def test_an_order_sent_twice_is_found_even_if_the_venue_took_it_once() -> None:
    record = Record()
    record.place(1, "1")
    assert proof.orders_sent_twice(record.told()) == []
    record.add(2, client_id=RUN + "00001")
    assert "sent 2 times" in proof.orders_sent_twice(record.told())[0]


def test_an_order_may_be_sent_again_only_after_a_plain_refusal() -> None:
    record = Record()
    record.add(1, client_id="x", status=10012)
    record.place(2, "1", client_id="x")
    assert proof.orders_sent_twice(record.told()) == []
    record.add(3, client_id="x", status=503, fault="error_after")
    assert proof.orders_sent_twice(record.told())


def test_one_id_on_two_orders_is_found() -> None:
    record = Record()
    record.place(1, "1", client_id="x")
    record.place(2, "2", client_id="x")
    assert any("became 2 orders" in line for line in proof.orders_sent_twice(record.told()))


def test_a_self_match_is_excused_only_between_orders_drawn_up_together() -> None:
    record = Record()
    record.place(1, "1", Side.BUY, "100")
    record.place(2, "2", Side.SELL, "100")
    record.place(3, "3", Side.SELL, "99")
    record.place(4, "5", Side.SELL, "100")

    def met(*numbers: str) -> list[str]:
        row = {"order_nos": numbers}
        report = {"self_matches": [row], "crossed_own_quotes": [row]}
        return proof.own_meetings(report, record.told())

    assert met("1", "2") == []
    assert len(met("1", "5")) == 2, "not one after the other"
    assert len(met("2", "3")) == 2, "not at one price"


def test_an_order_without_a_living_owner_is_an_orphan_after_the_limit() -> None:
    record = Record()
    record.place(1000, "1")
    record.place(1000, "2")
    record.close(3000, "2")
    absence = Absence("BTC/TWD", 2000, 9000)
    [line] = proof.orphans(record.told(), [absence], 5.0, 20_000)
    assert "order 1 " in line
    assert proof.orphans(record.told(), [absence], 7.0, 20_000) == []
    assert proof.orphans(record.told(), [Absence("ETH/TWD", 2000, 9000)], 5.0, 20_000) == []


def test_an_absence_that_goes_on_counts_up_to_now() -> None:
    record = Record()
    record.place(1000, "1")
    assert proof.orphans(record.told(), [Absence("BTC/TWD", 2000)], 5.0, 6000) == []
    assert proof.orphans(record.told(), [Absence("BTC/TWD", 2000)], 5.0, 8000)


def test_a_quote_on_a_price_too_old_is_found() -> None:
    record = Record()
    record.place(1000, "1")
    record.place(1000, "2")
    record.close(5000, "1")
    assert proof.quotes_without_price(record.told(), [(2000, 9000)], 3.5)
    record.close(5400, "2")
    assert proof.quotes_without_price(record.told(), [(2000, 9000)], 3.5) == []


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ([], "not recorded"),
        ([own_trade(7, "1"), own_trade(8, "1")], "never happened"),
        ([own_trade(7, "1"), own_trade(7, "1")], "recorded twice"),
        ([own_trade(7, "1", amount="0.5")], "but was"),
    ],
)
def test_a_fill_that_is_missing_invented_doubled_or_changed_is_found(
    recorded: list[OwnTrade], said: str
) -> None:
    record = Record()
    record.place(1, "1")
    record.fill(2, "1", 7)
    assert proof.fills_differ(record.told(), [own_trade(7, "1")]) == []
    assert said in proof.fills_differ(record.told(), recorded)[0]


def test_an_order_unknown_to_its_pair_or_to_the_venue_is_found() -> None:
    record = Record()
    record.place(1, "1")
    record.place(2, "2")

    def known(*orders: tuple[str, str]) -> dict[str, Any]:
        levels = [{"order": {"number": number, "state": state}} for number, state in orders]
        return {"sides": [{"levels": levels, "others": []}]}

    told = record.told()
    assert proof.orders_differ(told, "BTC/TWD", known(("1", "open"), ("2", "cancelling"))) == []
    assert "does not know" in proof.orders_differ(told, "BTC/TWD", known(("1", "open")))[0]
    three = known(("1", "open"), ("2", "open"), ("3", "open"))
    assert "believes in order 3" in proof.orders_differ(told, "BTC/TWD", three)[0]


def test_a_figure_that_is_not_the_venues_is_found() -> None:
    record = Record()
    record.place(1, "1")
    record.fill(2, "1", 7)
    row = {"open_orders": 1, "fills": 1, "position": 1.0}
    assert proof.figures_differ(record.told(), "BTC/TWD", row) == []
    for name in row:
        assert proof.figures_differ(record.told(), "BTC/TWD", row | {name: 3})


def test_too_little_presence_is_found() -> None:
    presence = {"BTC/TWD": 0.49, "ETH/TWD": 0.9}
    [told] = proof.too_absent(presence, 0.5)
    assert told.startswith("BTC/TWD")
    assert proof.too_absent(presence, 0.4) == []


def test_the_watch_notes_from_when_to_when_nobody_answered() -> None:
    watch = Watch((PAIR,), lambda _: None)
    for now_ms, answers in ((10, True), (20, False), (30, False), (40, True), (50, False)):
        watch.note("BTC/TWD", answers, now_ms)
    assert watch.absences == [Absence("BTC/TWD", 20, 40), Absence("BTC/TWD", 50)]
    watch.absences.clear()
    with watch.excused():
        watch.look()
    assert watch.absences == []


def test_the_same_seed_deals_the_same_blows_and_every_kind_in_the_first_deck() -> None:
    dealt: list[list[str]] = []
    for kinds in rounds(Random(5)):
        dealt.append(kinds)
        if len({kind for each in dealt for kind in each}) == len(BLOWS):
            break
    kinds = [kind for each in dealt for kind in each]
    assert sorted(kinds) == sorted(BLOWS), "each of them once"
    again = rounds(Random(5))
    assert [next(again) for _ in dealt] == dealt
    for each in dealt:
        assert len(each) == 1 or not ALONE & set(each)
        starts = [kind in LAST for kind in each]
        assert starts == sorted(starts)


def test_a_curve_that_rises_is_found_and_a_flat_one_is_not() -> None:
    flat = Curve("a", [20.0, 9.0, 9.2, 9.1] * 5, [10.0], [7, 8] * 10)
    assert flat.faults() == []
    rising = Curve("a", [9.0 + n / 10 for n in range(20)], [10.0], [7] * 20)
    assert "grew" in rising.faults()[0]
    leaking = Curve("a", [9.0] * 20, [10.0], list(range(20)))
    assert "descriptors" in leaking.faults()[0]
    assert "times only" in Curve("a").faults()[0]


@pytest.mark.parametrize(
    "place", ["log/mmd.log", "records/account.sqlite", "journal/1.jsonl.gz", "run/s3cr3t-77.lock"]
)
def test_a_secret_in_a_file_or_its_name_is_found(tmp_path: Path, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir()
    content = b"\xff\x00 fine" if "s3cr3t" in place else b"\xff\x00 key=s3cr3t-77 \n"
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    (wrong,) = proof.secrets_shown(tmp_path, ["s3cr3t-77"])
    assert str(file) in wrong
    assert proof.secrets_shown(tmp_path, ["another"]) == []


def test_a_secret_in_what_a_command_says_is_found(tmp_path: Path) -> None:
    assert proof.secrets_shown(tmp_path, ["s3cr3t-77"], ["fine", "bad s3cr3t-77"])
    assert proof.secrets_shown(tmp_path, ["s3cr3t-77"], ["fine"]) == []
