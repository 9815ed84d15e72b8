"""Orders, balances and record outlive the process, even one that is killed."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mmd.sim.ace.exchange import AccountOptions, Exchange
from mmd.sim.ace.record import Record
from mmd.sim.ace.venue import VenueRules
from mmd.words.errors import ConfigError
from tests.sim_ace.client import QUIET, HttpClient, VirtualClient

PROGRAM = """
import asyncio, sys
from pathlib import Path
from mmd.sim.ace import AceSimOptions, CrowdOptions, serve
options = AceSimOptions(folder=Path(sys.argv[1]), crowd=CrowdOptions(active=False))
asyncio.run(serve(options))
"""
Start = Callable[[], tuple[subprocess.Popen[str], HttpClient]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts real processes on one record, and ends them all."""
    started: list[tuple[subprocess.Popen[str], HttpClient]] = []

    def start_one() -> tuple[subprocess.Popen[str], HttpClient]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "record")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        urls = re.findall(r"https?://[^\s)]+", process.stdout.readline())
        client = HttpClient(urls[0], urls[1].removesuffix("/sim/state"))
        started.append((process, client))
        return started[-1]

    yield start_one
    for process, client in started:
        client.session.close()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def picture(client: HttpClient) -> dict[str, Any]:
    """All that an account can see of itself."""
    return {
        "orders": client.open_orders(),
        "trades": client.post("/open/v2/order/getTradeList", size=500),
        "balances": client.post("/open/v2/coin/customerAccount"),
    }


def test_killed_exchange_comes_back_with_all_it_had(start: Start) -> None:
    process, client = start()
    rests = client.order("buy", 1_900_000, "0.2", "rests")
    partly = client.order("sell", 2_000_000, "0.5", "partly")
    client.sim("POST", "order", {"pair": "BTC/TWD", "side": "buy", "amount": "0.2"})
    gone = client.order("buy", 1_800_000, "0.1", "gone")
    client.post("/open/v2/order/cancel", orderNo=gone)
    client.order("buy", 2_000_000, "0.1", "self")
    before = picture(client)
    report = client.sim("GET", "report")
    process.kill()
    process.wait()

    _, client = start()
    assert picture(client) == before
    assert [row["orderNo"] for row in before["orders"]] == [partly, rests]
    assert client.raw("/open/v2/order/cancel", orderNo=gone).json()["status"] == 2061
    again = client.sim("GET", "report")
    for name in ("self_matches", "trades", "duplicate_client_ids"):
        assert again[name] == report[name]
    assert client.order("buy", 1_000_000, "0.1") > max(rests, partly, gone)
    result = client.sim("POST", "order", {"pair": "BTC/TWD", "side": "buy", "amount": "0.2"})
    assert (result["status"], result["average"]) == (2, "2000000")


def test_terminated_exchange_ends_in_order(start: Start) -> None:
    process, client = start()
    client.order("buy", 1_900_000, "0.2")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    _, client = start()
    causes = [e["cause"] for e in client.sim("GET", "record")["entries"]]
    assert causes[:4] == ["start", "api", "stop", "start"]


