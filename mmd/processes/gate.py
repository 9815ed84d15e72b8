"""The gate of one pair: what the guard lets through, and what becomes of what it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from mmd.decide.guard import Approved, Guard, Refused, View
from mmd.decide.ledger import Ledger
from mmd.decide.plan import Action, Cancel, Place
from mmd.records.journal import Journal

log = logging.getLogger("mmaker")

_RETRY_NS = 1_000_000_000
_SHOWN_NS = 5_000_000_000
_LOG_NS = 10_000_000_000


class Gate:
    """Every order that the desk sends has passed here."""

    def __init__(
        self,
        guard: Guard,
        ledger: Ledger,
        view: Callable[[], View],
        clock_ns: Callable[[], int],
        journal: Journal | None = None,
    ) -> None:
        self.guard = guard
        self._ledger, self._view, self._clock_ns, self._journal = ledger, view, clock_ns, journal
        self._refused_ns = 0
        self._logged_ns = -_LOG_NS
        self._reason = ""
        self._is_waiting = False
        self.refused = 0
        """Orders that were kept back in all."""

    def pass_plan(self, actions: Sequence[Action]) -> list[Cancel | Approved]:
        """What of a plan may be carried out, in its order."""
        if not any(isinstance(action, Place) for action in actions):
            return [action for action in actions if isinstance(action, Cancel)]
        passed, refused = self.guard.filter(actions, self._ledger, self._view(), self._clock_ns())
        if refused:
            self._keep_back(refused)
        return passed

    def pass_together(self, places: Sequence[Place]) -> list[Approved]:
        """Orders that make sense together only: all of them, or none."""
        checked = self.guard.check_all(places, self._ledger, self._view(), self._clock_ns())
        if isinstance(checked, Refused):
            self._keep_back([checked])
            return []
        return checked

    def count_sent(self, approved: Approved, now_ns: int) -> None:
        """An order is about to be sent."""
        self.guard.count_sent(approved, now_ns)

    @property
    def note(self) -> str:
        """Why orders are kept back, for people; empty when none was for a while."""
        if not self._reason or self._clock_ns() - self._refused_ns > _SHOWN_NS:
            return ""
        return f"guard: {self._reason}"

    def is_to_try_again(self) -> bool:
        """Whether a new plan may fare better than the one that was refused; once for each."""
        if not self._is_waiting or self._clock_ns() - self._refused_ns < _RETRY_NS:
            return False
        self._is_waiting = False
        return True

    def _keep_back(self, refused: Sequence[Refused]) -> None:
        now_ns = self._clock_ns()
        self.refused += len(refused)
        self._refused_ns, self._reason, self._is_waiting = now_ns, refused[0].reason, True
        if self._journal is not None:
            self._journal.refused(refused)
        if now_ns - self._logged_ns >= _LOG_NS:
            self._logged_ns = now_ns
            log.warning("the guard keeps %d orders back: %s", len(refused), self._reason)
