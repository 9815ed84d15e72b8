"""The simulated outside world of paper mode, as mmd sees it: start it, find it, stop it.

It is one detached process (`mmd.sim.world`) with Binance's streams, the ACE exchange and the
other participants. Nothing that strikes mmd strikes it. All it keeps lies in `<home>/paper`:

    address.json   the ports, chosen once, so that clients reconnect after its restart
    options.json   how it was started last
    lock           held while it runs; its content is the pid
    record/        the exchange's orders, balances and record
    paper.log      what it printed
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import SystemRandom
from typing import Any

import mmd
from mmd.words.errors import Unavailable
from mmd.words.market import Pair
from mmd.words.source import Source

_START_LIMIT_S = 20.0
_STOP_LIMIT_S = 10.0
_ANSWER_LIMIT_S = 2.0
_IDLE_S = 3.0
"""A world that nobody asked anything for this long may be restarted with other options."""
_FLOCK = struct.Struct("hhqqi4x")
"""C's `struct flock` on 64-bit Linux: type, whence, start, length, pid."""
_PORTS = range(20_000, 32_768)
"""Below the ports that the kernel hands out by itself: there, a client that keeps calling a closed
port of its own machine can end up connected to itself."""


@dataclass(frozen=True)
class PaperAddress:
    """Where the simulated world listens, or will listen when it runs."""

    binance_port: int
    ace_port: int

    @property
    def stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.binance_port}"

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.binance_port}"

    @property
    def ace_url(self) -> str:
        return f"http://127.0.0.1:{self.ace_port}/polarisex"

    @property
    def ace_control_url(self) -> str:
        """Base of `/sim/…` of the exchange; that of Binance is `rest_url`."""
        return f"http://127.0.0.1:{self.ace_port}"


@dataclass(frozen=True)
class PaperOptions:
    """How the simulated world is to be."""

    seed: int = 1
    speed: float = 1.0
    """Multiple of real time for Binance's streams."""
    replay: tuple[Path, ...] = ()
    """Recordings to play; none: a seeded path."""
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    """What the account `paper` holds at first; what it has later is on record."""
    pairs: Mapping[Pair, Source] = field(default_factory=dict)
    """What of Binance's a market follows; by default its base against USDT."""
    batch: bool = False
    rate_limit_per_s: float | None = None
    live_rest_url: str | None = None
    """Prices are those of this Binance REST host, instead of the simulated streams."""

    def to_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "speed": self.speed,
            "replay": [str(path.absolute()) for path in self.replay],
            "balances": {name: str(total) for name, total in self.balances.items()},
            "pairs": {str(pair): str(source) for pair, source in self.pairs.items()},
            "batch": self.batch,
            "rate_limit_per_s": self.rate_limit_per_s,
            "live_rest_url": self.live_rest_url,
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> PaperOptions:
        return cls(
            **{
                **row,
                "replay": tuple(Path(path) for path in row["replay"]),
                "balances": {name: Decimal(total) for name, total in row["balances"].items()},
                "pairs": {
                    Pair.parse(name): Source.parse(text) for name, text in row["pairs"].items()
                },
            }
        )


def address(home: Path) -> PaperAddress | None:
    """Where the world of this home is, running or not; None when there never was one."""
    try:
        row = json.loads((folder(home) / "address.json").read_text())
        return PaperAddress(int(row["binance_port"]), int(row["ace_port"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def ensure_running(home: Path, options: PaperOptions) -> PaperAddress:
    """Starts the world unless it runs, and waits until it answers.

    A world that runs with other options is started anew with these, if nobody uses it. Its markets
    and first balances make no difference: it serves any market, and balances are on record.
    Raises Unavailable with the reason.
    """
    folder(home).mkdir(parents=True, exist_ok=True)
    with _alone(home):
        found = address(home)
        if running_pid(home) is None:
            return _start(home, options)
        if found is None or not _answers_within(home, found, _START_LIMIT_S):
            raise Unavailable(
                f"the simulated world (pid {running_pid(home)}) does not answer; see {_log(home)}"
            )
        if _character(_last_options(home)) == _character(options.to_json()):
            return found
        if not _is_idle(found):
            raise Unavailable("the simulated world is in use with other settings: stop mmd first")
        stop(home)
        return _start(home, options)


def stop(home: Path) -> bool:
    """Ends the world in order, by force if need be. False when it did not run."""
    pid = running_pid(home)
    if pid is None:
        return False
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # A pid may pass to another process between the look at the lock and `pidfd_open`; if
        # the lock still has it now, it is the right one.
        if running_pid(home) != pid:
            return True
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], _STOP_LIMIT_S)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], _STOP_LIMIT_S)
    finally:
        os.close(handle)
    return True


