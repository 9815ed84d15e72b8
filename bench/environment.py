"""The references: where they are installed, which versions, and why one is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from bench.market import ROOT

VENV = ROOT / ".venv-bench"
_PYTHON = VENV / "bin" / "python"
_COMMON = ("orjson", "uvloop", "websocket-client")
_INSTALL_S = 900.0


@dataclass(frozen=True)
class Reader:
    """One reader of the streams: a module of bench.clients."""

    name: str
    module: str
    packages: tuple[str, ...] = ()
    """From PyPI; empty: it needs what all need."""
    options: tuple[str, ...] = ()
    aggregated: bool = False
    """It must be served aggregated trades."""
    needs_tls: bool = False
    """It takes wss addresses only."""

    @property
    def is_mmd(self) -> bool:
        return self.module == "mmd_feed"


MMD = Reader("mmd", "mmd_feed")
BARE_CUT = Reader("bare recv + cut, no decode", "bare", options=("cut",))
BARE = Reader("bare recv + orjson + store", "bare")
PICOWS = Reader("picows + orjson", "picows_listener", ("picows",))
AIOHTTP = Reader("aiohttp + orjson", "aiohttp_reader", ("aiohttp",))
WEBSOCKETS = Reader("websockets + orjson", "websockets_reader", ("websockets",))
WEBSOCKET_CLIENT = Reader("websocket-client + orjson", "websocket_client_loop")
CRYPTOFEED = Reader("cryptofeed", "cryptofeed_handler", ("cryptofeed",), (), True, needs_tls=True)
CCXT = Reader("ccxt", "ccxt_pro", ("ccxt",))
PYTHON_BINANCE = Reader("python-binance", "python_binance", ("python-binance", "requests"))
REFERENCES = (
    BARE_CUT,
    BARE,
    PICOWS,
    AIOHTTP,
    WEBSOCKETS,
    WEBSOCKET_CLIENT,
    CRYPTOFEED,
    CCXT,
    PYTHON_BINANCE,
)


def prepare() -> dict[Reader, str]:
    """Installs what is missing into .venv-bench; for each reference that can't be: why."""
    if not _PYTHON.exists():
        _say("making .venv-bench")
        venv.create(VENV, with_pip=True)
    common = _install(*_COMMON)
    if common:
        return dict.fromkeys(REFERENCES, common)
    broken = {}
    for reader in REFERENCES:
        why = _install(*reader.packages) if reader.packages else ""
        if why:
            broken[reader] = why
    return broken


def command(reader: Reader, interpreter: str | None = None) -> list[str]:
    """How a reader is started; its arguments follow. `interpreter`: of a reference, instead of
    that of .venv-bench."""
    chosen = sys.executable if reader.is_mmd else interpreter or python()
    return [chosen, "-m", f"bench.clients.{reader.module}"]


def python() -> str:
    """The interpreter of .venv-bench."""
    return str(_PYTHON)


def environment(ca_file: Path | None) -> dict[str, str]:
    """The environment of a reader, which trusts the benchmark's certificate."""
    chosen = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    if ca_file is not None:
        chosen |= {
            "SSL_CERT_FILE": str(ca_file),
            "WEBSOCKET_CLIENT_CA_BUNDLE": str(ca_file),
            "BENCH_HOST": "localhost",
        }
    return chosen


def version(reader: Reader) -> str:
    """The version of a reference's first package."""
    if not reader.packages:
        return ""
    script = f"import importlib.metadata as m; print(m.version({reader.packages[0]!r}))"
    done = subprocess.run([python(), "-c", script], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _install(*packages: str) -> str:
    """Installs packages unless they are there; why that failed, or ''."""
    wanted = "import importlib.metadata as m, sys; [m.version(n) for n in sys.argv[1:]]"
    there = subprocess.run([python(), "-c", wanted, *packages], capture_output=True, check=False)
    if there.returncode == 0:
        return ""
    _say(f"installing {', '.join(packages)} into .venv-bench")
    pip = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [*pip, *packages], capture_output=True, text=True, check=False, timeout=_INSTALL_S
        )
    except subprocess.TimeoutExpired:
        return f"pip took longer than {_INSTALL_S:.0f} s"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return f"pip: {lines[-1][:120] if lines else 'failed'}"


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
