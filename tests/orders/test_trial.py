"""Three hundred life stories of a pair's orders; `bin/trials` tells ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orders.trial import run_story, scratch

STORIES_A_TEST = 10


@pytest.mark.timeout(400)
@pytest.mark.parametrize("first_seed", range(0, 300, STORIES_A_TEST))
def test_ledger_equals_venue_each_fill_once_no_duplicate_no_orphan_no_meeting(
    first_seed: int,
) -> None:
    for seed in range(first_seed, first_seed + STORIES_A_TEST):
        with scratch() as folder:
            story = run_story(seed, Path(folder))
        assert story.faults == [], f"seed {seed}"
        assert story.orders > 0
