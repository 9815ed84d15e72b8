"""`mmd check` against venues that speak the real protocols."""

from __future__ import annotations

import asyncio
import io
import socket
from pathlib import Path

from rich.console import Console

from mmd.config.paths import Paths
from mmd.faces import probes
from mmd.faces.check import check
from mmd.sim.ace import AceSim, AceSimOptions, Fault, FaultKind
from mmd.sim.binance import BinanceSim
from mmd.words.errors import Exit

TESTNET = """\
mode: testnet
binance: {{stream_url: 'ws://127.0.0.1:{binance}', rest_url: 'http://127.0.0.1:{binance}'}}
ace: {{base_url: '{ace}', timeout_s: 2}}
rates: {{USDT/TWD: {{}}}}
pairs:
  BTC/TWD:
    binance: BTCUSDT
    quote: {{amount: {{min: 0.002, max: 0.01}}}}
"""
PAPER = {"ACE_API_KEY": "paper", "ACE_API_SECRET": "paper-secret"}


def _check(folder: Path, environ: dict[str, str], binance: int, ace: str) -> tuple[Exit, list[str]]:
    path = folder / "pairs.yaml"
    path.write_text(TESTNET.format(binance=binance, ace=ace))
    out = io.StringIO()
    console = Console(file=out, width=40)
    code = check(path, Paths(folder / "var"), environ, console, probes.make())
    return code, out.getvalue().splitlines()


def _check_against_sims(
    folder: Path, environ: dict[str, str] = PAPER, fault: Fault | None = None
) -> tuple[Exit, list[str]]:
    async def main() -> tuple[Exit, list[str]]:
        async with AceSim(AceSimOptions()) as ace, BinanceSim() as binance:
            if fault is not None:
                ace.faults.add(fault)
            return await asyncio.to_thread(_check, folder, environ, binance.port, ace.base_url)

    return asyncio.run(main())


def _errors(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("error")]


def test_both_venues_answer(tmp_path: Path) -> None:
    code, lines = _check_against_sims(tmp_path)
    assert _errors(lines) == []
    assert code is Exit.DONE
    assert any("ACE accepts the key" in line for line in lines)
    assert sum(line.startswith("ok     clock: 0.") for line in lines) == 2


def test_a_wrong_secret_is_rejected_and_not_shown(tmp_path: Path) -> None:
    code, lines = _check_against_sims(tmp_path, {**PAPER, "ACE_API_SECRET": "hunter2"})
    assert code is Exit.CONFIG
    [error] = _errors(lines)
    assert error.startswith("error  ACE, signed call: ")
    assert "hunter2" not in "\n".join(lines)


def test_a_venue_whose_clock_differs_is_told(tmp_path: Path) -> None:
    code, lines = _check_against_sims(tmp_path, fault=Fault(kind=FaultKind.SKEW, skew_ms=60_000))
    assert code is Exit.CONFIG
    [error] = _errors(lines)
    assert "behind ACE; must be within 1 s" in error


def test_nobody_answers(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = taken.getsockname()[1]
        code, lines = _check(tmp_path, PAPER, port, f"http://127.0.0.1:{port}/polarisex")
    assert code is Exit.UNREACHABLE
    assert [error.split(": ")[0] for error in _errors(lines)] == [
        "error  Binance REST",
        "error  Binance streams",
        "error  ACE",
    ]


def test_a_port_where_something_else_answers_is_no_venue(tmp_path: Path) -> None:
    async def main() -> tuple[Exit, list[str]]:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n"
            )
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            base = f"http://127.0.0.1:{port}/polarisex"
            return await asyncio.to_thread(_check, tmp_path, PAPER, port, base)

    code, lines = asyncio.run(main())
    assert code is Exit.UNREACHABLE
    assert len(_errors(lines)) == 3
    assert all("\n" not in line for line in lines)
