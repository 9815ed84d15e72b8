"""A whole mmd of its own for each test, and proof that nothing of it is left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml

ROOT = Path(__file__).parent.parent.parent


@dataclass
class House:
    """An mmd with its own run-time files and configuration."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.home / "pairs.yaml"

    def configure(self, **sections: Any) -> None:
        """The shipped configuration with some top-level sections replaced."""
        shipped = yaml.safe_load((ROOT / "conf/pairs.yaml").read_text())
        self.config.write_text(yaml.safe_dump(shipped | sections, sort_keys=False))

    def run(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """One command of mmd, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "mmd", *arguments],
            env=self.environ,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def ok(self, *arguments: str) -> str:
        """The output of a command that must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.ok("status", "--json"))
        return answer

    def venue(self, path: str) -> Any:
        """Asks the simulated exchange behind its back."""
        port = self.world()["ace_port"]
        return requests.get(f"http://127.0.0.1:{port}/sim/{path}", timeout=5).json()

    def world(self) -> Any:
        """Where the simulated world is."""
        return json.loads((self.home / "paper/address.json").read_text())

    def processes(self) -> list[psutil.Process]:
        """Everything alive that runs on this home."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("MMD_HOME") == str(self.home):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return [p for p in found if p.pid != os.getpid()]

    def cut_power(self) -> None:
        """Ends all but the outside world at once; nobody is left to react.

        The youngest dies first: when a parent of stopped processes dies, the kernel wakes them.
        """
        victims = [p for p in self.processes() if "sim" not in " ".join(p.cmdline())]
        for process in victims:
            process.suspend()
        _kill(sorted(victims, key=lambda process: -process.create_time()))

    def segment(self) -> str | None:
        """The name of the present segment."""
        try:
            return (self.home / "run/segment").read_text().strip()
        except FileNotFoundError:
            return None

    def leftovers(self) -> list[str]:
        """What an mmd that has been stopped must not leave."""
        sockets = [str(path) for path in self.home.rglob("*") if path.is_socket()]
        return [*sockets, *(f"{p.pid} {p.name()}" for p in self.processes())]


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5)


@pytest.fixture
def house() -> Iterator[House]:
    with housed() as found:
        yield found


@contextmanager
def housed() -> Iterator[House]:
    """Whatever is done to it, nothing of it is left afterwards."""
    home = Path(tempfile.mkdtemp(prefix="mmd-e2e-", dir="/tmp"))
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ACE_", "MMD_"))}
    made = House(home, environ | {"MMD_HOME": str(home), "MMD_CONFIG": str(home / "pairs.yaml")})
    made.configure()
    segment = None
    try:
        yield made
    finally:
        segment = made.segment()
        _kill(made.processes())
        if segment:
            (Path("/dev/shm") / segment).unlink(missing_ok=True)
        shutil.rmtree(home, ignore_errors=True)
