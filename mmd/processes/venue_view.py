"""A pair's view of the venue's own order book, so that no quote goes through its best."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from mmd.config.quoting import BoundsSettings, VenueBest
from mmd.decide.bounds import VenueBook
from mmd.processes.desk import Desk
from mmd.venues.ace import calls
from mmd.venues.ace.budget import Priority
from mmd.words.errors import MmdError

_PART = 0.7
"""The next look is made at this part of the time that one may be used for …"""
_RETRY_S = 1.0
"""… and so soon after one that failed."""


@dataclass
class VenueView:
    """Looks at the book now and then, when the budget has room for it."""

    desk: Desk
    bounds: Callable[[], BoundsSettings | None]
    """What the book is for; None while nothing is quoted."""
    book: VenueBook | None = None
    """The last look."""

    async def run(self) -> None:
        """Looks for as long as the pair runs."""
        while True:
            bounds = self.bounds()
            if bounds is None or bounds.venue_best is VenueBest.IGNORE:
                await asyncio.sleep(1.0)
                continue
            pause_s = bounds.venue_max_age_s * _PART
            await asyncio.sleep(pause_s if await self._look() else min(pause_s, _RETRY_S))

    async def _look(self) -> bool:
        """Whether there is a new look."""
        asked_ns = self.desk.clock_ns()
        try:
            book = await self.desk.ask(calls.order_book(self.desk.rules), Priority.POLL)
        except MmdError:
            return False  # the last look serves until it is too old
        self.book = VenueBook(book, asked_ns)
        return True
