"""`mmd cancel`: cancels our open orders and proves it, with everything else down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

from mmd.processes.sweep import SweepPlan, SweepResult, Whose, sweep
from mmd.venues.ace.budget import Budget, BudgetSpec, Priority
from mmd.venues.ace.client import AceClient
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.throttle import Throttled
from mmd.words.market import Pair


def cancel(
    endpoint: AceEndpoint,
    budget: BudgetSpec,
    pairs: Sequence[Pair],
    whose: Whose,
    instance: str,
    settle_s: float,
    patience_s: float,
) -> list[tuple[Pair | None, SweepResult]]:
    """Sweeps the given pairs, or all markets when none is given.

    Raises KeyRejected, or ConfigError for a market that the venue does not have.
    """
    results: list[tuple[Pair | None, SweepResult]] = []
    wanted: Sequence[Pair | None] = pairs or [None]
    with closing(AceClient(endpoint)) as client, closing(Budget(budget, endpoint.key.api_key)) as b:
        throttled = Throttled(client, b, Priority.TOUCH)
        for pair in wanted:
            deadline_s = time.monotonic() + patience_s
            plan = SweepPlan(pair, instance, settle_s, deadline_s, whose)
            results.append((pair, sweep(throttled, endpoint, plan)))
    return results


def report(pair: Pair | None, result: SweepResult) -> str:
    """One line for people."""
    where = str(pair) if pair else "all markets"
    ended = f"{len(result.cancelled)} cancelled"
    if result.already_gone:
        ended += f", {len(result.already_gone)} filled or gone before"
    if result.proven:
        return f"{where}: {ended}; proven: nothing is left"
    left = ", ".join(result.left) or "unknown"
    return f"{where}: {ended}; NOT proven. Orders left: {left}. {result.trouble}"
