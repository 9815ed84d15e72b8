"""Ends a parent that is frozen, where nobody else can.

A frozen parent is ended by its children, but one that was stopped before it had any would stay
for ever: to supervisord it runs. So supervisord itself looks whenever its loop turns, once a
second at least.

Runs inside supervisord: it never waits, and nothing it does may raise.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from supervisor.medusa import asyncore_25 as asyncore

from mmd.supervision import proc

PROGRAM = "mmd"
CHILDLESS_S = 1.5
"""How long a parent that has nobody else may stay frozen."""
PATIENCE_S = 15.0
"""How long one with children may: they need less time, unless they are frozen too."""


class FrozenWatch:
    """Looks at the one program that supervisord runs."""

    def __init__(self, supervisord: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._supervisord = supervisord
        self._clock = clock
        self._frozen, self._since = 0, 0.0
        """Which process is frozen, and since when it was seen so."""

    def begin(self) -> None:
        """Looks from now on: supervisord asks everything in its map whether it is readable."""
        asyncore.socket_map[PROGRAM] = self

    def readable(self) -> bool:
        """The loop turns. Never readable, so that no descriptor is needed."""
        self.look()
        return False

    def writable(self) -> bool:
        return False

    def look(self) -> None:
        """One look."""
        pid = self._pid()
        if not pid or not proc.is_frozen(pid):
            self._frozen = 0
            return
        now = self._clock()
        if pid != self._frozen:
            self._frozen, self._since = pid, now
        patience_s = PATIENCE_S if proc.has_children(pid) else CHILDLESS_S
        if now - self._since < patience_s:
            return
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        self._supervisord.options.logger.warn(f"killed process {pid}, which was frozen")

    def _pid(self) -> int:
        group = self._supervisord.process_groups.get(PROGRAM)
        process = group.processes.get(PROGRAM) if group else None
        return process.pid if process else 0
