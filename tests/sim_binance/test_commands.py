"""JSON commands are answered as web-socket-streams.md says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mmd.sim.binance.commands import CommandError, Subscriptions


def subscriptions(combined: bool = False, most: int = 1024) -> Subscriptions:
    return Subscriptions(combined, most)


def answer(subscriptions: Subscriptions, **request: Any) -> Any:
    return json.loads(subscriptions.answer(json.dumps(request).encode()))


def test_subscribe_list_and_unsubscribe() -> None:
    found = subscriptions()
    both = ["btcusdt@trade", "btcusdt@bookTicker"]
    assert answer(found, method="SUBSCRIBE", params=both, id=1) == {"result": None, "id": 1}
    assert answer(found, method="SUBSCRIBE", params=both[:1], id=2) == {"result": None, "id": 2}
    assert answer(found, method="LIST_SUBSCRIPTIONS", id="a1") == {"result": both, "id": "a1"}
    answer(found, method="UNSUBSCRIBE", params=[both[0], "never@subscribed"], id=3)
    assert list(found.streams) == [both[1]]


def test_the_property_combined_can_be_read_and_set() -> None:
    found = subscriptions(combined=True)
    assert answer(found, method="GET_PROPERTY", params=["combined"], id=1)["result"] is True
    done = answer(found, method="SET_PROPERTY", params=["combined", False], id=None)
    assert done == {"result": None, "id": None}
    assert found.combined is False


@pytest.mark.parametrize(
    ("text", "code", "start"),
    [
        ('{"method":"GET_PROPERTY","params":["x"],"id":1}', 0, "Unknown property"),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, "Invalid value type"),
        ('{"method":"SET_PROPERTY","params":["combined"],"id":1}', 1, "Invalid value type"),
        ('{"method":"GET_PROPERTY","params":[7],"id":1}', 2, "Invalid request: property name"),
        ('{"method":"GET_PROPERTY","id":1}', 2, "Invalid request: property name"),
        ('{"method":"GET_PROPERTY","params":["combined",1],"id":1}', 2, "Invalid request: too"),
        ('{"method":"subscribe","params":[],"id":1}', 2, "Invalid request: unknown variant"),
        ('{"params":[],"id":1}', 2, "Invalid request: missing field `method`"),
        ('{"method":"LIST_SUBSCRIPTIONS"}', 2, "Invalid request: request ID"),
        ('{"method":"LIST_SUBSCRIPTIONS","id":1.5}', 2, "Invalid request: request ID"),
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}', 2, "Invalid request"),
        ("[]", 2, "Invalid request"),
        ("{nonsense", 3, "Invalid JSON: expected value at line 1 column"),
    ],
)
def test_a_wrong_command_gets_its_code_and_message(text: str, code: int, start: str) -> None:
    reply = json.loads(subscriptions().answer(text.encode()))
    assert reply["code"] == code
    assert reply["msg"].startswith(start)
    assert "result" not in reply


def test_no_more_streams_than_the_limit() -> None:
    found = subscriptions(most=3)
    found.add(["a@trade", "b@trade", "c@trade"])
    with pytest.raises(CommandError):
        found.add(["d@trade"])
    assert len(found.streams) == 3
    assert answer(found, method="SUBSCRIBE", params=["d@trade"], id=1)["code"] == 2
