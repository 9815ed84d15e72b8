"""Orders that no level needs now: which may stay for the price's return, and which must go."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mmd.decide.inventory import Holdings
from mmd.decide.ledger import Ledger
from mmd.decide.plan import Cancel
from mmd.decide.quoter import Inputs, Quoter
from mmd.words.market import Side
from tests.decide.samples import BOOK, S, make_quoter, moved, run

CALM = {"volatility_factor": 0}


def quoting(**changes: Any) -> tuple[Quoter, Ledger]:
    """A ladder whose far levels stay where they are while the touch follows the price."""
    usual: dict[str, Any] = {
        "tolerance_bps": 2, "tolerance_step_bps": 8, "jitter_bps": 0, "widen": CALM,
        "spare_orders": 1,
    }  # fmt: skip
    quoter, ledger = make_quoter(**(usual | changes)), Ledger()
    run(quoter, ledger, S)
    return quoter, ledger


def touch(ledger: Ledger, side: Side) -> Decimal:
    best = ledger.best_live_price(side)
    assert best is not None
    return best


def test_a_price_that_comes_back_finds_its_order_there() -> None:
    quoter, ledger = quoting()
    first = touch(ledger, Side.BUY)
    run(quoter, ledger, 2 * S, moved(BOOK, 4))
    assert touch(ledger, Side.BUY) > first
    assert len(list(ledger.live(Side.BUY))) == 4
    actions = run(quoter, ledger, 3 * S)
    bids = [a for a in actions if isinstance(a, Cancel) and a.entry.side is Side.BUY]
    assert [cancel.reason for cancel in bids] == ["nearer to the market than wanted"]
    assert touch(ledger, Side.BUY) == first
    assert len(list(ledger.live(Side.BUY))) == 3


def test_no_more_stay_than_may() -> None:
    quoter, ledger = quoting()
    for step in range(1, 6):
        run(quoter, ledger, (1 + step) * S, moved(BOOK, 4 * step))
        assert len(list(ledger.live(Side.BUY))) <= 4
        assert len(list(ledger.live(Side.SELL))) <= 4


def test_none_stays_while_orders_are_refused() -> None:
    quoter, ledger = quoting()
    run(quoter, ledger, 2 * S, moved(BOOK, 4))
    assert len(list(ledger.live(Side.BUY))) == 4
    run(quoter, ledger, 3 * S, moved(BOOK, 4), inputs=Inputs(may_spare=False), dirty=True)
    assert len(list(ledger.live(Side.BUY))) == 3


def test_none_stays_where_the_position_has_no_room_for_it() -> None:
    quoter, ledger = quoting(inventory={"max_long": "0.07"})
    run(quoter, ledger, 2 * S, moved(BOOK, 4), inputs=Inputs(Holdings(Decimal("0.01"))))
    resting = sum(entry.remaining for entry in ledger.live(Side.BUY))
    assert resting <= Decimal("0.06")


def test_an_old_one_goes() -> None:
    quoter, ledger = quoting(refresh_s={"min": 5, "max": 6})
    run(quoter, ledger, 2 * S, moved(BOOK, 4))
    spare = {e.order.client_id for e in ledger.live(Side.BUY) if e.level == 0}
    run(quoter, ledger, 9 * S, moved(BOOK, 4))
    assert not spare & {entry.order.client_id for entry in ledger.live(Side.BUY)}
