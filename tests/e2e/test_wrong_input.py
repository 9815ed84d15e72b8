"""Whatever a user gets wrong: one clear message, the right exit code, nothing left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from mmd.words.errors import Exit
from tests.e2e.conftest import House

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def silent_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def garbage_port() -> Iterator[int]:
    """A server that answers every request with nonsense."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngarbage")

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def refused(house: House, code: Exit, *arguments: str) -> str:
    """The message of a command that must fail with that code and leave nothing."""
    done = house.run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    house.run("stop")
    assert house.leftovers() == []
    return done.stderr


def test_a_misspelt_key_and_a_negative_spread_are_told_at_once_with_their_lines(
    house: House,
) -> None:
    text = house.config.read_text()
    text = text.replace("levels:", "levls:").replace("spread_bps: 20", "spread_bps: -1")
    house.config.write_text(text)
    message = refused(house, Exit.CONFIG, "start")
    lines = text.splitlines()
    misspelt = next(n for n, line in enumerate(lines, 1) if "levls:" in line)
    negative = next(n for n, line in enumerate(lines, 1) if "spread_bps: -1" in line)
    assert f"pairs.yaml:{misspelt}: " in message
    assert "did you mean 'levels'" in message
    assert f"pairs.yaml:{negative}: " in message
    assert "found -1" in message


def test_an_unknown_pair_is_answered_with_the_known_ones(house: House) -> None:
    message = refused(house, Exit.CONFIG, "pair", "DOGE/TWD", "--binance", "DOGEUSDT")
    assert "DOGE/TWD is not in the configuration; it has BTC/TWD, ETH/TWD" in message


def test_a_pair_that_the_venue_does_not_have_is_parked_with_the_reason(house: House) -> None:
    pair = {"binance": "XYZUSDT", "quote": {"amount": {"min": 1, "max": 2}}}
    house.configure(pairs={"XYZ/TWD": pair})
    message = refused(house, Exit.UNREACHABLE, "start", "--wait", "20")
    assert "ACE has no such market" in message


def test_testnet_without_a_key_says_how_to_give_one(house: House) -> None:
    house.configure(mode="testnet", ace={"base_url": "https://testnet.example"})
    message = refused(house, Exit.CONFIG, "start")
    assert "ACE_API_KEY" in message
    assert "secrets.env" in message


@pytest.mark.parametrize("mode", ["live", "testnet"])
def test_no_mode_but_paper_starts_without_a_key(house: House, mode: str) -> None:
    house.configure(mode=mode, ace={"base_url": "https://venue.example"})
    assert "key" in refused(house, Exit.CONFIG, "run")


def test_self_trading_in_live_mode_is_refused_with_the_reason(house: House) -> None:
    text = house.config.read_text().replace("mode: paper", "mode: live")
    house.config.write_text(text.replace("enabled: false", "enabled: true"))
    message = refused(house, Exit.CONFIG, "start")
    assert "wash trading" in message


def test_a_stream_that_nobody_serves_is_named_and_everything_taken_down(
    house: House, silent_port: int
) -> None:
    house.configure(binance={"stream_url": f"ws://127.0.0.1:{silent_port}"})
    message = refused(house, Exit.UNREACHABLE, "start", "--wait", "4")
    assert "BTC/TWD does not quote" in message
    assert "disconnected" in message or "empty" in message


def test_a_venue_that_answers_garbage_is_named_and_everything_taken_down(
    house: House, garbage_port: int
) -> None:
    house.configure(
        ace={"base_url": f"http://127.0.0.1:{garbage_port}", "settle_s": 0},
        supervision={"stop_limit_s": 2},  # nothing can be proven here, however long one tries
    )
    done = house.run("start", "--wait", "4")
    assert done.returncode == Exit.UNREACHABLE
    assert "markets: no clear answer" in done.stderr
    assert house.leftovers() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["strat"], "No such command 'strat'"),
        (["pair", "BTCTWD"], "write it as BTC/TWD"),
        (["start", "--replay", "/nowhere.gz"], "does not exist"),
        (["start", "--replay", __file__, "/nowhere.gz"], "'/nowhere.gz' does not exist"),
        (["start", __file__], "recordings follow --replay"),
        (["sim", "binance", "--port", "99999"], "0<=x<=65535"),
    ],
)
def test_wrong_usage_ends_with_2(house: House, arguments: list[str], said: str) -> None:
    assert said in refused(house, Exit.USAGE, *arguments)


def test_commands_to_an_mmd_that_does_not_run_say_so(house: House) -> None:
    assert "mmd is not running" in refused(house, Exit.UNREACHABLE, "pause", "BTC/TWD")
    assert "not running" in house.ok("status")
    assert "not running" in house.ok("stop")


def test_a_home_whose_sockets_would_have_too_long_a_path_is_refused(house: House) -> None:
    deep = house.home / ("d" * 90)
    environ = house.environ | {"MMD_HOME": str(deep)}
    done = subprocess.run(
        [sys.executable, "-m", "mmd", "start"],
        env=environ, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == Exit.CONFIG
    assert "set MMD_HOME to a shorter path" in done.stderr


def test_recording_from_a_stream_that_nobody_serves_keeps_trying_and_says_what_it_got(
    house: House, silent_port: int
) -> None:
    house.configure(
        binance={
            "stream_url": f"ws://127.0.0.1:{silent_port}",
            "rest_url": f"http://127.0.0.1:{silent_port}",
        }
    )
    said = house.ok("record", "BTCUSDT", "--out", "out.gz", "--minutes", "0.01")
    assert "out.gz: 0 messages over 0 connections" in said
