"""`mmd explain`: the picture adds up, tells each level's fate, and reaches whoever asks."""

from __future__ import annotations

import io
import json
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from mmd.decide.inventory import Holdings
from mmd.decide.ledger import Ledger
from mmd.decide.picture import picture
from mmd.decide.quoter import Inputs, Quoter
from mmd.faces.cli import cli
from mmd.faces.explain import render
from mmd.processes.inquiry import Inquiry
from mmd.words.errors import Unavailable
from mmd.words.market import Side
from tests.decide.samples import BOOK, RATE, S, fill, make_quoter, moved, run

HELD = Inputs(Holdings(Decimal("0.5")))


def side_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    side: dict[str, Any] = next(side for side in found["sides"] if side["side"] == name)
    return side


def fates(found: dict[str, Any], name: str) -> dict[int, tuple[str, str]]:
    levels = side_of(found, name)["levels"]
    return {level["level"]: (level["state"], level["why"]) for level in levels}


def quoting(**changes: Any) -> tuple[Quoter, Ledger]:
    quoter, ledger = make_quoter(**changes), Ledger()
    run(quoter, ledger, S, inputs=HELD)
    return quoter, ledger


def test_the_adjustments_of_each_level_add_up_to_its_price() -> None:
    quoter, ledger = quoting(inventory={"max_long": 1, "skew_bps": 8})
    for second in range(2, 9):
        run(quoter, ledger, second * S, moved(BOOK, 4 * (second % 2)), inputs=HELD)
    found = picture(quoter, ledger, 9 * S)
    assert found["volatility_bps"] > 1
    assert found["lean"] == 0.5
    for side in found["sides"]:
        assert len(side["levels"]) == 3
        price = Decimal(found["reference"][side["side"]])
        for level in side["levels"]:
            parts = level["parts_bps"]
            assert set(parts) == {"spread", "jitter", "volatility", "inventory", "grid"}
            assert parts["inventory"] == (4 if side["side"] == "bid" else -4)
            assert sum(parts.values()) == pytest.approx(level["distance_bps"], abs=0.01)
            away = -1 if side["side"] == "bid" else 1
            expected = price * (1 + away * Decimal(level["distance_bps"]) / 10_000)
            assert Decimal(level["price"]) == pytest.approx(expected, abs=Decimal("0.2"))


def test_kept_orders_say_how_far_off_they_are() -> None:
    quoter, ledger = quoting(jitter_bps=0, widen={"volatility_factor": 0})
    run(quoter, ledger, 2 * S, moved(BOOK, 2), inputs=HELD)
    found = picture(quoter, ledger, 2 * S)
    assert fates(found, "bid") == dict.fromkeys(range(3), ("kept", "2.00 bps off, within 3"))
    assert side_of(found, "bid")["others"] == []


def test_a_moved_level_says_why_its_order_goes() -> None:
    quoter, ledger = quoting(jitter_bps=0)
    quoter.decide(moved(BOOK, -15), RATE, ledger, S + 1, dirty=True, inputs=HELD)
    found = picture(quoter, ledger, S + 1)
    why = "its order is cancelled: nearer to the market than wanted"
    assert fates(found, "bid")[0] == ("moved", why)
    assert any(order["why"].startswith("to go: ") for order in side_of(found, "bid")["others"])


def test_missing_and_left_out_levels_say_why() -> None:
    quoter, ledger = quoting(
        after_fill={"replenish_s": 9}, bounds={"price_floor": 1_957_000}, jitter_bps=0
    )
    fill(ledger, Side.BUY, 2 * S)
    run(quoter, ledger, 2 * S, inputs=HELD)
    found = picture(quoter, ledger, 2 * S)
    assert fates(found, "bid")[0] == ("missing", "the side was filled a moment ago")
    assert side_of(found, "bid")["waits"] == "the side was filled a moment ago"
    assert fates(found, "ask")[0] == ("left out", "its price would pass price_floor")
    assert fates(found, "ask")[2][0] == "kept"


def test_while_nothing_is_quoted_the_reason_stands_alone() -> None:
    quoter, ledger = make_quoter(), Ledger()
    quoter.decide(BOOK, RATE, ledger, S, dirty=True, stop_reason="paused")
    found = picture(quoter, ledger, S)
    assert (found["note"], found["reference"]) == ("paused", None)
    assert all(side["levels"] == side["others"] == [] for side in found["sides"])
    assert shown(found).strip() == "BTC/TWD: paused"


def test_a_look_changes_nothing() -> None:
    quoter, ledger = quoting()
    before = quoter.random.getstate(), repr(ledger), repr(quoter.ladder)
    assert picture(quoter, ledger, 2 * S) == picture(quoter, ledger, 2 * S)
    assert before == (quoter.random.getstate(), repr(ledger), repr(quoter.ladder))


def shown(found: dict[str, Any]) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(found))
    return console.export_text()


def test_people_read_reference_rate_adjustments_price_and_fate() -> None:
    quoter, ledger = quoting(inventory={"max_long": 1, "skew_bps": 8}, jitter_bps=0)
    text = shown(json.loads(json.dumps(picture(quoter, ledger, S))))
    assert "Reference (top) 1,952,000 / 1,952,610.3201, at a rate of 32 / 32.01" in text
    assert "inventory leans +50%" in text
    cross = {**picture(quoter, ledger, S), "source": "ETHUSDT / BTCUSDT"}
    assert "Reference (top of ETHUSDT / BTCUSDT) 1,952,000" in shown(cross)
    row = next(line for line in text.splitlines() if line.startswith(" 0") or line[:1] == "0")
    assert "+20.00" in row
    assert "+4.00" in row
    assert "24.00" in row
    assert "1,947,315.2" in row
    assert "kept 1,947,315.2 0.00 bps off, within 3" in row


def answering(inquiry: Inquiry, found: dict[str, Any]) -> threading.Thread:
    """A pair with its timer."""

    def pair() -> None:
        while not inquiry.is_asked():
            time.sleep(0.005)
        inquiry.answer({**found, "at_ns": time.monotonic_ns()})

    thread = threading.Thread(target=pair)
    thread.start()
    return thread


def test_a_question_is_answered_once_and_old_answers_are_not_taken(tmp_path: Path) -> None:
    inquiry = Inquiry(tmp_path, "pairs:btc_twd")
    inquiry.answer({"at_ns": 1, "note": "old"})
    thread = answering(inquiry, {"note": "new"})
    assert inquiry.ask(5)["note"] == "new"
    thread.join()
    assert not inquiry.is_asked()
    assert [path.name for path in tmp_path.iterdir()] == ["pairs-btc_twd.explain.json"]


def test_who_does_not_answer_is_named_and_the_question_taken_back(tmp_path: Path) -> None:
    inquiry = Inquiry(tmp_path, "pairs:btc_twd")
    with pytest.raises(Unavailable, match="pairs:btc_twd does not answer"):
        inquiry.ask(0.05)
    assert not inquiry.is_asked()
    with pytest.raises(Unavailable, match="has never run here"):
        Inquiry(tmp_path / "nowhere", "pairs:btc_twd").ask(1)


def test_the_command_prints_what_the_pair_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMD_HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    quoter, ledger = quoting()
    inquiry = Inquiry(tmp_path / "run", "pairs:btc_twd")
    for options, expected in (([], "Reference (top)"), (["--json"], '"volatility_bps"')):
        thread = answering(inquiry, picture(quoter, ledger, S))
        outcome = CliRunner().invoke(cli, ["explain", "btc_twd", *options])
        thread.join()
        assert outcome.exit_code == 0
        assert expected in outcome.output
