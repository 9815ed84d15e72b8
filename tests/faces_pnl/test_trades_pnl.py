"""What `mmd trades` and `mmd pnl` print, from records made as mmd makes them."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from mmd.cells.layouts import BookState, BookStatus, QuoteState
from mmd.config.paths import Paths
from mmd.faces import pnl, trades
from mmd.faces.cli import cli
from mmd.records.markout import Markouts, path_of
from mmd.records.store import FILE, Store
from mmd.words.ids import ClientIds
from mmd.words.market import OwnTrade, Pair, Side

BTC, ETH, USDT = Pair("BTC", "TWD"), Pair("ETH", "USDT"), Pair("USDT", "TWD")
START_MS = 1_800_000_000_000  # 2027-01-15 16:00 in Taipei
TAIPEI = ZoneInfo("Asia/Taipei")
FILLS = [  # pair, side, amount, price, fee, seconds, is_self
    (BTC, Side.BUY, "2", "100", "1", 0, False),
    (BTC, Side.SELL, "0.5", "110", "0.25", 30, False),
    (BTC, Side.SELL, "0.1", "105", "0.01", 31, True),
    (ETH, Side.SELL, "1", "20", "0", 40, False),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMD_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def record(home: Path) -> None:
    """Fills of ours, one of somebody else's, and marks of the first."""
    paths = Paths(home)
    paths.make()
    ids = {pair: ClientIds(paths.instance(), pair, START_MS) for pair in (BTC, ETH)}
    own = [
        OwnTrade(
            number + 1,
            f"order{number}",
            ids[pair].make(),
            pair,
            side,
            Decimal(price),
            Decimal(amount),
            Decimal(fee),
            not is_self,
            is_self,
            START_MS + seconds * 1000,
        )
        for number, (pair, side, amount, price, fee, seconds, is_self) in enumerate(FILLS)
    ]
    foreign = OwnTrade(
        99, "x", "", BTC, Side.BUY, Decimal(1), Decimal(1), Decimal(0), True, False, START_MS
    )
    with Store.open(paths.records / FILE) as store:
        store.cursor(0)
        store.add_fills([*own, foreign])
        store.set_prices({BTC: Decimal(120), ETH: Decimal(18), USDT: Decimal(30)}, START_MS)
    marks = Markouts(path_of(paths.records, BTC))
    marks.add(own[:1], START_MS)
    for second in range(13):
        marks.trail.note(START_MS + second * 1000, Decimal(101 + second))
        marks.turn(START_MS + second * 1000)
    marks.close()


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words, catch_exceptions=False)


def test_trades_as_csv_are_exact_and_complete(home: Path) -> None:
    record(home)
    result = run("trades", "--csv")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.output)))
    assert len(rows) == 4  # the foreign order's fill is not ours
    first = rows[0]
    assert first["time"] == "2027-01-15T16:00:00.000+08:00"
    assert [first[name] for name in ("pair", "side", "price", "amount", "value", "fee")] == [
        "BTC/TWD",
        "buy",
        "100",
        "2",
        "200",
        "1",
    ]
    assert (first["spread"], first["spread_bps"]) == ("2", "100")
    assert (first["markout_1s"], first["markout_10s"]) == ("4", "22")
    assert first["markout_60s"] == first["markout_60s_bps"] == ""
    assert [row["self_trade"] for row in rows] == ["false", "false", "true", "false"]
    assert [row["role"] for row in rows] == ["maker", "maker", "taker", "maker"]


def test_trades_of_one_pair_since_a_time_as_json(home: Path) -> None:
    record(home)
    result = run("trades", "btc_twd", "--json", "--since", "2027-01-15 16:00:30")
    rows: list[dict[str, Any]] = json.loads(result.output)
    assert [row["trade_no"] for row in rows] == ["2", "3"]
    assert rows[0]["spread"] is None
    assert set(rows[0]) == set(trades.COLUMNS)


def test_trades_for_people_show_all_that_counts(home: Path) -> None:
    record(home)
    result = run("trades")
    for text in ("2027-01-15 16:00:00", "BTC/TWD", "+100.0", "sell self", "ETH/USDT"):
        assert text in result.output


def test_a_time_that_makes_no_sense_is_refused_with_the_remedy(home: Path) -> None:
    record(home)
    result = run("trades", "--since", "noon-ish")
    assert result.exit_code == 2
    assert "30m, 2d, today" in result.output


