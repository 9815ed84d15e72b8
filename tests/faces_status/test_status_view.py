"""What `mmd status` says of how mmd is and what it earns, on terminals of any width."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from rich.console import Console

from mmd.cells.layouts import BookStatus, from_text
from mmd.faces.status_view import Extras, render
from mmd.processes.earned import Earned
from mmd.processes.pace import Pace
from mmd.processes.sight import Sight
from mmd.records.pnl import Result
from tests.web.conftest import BTC, seen


def _text(sight: Sight, extras: Extras | None = None, width: int = 160) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(render(sight, extras or Extras(), width))
    return captured.get()


def _earned() -> Earned:
    bought = Result(position=Decimal("0.01"), cost=Decimal(19_700), cash=Decimal(-19_700), fills=3)
    return Earned({BTC: bought}, {}, is_known=True)


def test_all_is_well_when_all_pairs_quote() -> None:
    assert "✔ all well, 2 of 2 pairs quote" in _text(seen())


def test_what_is_wrong_stands_on_top_with_its_reason() -> None:
    sight = seen()
    book = sight.books["btcusdt"]._replace(status=BookStatus.DISCONNECTED)
    note = from_text("Binance's book is disconnected")
    quotes = sight.quotes["btc_twd"]._replace(best_bid=0.0, best_ask=0.0, note=note)
    text = _text(
        replace(
            sight,
            books={**sight.books, "btcusdt": book},
            quotes={**sight.quotes, "btc_twd": quotes},
        )
    )
    head = text.partition("Pair ")[0]
    assert "✖ 1 of 2 pairs quote" in head
    assert "BTCUSDT: disconnected" in head
    assert "BTC/TWD: not quoting: Binance's book is disconnected" in head


def test_a_thrown_kill_switch_is_named_and_not_taken_for_a_pause() -> None:
    sight = seen()
    note = from_text("kill switch (pause): lost 28 TWD; then: mmd resume btc_twd")
    quotes = sight.quotes["btc_twd"]._replace(paused=1, best_bid=0.0, best_ask=0.0, note=note)
    text = _text(replace(sight, quotes={**sight.quotes, "btc_twd": quotes}))
    assert "BTC/TWD: kill switch (pause): lost 28 TWD" in text
    assert "killed" in text
    assert "paused" not in text


def test_the_day_is_told_in_twd() -> None:
    sight = seen()
    quotes = {name: one._replace(mark=1_980_000.0) for name, one in sight.quotes.items()}
    extras = Extras(earned=_earned(), budget_left=14, budget_per_s=Decimal(10))
    text = _text(replace(sight, quotes=quotes), extras)
    assert "today +100 TWD in 3 fills · budget 10/s, 14 in reserve" in text


def test_a_position_that_has_no_price_leaves_the_profit_open() -> None:
    assert "today – TWD" in _text(seen(), Extras(earned=_earned()))


@pytest.mark.parametrize("width", [30, 40, 60, 80, 110, 160])
def test_nothing_is_cut_at_any_width(width: int) -> None:
    text = _text(seen(), Extras(pace=Pace()), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "BTC/TWD" in text
    assert "quoting" in text


def test_rates_are_those_of_the_last_seconds() -> None:
    pace, first = Pace(), seen()
    later_ns = first.now_ns + 2_000_000_000
    health = {"feeds:btcusdt": first.health["pairs:btc_twd"]._replace(messages=300)}
    grown = {"btc_twd": first.quotes["btc_twd"]._replace(requests=109)}
    before = {"feeds:btcusdt": health["feeds:btcusdt"]._replace(messages=100)}
    pace.take(replace(first, health=before))
    assert pace.per_s("pairs:btc_twd") is None, "one look tells no rate"
    pace.take(replace(first, now_ns=later_ns, health=health, quotes=grown))
    assert pace.per_s("pairs:btc_twd") == 5
    assert pace.per_s("feeds:btcusdt") == 100


def test_a_counter_that_began_anew_does_not_count_backwards() -> None:
    pace, first = Pace(), seen()
    pace.take(first)
    anew = {"btc_twd": first.quotes["btc_twd"]._replace(requests=0)}
    pace.take(replace(first, now_ns=first.now_ns + 1_000_000_000, quotes=anew))
    assert pace.per_s("pairs:btc_twd") == 0


def test_what_was_killed_is_said_to_be_dead() -> None:
    assert "mmd has died" in _text(seen(parent_state="dead"))
    assert "Start it with: mmd start" in _text(seen(parent_state="stopped"))
