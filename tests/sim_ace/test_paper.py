"""The simulated outside world of paper mode: a process of its own, found, kept and ended."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
import requests

from mmd.sim import paper
from mmd.sim.ace import PAPER_KEY, PAPER_SECRET
from mmd.sim.ace.paths import RatePath
from mmd.sim.binance import BinanceSim
from mmd.sim.paper import PaperAddress, PaperOptions
from mmd.sim.world import FairPrices, LivePrices
from mmd.words.errors import Unavailable
from mmd.words.market import Pair
from mmd.words.source import Source
from tests.sim_ace.client import HttpClient

BTC_TWD, ETH_BTC = Pair("BTC", "TWD"), Pair("ETH", "BTC")
OPTIONS = PaperOptions(pairs={BTC_TWD: Source("BTCUSDT")}, balances={"TWD": Decimal(5_000_000)})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    paper.stop(tmp_path)


def client(where: PaperAddress) -> HttpClient:
    return HttpClient(where.ace_url, where.ace_control_url, PAPER_KEY, PAPER_SECRET)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet reaped by its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_world_is_started_once_detached_and_stopped(home: Path) -> None:
    assert paper.address(home) is None
    assert paper.running_pid(home) is None
    where = paper.ensure_running(home, OPTIONS)
    pid = paper.running_pid(home)
    assert pid is not None
    assert os.getsid(pid) == pid
    assert psutil.Process(pid).ppid() != os.getpid()
    assert paper.ensure_running(home, PaperOptions(pairs={})) == where == paper.address(home)
    assert paper.running_pid(home) == pid
    with client(where) as ace:
        rows = {r["currencyName"]: r["amount"] for r in ace.post("/open/v2/coin/customerAccount")}
        assert (rows["TWD"], rows["BTC"]) == ("5000000", "10")
        market = ace.sim("GET", "state")["markets"]["BTC/TWD"]
    assert Decimal(market["bid"]) < Decimal(market["fair"]) < Decimal(market["ask"])
    assert paper.stop(home)
    assert not is_alive(pid)
    assert not paper.stop(home)


def test_killed_world_comes_back_at_the_same_place_with_its_orders(home: Path) -> None:
    where = paper.ensure_running(home, OPTIONS)
    with client(where) as ace:
        number = ace.order("buy", 1_000_000, "0.1", "kept")
    pid = paper.running_pid(home)
    assert pid is not None
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    assert select.select([handle], [], [], 5)[0]
    os.close(handle)
    assert paper.running_pid(home) is None
    assert paper.ensure_running(home, OPTIONS) == where
    with client(where) as ace:
        assert [row["orderNo"] for row in ace.open_orders()] == [number]


def test_other_settings_restart_a_world_only_when_nobody_uses_it(home: Path) -> None:
    where = paper.ensure_running(home, OPTIONS)
    pid = paper.running_pid(home)
    other = PaperOptions(seed=2)
    assert paper.ensure_running(home, other) == where
    assert paper.running_pid(home) not in (None, pid)
    with client(where) as ace:
        ace.open_orders()
    with pytest.raises(Unavailable, match="in use"):
        paper.ensure_running(home, OPTIONS)
    assert paper.ensure_running(home, other) == where


def test_world_that_can_not_start_says_why(home: Path) -> None:
    recording = home / "not-a-recording"
    recording.write_text("nothing\n")
    with pytest.raises(Unavailable, match="not-a-recording"):
        paper.ensure_running(home, PaperOptions(replay=(recording,)))
    assert paper.running_pid(home) is None


def test_keys_of_real_accounts_stay_outside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACE_API_SECRET", "very-secret")
    paper.ensure_running(home, OPTIONS)
    pid = paper.running_pid(home)
    assert pid is not None
    assert b"very-secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert paper.stop(home)
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert kept
    assert not any(b"very-secret" in path.read_bytes() for path in kept)


def test_options_survive_their_text_form() -> None:
    options = PaperOptions(
        seed=3,
        speed=2.5,
        replay=(Path("/a/b.gz"),),
        balances={"TWD": Decimal("1.50")},
        pairs={BTC_TWD: Source("BTCUSDT"), ETH_BTC: Source("ETHUSDT", "BTCUSDT", divides=True)},
        batch=True,
        rate_limit_per_s=10,
        live_rest_url="https://api.binance.com",
    )
    assert PaperOptions.from_json(options.to_json()) == options


def test_price_is_binances_times_the_rate() -> None:
    tops = {"BTCUSDT": (Decimal(60_000), Decimal(60_002)), "ETHFDUSD": (Decimal(1), Decimal(3))}
    tops["ETHUSDT"] = (Decimal(3_000), Decimal("3000.1"))
    options = PaperOptions(
        seed=5,
        pairs={Pair("ETH", "TWD"): Source("ETHFDUSD"), ETH_BTC: Source.parse("ETHUSDT / BTCUSDT")},
    )
    fair = FairPrices(options, tops.get)
    rate = RatePath(5).at(10**12)
    assert fair.at(Pair("USDT", "TWD"), 10**12) == rate
    assert fair.at(BTC_TWD, 10**12) == 60_001 * rate
    assert fair.at(Pair("ETH", "TWD"), 10**12) == 2 * rate
    assert fair.at(Pair("BTC", "USDT"), 10**12) == 60_001
    assert fair.at(ETH_BTC, 10**12) == Decimal("3000.05") / 60_001
    assert fair.at(Pair("SOL", "TWD"), 10**12) is None


def test_live_prices_come_from_rest_and_fade_when_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mmd.sim.world._POLL_S", 0.02)
    monkeypatch.setattr("mmd.sim.world._MAX_AGE_S", 0.2)

    async def scenario() -> None:
        async with BinanceSim() as binance:
            live = LivePrices(binance.rest_url)
            polling = asyncio.create_task(live.run())
            assert live.top("BTCUSDT") is None
            await _until(lambda: live.top("BTCUSDT") is not None)
            assert live.top("BTCUSDT") == binance.top("BTCUSDT")
        await _until(lambda: live.top("BTCUSDT") is None)
        polling.cancel()
        await asyncio.wait([polling])

    asyncio.run(scenario())


async def _until(true: object) -> None:
    assert callable(true)
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def test_world_costs_little_processor_time(home: Path) -> None:
    where = paper.ensure_running(home, OPTIONS)
    pid = paper.running_pid(home)
    assert pid is not None
    process = psutil.Process(pid)
    reply = requests.get(where.rest_url + "/api/v3/time", timeout=5)
    assert reply.status_code == 200
    before = sum(process.cpu_times()[:2])
    with client(where) as ace:
        for _ in range(10):
            ace.open_orders()
    assert sum(process.cpu_times()[:2]) - before < 0.2