def test_nothing_traded_yet_is_no_error(home: Path) -> None:
    for words in (("trades",), ("pnl",)):
        result = run(*words)
        assert (result.exit_code, result.output) == (0, "no trades\n")
        assert json.loads(run(*words, "--json").output) in ([], {"pairs": [], "profit_twd": "0"})
        assert run(*words, "--csv").output.count("\n") == 1


def test_pnl_values_positions_and_sums_up_in_twd(home: Path) -> None:
    record(home)
    found = json.loads(run("pnl", "--json").output)
    btc, eth = found["pairs"]
    # Bought 2 at 100, sold half of one at 110: 5 earned, 1.25 of fees; 1.5 left at 120.
    assert (btc["position"], btc["average_cost"]) == ("1.5", "100")
    assert (btc["price"], btc["price_from"]) == ("120", "ACE's last price")
    assert (btc["realised"], btc["unrealised"], btc["profit"]) == ("3.75", "30", "33.75")
    assert (btc["fees"], btc["self_trade_fees"], btc["fills"]) == ("1.25", "0.01", 2)
    assert (btc["spread_earned"], btc["markout_10s"], btc["volume"]) == ("2", "22", "255")
    # Sold short at 20 USDT, now at 18: 2 USDT of 30 TWD each.
    assert (eth["position"], eth["profit"], eth["profit_twd"]) == ("-1", "2", "60")
    assert found["profit_twd"] == "93.75"


def test_pnl_for_people_and_for_spreadsheets(home: Path) -> None:
    record(home)
    shown = run("pnl").output
    for text in ("+1.5", "+33.75", "all, TWD", "+93.75"):
        assert text in shown
    rows = list(csv.DictReader(io.StringIO(run("pnl", "BTC/TWD", "--csv").output)))
    assert [row["pair"] for row in rows] == ["BTC/TWD"]
    assert rows[0]["profit"] == "33.75"


def test_a_running_pairs_reference_values_its_position(home: Path) -> None:
    record(home)
    paths = Paths(home)
    rows = trades.find(paths.records, paths.instance())
    quotes = QuoteState(reference_bid=129.5, reference_ask=130.5)
    book = BookState(status=BookStatus.VALID, bid_price=31.0, ask_price=33.0)
    lines = pnl.account(rows, pnl.Market({"btc_twd": quotes}, {"usdt_twd": book}, {}))
    by_pair = {line.pair: line for line in lines}
    assert by_pair[BTC].price == pnl.Price(Decimal(130), "reference")
    assert by_pair[BTC].unrealised == 45
    assert by_pair[ETH].price == pnl.Price(Decimal(20), "last fill")
    assert by_pair[ETH].rate == 32


def test_without_a_rate_no_sum_in_twd_is_claimed(home: Path) -> None:
    record(home)
    paths = Paths(home)
    rows = trades.find(paths.records, paths.instance())
    lines = pnl.account(rows, pnl.Market({}, {}, {}))
    assert pnl.total_twd(lines) is None


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("90s", "2027-01-15 15:58:30"),
        ("2h", "2027-01-15 14:00"),
        ("1.5d", "2027-01-14 04:00"),
        ("today", "2027-01-15"),
        ("2027-01-14", "2027-01-14"),
        ("2027-01-14 09:30", "2027-01-14 09:30"),
        ("2027-01-14T01:30:00+00:00", "2027-01-14 09:30"),
    ],
)
def test_times_are_understood_in_the_configured_zone(text: str, means: str) -> None:
    now = datetime.fromtimestamp(START_MS / 1000, TAIPEI)
    expected = datetime.fromisoformat(means).replace(tzinfo=TAIPEI)
    assert trades.since_ms(text, now) == expected.timestamp() * 1000


@pytest.mark.parametrize("width", [80, 105, 125, 160])
def test_tables_fit_the_terminal_and_cut_nothing(home: Path, width: int) -> None:
    record(home)
    paths = Paths(home)
    rows = trades.find(paths.records, paths.instance())
    lines = pnl.account(rows, pnl.Market({}, {}, pnl.last_prices(paths.records)))
    for table in (trades.render(rows, TAIPEI, width), pnl.render(lines, width)):
        console = Console(file=io.StringIO(), width=width)
        console.print(table)
        assert isinstance(console.file, io.StringIO)
        assert "…" not in console.file.getvalue()
