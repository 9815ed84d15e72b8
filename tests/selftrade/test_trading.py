"""The self-trader against the simulated exchange: both orders meet, whoever comes between them is
booked, and nothing is left over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests

from mmd.cells.layouts import BookState, BookStatus
from mmd.config.model import Mode, PairSettings
from mmd.config.secrets import AceKey
from mmd.decide.ledger import SELF_TRADE_LEVEL, Event, Ledger, State
from mmd.processes.desk import Desk
from mmd.processes.selftrader import SelfTradeJob, SelfTrader, require_allowed
from mmd.records import selftrade as records
from mmd.records.pnl import Result
from mmd.sim.ace import PAPER_KEY, PAPER_SECRET, AceSim, AceSimOptions, CrowdOptions, running
from mmd.venues.ace import calls
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.budget import Budget, BudgetSpec
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.words.errors import ConfigError
from mmd.words.ids import ClientIds
from mmd.words.market import NewOrder, OwnTrade, Pair, Side
from tests.pair.open_gate import OpenGate

PAIR = Pair("BTC", "TWD")
BID, ASK = 1_000_000, 1_010_000
AMOUNT = Decimal("0.01")
SUBMIT, CANCEL = "/open/v2/order/submit_batch_order", "/open/v2/order/cancel_batch_orders"
SINGLE = "/order/order"


@pytest.fixture
def venue() -> Iterator[AceSim]:
    """A market with a third party's bid and ask, and nobody else."""
    quiet = AceSimOptions(pairs=(), crowd=CrowdOptions(active=False), batch=True)
    with running(quiet) as sim:
        outsider(sim, "buy", BID)
        outsider(sim, "sell", ASK)
        yield sim


def post(venue: AceSim, path: str, body: Any) -> None:
    requests.post(venue.root_url + path, json=body, timeout=5).raise_for_status()


def fault(venue: AceSim, **what: Any) -> None:
    post(venue, "/sim/faults", what)


def outsider(venue: AceSim, side: str, price: int, amount: str = "1") -> None:
    order = {"pair": "BTC/TWD", "side": side, "amount": amount, "price": str(price)}
    post(venue, "/sim/order", order)


def report(venue: AceSim) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(f"{venue.root_url}/sim/report", timeout=5).json()
    return answer


def record(venue: AceSim, path: str = "") -> list[dict[str, Any]]:
    """The venue's own record of what the account asked and what came of it."""
    query = {"path": path, "limit": "10000"}
    answer = requests.get(f"{venue.root_url}/sim/record", params=query, timeout=5).json()
    entries: list[dict[str, Any]] = answer["entries"]
    return entries


def lifetimes_s(venue: AceSim) -> list[float]:
    """How long each of the account's orders rested."""
    opened, lifetimes = {}, []
    for entry in record(venue):
        for event in entry.get("events", []):
            if event["kind"] == "opened":
                opened[event["order_no"]] = entry["t"]
            elif event["kind"] == "closed" or event.get("done"):
                number = event.get("order_no") or event["fill"]["order_no"]
                lifetimes.append((entry["t"] - opened.pop(number)) / 1000)
    assert not opened, "orders still rest"
    return lifetimes


def binance(volume: int, epoch: int = 1) -> BookState:
    return BookState(status=BookStatus.VALID, volume_low=volume * 10**8, epoch=epoch)


@dataclass
class Stand:
    """A self-trader at its desk, and what it asks before it sends."""

    trader: SelfTrader
    desk: Desk
    venue: AceSim
    asked: list[int]

    async def trade(self, volume: int, epoch: int = 1) -> None:
        """One turn with the book at a volume, and the self-trade that follows from it."""
        self.trader.turn(binance(volume, epoch))
        if self.trader._task is not None:
            await asyncio.wait({self.trader._task})
        await self.desk.settle_down()
        self.trader._rests_until_ns = 0

    async def own_trades(self) -> list[OwnTrade]:
        return await self.desk.client.call(calls.own_trades(self.desk.rules))


Script = Callable[[Stand], Awaitable[None]]


@dataclass
class Plot:
    """What is special about one run."""

    batch: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    before_send: Callable[[int], str | None] = lambda _count: None
    """Called with 1, 2, … each time it is asked whether anything may be sent."""
    begins_at: int = 0
    """Volume of the book at the first look."""


FIRST_SEND, SECOND_SEND = 3, 4
"""Which question comes immediately before the first and the second order."""


