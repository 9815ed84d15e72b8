"""Kills a pair again and again at random moments of its life, by SIGKILL, and times how long it
takes until the ledger of the next worker and the venue's record name the same orders.

Usage: bin/killings [--times N] [--seed S]
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import time
from contextlib import suppress
from random import Random
from typing import Any

from chaos.subject import Subject, recordings
from chaos.world import World
from mmd.decide.ledger import State
from mmd.words.errors import Unavailable
from mmd.words.market import Pair

LIMIT_S = 2.0
_GIVE_UP_S = 15.0
_LONGEST_LIFE_S = 3.0
_NAP_S = 0.02
_CHANGES = {
    "supervision": {
        "intensity": {"count": 1000, "within_s": 1},
        "backoff_s": {"min": 0.05, "max": 0.1},
    }
}
_UNDER_WAY = {
    state.value for state in (State.WANTED, State.SENDING, State.UNKNOWN, State.CANCELLING)
}
Orders = dict[str, str]
"""Remaining amount by order number."""


def on_the_venue(world: World, pair: Pair) -> Orders:
    """What rests there for us."""
    rows = world.report()["open_orders"]
    return {row["order_no"]: _plain(row["remaining"]) for row in rows if row["pair"] == str(pair)}


def in_the_ledger(told: dict[str, Any]) -> Orders | None:
    """What the worker knows to rest; None while an order is on its way in or out."""
    orders = [
        order
        for side in told["sides"]
        for order in (*(level.get("order") for level in side["levels"]), *side["others"])
        if order
    ]
    if any(order["state"] in _UNDER_WAY for order in orders):
        return None
    return {order["number"]: _plain(order["remaining"]) for order in orders}


def _plain(amount: str) -> str:
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def agreement_s(subject: Subject, world: World, pair: Pair, killed_s: float) -> float | None:
    """Seconds from the kill until both name the same orders; None if that never comes."""
    while time.monotonic() - killed_s < _GIVE_UP_S:
        with suppress(Unavailable):
            before = on_the_venue(world, pair)
            ours = in_the_ledger(subject.explain(pair))
            if ours is not None and ours in (before, on_the_venue(world, pair)):
                return time.monotonic() - killed_s
        time.sleep(_NAP_S)
    return None


def kill_again_and_again(subject: Subject, times: int, random: Random) -> list[float | None]:
    """The time to agreement after each kill."""
    world, found = World(subject.home), []
    try:
        while len(found) < times:
            # Some die while they begin, some in the middle of their work.
            time.sleep(random.uniform(0, _LONGEST_LIFE_S) * random.random())
            pair = random.choice(subject.pairs)
            pid = subject.children().get(f"pairs:{pair.slug}")
            if pid is None:
                continue
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                found.append(agreement_s(subject, world, pair, time.monotonic()))
    finally:
        world.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="killings", description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    subject = Subject(_CHANGES, recordings())
    try:
        subject.start()
        found = kill_again_and_again(subject, options.times, Random(options.seed))
        subject.stop()
    finally:
        subject.remove()
    times_s = sorted(s for s in found if s is not None)
    late = len(found) - sum(s <= LIMIT_S for s in times_s)
    print(
        f"{len(found)} kills: agreement after {statistics.median(times_s):.2f} s (median), "
        f"{times_s[-1]:.2f} s (most); {late} later than {LIMIT_S:g} s, "
        f"{len(found) - len(times_s)} never"
    )
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
