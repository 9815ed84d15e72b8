"""The digest: few messages for many alerts, none of them lost."""

from __future__ import annotations

from mmd.processes.notifier.digest import Digest, Message, Pace
from mmd.records.alerts import Alert, Kind

PACE = Pace(group_s=3, pause_s=30, repeat_s=3600)


def _alert(kind: Kind, subject: str = "pairs:a", *, over: bool = False) -> Alert:
    return Alert(kind, subject, "text", 0, over)


def _told(digest: Digest, now_s: float) -> Message:
    message = digest.message()
    assert message is not None
    digest.sent(message, now_s)
    return message


def test_what_happens_at_once_goes_into_one_message() -> None:
    digest = Digest(PACE, "mmd")
    assert digest.due_s() is None
    assert digest.message() is None
    digest.take([_alert(Kind.STALL, "pairs:a")], 100)
    digest.take([_alert(Kind.STALL, "pairs:b")], 102)
    assert digest.due_s() == 103
    message = _told(digest, 103)
    assert message.title == "mmd: 2 new"
    assert message.lines == ("✖ stall: pairs:a: text", "✖ stall: pairs:b: text")
    assert digest.message() is None


def test_messages_keep_their_distance() -> None:
    digest = Digest(PACE, "mmd")
    digest.take([_alert(Kind.STALL, "pairs:a")], 0)
    _told(digest, 3)
    digest.take([_alert(Kind.STALL, "pairs:b")], 4)
    assert digest.due_s() == 33


def test_the_same_trouble_again_is_counted_then_silent_then_told_again() -> None:
    digest = Digest(PACE, "mmd")
    digest.take([_alert(Kind.STALL)] * 3, 0)
    assert _told(digest, 3).lines == ("✖ stall: pairs:a: text (3 times)",)
    digest.take([_alert(Kind.STALL)], 1000)
    assert digest.message() is None
    digest.take([_alert(Kind.STALL)], 3700)
    assert digest.message() is not None


def test_what_merely_happens_is_told_each_time() -> None:
    digest = Digest(PACE, "mmd")
    for now_s in (0, 100):
        digest.take([_alert(Kind.START)], now_s)
        assert _told(digest, now_s).title == "mmd: start"


def test_the_end_is_told_to_who_heard_of_the_trouble_only() -> None:
    digest = Digest(PACE, "mmd")
    digest.take([_alert(Kind.STALL, over=True)], 0)
    assert digest.message() is None
    digest.take([_alert(Kind.STALL)], 1)
    _told(digest, 4)
    digest.take([_alert(Kind.STALL, over=True)], 10)
    message = _told(digest, 40)
    assert message.title == "mmd: stall is over"
    assert message.lines == ("✔ stall is over: pairs:a: text",)
    digest.take([_alert(Kind.STALL)], 50)
    assert digest.message() is not None, "a new trouble after the end is news"


def test_trouble_and_end_within_one_message_are_both_told() -> None:
    digest = Digest(PACE, "mmd")
    digest.take([_alert(Kind.STALL), _alert(Kind.STALL, over=True)], 0)
    assert _told(digest, 3).title == "mmd: 1 new, 1 over"


def test_a_trouble_that_an_earlier_life_told_is_known() -> None:
    digest = Digest(PACE, "mmd")
    digest.told([_alert(Kind.PARKED)], 0)
    digest.take([_alert(Kind.PARKED)], 1)
    assert digest.message() is None
    digest.take([_alert(Kind.PARKED, over=True)], 2)
    assert digest.message() is not None


def test_a_flood_becomes_one_message_of_bearable_length() -> None:
    digest = Digest(PACE, "mmd")
    digest.take([_alert(Kind.STALL, f"pairs:{number}") for number in range(500)], 0)
    message = _told(digest, 3)
    assert message.title == "mmd: 500 new"
    assert len(message.lines) == 20
    assert message.body.endswith("… and 480 more")
    assert digest.message() is None


def test_what_comes_while_a_message_is_under_way_goes_into_the_next() -> None:
    digest = Digest(PACE, "mmd")
    digest.take([_alert(Kind.STALL, "pairs:a")], 0)
    message = digest.message()
    assert message is not None
    digest.take([_alert(Kind.STALL, "pairs:b")], 1)
    digest.sent(message, 2)
    assert list(_told(digest, 40).lines) == ["✖ stall: pairs:b: text"]
