"""What a process that merely looks sees of all others, at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mmd.cells.layouts import BookState, HealthState, QuoteState

UP = frozenset({"ready", "running"})
"""States in which a child does its job."""


@dataclass(frozen=True)
class Process:
    """One child, as the parent shows it."""

    name: str
    """As in `pairs:btc_twd`."""
    pid: int
    """0 when there is no process."""
    state: str
    since_s: float
    """When it started, or died; seconds since 1970."""
    restarts: int
    text: str
    """How it is, for people."""
    memory_mb: float = 0.0

    @property
    def group(self) -> str:
        return self.name.partition(":")[0]

    @property
    def member(self) -> str:
        return self.name.partition(":")[2]


@dataclass(frozen=True)
class Sight:
    """Everything that the cells and the status block say."""

    now_ns: int
    """Monotonic."""
    wall_s: float
    parent_state: str = "stopped"
    parent_pid: int = 0
    parent_since_s: float = 0.0
    processes: tuple[Process, ...] = ()
    books: Mapping[str, BookState] = field(default_factory=dict)
    quotes: Mapping[str, QuoteState] = field(default_factory=dict)
    health: Mapping[str, HealthState] = field(default_factory=dict)

    def group(self, group: str) -> list[Process]:
        return [process for process in self.processes if process.group == group]

    # What a process has published; an empty state where it has published nothing yet.

    def book_of(self, process: Process) -> BookState:
        return self.books.get(process.member, BookState())

    def quotes_of(self, process: Process) -> QuoteState:
        return self.quotes.get(process.member, QuoteState())

    def health_of(self, process: Process) -> HealthState:
        return self.health.get(process.name, HealthState())


Look = Callable[[], Sight]
"""Takes a look; never waits for anybody."""
