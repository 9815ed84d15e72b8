"""What supervision keeps in files: locks, wanted states, the roll of children, the status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmd.supervision import status_block
from mmd.supervision.lock import Lock, LockHeld, holder
from mmd.supervision.plugin_watch import FrozenWatch
from mmd.supervision.proc import Roll, boot_id, is_frozen, resident_mb, stat
from mmd.supervision.status_block import Row, StatusWriter
from mmd.supervision.wants import Want, Wants
from mmd.words.errors import ConfigError
from tests.supervision.toys import is_alive, until

HOLD = """
import sys
from pathlib import Path
from mmd.supervision.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
ROW = Row("pairs:btc_twd", 12, "running", 1.5, 3, "fine", "/log/*/a.log", "/log/b.log")


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)


def test_a_lock_excludes_other_processes_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.lock"
    path.parent.mkdir()
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdin
        assert other.stdout.readline() == b"held\n"
        assert holder(path) == other.pid
        with pytest.raises(LockHeld) as caught:
            Lock(path)
        assert caught.value.pid == other.pid
        other.stdin.close()
        other.wait()
    assert holder(path) is None
    Lock(path).release()


def test_a_lock_ends_with_its_process_though_a_forked_child_lives_on(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    script = HOLD.replace(
        'print("held"',
        "import os, time\nchild = os.fork()\nif not child: time.sleep(60)\nprint(child",
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        child = int(other.stdout.readline())
        other.kill()
        other.wait()
        assert is_alive(child)
        Lock(path).release()
        os.kill(child, 9)


def test_what_was_wanted_outlives_the_parent(tmp_path: Path) -> None:
    path = tmp_path / "wanted.json"
    wants = Wants(path)
    assert wants["pairs:btc_twd"] == Want(up=True, paused=False)
    wants.change("pairs:btc_twd", up=False)
    wants.change("pairs:eth_twd", paused=True)
    wants.note(["pairs:btc_twd", "feeds:btcusdt"])
    again = Wants(path)
    assert again["pairs:btc_twd"] == Want(up=False, paused=False)
    assert again["pairs:eth_twd"] == Want(up=True, paused=True)
    assert set(again.names()) == {"pairs:btc_twd", "pairs:eth_twd", "feeds:btcusdt"}
    again.forget("pairs:btc_twd")
    assert Wants(path)["pairs:btc_twd"].up


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pairs:x": {"up": true, "what": 1}}'])
def test_a_damaged_file_of_wanted_states_is_refused_rather_than_guessed(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "wanted.json").write_text(text)
    with pytest.raises(ConfigError, match=r"wanted\.json"):
        Wants(tmp_path / "wanted.json")


def test_what_an_earlier_life_left_alive_is_ended(tmp_path: Path) -> None:
    with sleeper() as left:
        Roll(tmp_path / "roll").add(left.pid)
        assert Roll(tmp_path / "roll").end_leftovers() == [left.pid]
        assert left.wait() == -9
    assert Roll(tmp_path / "roll").end_leftovers() == []


def test_a_process_that_only_has_the_pid_of_an_earlier_child_is_left_alone(tmp_path: Path) -> None:
    with sleeper() as innocent:
        seen = stat(innocent.pid)
        assert seen
        alive = {str(innocent.pid): seen.started - 1}
        (tmp_path / "roll").write_text(json.dumps([boot_id(), alive]))
        assert Roll(tmp_path / "roll").end_leftovers() == []
        alive = {str(innocent.pid): seen.started}
        (tmp_path / "roll").write_text(json.dumps(["another boot", alive]))
        assert Roll(tmp_path / "roll").end_leftovers() == []
        assert innocent.poll() is None
        innocent.kill()


def test_a_child_that_was_removed_from_the_roll_is_left_alone(tmp_path: Path) -> None:
    with sleeper() as gone:
        roll = Roll(tmp_path / "roll")
        roll.add(gone.pid)
        roll.remove(gone.pid)
        assert Roll(tmp_path / "roll").end_leftovers() == []
        gone.kill()


def test_a_stopped_process_is_seen_as_frozen() -> None:
    with sleeper() as process:
        assert not is_frozen(process.pid)
        os.kill(process.pid, 19)
        os.waitpid(process.pid, os.WUNTRACED)
        assert is_frozen(process.pid)
        process.kill()
    assert not is_frozen(process.pid)
    assert resident_mb(process.pid) == 0.0
    assert resident_mb(os.getpid()) > 5


def test_the_status_is_read_as_written_and_outlives_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "status"
    assert status_block.read(path) is None
    writer = StatusWriter(path)
    writer.write("running", 5.0, [ROW])
    writer.write("stopping", 5.0, [ROW, ROW._replace(health="größer")])
    writer.close()
    block = status_block.read(path)
    assert block
    assert (block.parent_pid, block.parent_state, block.parent_since) == (
        os.getpid(),
        "stopping",
        5.0,
    )
    assert block.rows == (ROW, ROW._replace(health="größer"))
    assert block.is_fresh


def test_a_new_parent_keeps_the_rows_until_it_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "status"
    first = StatusWriter(path)
    first.write("running", 5.0, [ROW])
    first.close()
    second = StatusWriter(path)
    block = status_block.read(path)
    assert block
    assert block.rows == (ROW,)
    second.write("running", 6.0, [])
    block = status_block.read(path)
    assert block
    assert block.rows == ()
    second.close()


def test_more_rows_than_fit_are_left_out_not_fatal(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path / "status")
    writer.write("running", 5.0, [ROW._replace(health="x" * 1000)] * 300)
    writer.close()
    block = status_block.read(tmp_path / "status")
    assert block
    assert 50 < len(block.rows) < 300


@pytest.mark.parametrize("content", [b"", b"short", bytes(300_000)])
def test_a_file_that_is_no_status_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "status").write_bytes(content)
    assert status_block.read(tmp_path / "status") is None
    writer = StatusWriter(tmp_path / "status")
    writer.write("running", 5.0, [ROW])
    writer.close()
    assert status_block.read(tmp_path / "status")


def test_an_old_block_is_not_fresh() -> None:
    assert not status_block.Block(3.0, 1, 0.0, "running", False, ()).is_fresh
    assert not status_block.Block(-9.0, 1, 0.0, "running", False, ()).is_fresh, "before a reboot"


def test_the_plugin_loads_nothing_but_the_standard_library_and_supervisor() -> None:
    script = """
import sys
before = set(sys.modules)
import mmd.supervision.plugin
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(roots - sys.stdlib_module_names - {"supervisor", "mmd"}))
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_supervisord_ends_a_parent_that_stays_frozen() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    process = SimpleNamespace(pid=sleeper.pid)
    warned: list[str] = []
    supervisord = SimpleNamespace(
        process_groups={"mmd": SimpleNamespace(processes={"mmd": process})},
        options=SimpleNamespace(logger=SimpleNamespace(warn=warned.append)),
    )
    watch = FrozenWatch(supervisord, iter((20.0, 21.0, 22.0)).__next__)
    try:
        for _ in range(5):
            assert not watch.readable()
        sleeper.send_signal(signal.SIGSTOP)
        until(lambda: is_frozen(sleeper.pid))
        watch.readable()
        watch.readable()
        assert warned == [], "it may be for a moment only"
        watch.readable()
        assert sleeper.wait(5) == -signal.SIGKILL
        assert len(warned) == 1
        process.pid = 0
        watch.readable()
    finally:
        sleeper.kill()
        sleeper.wait()
    supervisord.process_groups.clear()
    watch.readable()
