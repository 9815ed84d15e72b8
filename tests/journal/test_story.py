"""The journal of real workers on the simulated venue, through faults and kills in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmd.records.replay import replay, rows_of
from mmd.sim.ace import PAPER_KEY, PAPER_SECRET
from tests.orders.trial import run_story


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_life_of_a_worker_can_be_replayed(seed: int, tmp_path: Path) -> None:
    story = run_story(seed, tmp_path)
    files = sorted((tmp_path / "journal" / "btc_twd").iterdir())
    reports = [replay(rows_of(file)) for file in files]
    assert len(files) >= story.lives
    assert all(report.differences == [] for report in reports)
    assert sum(report.actions for report in reports) >= story.orders


def test_every_request_has_its_reason_and_no_secret_is_kept(tmp_path: Path) -> None:
    run_story(4, tmp_path)
    rows = [row for file in (tmp_path / "journal" / "btc_twd").iterdir() for row in rows_of(file)]
    asked = [row for row in rows if row["k"] == "ask"]
    answers = {row["to"] for row in rows if row["k"] == "answer"}
    assert len(asked) > 100
    assert [row for row in asked if not row["why"]] == []
    assert {"new order", "cancel", "open orders"} <= {row["call"] for row in asked}
    assert len(answers) > 0.9 * len({row["n"] for row in asked})
    text = str(rows).lower()
    assert PAPER_SECRET.lower() not in text
    for secret in ("apikey", "signkey", f"'{PAPER_KEY.lower()}'"):
        assert secret not in text
    assert {row["k"] for row in rows} >= {"begin", "decide", "want", "event", "fill", "trade"}
