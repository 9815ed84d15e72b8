"""What the parent must know of a child to start it and judge it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mmd.cells.segment import Segment
from mmd.processes.context import Entry
from mmd.supervision.limits import Limits
from mmd.supervision.names import group_of, member_of


@dataclass(frozen=True)
class ChildSpec:
    """One child, as the plan wants it."""

    name: str
    """Group and member, as in `pairs:btc_twd`."""
    entry: Entry
    keeps: tuple[int, ...] = ()
    """Descriptors it uses (bells); all others are closed in it."""
    drains: bool = False
    """It has orders on the venue: it gets time to cancel them whenever it must go, it holds the
    lock `run/<member>.lock`, and it is stopped before those that have none."""
    limits: Limits = field(default_factory=Limits)
    sweep: Entry | None = None
    """Cancels what the child left and proves it; run whenever it stays away."""
    log: str = ""
    """Its log below `var/log`, with `*` for the day; '' if it has none but stderr."""
    identity: object = None
    """A reload restarts the child when this has changed."""
    parameters: str = ""
    """Written to `run/<group>-<member>.parameters`; when a reload changes it, the generation in
    the child's WANTED cell grows and the child goes on."""
    describe: Callable[[], str] | None = None
    """How it is doing, in a few words for the status; must not block."""

    @property
    def group(self) -> str:
        return group_of(self.name)

    @property
    def member(self) -> str:
        return member_of(self.name)

    @property
    def file_name(self) -> str:
        """The name as part of a file's name."""
        return self.name.replace(":", "-")


@dataclass(frozen=True)
class Planned:
    """Which children there shall be."""

    children: Sequence[ChildSpec]
    retired: Sequence[ChildSpec] = ()
    """Children of earlier plans that may have left orders: never started, only swept."""


Plan = Callable[[Segment, Sequence[str]], Planned]
"""Reads the whole configuration anew and says which children there shall be.

Gets the segment, to add cells to, and the names of earlier children not proven gone, of which it
may return some as retired. Raises ConfigError, and then nothing changes."""
