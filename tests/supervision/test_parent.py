"""A real parent with real children, real signals and real deaths."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from mmd.cells.layouts import WANTED
from mmd.cells.segment import Segment
from mmd.supervision.control import ask
from mmd.words.errors import Exit, Unavailable
from tests.supervision.toys import (
    ROOT,
    Toys,
    is_alive,
    leave,
    reaped,
    running,
    short_home,
    spawn,
    until,
)

FEED, PAIR, OTHER = "feeds:btcusdt", "pairs:btc_twd", "pairs:eth_twd"
TRIO = {FEED: {}, PAIR: {"entry": "pair"}, OTHER: {"entry": "pair"}}


def alerts(subject: Toys) -> list[str]:
    return [line for line in subject.story() if line.startswith("alert")]


def revive(subject: Toys) -> None:
    """Starts the next life on the same home."""
    subject.process = spawn(subject.home)
    until(lambda: subject.block().parent_pid == subject.process.pid and bool(subject.rows()))


def segment(subject: Toys) -> Path:
    """Where the present segment of the parent lies."""
    return Path("/dev/shm") / (subject.home / "run" / "segment").read_text().strip()


def test_a_killed_child_is_replaced_at_once_and_no_other_is_touched() -> None:
    with running({**TRIO, FEED: {"limits": {"restarts": 100}}}) as subject:
        before = subject.wait_up(*TRIO)
        for _ in range(5):
            pid = subject.row(FEED).pid
            started = subject.story().count(f"up {FEED}")
            os.kill(pid, signal.SIGKILL)
            until(lambda n=started: subject.story().count(f"up {FEED}") > n)  # type: ignore[misc]
            subject.wait_up(FEED)
            time.sleep(0.35)  # long enough to count as healthy
        after = subject.rows()
        assert after[FEED].restarts == 5
        assert after[FEED].pid != before[FEED].pid
        for name in (PAIR, OTHER):
            assert (after[name].pid, after[name].restarts) == (before[name].pid, 0)


def test_a_hanging_child_leaves_its_stacks_in_its_log_and_is_replaced() -> None:
    with running({PAIR: {"entry": "hang", "limits": {"stall_s": 0.4}}}) as subject:
        pid = subject.wait_up(PAIR)[PAIR].pid
        until(lambda: subject.row(PAIR).pid not in (0, pid))
        assert not is_alive(pid)
        assert "hanging_in_here" in Path(subject.row(PAIR).error_log).read_text()
        assert any("stalled" in line for line in alerts(subject))


def test_a_beating_child_whose_work_stands_still_is_replaced() -> None:
    with running({FEED: {"entry": "idle", "limits": {"progress_s": 0.5}}}) as subject:
        pid = subject.wait_up(FEED)[FEED].pid
        until(lambda: subject.row(FEED).pid not in (0, pid))
        assert any("no progress" in line for line in alerts(subject))


def test_a_stopped_process_is_replaced_within_its_stall_limit() -> None:
    with running({**TRIO, PAIR: {"entry": "pair", "limits": {"stall_s": 0.4}}}) as subject:
        pid = subject.wait_up(*TRIO)[PAIR].pid
        os.kill(pid, signal.SIGSTOP)
        until(lambda: not is_alive(pid))
        subject.wait_up(PAIR)
        assert any("frozen" in line for line in alerts(subject))


def test_a_child_that_does_not_leave_in_time_is_killed_and_its_orders_are_swept() -> None:
    with running({PAIR: {"entry": "deaf", "limits": {"stop_s": 0.5}}}) as subject:
        pid = subject.wait_up(PAIR)[PAIR].pid
        reply = subject.command("stop", PAIR)
        assert reply["ok"], reply
        assert not is_alive(pid)
        until(lambda: "swept sweeps:btc_twd" in subject.story())


def test_a_refused_key_parks_the_pair_at_once_and_sweeps() -> None:
    with running({**TRIO, OTHER: {"entry": "bad_key"}}) as subject:
        until(lambda: subject.row(OTHER).state == "parked")
        assert subject.story().count(f"up {OTHER}") == 1
        until(lambda: "swept sweeps:eth_twd" in subject.story())
        assert "the venue refuses the key" in subject.row(OTHER).health
        assert "the venue refuses the key" in Path(subject.row(OTHER).error_log).read_text()
        reply = subject.command("start", OTHER)
        assert not reply["ok"]
        assert subject.story().count(f"up {OTHER}") == 2, "a command tries again"


def test_a_child_that_keeps_crashing_is_parked_with_its_last_words() -> None:
    with running({FEED: {"entry": "crash"}}) as subject:
        until(lambda: subject.row(FEED).state == "parked")
        assert subject.story().count(f"up {FEED}") == 5
        assert "ZeroDivisionError: a bug" in subject.row(FEED).health
        assert "Traceback" in Path(subject.row(FEED).error_log).read_text()


def test_an_unreachable_venue_parks_nobody() -> None:
    with running({FEED: {"entry": "unreachable"}}) as subject:
        until(lambda: subject.story().count(f"up {FEED}") > 8)
        assert subject.row(FEED).state != "parked"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_pairs_leave_before_the_feeds_they_live_on(number: signal.Signals) -> None:
    with running(TRIO) as subject:
        pids = [row.pid for row in subject.wait_up(*TRIO).values()]
        mine = segment(subject)
        assert mine.exists()
        subject.process.send_signal(number)
        assert subject.process.wait(15) == Exit.DONE
        down = [line for line in subject.story() if line.startswith("down")]
        assert set(down[:2]) == {f"down {PAIR}", f"down {OTHER}"}
        assert down[2:] == [f"down {FEED}"]
        assert not any(is_alive(pid) for pid in pids)
        assert subject.block().parent_state == "stopped"
        assert not subject.socket.exists()
        assert not mine.exists(), "the segment goes with its parent"
        assert "swept" not in " ".join(subject.story()), "they left in good order"


def test_a_terminals_interrupt_reaches_the_parent_alone() -> None:
    with running(TRIO) as subject:
        rows = subject.wait_up(*TRIO)
        for row in rows.values():
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTSTP):
                os.kill(row.pid, number)
        time.sleep(0.2)
        assert [row.pid for row in subject.rows().values()] == [row.pid for row in rows.values()]


def test_orders_that_could_not_be_swept_are_told_by_the_exit_code() -> None:
    with running({PAIR: {"entry": "bad_key", "sweep": "failing_sweep"}}) as subject:
        until(lambda: "failed sweeps:btc_twd" in subject.story())
        subject.process.terminate()
        assert subject.process.wait(15) == Exit.ORDERS_LEFT
        assert any("orders are left" in line for line in alerts(subject))


def test_no_child_outlives_a_killed_parent_and_pairs_cancel_first() -> None:
    with running(TRIO) as subject:
        pids = [row.pid for row in subject.wait_up(*TRIO).values()]
        subject.process.kill()
        subject.process.wait()
        until(lambda: not any(is_alive(pid) for pid in pids))
        assert f"down {PAIR}" in subject.story()
        assert f"down {OTHER}" in subject.story()


def test_a_hanging_pair_does_not_outlive_a_killed_parent_for_long() -> None:
    with running({PAIR: {"entry": "drowsy", "limits": {"stop_s": 0.5}}}) as subject:
        pid = subject.wait_up(PAIR)[PAIR].pid
        subject.process.kill()
        subject.process.wait()
        assert until(lambda: not is_alive(pid)) > 0.5, "it has its stop limit and a margin"


def test_a_frozen_parent_is_left_and_then_killed() -> None:
    with running(TRIO, TOY_LEASE_S="1") as subject:
        pids = [row.pid for row in subject.wait_up(*TRIO).values()]
        subject.process.send_signal(signal.SIGSTOP)
        until(lambda: not any(is_alive(pid) for pid in pids))
        assert f"down {PAIR}" in subject.story()
        assert subject.process.wait(10) == -signal.SIGKILL


def test_a_parent_that_was_frozen_for_a_moment_blames_nobody() -> None:
    toys = {name: {**toy, "limits": {"stall_s": 0.4}} for name, toy in TRIO.items()}
    with running(toys) as subject:
        pids = [row.pid for row in subject.wait_up(*TRIO).values()]
        for _ in range(3):
            subject.process.send_signal(signal.SIGSTOP)
            time.sleep(0.5)  # longer than the stall limit
            subject.process.send_signal(signal.SIGCONT)
            time.sleep(0.2)
        assert [row.pid for row in subject.rows().values()] == pids
        assert alerts(subject) == []


def test_the_next_life_removes_segment_and_children_of_a_killed_one() -> None:
    with running({PAIR: {"entry": "deaf"}}) as subject:
        pid = subject.wait_up(PAIR)[PAIR].pid
        mine = segment(subject)
        os.kill(pid, signal.SIGSTOP)  # so that it survives for sure
        subject.process.kill()
        subject.process.wait()
        assert is_alive(pid)
        revive(subject)
        assert not is_alive(pid)
        assert not mine.exists()
        subject.wait_up(PAIR)


def test_a_second_parent_on_the_same_home_is_refused() -> None:
    with running(TRIO) as subject:
        pids = [row.pid for row in subject.wait_up(*TRIO).values()]
        with reaped(spawn(subject.home)) as second:
            assert second.wait(10) == 1
        assert "parent.lock is locked" in (subject.home / "parent.err").read_text()
        assert [row.pid for row in subject.rows().values()] == pids


def test_a_stop_outlives_the_parent_and_its_pair_is_swept_again() -> None:
    with running(TRIO) as subject:
        subject.wait_up(*TRIO)
        assert subject.command("stop", "BTC/TWD")["ok"]
        subject.process.kill()
        subject.process.wait()
        revive(subject)
        subject.wait_up(FEED, OTHER)
        assert subject.row(PAIR).state == "stopped"
        until(lambda: "swept sweeps:btc_twd" in subject.story())
        assert subject.command("start", "btc_twd")["ok"]
        assert subject.row(PAIR).pid


def test_a_pause_reaches_the_pair_and_outlives_the_parent() -> None:
    with running(TRIO) as subject:
        pid = subject.wait_up(*TRIO)[PAIR].pid
        assert subject.command("pause", "btc_twd")["ok"]
        assert is_paused(subject, PAIR)
        assert not is_paused(subject, OTHER)
        assert "paused" in subject.row(PAIR).health
        assert subject.row(PAIR).pid == pid
        subject.process.kill()
        subject.process.wait()
        revive(subject)
        subject.wait_up(*TRIO)
        assert is_paused(subject, PAIR)
        assert subject.command("resume", "pairs:*")["ok"]
        assert not is_paused(subject, PAIR)
        assert not subject.command("pause", FEED)["ok"], "there is nothing to pause in a feed"


def is_paused(subject: Toys, name: str) -> bool:
    return bool(wanted(subject, name)[0])


def wanted(subject: Toys, name: str) -> tuple[int, int]:
    segment = Segment.look(subject.home / "run")
    try:
        return tuple(segment.cell(WANTED, name).read())  # type: ignore[return-value]
    finally:
        segment.close()


def test_a_reload_changes_only_what_is_different() -> None:
    toys = {
        FEED: {},
        PAIR: {"entry": "pair", "parameters": "1"},
        OTHER: {"entry": "pair", "identity": "a"},
        "pairs:ltc_twd": {"entry": "pair"},
    }
    with running(toys) as subject:
        before = subject.wait_up(*toys)
        assert (subject.home / "run" / "pairs-btc_twd.parameters").read_text() == "1"
        subject.write_plan(
            {
                FEED: {},
                PAIR: {"entry": "pair", "parameters": "2"},
                OTHER: {"entry": "pair", "identity": "b"},
                "pairs:doge_twd": {"entry": "pair"},
            }
        )
        reply = ask(subject.socket, {"do": "reload"})
        assert reply["changes"] == {
            "added": ["pairs:doge_twd"],
            "removed": ["pairs:ltc_twd"],
            "restarted": [OTHER],
            "tuned": [PAIR],
        }
        until(lambda: "pairs:ltc_twd" not in subject.rows())
        assert "down pairs:ltc_twd" in subject.story()
        until(lambda: subject.row(OTHER).pid not in (0, before[OTHER].pid))
        after = subject.wait_up(FEED, PAIR, OTHER, "pairs:doge_twd")
        assert after[FEED].pid == before[FEED].pid
        assert after[PAIR].pid == before[PAIR].pid
        assert (subject.home / "run" / "pairs-btc_twd.parameters").read_text() == "2"
        assert wanted(subject, PAIR) == (0, 1)
        assert ask(subject.socket, {"do": "reload"})["text"] == "nothing has changed"


def test_a_bad_file_changes_nothing_and_says_why() -> None:
    with running(TRIO) as subject:
        before = subject.wait_up(*TRIO)
        (subject.home / "plan.json").write_text("{")
        reply = ask(subject.socket, {"do": "reload"})
        assert not reply["ok"]
        assert reply["text"] == "plan.json, line 1: not JSON"
        subject.process.send_signal(signal.SIGHUP)
        until(lambda: any("reload refused" in line for line in alerts(subject)))
        assert subject.rows() == before


def test_hang_up_reloads_where_there_is_no_terminal() -> None:
    with running({FEED: {}}) as subject:
        subject.wait_up(FEED)
        subject.write_plan({FEED: {}, "feeds:ethusdt": {}})
        subject.process.send_signal(signal.SIGHUP)
        until(lambda: "feeds:ethusdt" in subject.rows())


def test_a_pair_removed_while_mmd_was_down_is_swept_and_forgotten() -> None:
    with running(TRIO) as subject:
        subject.wait_up(*TRIO)
        subject.process.kill()
        subject.process.wait()
        subject.write_plan({FEED: {}, PAIR: {"entry": "pair"}})
        revive(subject)
        until(lambda: "swept sweeps:eth_twd" in subject.story())
        until(lambda: OTHER not in subject.rows())
        known = json.loads((subject.home / "run" / "wanted.json").read_text())
        assert set(known) == {FEED, PAIR}
        assert "up sweeps:eth_twd" not in subject.story()


def test_a_child_holds_no_descriptor_that_is_not_its_own() -> None:
    with running({FEED: {}, "feeds:ethusdt": {"entry": "names_its_descriptors"}}) as subject:
        subject.wait_up(FEED)
        assert subject.command("restart", "ethusdt")["ok"]
        listing = next(line for line in subject.story() if line.startswith("["))
        log = str(subject.home / "log" / "children" / "feeds-ethusdt.log")
        stop, parent = "anon_inode:[eventfd]", "anon_inode:[pidfd]"
        assert sorted(json.loads(listing)) == sorted(["/dev/null", log, log, stop, parent])
        assert "a line of the child's" in (subject.home / "child.log").read_text()
        assert "child's" not in (subject.home / "parent.log").read_text()
        assert "has ended" in (subject.home / "parent.log").read_text()


def test_the_parent_drains_when_its_supervisor_dies() -> None:
    script = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-m', 'tests.supervision.toys', sys.argv[1]])\n"
        "print(p.pid, flush=True)\n"
        "p.wait()\n"
    )
    with short_home() as home:
        (home / "plan.json").write_text(json.dumps(TRIO))
        supervisor = subprocess.Popen(
            [sys.executable, "-c", script, str(home)],
            cwd=ROOT,
            env={**os.environ, "SUPERVISOR_ENABLED": "1"},
            stdout=subprocess.PIPE,
        )
        assert supervisor.stdout
        parent = int(supervisor.stdout.readline())
        supervisor.stdout.close()
        subject = Toys(home, supervisor)
        try:
            subject.wait_up(*TRIO)
            supervisor.kill()
            supervisor.wait()
            until(lambda: not is_alive(parent))
            assert subject.block().parent_state == "stopped"
            assert f"down {PAIR}" in subject.story()
        finally:
            leave(subject)


def test_the_control_socket_is_private_and_survives_nonsense() -> None:
    with running({FEED: {}}) as subject:
        subject.wait_up(FEED)
        assert subject.socket.stat().st_mode & 0o777 == 0o700
        for request in (
            {},
            {"do": "dance"},
            {"do": "stop", "names": "x"},
            {"do": "stop", "wait_s": "x"},
            {"do": "stop", "wait_s": float("nan")},
            {"do": ["stop"]},
        ):
            assert not ask(subject.socket, request)["ok"]
        assert subject.command("stop", "shops:*")["code"] == "unknown"
        assert ask(subject.socket, {"do": "pid", "wait_s": 10**400})["ok"]
        for packet in (b"\xff", b"[]", b"{", b"1", b"[" * 100_000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.connect(str(subject.socket))
                connection.send(packet)
                assert not json.loads(connection.recv(1 << 16))["ok"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(subject.socket))
            connection.send(b'{"do": "restart", "names": ["*"]}')  # and gone before the answer
        subject.wait_up(FEED)
        assert subject.command("signal", FEED, signal=0)["results"][0]["code"] == "failed"
        assert subject.command("pid", FEED)["results"][0]["text"] == str(subject.row(FEED).pid)


def test_a_crowd_of_silent_callers_takes_no_descriptors_from_the_children() -> None:
    with running({FEED: {}}) as subject, ExitStack() as stack:
        pid = subject.wait_up(FEED)[FEED].pid
        for _ in range(300):
            caller = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            caller.connect(str(subject.socket))
        parent = f"/proc/{subject.process.pid}/fd"
        until(lambda: 200 < len(os.listdir(parent)) < 240)
        os.kill(pid, signal.SIGKILL)
        stack.close()
        until(lambda: subject.row(FEED).pid not in (0, pid))


def test_a_client_is_told_when_nobody_answers() -> None:
    with running({FEED: {}}) as subject:
        subject.wait_up(FEED)
        subject.process.send_signal(signal.SIGSTOP)
        with pytest.raises(Unavailable, match="not answered"):
            ask(subject.socket, {"do": "status"}, timeout_s=0.2)
        subject.process.kill()
        subject.process.wait()
        with pytest.raises(Unavailable, match="not running"):
            ask(subject.socket, {"do": "status"})


def test_a_start_that_fails_says_why_and_one_that_takes_long_says_so() -> None:
    with running({FEED: {"entry": "bad_key"}, PAIR: {"entry": "deaf"}}) as subject:
        until(lambda: subject.row(FEED).state == "parked")
        assert subject.command("start", PAIR)["results"][0]["code"] == "already"
        assert not subject.command("start", FEED)["ok"]
        reply = ask(subject.socket, {"do": "stop", "names": [PAIR], "wait_s": 0.2})
        assert reply["results"][0]["text"].startswith("still stopping")


def test_shutdown_by_command_is_orderly() -> None:
    with running(TRIO) as subject:
        subject.wait_up(*TRIO)
        assert ask(subject.socket, {"do": "shutdown"})["ok"]
        assert subject.process.wait(15) == Exit.DONE
