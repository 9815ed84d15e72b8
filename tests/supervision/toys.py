"""Children that do nothing but live, hang or die, and a parent process around them."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from mmd.cells.segment import Segment
from mmd.processes.context import ChildContext
from mmd.supervision import control
from mmd.supervision.limits import Limits
from mmd.supervision.parent import ParentJob, run
from mmd.supervision.spec import ChildSpec, Planned
from mmd.supervision.status_block import Block, Row, read
from mmd.words.errors import ConfigError, Exit, KeyRejected, OrdersLeft, Unavailable

ROOT = Path(__file__).parent.parent.parent
LIMITS = Limits(
    stall_s=5.0,
    progress_s=5.0,
    start_s=10.0,
    stop_s=5.0,
    healthy_s=0.2,
    restarts=4,
    within_s=10.0,
    backoff_s=0.05,
    backoff_cap_s=0.2,
    sweep_s=5.0,
)
"""Wide, so that a loaded machine is not taken for a hanging child; tests of a limit lower it."""


def note(home: Path, text: str) -> None:
    """Appends a line to the story that a test reads."""
    with (home / "story").open("a") as file:
        file.write(text + "\n")


def live(context: ChildContext, *, leave_s: float = 0.0) -> None:
    """Beats its heart until asked to leave, as a well-behaved child does."""
    context.stop.on_term()
    note(context.home, f"up {context.name}")
    context.heart.ready()
    while not context.stop.requested and context.parent.is_alive(time.monotonic_ns()):
        ready, _, _ = select.select([context.stop.fd, context.parent.pidfd], [], [], 0.05)
        if context.parent.pidfd in ready:
            break
        context.heart.beat(progress=context.heart.state.progress + 1)
    time.sleep(leave_s)
    note(context.home, f"down {context.name}")


def feed(context: ChildContext) -> None:
    live(context)


def pair(context: ChildContext) -> None:
    live(context, leave_s=0.1)


def hang(context: ChildContext) -> None:
    """Ready, then stuck in a loop of its own."""
    context.heart.ready()
    note(context.home, f"up {context.name}")
    hanging_in_here()


def hanging_in_here() -> None:
    while True:
        time.sleep(0.05)


def slow(context: ChildContext) -> None:
    """Beats, but never gets ready."""
    while not context.stop.requested:
        context.heart.beat()
        time.sleep(0.05)


def drowsy(context: ChildContext) -> None:
    """Takes TERM, then hangs."""
    context.stop.on_term()
    context.heart.ready()
    note(context.home, f"up {context.name}")
    while True:
        context.heart.beat()
        time.sleep(0.05)


def idle(context: ChildContext) -> None:
    """Its heart beats, but its work stands still."""
    note(context.home, f"up {context.name}")
    while True:
        context.heart.beat(ready=1, waiting=5)
        time.sleep(0.05)


def deaf(context: ChildContext) -> None:
    """Beats on, whatever it is asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(context.home, f"up {context.name}")
    while True:
        context.heart.beat(ready=1)
        time.sleep(0.05)


def bad_key(context: ChildContext) -> None:
    note(context.home, f"up {context.name}")
    raise KeyRejected("the venue refuses the key")


def crash(context: ChildContext) -> None:
    note(context.home, f"up {context.name}")
    raise ZeroDivisionError("a bug")


def unreachable(context: ChildContext) -> None:
    note(context.home, f"up {context.name}")
    raise Unavailable("the venue is away")


def sweep(context: ChildContext) -> None:
    note(context.home, f"swept {context.name}")


def failing_sweep(context: ChildContext) -> None:
    note(context.home, f"failed {context.name}")
    raise OrdersLeft("one is left", ("123",))


def names_its_descriptors(context: ChildContext) -> None:
    logging.basicConfig(filename=context.home / "child.log", force=True, level=logging.INFO)
    logging.getLogger().info("a line of the child's")
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)  # closes the file
    fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
    found = []
    for fd in fds:
        with suppress(FileNotFoundError):  # the one that did the listing
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    note(context.home, json.dumps(found))
    live(context)


ENTRIES = {
    f.__name__: f
    for f in (
        feed, pair, slow, hang, drowsy, idle, deaf, bad_key, crash, unreachable, sweep,
        failing_sweep, names_its_descriptors,
    )
}  # fmt: skip


