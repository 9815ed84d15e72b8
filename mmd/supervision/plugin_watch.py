"""Ends a parent that is frozen, where nobody else can.

A frozen parent is ended by its children, but one that was stopped before it had any would stay
for ever: to supervisord it runs. So supervisord itself looks, every five seconds; one that is
found frozen three times in a row is killed and, by that, restarted.

Runs inside supervisord: it never waits, and nothing it does may raise.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

from supervisor.events import Tick5Event, subscribe

from mmd.supervision import proc

PROGRAM = "mmd"
_LOOKS = 3
"""Its children need less time, and a person with a debugger is given a little."""


class FrozenWatch:
    """Looks at the one program that supervisord runs."""

    def __init__(self, supervisord: Any) -> None:
        self._supervisord = supervisord
        self._frozen, self._looks = 0, 0
        """Which process was frozen at the last look, and for how many looks in a row."""

    def begin(self) -> None:
        """Looks from now on."""
        subscribe(Tick5Event, self.look)

    def look(self, _event: object = None) -> None:
        """One look."""
        pid = self._pid()
        if not pid or not proc.is_frozen(pid):
            self._frozen, self._looks = 0, 0
            return
        self._looks = self._looks + 1 if pid == self._frozen else 1
        self._frozen = pid
        if self._looks >= _LOOKS:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            self._supervisord.options.logger.warn(f"killed process {pid}, which was frozen")

    def _pid(self) -> int:
        group = self._supervisord.process_groups.get(PROGRAM)
        process = group.processes.get(PROGRAM) if group else None
        return process.pid if process else 0