class Lives:
    """Lives of an exchange in virtual time, one after the other, on one record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ms = 1_700_000_000_000

    def begin(self) -> tuple[VirtualClient, Record]:
        record = Record(self.folder)
        accounts = {"k": AccountOptions("k-secret", {"TWD": Decimal(10**8), "BTC": Decimal(50)})}
        exchange = Exchange(
            accounts, VenueRules(), lambda _p, _t: None, (), 1, record.append, QUIET
        )
        exchange.restore(*record.load())
        record.save(exchange.checkpoint(record.begin()))
        self.now_ms += 1000
        exchange.open(self.now_ms)
        return VirtualClient(exchange, now_ms=self.now_ms), record


def test_checkpoints_carry_everything_over_many_lives(tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    expected: list[str] = []
    for life in range(12):
        client, record = lives.begin()
        account = client.exchange.engine.account("k")
        assert list(account.open) == expected
        expected.append(client.order("buy", 1_000_000 + life, "0.1", f"life{life}"))
        client.order("sell", 1_000_000 + life, "0.05", "twice")
        totals, held = dict(account.totals), account.held["TWD"]
        record.close()
        expected = list(account.open)
    client, record = lives.begin()
    account = client.exchange.engine.account("k")
    assert dict(account.totals) == totals
    assert account.held["TWD"] == held
    assert len(account.fills) == 24
    report = client.exchange.referee.report(client.exchange.engine.ledger, client.now_ms)
    assert len(report["duplicate_client_ids"]) == 11
    assert len(report["self_matches"]) == 12
    record.close()


@pytest.mark.parametrize("keep", [0.3, 0.99])
def test_torn_last_line_is_an_action_that_never_was(tmp_path: Path, keep: float) -> None:
    lives = Lives(tmp_path)
    client, record = lives.begin()
    first = client.order("buy", 1_000_000, "0.1")
    record.close()
    path = tmp_path / f"record-{record.segment:06d}.jsonl"
    whole = path.read_bytes()
    client, record = lives.begin()
    record.close()
    path = tmp_path / f"record-{record.segment:06d}.jsonl"
    last_line = whole.splitlines(keepends=True)[-1]
    assert b'"opened"' in last_line
    renumbered = last_line.replace(b'"n":2', b'"n":4').replace(b"0001", b"0002")
    path.write_bytes(path.read_bytes() + renumbered[: int(len(renumbered) * keep)])
    client, record = lives.begin()
    assert list(client.exchange.engine.account("k").open) == [first]
    client.order("buy", 1_000_000, "0.1")
    record.close()
    client, record = lives.begin()
    assert len(client.exchange.engine.account("k").open) == 2
    record.close()


def test_damage_in_the_midst_is_not_passed_over(tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    client, record = lives.begin()
    client.order("buy", 1_000_000, "0.1")
    client.order("buy", 1_000_000, "0.1")
    record.close()
    path = tmp_path / f"record-{record.segment:06d}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"damage\n" + lines[2])
    with pytest.raises(ConfigError, match="bad line"):
        lives.begin()


def test_second_process_on_one_record_is_refused(start: Start, tmp_path: Path) -> None:
    start()
    second = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "record")],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert second.returncode != 0
    assert "another simulated exchange writes here" in second.stderr


def test_full_disk_makes_entries_wait_not_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives(tmp_path)
    client, record = lives.begin()
    full = True

    def write(file: int, data: bytes) -> int:
        if full and len(data) > 10:
            return os_write(file, bytes(data[:10]))
        if full:
            raise OSError(errno.ENOSPC, "no space")
        return os_write(file, bytes(data))

    os_write = os.write
    monkeypatch.setattr(os, "write", write)
    numbers = [client.order("buy", 1_000_000, "0.1") for _ in range(3)]
    assert not record.is_full
    full = False
    record.retry()
    record.close()
    client, record = lives.begin()
    assert list(client.exchange.engine.account("k").open) == numbers
    record.close()


def test_reading_on_starts_where_it_was_left(tmp_path: Path) -> None:
    lives = Lives(tmp_path)
    for _ in range(4):
        client, record = lives.begin()
        client.open_numbers()
        record.close()
    client, record = lives.begin()
    numbers = [entry.n for entry in record.read(0)]
    assert numbers == list(range(1, 10))
    for after in range(10):
        assert [entry.n for entry in record.read(after)] == numbers[after:]
    record.close()


def test_segments_turn_and_old_ones_go(tmp_path: Path) -> None:
    record = Record(tmp_path, segment_bytes=2000, kept_bytes=10_000)
    exchange = Exchange({}, VenueRules(), lambda _p, _t: None, (), 1, record.append, QUIET)
    exchange.restore(*record.load())
    record.save(exchange.checkpoint(record.begin()))
    for i in range(2000):
        exchange.open(i)
        if record.is_full:
            record.save(exchange.checkpoint(record.begin()))
    kept = sorted(tmp_path.glob("record-*.jsonl"))
    assert len(kept) > 3
    assert sum(path.stat().st_size for path in kept) < 13_000
    assert kept[-1].name == f"record-{record.segment:06d}.jsonl"
    record.close()
