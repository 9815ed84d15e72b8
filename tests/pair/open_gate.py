"""A gate that lets everything through, for tests of what comes after it."""

from __future__ import annotations

from collections.abc import Sequence

from mmd.decide.guard import Approved
from mmd.decide.plan import Action, Cancel, Place


class OpenGate:
    """Approves every order."""

    def pass_plan(self, actions: Sequence[Action]) -> list[Cancel | Approved]:
        return [a if isinstance(a, Cancel) else _approved(a) for a in actions]

    def pass_together(self, places: Sequence[Place]) -> list[Approved]:
        return [_approved(place) for place in places]

    def count_sent(self, approved: Approved, now_ns: int) -> None:
        """Bounds nothing."""


def _approved(place: Place) -> Approved:
    return Approved(place.quote, place.urgency, place.reason)
