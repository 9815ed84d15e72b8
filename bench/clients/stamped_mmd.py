"""mmd with two stamps: when the feed rings its bell, and when the pair begins to decide.

Takes mmd's own command line; the environment names the folder of the two logs.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from bench.memory import Memory
from mmd.cells.wake import Bell
from mmd.faces.cli import main
from mmd.processes.pair import Worker

FOLDER = "BENCH_STAMPS"


@cache
def _is_feed(_pid: int) -> bool:
    return Path("/proc/self/comm").read_text().startswith("feed:")


def _install(folder: Path) -> None:
    rung, decided = Memory(folder / "rung"), Memory(folder / "decided")
    ring, decide = Bell.ring, Worker.decide

    def stamped_ring(self: Bell) -> None:
        if _is_feed(os.getpid()):
            rung.stamp(0, 0)
        ring(self)

    def stamped_decide(self: Worker, now_ns: int) -> None:
        decided.stamp(0, 0)
        decide(self, now_ns)

    Bell.ring = stamped_ring  # type: ignore[method-assign]
    Worker.decide = stamped_decide  # type: ignore[method-assign]


if __name__ == "__main__":
    _install(Path(os.environ[FOLDER]))
    main()
