"""The mmd that is struck: a home of its own, its commands, and who its processes are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from mmd.config.paths import Paths
from mmd.config.secrets import PAPER_KEY
from mmd.faces import service, status
from mmd.processes.inquiry import Inquiry
from mmd.sim import paper
from mmd.supervision import lock, proc, status_block
from mmd.words.market import Pair

ROOT = Path(__file__).parent.parent
COMMAND_LIMIT_S = 150.0
ALERT_SECRET, WEB_SECRET = "alert-s3cr3t-5b1e90c7", "page-token-s3cr3t-77d2f41a"
SECRETS = (PAPER_KEY.secret, ALERT_SECRET, WEB_SECRET)
"""What nothing may ever show."""


class CommandFailed(Exception):
    """A command of mmd ended with another exit code than 0."""


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, section by section."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) else value
    return result


def recordings(pattern: str = "*_*.gz") -> list[Path]:
    """Recorded streams, where there are any (MMD_DATA)."""
    folder = Path(os.environ.get("MMD_DATA", ROOT.parent / "shared" / "data"))
    return sorted(folder.glob(pattern))


class Subject:
    """One mmd in paper mode, on a temporary home, with the shipped configuration."""

    def __init__(self, changes: Mapping[str, Any], replay: Sequence[Path] = ()) -> None:
        """`changes` is laid over conf/pairs.yaml; `replay`: recordings to trade on."""
        self.home = Path(tempfile.mkdtemp(prefix="mmd-chaos-", dir="/tmp"))
        self.paths = Paths(self.home, ROOT)
        self.config = self.home / "pairs.yaml"
        shipped = yaml.safe_load((ROOT / "conf" / "pairs.yaml").read_text())
        self.settings = merged(shipped, changes)
        self.config.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        self.pairs = tuple(Pair.parse(name) for name in self.settings["pairs"])
        self._replay = [f"--replay={path}" for path in replay]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ACE_", "MMD_"))}
        self.environ = inherited | {
            "MMD_HOME": str(self.home),
            "MMD_CONFIG": str(self.config),
            "PYTHONPATH": str(ROOT),
            "MMD_WEB_TOKEN": WEB_SECRET,
            "MMD_ALERT_WEBHOOK": f"http://127.0.0.1:9/{ALERT_SECRET}",
        }
        self.slips: list[str] = []
        """What the commands of mmd printed with a secret in it."""

    # Commands.

    def command(self, *arguments: str) -> str:
        """The output of one command of mmd. Raises CommandFailed."""
        done = subprocess.run(
            [sys.executable, "-m", "mmd", *arguments],
            env=self.environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        printed = (done.stdout, done.stderr)
        self.slips += [text for text in printed if any(secret in text for secret in SECRETS)]
        if done.returncode:
            said = (done.stderr + done.stdout).strip()
            raise CommandFailed(f"mmd {' '.join(arguments)} ended with {done.returncode}: {said}")
        return done.stdout

    def start(self) -> None:
        self.command("start", *self._replay)

    def stop(self) -> None:
        self.command("stop")

    def status(self) -> dict[str, Any]:
        """As `mmd status --json` shows it, without the profit. Raises Unavailable."""
        return status.to_json(status.look(self.paths), profit_today={})

    def explain(self, pair: Pair) -> dict[str, Any]:
        """What the pair's own process says of its orders. Raises Unavailable."""
        return Inquiry(self.paths.run, f"pairs:{pair.slug}").ask(patience_s=1.0)

    # Processes.

    def supervisord(self) -> int | None:
        return service.supervisord_pid(self.paths)

    def parent(self) -> int | None:
        return lock.holder(self.paths.parent_lock)

    def owner(self, pair: Pair) -> int | None:
        """The process that answers for the pair's orders: its worker or a sweep."""
        return lock.holder(self.paths.pair_lock(pair))

    def children(self) -> dict[str, int]:
        """The pid of each living child, by name, as the parent shows them."""
        block = status_block.read(self.paths.status)
        return {row.name: row.pid for row in block.rows if row.pid} if block else {}

    def states(self) -> dict[str, str]:
        """The state of each child, by name."""
        block = status_block.read(self.paths.status)
        return {row.name: row.state for row in block.rows} if block else {}

    def parent_answers(self) -> bool:
        """Whether what it shows is of now: it is neither frozen nor just starting."""
        pid, block = self.parent(), status_block.read(self.paths.status)
        is_awake = pid is not None and not proc.is_frozen(pid)
        return is_awake and block is not None and block.parent_pid == pid

    def restarts(self) -> dict[str, int]:
        """How often each child was restarted in this life of the parent."""
        block = status_block.read(self.paths.status)
        return {row.name: row.restarts for row in block.rows} if block else {}

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to this mmd; the outside world does not."""
        world = paper.running_pid(self.home)
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                is_ours = process.environ().get("MMD_HOME") == str(self.home)
                if is_ours and process.pid != world and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def freeze(self) -> list[psutil.Process]:
        """Stops every process at once, also those that are just being born."""
        frozen: dict[int, psutil.Process] = {}
        while fresh := [p for p in self.processes() if p.pid not in frozen]:
            for process in fresh:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGSTOP)
                frozen[process.pid] = process
        return list(frozen.values())

    def cut_power(self) -> None:
        """Ends every process at once; nobody is left to react.

        The youngest dies first: when a parent of stopped processes dies, the kernel wakes them.
        """
        victims = sorted(self.freeze(), key=lambda process: -process.create_time())
        for process in victims:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(victims, timeout=5)

    # The end.

    def last_words_of_the_venue(self, after: int) -> list[dict[str, Any]]:
        """Entries of the venue's record after that number, when it can't be asked any more."""
        files = sorted((paper.folder(self.home) / "record").glob("record-*.jsonl"))
        entries = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        silent: dict[str, Any] = dict.fromkeys(("parameters", "path", "status", "fault")) | {
            "events": []
        }
        return [silent | entry for entry in entries if entry["n"] > after]

    def leftovers(self) -> list[str]:
        """What an mmd that has been stopped must not leave."""
        found = [f"process {p.pid} is left" for p in self.processes()]
        found += [f"socket {path} is left" for path in self.home.rglob("*") if path.is_socket()]
        if (self.paths.run / "segment").exists():
            found.append("the shared memory is left")
        return found

    def remove(self, *, keep_files: bool = False) -> None:
        """Ends whatever is left, by force, and deletes the home."""
        self.cut_power()
        paper.stop(self.home)
        with suppress(OSError):
            segment = (self.paths.run / "segment").read_text().strip()
            (Path("/dev/shm") / segment).unlink()
        if not keep_files:
            shutil.rmtree(self.home, ignore_errors=True)
