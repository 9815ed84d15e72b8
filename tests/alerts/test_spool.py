"""The spool: what is put there is read, once and in order, whatever dies in between."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mmd.records.alerts import Kind, Place, Spool, open_troubles


def _texts(spool: Spool) -> list[str]:
    return [alert.text for alert in spool.read_all()[0]]


def test_what_was_put_is_read_in_order_and_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.put(Kind.START, "mmd", "one")
    assert spool.put(Kind.STALL, "pairs:btc_twd", "two\nlines, 中文")
    alerts, place = spool.read_all()
    assert [(a.kind, a.subject, a.text, a.is_recovery) for a in alerts] == [
        (Kind.START, "mmd", "one", False),
        (Kind.STALL, "pairs:btc_twd", "two\nlines, 中文", False),
    ]
    assert spool.read(place) == ([], place)
    spool.put(Kind.STALL, "pairs:btc_twd", "over", is_recovery=True)
    assert [a.is_recovery for a in spool.read(place)[0]] == [True]


def test_each_day_has_its_file_and_readers_go_from_one_to_the_next(tmp_path: Path) -> None:
    now_s = [1_700_000_000.0]
    spool = Spool(tmp_path, lambda: now_s[0])
    for text in ("first day", "second day", "third day"):
        spool.put(Kind.START, "mmd", text)
        now_s[0] += 86_400
    assert _texts(spool) == ["first day", "second day", "third day"]
    now_s[0] -= 86_400
    spool.remove_old(1)
    assert _texts(spool) == ["second day", "third day"]


def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(Kind.START, "mmd", "before")
    (file,) = spool.folder.iterdir()
    with file.open("ab") as torn:
        torn.write(b'\n{"kind": "stall", "subj')
    assert _texts(spool) == ["before"]
    spool.put(Kind.STOP, "mmd", "after")
    assert _texts(spool) == ["before", "after"]


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(Kind.START, "mmd", "before")
    (file,) = spool.folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    alerts, place = spool.read_all()
    assert not alerts
    file.write_bytes(whole)
    assert [alert.text for alert in spool.read(place)[0]] == ["before"]


def test_writers_that_are_killed_lose_nothing_they_have_put(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    writers = []
    for name in ("a", "b", "c"):
        pid = os.fork()
        if pid == 0:
            number = 0
            while True:
                spool.put(Kind.RESTART, name, f"{number}")
                number += 1
                time.sleep(0.001)
        writers.append(pid)
    while len(spool.read_all()[0]) < 300:
        time.sleep(0.01)
    for pid in writers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    alerts, _ = spool.read_all()
    for name in ("a", "b", "c"):
        numbers = [int(alert.text) for alert in alerts if alert.subject == name]
        assert numbers == list(range(len(numbers)))
        assert numbers


def test_a_disk_that_takes_nothing_is_said_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / "alerts").write_text("a file where the folder should be")
    assert not Spool(tmp_path).put(Kind.START, "mmd", "nobody will know")


def test_the_file_is_for_our_eyes_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(Kind.START, "mmd", "one")
    (file,) = spool.folder.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_a_place_in_a_file_that_is_gone_leads_on_to_the_next(tmp_path: Path) -> None:
    spool = Spool(tmp_path, lambda: 1_700_000_000.0)
    spool.put(Kind.START, "mmd", "one")
    alerts, _ = spool.read(Place("2001-01-01.jsonl", 12345))
    assert [alert.text for alert in alerts] == ["one"]


def test_troubles_are_open_until_their_end_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(Kind.START, "mmd", "happens, does not last")
    spool.put(Kind.STALL, "pairs:a", "ends")
    spool.put(Kind.STALL, "pairs:b", "lasts")
    spool.put(Kind.STALL, "pairs:b", "the same again")
    spool.put(Kind.STALL, "pairs:a", "over", is_recovery=True)
    left = open_troubles(spool.read_all()[0])
    assert {key: alert.text for key, alert in left.items()} == {(Kind.STALL, "pairs:b"): "lasts"}
