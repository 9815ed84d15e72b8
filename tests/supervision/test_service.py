"""Stock supervisord and supervisorctl over a real parent with toy children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from mmd.config.paths import Paths
from mmd.faces import service
from mmd.supervision.lock import holder
from mmd.supervision.status_block import read
from tests.supervision.toys import ROOT, is_alive, note, reaped, short_home, spawn, until

FEED, PAIR, OTHER = "feeds:btcusdt", "pairs:btc_twd", "pairs:eth_twd"
TRIO: dict[str, dict[str, Any]] = {FEED: {}, PAIR: {"entry": "pair"}, OTHER: {"entry": "pair"}}


@dataclass
class Installation:
    """A home with toys, and the commands that a user has."""

    paths: Paths

    @property
    def conf(self) -> Path:
        return self.paths.home / "supervisord.conf"

    def start(self, timeout_s: float = 40.0, **environment: str) -> None:
        service.start(
            self.paths,
            self.missing,
            {**os.environ, **environment},
            command=(sys.executable, "-m", "tests.supervision.toys", str(self.paths.home)),
            timeout_s=timeout_s,
        )

    def missing(self) -> list[str]:
        block = read(self.paths.status)
        if block is None:
            return ["everything"]
        down = [row.name for row in block.rows if row.state not in ("ready", "running")]
        return [name for name in down if name.startswith("pairs:")]

    def ctl(self, *arguments: str) -> tuple[int, str]:
        """Runs stock supervisorctl: its exit code and output."""
        done = subprocess.run(
            [Path(sys.executable).with_name("supervisorctl"), "-c", self.conf, *arguments],
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def status(self, name: str) -> list[str]:
        """The words of a row: name, state, description."""
        return self.ctl("status", name)[1].split(maxsplit=2)

    def pid(self, name: str) -> int:
        return int(self.ctl("pid", name)[1])

    def toy_pids(self) -> list[int]:
        block = read(self.paths.status)
        return [row.pid for row in block.rows if row.pid] if block else []


@contextmanager
def installation(toys: dict[str, dict[str, Any]]) -> Iterator[Installation]:
    with short_home() as home:
        (home / "plan.json").write_text(json.dumps(toys))
        subject = Installation(Paths(home, ROOT))
        try:
            yield subject
        finally:
            service.stop(subject.paths)


@pytest.fixture(scope="module")
def service_up() -> Iterator[Installation]:
    with installation(TRIO) as subject:
        subject.start()
        yield subject


def test_every_child_is_a_row_with_its_true_pid_and_uptime(service_up: Installation) -> None:
    code, text = service_up.ctl("status")
    assert code == 0
    names = [line.split()[0] for line in text.splitlines()]
    assert names == ["mmd", FEED, PAIR, OTHER]
    name, state, description = service_up.status(PAIR)
    assert (name, state) == (PAIR, "RUNNING")
    pid = service_up.pid(PAIR)
    assert description.startswith(f"pid {pid}, uptime 0:00:")
    assert description.strip().endswith("lively")
    assert psutil.Process(pid).ppid() == service_up.pid("mmd")


def test_status_of_a_group_shows_its_members(service_up: Installation) -> None:
    code, text = service_up.ctl("status", "pairs:*")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()] == [PAIR, OTHER]


def test_stop_and_start_and_their_exit_codes(service_up: Installation) -> None:
    before = service_up.pid(OTHER)
    assert service_up.ctl("stop", PAIR) == (0, f"{PAIR}: stopped\n")
    assert service_up.status(PAIR)[1] == "STOPPED"
    assert service_up.ctl("status")[0] == 3
    assert service_up.pid(PAIR) == 0
    assert service_up.ctl("stop", PAIR) == (0, f"{PAIR}: ERROR (not running)\n")
    assert service_up.ctl("start", PAIR) == (0, f"{PAIR}: started\n")
    assert service_up.ctl("start", PAIR) == (0, f"{PAIR}: ERROR (already started)\n")
    assert service_up.status(PAIR)[1] == "RUNNING"
    assert service_up.pid(OTHER) == before


def test_restart_of_one_and_of_a_group(service_up: Installation) -> None:
    feed, pair, other = (service_up.pid(name) for name in (FEED, PAIR, OTHER))

    def restart_s() -> float:
        start = time.monotonic()
        assert service_up.ctl("restart", PAIR) == (0, f"{PAIR}: stopped\n{PAIR}: started\n")
        return time.monotonic() - start

    assert any(restart_s() < 1 for _ in range(5)), "answers do not wait for supervisord's slow loop"
    assert service_up.pid(PAIR) != pair
    assert service_up.pid(OTHER) == other
    code, text = service_up.ctl("restart", "pairs:*")
    assert code == 0
    assert sorted(text.splitlines()) == sorted(
        f"{name}: {what}" for name in (PAIR, OTHER) for what in ("stopped", "started")
    )
    assert service_up.pid(OTHER) != other
    assert service_up.pid(FEED) == feed


def test_unknown_names_are_told_as_stock_does(service_up: Installation) -> None:
    assert service_up.ctl("stop", "pairs:x") == (1, "pairs:x: ERROR (no such process)\n")
    assert service_up.ctl("start", "pairs:x") == (1, "pairs:x: ERROR (no such process)\n")
    assert service_up.ctl("stop", "shops:*") == (1, "shops: ERROR (no such group)\n")
    assert service_up.ctl("status", "pairs:x")[0] == 4
    assert service_up.ctl("pid", "pairs:x") == (1, "No such process pairs:x\n")
    assert service_up.ctl("tail", "pairs:x") == (1, "pairs:x: ERROR (no such process name)\n")


def test_a_group_without_members_is_no_error(service_up: Installation) -> None:
    assert service_up.ctl("stop", "jobs:*") == (0, "")


def test_signals_reach_the_child(service_up: Installation) -> None:
    assert service_up.ctl("signal", "USR1", PAIR) == (0, f"{PAIR}: signalled\n")
    until(lambda: "most recent call first" in service_up.ctl("tail", "-9999", PAIR, "stderr")[1])
    assert service_up.ctl("signal", "WHAT", PAIR) == (1, f"{PAIR}: ERROR (bad signal name)\n")
    code, text = service_up.ctl("signal", "USR1", "pairs:*")
    assert code == 0
    assert sorted(text.splitlines()) == [f"{PAIR}: signalled", f"{OTHER}: signalled"]


def test_tail_shows_the_right_log_and_follows_none(service_up: Installation) -> None:
    log = service_up.paths.home / "log" / "children" / "pairs-eth_twd.log"
    assert f"process {service_up.pid(OTHER)} starts" in service_up.ctl("tail", "-99999", OTHER)[1]
    assert f"tail -F {log}" in service_up.ctl("tail", "-f", OTHER)[1]
    assert service_up.ctl("clear", OTHER)[0] == 1
    assert log.exists()


def test_a_log_with_control_characters_can_be_shown(service_up: Installation) -> None:
    log = service_up.paths.home / "log" / "children" / "feeds-btcusdt.log"
    with log.open("ab") as file:
        file.write(b"\x1b[31mred\x00\xff end\n")
    code, text = service_up.ctl("tail", FEED)
    assert code == 0
    assert text.strip().endswith("end")


def test_the_supervisor_socket_is_private(service_up: Installation) -> None:
    assert service_up.paths.supervisor_socket.stat().st_mode & 0o777 == 0o700


def test_a_second_start_is_refused_and_changes_nothing(service_up: Installation) -> None:
    pids = service_up.toy_pids()
    with pytest.raises(service.AlreadyRunning, match="running already"):
        service_up.start()
    assert service_up.toy_pids() == pids


def test_a_killed_parent_is_back_soon_and_its_rows_never_vanish(service_up: Installation) -> None:
    before = service_up.pid("mmd")
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        _, text = service_up.ctl("status")
        rows = [line.split() for line in text.splitlines()]
        assert {FEED, PAIR, OTHER} <= {row[0] for row in rows}, text
        states = {row[1] for row in rows if row[0] == PAIR}
        assert states <= {"STOPPED", "STARTING", "RUNNING"}, text
        if states == {"RUNNING"} and service_up.pid("mmd") not in (0, before):
            break
    assert service_up.status(PAIR)[1] == "RUNNING"


def test_all_acts_on_mmd_and_rows_stay(service_up: Installation) -> None:
    assert service_up.ctl("stop", "all") == (0, "mmd: stopped\n")
    assert service_up.status(PAIR)[1:] == ["STOPPED", "mmd is down\n"]
    assert service_up.ctl("stop", PAIR) == (0, f"{PAIR}: ERROR (not running)\n")
    assert service_up.ctl("start", PAIR)[0] == 7
    assert service_up.ctl("start", "all") == (0, "mmd: started\n")
    until(lambda: service_up.status(PAIR)[1] == "RUNNING")


def test_a_frozen_parent_never_blocks_supervisord() -> None:
    with installation(TRIO) as subject:
        subject.start(TOY_LEASE_S="60")
        parent = subject.pid("mmd")
        os.kill(parent, signal.SIGSTOP)
        until(lambda: subject.status(PAIR)[1] == "UNKNOWN")
        assert "parent silent" in subject.ctl("status")[1]
        code, text = subject.ctl("signal", "USR1", PAIR)
        assert (code, text) == (1, "FAILED: the parent does not answer\n")
        assert subject.ctl("tail", PAIR)[0] == 0
        ctl = Path(sys.executable).with_name("supervisorctl")
        stop = [ctl, "-c", subject.conf, "stop", PAIR]
        with reaped(subprocess.Popen(stop, stdout=subprocess.PIPE)) as waiting:
            assert "mmd" in subject.ctl("status")[1], "answers others meanwhile"
            assert waiting.poll() is None
            os.kill(parent, signal.SIGCONT)
            out, _ = waiting.communicate(timeout=20)
        assert out == f"{PAIR}: stopped\n".encode()


def test_start_and_stop_leave_nothing_behind() -> None:
    with installation(TRIO) as subject:
        assert service.stop(subject.paths) is False
        subject.start()
        pids = subject.toy_pids()
        assert len(pids) == 3
        supervisord = service.supervisord_pid(subject.paths)
        assert supervisord
        assert service.stop(subject.paths) is True
        assert not any(is_alive(pid) for pid in [*pids, supervisord])
        assert holder(subject.paths.parent_lock) is None
        story = (subject.paths.home / "story").read_text().splitlines()
        assert [line for line in story if line.startswith("down")][-1] == f"down {FEED}"


def test_what_does_not_come_up_is_told_and_all_is_taken_down() -> None:
    with installation({FEED: {}, PAIR: {"entry": "slow"}}) as subject:
        with pytest.raises(service.NotQuoting) as caught:
            subject.start(timeout_s=5)
        assert caught.value.missing == (PAIR,)
        assert service.supervisord_pid(subject.paths) is None
        assert holder(subject.paths.parent_lock) is None


def test_a_parked_pair_ends_the_wait_at_once() -> None:
    with installation({FEED: {}, PAIR: {"entry": "bad_key"}}) as subject:
        with pytest.raises(service.NotQuoting, match="the venue refuses the key"):
            subject.start(timeout_s=30)
        assert service.supervisord_pid(subject.paths) is None


def test_nothing_lives_on_after_supervisord_and_start_brings_all_back() -> None:
    with installation(TRIO) as subject:
        subject.start()
        pids = [*subject.toy_pids(), subject.pid("mmd")]
        supervisord = service.supervisord_pid(subject.paths)
        assert supervisord
        os.kill(supervisord, signal.SIGKILL)
        subject.start()
        assert not any(is_alive(pid) for pid in pids)
        assert set(subject.toy_pids()).isdisjoint(pids)


def test_stop_works_though_supervisord_is_frozen() -> None:
    with installation(TRIO) as subject:
        subject.start()
        supervisord = service.supervisord_pid(subject.paths)
        assert supervisord
        pids = subject.toy_pids()
        os.kill(supervisord, signal.SIGSTOP)
        assert service.stop(subject.paths)
        assert not any(is_alive(pid) for pid in [*pids, supervisord])


def test_everything_killed_at_once_leaves_no_children_and_a_start_that_works() -> None:
    with installation(TRIO) as subject:
        subject.start()
        pids = [*subject.toy_pids(), subject.pid("mmd")]
        supervisord = service.supervisord_pid(subject.paths)
        assert supervisord
        note(subject.paths.home, "power cut")
        for pid in [supervisord, *pids]:
            os.kill(pid, signal.SIGKILL)
        subject.start()
        assert len(subject.toy_pids()) == 3


def test_a_parent_without_supervisord_is_seen_and_stopped_too() -> None:
    with installation(TRIO) as subject:
        subject.paths.make()
        with reaped(spawn(subject.paths.home)) as parent:
            until(lambda: len(subject.toy_pids()) == 3)
            with pytest.raises(service.AlreadyRunning, match="without supervisord"):
                subject.start()
            assert service.stop(subject.paths)
            assert parent.wait(15) == 0


def test_in_the_foreground_supervisord_stays_until_it_is_interrupted() -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from mmd.config.paths import Paths; from mmd.faces import service\n"
        "home, root = map(Path, sys.argv[1:])\n"
        "command = (sys.executable, '-m', 'tests.supervision.toys', str(home))\n"
        "service.start_in_foreground(Paths(home, root), dict(os.environ), command=command)\n"
    )
    with installation(TRIO) as subject:
        command = [sys.executable, "-c", script, str(subject.paths.home), str(ROOT)]
        null = subprocess.DEVNULL
        with reaped(subprocess.Popen(command, cwd=ROOT, stdout=null, stderr=null)) as terminal:
            until(lambda: len(subject.toy_pids()) == 3)
            assert service.supervisord_pid(subject.paths) == terminal.pid
            until(lambda: subject.status(PAIR)[1] == "RUNNING")
            pids = subject.toy_pids()
            terminal.send_signal(signal.SIGINT)
            assert terminal.wait(30) == 0
            assert not any(is_alive(pid) for pid in pids)


def test_a_project_of_its_own_uses_its_conf_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "conf" / "supervisord.conf").write_text(
        (ROOT / "conf/supervisord.conf").read_text()
    )
    paths = Paths(tmp_path / "var", tmp_path)
    assert service.write_conf(paths) == tmp_path / "conf" / "supervisord.conf"


def test_another_home_gets_a_conf_of_its_own(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "a 100% home", ROOT)
    paths.home.mkdir()
    text = service.write_conf(paths).read_text()
    settings = [line for line in text.splitlines() if not line.startswith(";")]
    assert "file=%(here)s/run/supervisor.sock" in settings
    assert f"command={sys.executable} -m mmd run" in settings
    assert not any("var" in line for line in settings if "here" in line)
