"""The main job, end to end, as a user does it: start, look, stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, House

pytestmark = pytest.mark.timeout(300)


def wait_for(what: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def supervisorctl(house: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "supervisor.supervisorctl"]
    conf = str(house.home / "supervisord.conf")
    return subprocess.run(
        [*command, "-c", conf, *arguments], capture_output=True, text=True, check=False, timeout=30
    )


def test_start_quotes_both_sides_of_every_pair_and_stop_leaves_nothing(house: House) -> None:
    started = house.ok("start")
    assert "BTC/TWD" in started
    assert "mmd status --watch" in started
    status = house.status()
    assert status["parent"]["state"] == "running"
    for pair in status["pairs"]:
        assert 0 < pair["best_bid"] < pair["reference_bid"]
        assert pair["reference_ask"] < pair["best_ask"]
        assert pair["open_orders"] >= 2
    assert {feed["symbol"] for feed in status["feeds"]} == {"BTCUSDT", "ETHUSDT"}
    assert all(feed["connected"] and feed["bid"] < feed["ask"] for feed in status["feeds"])
    assert {row["client_id"][:4] for row in house.venue("report")["open_orders"]} == {"mmd1"}

    again = house.run("start")
    assert again.returncode == 0
    assert "running already" in again.stdout

    rows = supervisorctl(house, "status").stdout
    for name in ("mmd", "feeds:btcusdt", "rates:usdt_twd", "jobs:account", "pairs:eth_twd"):
        assert f"\n{name} " in "\n" + rows

    segment = house.segment()
    assert segment
    assert (Path("/dev/shm") / segment).exists()
    report = house.venue("report")
    assert report["duplicate_client_ids"] == []
    assert report["unintended_self_matches"] == 0
    assert report["crossed_own_quotes"] == []
    stopped = house.ok("stop")
    assert "proven" in stopped
    assert house.leftovers() == []
    assert "was not running" in house.ok("stop")
    assert not (Path("/dev/shm") / segment).exists()
    assert house.status()["parent"]["state"] == "stopped"
    [log] = house.home.glob("log/*/BTC_TWD/mmaker.log")
    assert "placed buy" in log.read_text()


def test_pause_pulls_the_quotes_of_one_pair_and_resume_brings_them_back(house: House) -> None:
    house.ok("start")
    house.ok("pause", "BTC/TWD")

    def open_orders(pair: str) -> int:
        orders = house.venue("report")["open_orders"]
        return sum(1 for order in orders if order["pair"] == pair)

    wait_for(lambda: open_orders("BTC/TWD") == 0)
    assert open_orders("ETH/TWD") > 0
    house.ok("resume", "pairs:btc_twd")
    wait_for(lambda: open_orders("BTC/TWD") > 0)
    house.ok("stop")


def test_a_killed_pair_is_replaced_and_takes_its_orders_over(house: House) -> None:
    house.ok("start")
    row = next(p for p in house.status()["pairs"] if p["pair"] == "BTC/TWD")
    os.kill(row["pid"], signal.SIGKILL)

    def replaced() -> bool:
        now = next(p for p in house.status()["pairs"] if p["pair"] == "BTC/TWD")
        return bool(now["pid"] not in (None, row["pid"]) and now["best_bid"] and now["best_ask"])

    wait_for(replaced)
    report = house.venue("report")
    assert report["duplicate_client_ids"] == []
    assert "proven" in house.ok("stop")
    assert house.leftovers() == []


def test_a_power_cut_leaves_orders_that_the_next_start_takes_over(house: House) -> None:
    house.ok("start")
    house.cut_power()
    left = {order["client_id"] for order in house.venue("report")["open_orders"]}
    assert left
    segment = house.segment()
    house.ok("start")
    assert house.segment() != segment
    assert not (Path("/dev/shm") / str(segment)).exists()
    assert "proven" in house.ok("stop")
    assert house.leftovers() == []


def test_cancel_works_with_everything_else_down(house: House) -> None:
    house.ok("start")
    house.cut_power()
    assert {o["pair"] for o in house.venue("report")["open_orders"]} == {"BTC/TWD", "ETH/TWD"}
    assert "proven" in house.ok("cancel", "BTC/TWD")
    assert {o["pair"] for o in house.venue("report")["open_orders"]} == {"ETH/TWD"}
    assert "proven" in house.ok("cancel")
    assert house.venue("report")["open_orders"] == []
    house.ok("stop")


def test_the_single_pair_bot_runs_in_the_foreground_and_ends_clean_on_ctrl_c(house: House) -> None:
    command = [sys.executable, "-m", "mmd", "pair", "ETH/TWD", "--binance", "ETHUSDT"]
    bot = subprocess.Popen(
        command, env=house.environ, stderr=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
    )
    try:
        wait_for(
            lambda: [p["pair"] for p in house.status()["pairs"] if p["best_ask"]] == ["ETH/TWD"]
        )
        bot.send_signal(signal.SIGINT)
        assert bot.stderr is not None
        shown = bot.stderr.read()
        assert bot.wait(20) == 0
    finally:
        bot.kill()
        bot.wait()
        assert bot.stderr is not None
        bot.stderr.close()
    assert "placed buy" in shown
    assert house.venue("report")["open_orders"] == []
    house.ok("stop")
    assert house.leftovers() == []