def play(venue: AceSim, folder: Path, script: Script, plot: Plot | None = None) -> Ledger:
    plot = plot or Plot()
    ledger, asked = Ledger(), [0]
    settings = PairSettings.model_validate(
        {
            "binance": "BTCUSDT",
            "quote": {"amount": {"min": AMOUNT, "max": AMOUNT}},
            "self_trade": {
                "enabled": True,
                "volume_threshold": 1,
                "first_side": "buy",
                "sleep_s": {"min": "0.001", "max": "0.001"},
                **plot.settings,
            },
        }
    )
    endpoint = AceEndpoint(
        venue.base_url,
        AceKey(PAPER_KEY, PAPER_SECRET),
        timeout_s=1.0,
        submit_path=SUBMIT if plot.batch else None,
        cancel_path=CANCEL if plot.batch else None,
    )

    def may_trade() -> str | None:
        asked[0] += 1
        return plot.before_send(asked[0])

    async def run() -> None:
        with Budget(BudgetSpec(folder, None, 1), PAPER_KEY) as budget:
            async with AsyncAceClient(endpoint) as client:
                markets = await client.call(calls.markets())
                desk = Desk(
                    client,
                    next(rules for rules in markets if rules.pair == PAIR),
                    ledger,
                    ClientIds("abc123", PAIR, time.time_ns() // 1_000_000),
                    budget,
                    max_in_flight=20,
                    on_change=lambda: None,
                    may_send=lambda: None,
                    gate=OpenGate(),
                    on_unclear=lambda: None,
                )
                job = SelfTradeJob(
                    Mode.PAPER,
                    venue.base_url,
                    records.path_of(folder, PAIR),
                    Random(1),
                    may_trade,
                    time.time,
                )
                trader = SelfTrader(job, desk, settings)
                trader.turn(binance(plot.begins_at))
                await script(Stand(trader, desk, venue, asked))
                await desk.settle_down()
                await trader.stop()

    asyncio.run(run())
    return ledger


def clean(venue: AceSim, ledger: Ledger) -> None:
    """Nothing rests, nothing was sent twice, nothing impossible was seen."""
    found = report(venue)
    assert found["open_orders"] == []
    assert found["duplicate_client_ids"] == []
    assert not ledger.entries
    assert not ledger.impossible


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("first_side", ["buy", "sell"])
@pytest.mark.parametrize("method", ["self_midtrader", "self_trader"])
def test_both_orders_meet_inside_the_spread_and_both_trades_are_self(
    venue: AceSim, tmp_path: Path, batch: bool, first_side: str, method: str
) -> None:
    async def script(stand: Stand) -> None:
        await stand.trade(2)
        one, other = await stand.own_trades()
        assert one.is_self
        assert other.is_self
        assert one.price == other.price
        assert BID < one.price < ASK
        if method == "self_midtrader":
            assert one.price == (BID + ASK) // 2
        assert one.amount == other.amount == AMOUNT
        maker = one if one.is_maker else other
        assert maker.side is Side[first_side.upper()]
        assert stand.trader.done.count == 1
        assert stand.trader.done.amount == AMOUNT
        assert stand.trader.done.fees == one.fee + other.fee
        result = Result().after(one).after(other)
        assert result.position == result.realised == result.fees == 0
        assert result.fills == 0

    plot = Plot(batch, {"first_side": first_side, "method": method})
    ledger = play(venue, tmp_path, script, plot)
    clean(venue, ledger)
    assert {entry.state for entry in ledger.finished.values()} == {State.FILLED}
    assert max(lifetimes_s(venue)) < 2
    assert len(record(venue, SUBMIT)) == int(batch)
    assert len(record(venue, "cancel")) == 0


def test_nothing_happens_before_the_threshold_and_once_after_it(
    venue: AceSim, tmp_path: Path
) -> None:
    async def script(stand: Stand) -> None:
        for volume in (100, 110, 115):
            await stand.trade(volume)
        assert stand.trader.done.count == 0
        await stand.trade(250)
        await stand.trade(250)
        assert stand.trader.done.count == 1

    clean(venue, play(venue, tmp_path, script, Plot(settings={"volume_threshold": 200})))


def test_counts_go_on_where_an_earlier_life_ended(venue: AceSim, tmp_path: Path) -> None:
    async def first(stand: Stand) -> None:
        await stand.trade(7)
        assert stand.trader.done.count == 0

    async def second(stand: Stand) -> None:
        await stand.trade(14)
        assert stand.trader.done.count == 1

    async def third(stand: Stand) -> None:
        assert stand.trader.done.count == 1
        await stand.trade(0, epoch=2)
        await stand.trade(1, epoch=2)
        assert stand.trader.done.count == 1
        await stand.trade(12, epoch=2)
        assert stand.trader.done.count == 2

    for script, begins_at in ((first, 0), (second, 7), (third, 14)):
        play(venue, tmp_path, script, Plot(False, {"volume_threshold": 10}, begins_at=begins_at))
    assert report(venue)["open_orders"] == []


def test_what_a_third_party_takes_in_between_is_a_real_fill_and_stays_owed(
    venue: AceSim, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def strike(count: int) -> None:
        if count == SECOND_SEND:
            outsider(venue, "sell", (BID + ASK) // 2, str(AMOUNT))

    async def script(stand: Stand) -> None:
        await stand.trade(2)
        assert stand.trader.done.count == 0
        assert stand.trader.done.fees > 0
        [taken] = await stand.own_trades()
        assert not taken.is_self
        assert taken.side is Side.BUY
        assert Result().after(taken).position == AMOUNT
        await stand.trade(2)
        assert stand.trader.done.count == 1

    with caplog.at_level(logging.INFO, "selftrader"):
        ledger = play(venue, tmp_path, script, Plot(before_send=strike))
    clean(venue, ledger)
    first, second, *_ = ledger.finished.values()
    assert {first.state, second.state} == {State.FILLED, State.CANCELLED}
    assert max(lifetimes_s(venue)) < 2
    assert "a third party took: buy 0.01" in caplog.text


def test_a_part_taken_in_between_leaves_a_part_matched_and_the_rest_cancelled(
    venue: AceSim, tmp_path: Path
) -> None:
    def strike(count: int) -> None:
        if count == SECOND_SEND:
            outsider(venue, "sell", (BID + ASK) // 2, "0.004")

    async def script(stand: Stand) -> None:
        await stand.trade(2)
        assert stand.trader.done.amount == Decimal("0.006")
        trades = await stand.own_trades()
        assert sum(trade.amount for trade in trades if trade.is_self) == Decimal("0.012")
        assert sum(trade.amount for trade in trades if not trade.is_self) == Decimal("0.004")

    ledger = play(venue, tmp_path, script, Plot(before_send=strike))
    clean(venue, ledger)
    assert max(lifetimes_s(venue)) < 2


@pytest.mark.parametrize("kind", ["lost_reply", "error_after", "malformed"])
@pytest.mark.parametrize("batch", [False, True])
def test_orders_that_met_though_the_reply_was_lost_are_found_out(
    venue: AceSim, tmp_path: Path, kind: str, batch: bool
) -> None:
    where = {"path": SUBMIT} if batch else {"path": SINGLE, "skip": 1}
    fault(venue, kind=kind, count=1, **where)

    async def script(stand: Stand) -> None:
        await stand.trade(2)
        assert stand.trader.done.amount == AMOUNT
        assert all(trade.is_self for trade in await stand.own_trades())

    ledger = play(venue, tmp_path, script, Plot(batch))
    clean(venue, ledger)
    assert len(ledger.finished) == 2
    assert max(lifetimes_s(venue)) < 2


def test_a_first_order_whose_reply_is_lost_is_found_and_cancelled_alone(
    venue: AceSim, tmp_path: Path
) -> None:
    fault(venue, kind="lost_reply", count=1, path=SINGLE)

    async def script(stand: Stand) -> None:
        await stand.trade(2)
        assert stand.trader.done.count == 0

    ledger = play(venue, tmp_path, script)
    clean(venue, ledger)
    assert len(record(venue, SINGLE)) == 1
    assert max(lifetimes_s(venue)) < 2


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("cancel_fails", [False, True])
def test_a_refused_second_order_leaves_nothing_resting(
    venue: AceSim, tmp_path: Path, batch: bool, cancel_fails: bool
) -> None:
    post(venue, "/sim/balance", {"account": PAPER_KEY, "currency": "BTC", "total": "0"})
    if cancel_fails:
        fault(venue, kind="refuse" if batch else "error_before", count=1, path="cancel")

    async def script(stand: Stand) -> None:
        await stand.trade(2)
        assert stand.trader.done.count == 0
        assert stand.desk.hold_off_until_ns == {}, "the quotes must not suffer"

    ledger = play(venue, tmp_path, script, Plot(batch))
    clean(venue, ledger)
    assert max(lifetimes_s(venue)) < 2
    assert len(record(venue, CANCEL)) == int(batch)
    assert len(record(venue, "/order/cancel")) == int(batch) + (not batch or cancel_fails) + (
        cancel_fails and not batch
    )


def test_orders_that_are_both_refused_are_not_counted(venue: AceSim, tmp_path: Path) -> None:
    fault(venue, kind="refuse", status=2021, count=1, path=SINGLE)

    async def script(stand: Stand) -> None:
        await stand.trade(2)
        assert stand.trader.progress.minutes == ()
        await stand.trade(2)
        assert stand.trader.done.count == 1

    clean(venue, play(venue, tmp_path, script))


def test_a_quote_of_ours_that_the_venue_s_book_does_not_show_yet_is_not_met(
    venue: AceSim, tmp_path: Path
) -> None:
    async def script(stand: Stand) -> None:
        order = NewOrder("ours", Side.SELL, Decimal(BID + 100), AMOUNT)
        entry = stand.desk.ledger.want(order, 0, 0, 0)
        await stand.trade(2)
        assert record(venue, SINGLE) == []
        stand.desk.ledger.apply(entry.order.client_id, Event.DROPPED, 0)
        await stand.trade(2)
        assert stand.trader.done.count == 1

    clean(venue, play(venue, tmp_path, script))


@pytest.mark.parametrize(
    ("question", "batch"),
    [
        (1, False),
        (2, False),
        (FIRST_SEND, False),
        (SECOND_SEND, False),
        (FIRST_SEND, True),  # a batch is asked about once
    ],
)
def test_who_may_not_trade_sends_nothing_more(
    venue: AceSim, tmp_path: Path, question: int, batch: bool
) -> None:
    async def script(stand: Stand) -> None:
        await stand.trade(2)
        assert stand.trader.done.count == 0

    plot = Plot(batch, before_send=lambda count: "paused" if count >= question else None)
    clean(venue, play(venue, tmp_path, script, plot))
    assert len(record(venue, SINGLE)) == int(question == SECOND_SEND)
    assert all(lifetime < 2 for lifetime in lifetimes_s(venue))


def test_a_spread_without_a_price_inside_is_not_traded_in(venue: AceSim, tmp_path: Path) -> None:
    outsider(venue, "buy", ASK - 1)
    requests.delete(f"{venue.root_url}/sim/order", timeout=5).raise_for_status()
    order = {"pair": "BTC/TWD", "side": "buy", "amount": "1", "price": "1009999.9"}
    post(venue, "/sim/order", order)
    outsider(venue, "sell", ASK)

    async def script(stand: Stand) -> None:
        await stand.trade(2)

    clean(venue, play(venue, tmp_path, script))
    assert record(venue, SINGLE) == []


def test_caps_end_it_and_off_means_off(venue: AceSim, tmp_path: Path) -> None:
    async def capped(stand: Stand) -> None:
        for volume in (2, 4, 6, 8):
            await stand.trade(volume)
            await asyncio.sleep(0.002)
        assert stand.trader.done.count == 2

    clean(venue, play(venue, tmp_path, capped, Plot(settings={"max_per_hour": 2})))

    async def off(stand: Stand) -> None:
        await stand.trade(90)
        assert stand.asked == [0]

    clean(venue, play(venue, tmp_path / "other", off, Plot(settings={"enabled": False})))


def test_progress_that_can_t_be_written_means_no_self_trade(venue: AceSim, tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        stand.trader._job.file.with_suffix(".new").mkdir()
        await stand.trade(2)
        assert record(venue, SINGLE) == []

    clean(venue, play(venue, tmp_path, script))


def test_an_order_that_turns_up_late_is_cancelled(venue: AceSim, tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        order = NewOrder(stand.desk.ids.make(), Side.BUY, Decimal(BID + 100), AMOUNT)
        entry = stand.desk.ledger.want(order, SELF_TRADE_LEVEL, 0, 0)
        stand.desk.ledger.apply(order.client_id, Event.SENT, 0)
        entry.order_no = await stand.desk.client.call(calls.new_order(stand.desk.rules, order))
        stand.desk.ledger.apply(order.client_id, Event.ACCEPTED, 0)
        await stand.trade(0)

    clean(venue, play(venue, tmp_path, script))


@pytest.mark.parametrize(
    ("mode", "url", "refused"),
    [
        (Mode.LIVE, "https://ace.io/polarisex", True),
        (Mode.LIVE, "https://elsewhere.example", True),
        (Mode.TESTNET, "https://ace.io/polarisex", True),
        (Mode.TESTNET, "https://WWW.ACE.IO./polarisex", True),
        (Mode.PAPER, "https://ace.io:443/polarisex", True),
        (Mode.TESTNET, "https://test.ace.example/polarisex", False),
        (Mode.PAPER, "http://127.0.0.1:8000/polarisex", False),
    ],
)
def test_trading_with_oneself_among_real_people_is_refused_at_the_start(
    mode: Mode, url: str, refused: bool
) -> None:
    raw = {"binance": "BTCUSDT", "quote": {"amount": {"min": 1, "max": 1}}}
    on = PairSettings.model_validate({**raw, "self_trade": {"enabled": True}}).self_trade
    if refused:
        with pytest.raises(ConfigError, match="wash trading"):
            require_allowed(on, mode, url)
    else:
        require_allowed(on, mode, url)
    require_allowed(PairSettings.model_validate(raw).self_trade, mode, url)