def plan_of(home: Path) -> Callable[[Segment, Any], Planned]:
    """A plan that reads `home/plan.json`: name → settings of a toy."""

    def spec(name: str, toy: dict[str, Any]) -> ChildSpec:
        return ChildSpec(
            name,
            ENTRIES[toy.get("entry", "feed")],
            drains=name.startswith("pairs:"),
            limits=replace(LIMITS, **toy.get("limits", {})),
            sweep=ENTRIES[toy.get("sweep", "sweep")] if name.startswith("pairs:") else None,
            identity=toy.get("identity"),
            parameters=toy.get("parameters", ""),
            describe=lambda: "lively",
        )

    def plan(_segment: Segment, earlier: Any) -> Planned:
        try:
            toys = json.loads((home / "plan.json").read_text())
        except ValueError:
            raise ConfigError("plan.json, line 1: not JSON") from None
        children = [spec(name, toy) for name, toy in toys.items()]
        gone = [name for name in earlier if name not in toys and name.startswith("pairs:")]
        return Planned(children, [spec(name, {}) for name in gone])

    return plan


@dataclass
class Toys:
    """A parent process with toy children, seen from outside."""

    home: Path
    process: subprocess.Popen[bytes]

    @property
    def socket(self) -> Path:
        return self.home / "run" / "control.sock"

    def write_plan(self, toys: dict[str, dict[str, Any]]) -> None:
        (self.home / "plan.json").write_text(json.dumps(toys))

    def command(self, do: str, *names: str, **more: Any) -> dict[str, Any]:
        return control.command(self.socket, do, names, wait_s=10, **more)

    def rows(self) -> dict[str, Row]:
        rows = control.command(self.socket, "status")["rows"]
        return {row[0]: Row(*row) for row in rows}

    def row(self, name: str) -> Row:
        return self.rows()[name]

    def block(self) -> Block:
        block = read(self.home / "run" / "status")
        assert block
        return block

    def story(self) -> list[str]:
        path = self.home / "story"
        return path.read_text().splitlines() if path.exists() else []

    def wait_up(self, *names: str) -> dict[str, Row]:
        def up() -> bool:
            rows = self.rows()
            return all(rows[name].state in ("ready", "running") for name in names)

        until(up)
        return self.rows()


def until(holds: Callable[[], bool], limit_s: float = 15.0) -> float:
    """Waits until a condition holds; returns how long that took."""
    start = time.monotonic()
    while True:
        try:
            if holds():
                return time.monotonic() - start
        except Unavailable:
            pass
        assert time.monotonic() - start < limit_s, f"not within {limit_s} s"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@contextmanager
def short_home() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="mmd-", dir="/tmp") as folder:
        yield Path(folder)


def spawn(home: Path, **environment: str) -> subprocess.Popen[bytes]:
    with (home / "parent.err").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.supervision.toys", str(home)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stderr=log,
        )


@contextmanager
def reaped(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kills and reaps the process at the end, if it has not ended by itself."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@contextmanager
def running(toys: dict[str, dict[str, Any]], **environment: str) -> Iterator[Toys]:
    """Runs a parent over the given toys; ends it and what it left."""
    with short_home() as home:
        (home / "plan.json").write_text(json.dumps(toys))
        subject = Toys(home, spawn(home, **environment))
        try:
            until(lambda: subject.socket.exists() and bool(subject.rows()))
            yield subject
        finally:
            leave(subject)


def leave(subject: Toys) -> None:
    """Ends the parent, and whichever child ignores that."""
    subject.process.send_signal(signal.SIGSTOP)  # so that it forks no more
    block = read(subject.home / "run" / "status")
    pids = {row.pid for row in block.rows if row.pid} if block else set()
    with suppress(psutil.NoSuchProcess):
        pids |= {child.pid for child in psutil.Process(subject.process.pid).children(True)}
    subject.process.kill()
    subject.process.wait()
    patience = time.monotonic() + 2
    while alive := [pid for pid in pids if is_alive(pid)]:
        if time.monotonic() > patience:
            os.kill(alive[0], signal.SIGKILL)
        time.sleep(0.005)


def main() -> int:
    home = Path(sys.argv[1])
    supervised = "SUPERVISOR_ENABLED" in os.environ

    logging.basicConfig(filename=home / "parent.log", level=logging.INFO)

    def alert(text: str) -> None:
        note(home, f"alert {text}")

    lease_s = float(os.environ.get("TOY_LEASE_S", "5"))
    code = run(ParentJob(home, plan_of(home), lease_s, alert, supervised))
    return Exit(code)


if __name__ == "__main__":
    sys.exit(main())
