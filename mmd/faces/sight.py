"""What the notifier and the page are handed of the parent: its sight, its commands, its alerts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mmd.config.paths import Paths
from mmd.faces.status import look
from mmd.processes.sight import Process, Sight
from mmd.records.alerts import Kind, Spool
from mmd.supervision import proc
from mmd.supervision.control import Message, command
from mmd.supervision.status_block import Row

log = logging.getLogger("mmd")

_KINDS = (
    ("parked:", Kind.PARKED),
    ("stalled:", Kind.STALL),
    ("frozen", Kind.STALL),
    ("restarted: overflows", Kind.OVERFLOW),
    ("restarted:", Kind.RESTART),
    ("is up but not ready", Kind.NOT_READY),
    ("orders are left", Kind.ORDERS_LEFT),
)
"""What the life cycle's alerts begin with, after the child's name."""


def sight(paths: Paths) -> Sight:
    """All there is to see now."""
    view = look(paths)
    block = view.block
    return Sight(
        now_ns=view.now_ns,
        wall_s=view.wall_s,
        parent_state=view.parent_state,
        parent_pid=block.parent_pid if block else 0,
        parent_since_s=block.parent_since if block else 0.0,
        processes=tuple(map(_process, block.rows)) if block else (),
        books=view.books,
        quotes=view.quotes,
        health=view.health,
    )


def _process(row: Row) -> Process:
    memory_mb = proc.resident_mb(row.pid) if row.pid else 0.0
    return Process(row.name, row.pid, row.state, row.since, row.restarts, row.health, memory_mb)


def command_child(paths: Paths, do: str, name: str) -> Message:
    """Has the parent do something to a child. Raises Unavailable."""
    return command(paths.control_socket, do, [name])


def parents_alerts(records: Path) -> Callable[[str], None]:
    """Where the parent's alerts go: its log and the spool."""
    spool = Spool(records)

    def alert(text: str) -> None:
        log.warning("ALERT %s", text)
        spool.put(*classify(text))

    return alert


def classify(text: str) -> tuple[Kind, str, str]:
    """Kind, subject and text of an alert of the parent's: `pairs:btc_twd parked: …`."""
    subject, _, rest = text.partition(" ")
    for words, kind in _KINDS:
        if ":" in subject and rest.startswith(words):
            return kind, subject, rest
    return Kind.RELOAD, "mmd", text
