"""How a person asks a running pair for its ladder: a file that asks, and a file that answers.

The pair looks for the question with its timer, so an answer costs nothing while nobody asks, and
tells what the pair itself decided. Answers are told from old ones by their monotonic time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmd.words.errors import Unavailable

_PAUSE_S = 0.02


class Inquiry:
    """The two files of one child, named like `pairs:btc_twd`."""

    def __init__(self, run: Path, child: str) -> None:
        stem = child.replace(":", "-")
        self._child = child
        self._question = run / f"{stem}.explain"
        self._answer = run / f"{stem}.explain.json"

    def is_asked(self) -> bool:
        """Whether somebody waits for an answer."""
        return self._question.exists()

    def answer(self, found: dict[str, Any]) -> None:
        """Answers whoever asked; `found` has its monotonic time as `at_ns`."""
        self._question.unlink(missing_ok=True)
        draft = self._answer.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(found))
        draft.replace(self._answer)

    def ask(
        self, patience_s: float, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> dict[str, Any]:
        """The child's answer. Raises Unavailable when there is none in time."""
        asked_ns = clock_ns()
        try:
            self._question.touch()
        except FileNotFoundError:
            raise Unavailable(f"{self._child} has never run here") from None
        while clock_ns() - asked_ns < patience_s * 1e9:
            found = self._read()
            if found is not None and found["at_ns"] >= asked_ns:
                return found
            time.sleep(_PAUSE_S)
        self._question.unlink(missing_ok=True)
        raise Unavailable(f"{self._child} does not answer; see: mmd status")

    def _read(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._answer.read_text())
        except FileNotFoundError:
            return None
        return found
