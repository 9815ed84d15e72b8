"""Resuming through a real parent: the latch goes, and a process that it kept away comes back."""

from __future__ import annotations

from mmd.config.risk import KillLevel
from mmd.decide.killswitch import Thrown
from mmd.records import killed
from tests.supervision.toys import running, until

PAIR, STOPPED = "pairs:btc_twd", "pairs:eth_twd"


def test_resume_clears_the_latch_and_brings_a_stopped_pair_back() -> None:
    # A pair whose switch says stop ends as one with a refused key does: it is parked.
    with running({PAIR: {"entry": "pair"}, STOPPED: {"entry": "bad_key"}}) as subject:
        records = subject.home / "records"
        until(lambda: subject.row(STOPPED).state == "parked")
        pid = subject.wait_up(PAIR)[PAIR].pid
        for slug in ("btc_twd", "eth_twd"):
            killed.throw(killed.latch_of(records, slug), Thrown(KillLevel.STOP, "loss"), 1)
        reply = subject.command("resume", STOPPED)
        assert reply["results"][0]["text"] == "resumed; the kill switch is back in place"
        assert killed.read(killed.latch_of(records, "eth_twd")) is None
        until(lambda: subject.story().count(f"up {STOPPED}") == 2)
        assert killed.read(killed.latch_of(records, "btc_twd")) is not None, "not that one"
        assert subject.command("resume", PAIR)["results"][0]["code"] == "done"
        assert subject.row(PAIR).pid == pid
        assert subject.command("resume", PAIR)["results"][0]["code"] == "already"


def test_a_pair_that_is_parked_for_another_reason_is_left_alone_by_resume() -> None:
    with running({STOPPED: {"entry": "bad_key"}}) as subject:
        until(lambda: subject.row(STOPPED).state == "parked")
        subject.command("resume", STOPPED)
        assert subject.row(STOPPED).state == "parked"
        assert subject.story().count(f"up {STOPPED}") == 1
