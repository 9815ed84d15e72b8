"""In what order the tests run, and beside what.

Tests of real processes wait for most of their time, tests in virtual time compute for all of
theirs. They are dealt out in turns, so that waiting and computing go on side by side.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from xdist.scheduler import LoadScopeScheduling

T = TypeVar("T")

WAITING = ("chaos/", "e2e/", "docs/", "supervision/", "web/test_page")
COMPUTING = ("orders/", "replay/", "selftrade/test_beside_quotes", "decide/test_any_input")
TOGETHER = ("tests/web/test_page.py",)
"""Files whose tests share something dear: one worker runs them all."""
_LOW_PRIORITY = 15


def gently(work: Callable[[], T]) -> T:
    """Computes at low priority, so that processes tested meanwhile keep their time limits."""

    def lowered() -> T:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)
        return work()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lowered).result()


def computes(name: str) -> bool:
    """Whether the test of this name computes for all of its time."""
    return _is_of(name, COMPUTING)


def in_turns(names: list[str]) -> list[int]:
    """In what order tests of these names run: waiting and computing ones evenly mixed, the others
    last."""
    waiting = [n for n, name in enumerate(names) if _is_of(name, WAITING)]
    computing = [n for n, name in enumerate(names) if computes(name)]
    place = {
        number: at / len(part) for part in (waiting, computing) for at, number in enumerate(part)
    }
    return sorted(range(len(names)), key=lambda number: place.get(number, 1.0))


def _is_of(name: str, parts: tuple[str, ...]) -> bool:
    return name.startswith(tuple(f"tests/{part}" for part in parts))


class Schedule(LoadScopeScheduling):
    """Deals out tests one by one, those of a file in `TOGETHER` as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return file if file in TOGETHER else nodeid
