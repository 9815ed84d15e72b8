"""A whole mmd under every kind of blow once; `bin/chaos` goes on for as long as asked."""

from __future__ import annotations

import pytest

from chaos import campaign, soak
from chaos.subject import recordings

SEED = 2


@pytest.mark.timeout(240)
def test_every_kind_of_blow_is_survived_and_what_must_be_true_is_proven() -> None:
    calm_s, presence = 0.7, 1 / 3  # little time between the blows
    outcome = campaign.run(0, SEED, recordings(), lambda _: None, calm_s, presence)
    told = "\n".join([f"seed {SEED}, files in {outcome.home}", *outcome.story[-40:]])
    assert outcome.wrong == [], told
    assert outcome.orders > 50
    assert outcome.fills > 0


@pytest.mark.timeout(90)
def test_a_moment_of_peace_gives_no_alarm() -> None:
    table, wrong = soak.run(5, 0.2)
    assert wrong == []
    assert any("pairs:btc_twd" in row for row in table)
