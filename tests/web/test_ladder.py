"""Our own orders beside the venue's book, as the pair's process tells of them."""

from __future__ import annotations

from typing import Any

import pytest

from mmd.decide.ledger import State
from mmd.processes.web import view
from tests.web.conftest import BTC, INSTANCE


def told(state: State) -> dict[str, Any]:
    """What a pair says that has one bid, in this state."""
    bid = {"price": "1966000.5", "remaining": "0.002", "state": state.value}
    return {
        "sides": [
            {"side": "bid", "levels": [{"order": bid}], "others": []},
            {"side": "ask", "levels": [{"order": None}], "others": []},
        ]
    }


@pytest.mark.parametrize(
    ("state", "is_shown"),
    [
        (State.WANTED, False),
        (State.SENDING, False),
        (State.UNKNOWN, False),
        (State.OPEN, True),
        (State.PARTLY_FILLED, True),
        (State.CANCELLING, True),
    ],
)
def test_only_orders_that_the_venue_has_are_shown(state: State, is_shown: bool) -> None:
    found = view.ladder(BTC, [], INSTANCE, None, told(state))
    assert [row["price"] for row in found["bids"]] == ["1966000.5"] * is_shown
    assert found["asks"] == []