def running_pid(home: Path) -> int | None:
    """The process that holds the world's lock; None when nobody does. Takes no lock itself."""
    try:
        with (folder(home) / "lock").open("rb") as file:
            asked = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else pid


def folder(home: Path) -> Path:
    """Where the world keeps its things."""
    return home / "paper"


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keeps two starters apart."""
    with (folder(home) / "start.lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _start(home: Path, options: PaperOptions) -> PaperAddress:
    chosen = address(home)
    if chosen is None or not all(map(_is_free, (chosen.binance_port, chosen.ace_port))):
        chosen = _choose_ports()
        _write(folder(home) / "address.json", vars(chosen))
    _write(folder(home) / "options.json", options.to_json())
    reader, writer = os.pipe()
    try:
        with _log(home).open("ab") as log:
            command = [sys.executable, "-m", "mmd.sim.world", str(home), str(writer)]
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writer],
                cwd=Path(mmd.__file__).parent.parent,
                env=_environment(),
                start_new_session=True,
                timeout=_START_LIMIT_S,
                check=False,
            )
        os.close(writer)
        writer = -1
        _await_ready(home, reader)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the simulated world does not start; see {_log(home)}") from None
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    return chosen


def _await_ready(home: Path, reader: int) -> None:
    """Waits for the world's word that it listens. The end of its process ends the wait."""
    text, deadline = b"", time.monotonic() + _START_LIMIT_S
    while not text.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            raise Unavailable(f"the simulated world does not start; see {_log(home)}")
        piece = os.read(reader, 4096)
        if not piece:
            break
        text += piece
    if text != b"ready\n":
        reason = text.decode("utf-8", "replace").strip() or f"see {_log(home)}"
        raise Unavailable(f"the simulated world did not start: {reason}")


def _environment() -> dict[str, str]:
    """Our environment without the keys of real accounts, which the world has no use for."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ACE_")}


def _answers_within(home: Path, where: PaperAddress, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while running_pid(home) is not None:
        if _state(where) is not None:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return False


def _state(where: PaperAddress) -> dict[str, Any] | None:
    """The exchange's `/sim/state`; None when it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", where.ace_port, timeout=_ANSWER_LIMIT_S)
    try:
        connection.request("GET", "/sim/state")
        row = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return row if isinstance(row, dict) else None


def _is_idle(where: PaperAddress) -> bool:
    state = _state(where)
    if state is None:
        return True
    last_ms = state.get("last_request_ms")
    return last_ms is None or state["time_ms"] - last_ms > _IDLE_S * 1000


def _character(options: dict[str, Any]) -> dict[str, Any]:
    """What makes one world different from another."""
    return {name: value for name, value in options.items() if name not in ("pairs", "balances")}


def _last_options(home: Path) -> dict[str, Any]:
    try:
        row = json.loads((folder(home) / "options.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return row if isinstance(row, dict) else {}


def _choose_ports() -> PaperAddress:
    random = SystemRandom()
    for _ in range(100):
        first, second = random.sample(_PORTS, 2)
        if _is_free(first) and _is_free(second):
            return PaperAddress(first, second)
    raise Unavailable("no free ports for the simulated world")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _write(path: Path, row: dict[str, Any]) -> None:
    """Replaces a file whole."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(row, indent=1) + "\n")
    fresh.replace(path)


def _log(home: Path) -> Path:
    return folder(home) / "paper.log"
