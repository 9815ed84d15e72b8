"""The kill switches at work: one for each pair, and one for all, joined to their latches on disk.

Whoever finds a reason writes the pair's latch; the pair follows what is on disk. `mmd resume`
removes the latch, and the pair quotes again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from mmd.cells.layouts import QuotesCell, exact
from mmd.config.model import KillLevel, KillSettings
from mmd.decide.killswitch import KillSwitch, Thrown
from mmd.records import killed
from mmd.records.alerts import Kind, Spool
from mmd.records.pnl import Result
from mmd.words.errors import Exit, Fatal, Unavailable
from mmd.words.market import TWD, OwnTrade, Pair

log = logging.getLogger("mmaker")

_LOOK_NS = 100_000_000
_SAVE_NS = 1_000_000_000


class KillSwitchThrown(Fatal):
    """The pair's kill switch is thrown: it stays away until a person resumes it."""

    exit_code = Exit.CONFIG


def is_stopped(records: Path, pair: Pair) -> bool:
    """Whether the pair's process is to stay away."""
    thrown = killed.read(killed.latch_of(records, pair.slug))
    return thrown is not None and thrown.level is KillLevel.STOP


def require_in_place(records: Path, pair: Pair) -> None:
    """Raises KillSwitchThrown when the pair's process must not run."""
    thrown = killed.read(killed.latch_of(records, pair.slug))
    if thrown is not None and is_stopped(records, pair):
        raise KillSwitchThrown(describe(thrown, pair))


def describe(thrown: Thrown, pair: Pair) -> str:
    """For people: what happened, and what to do."""
    return f"kill switch ({thrown.level.value}): {thrown.reason}; then: mmd resume {pair.slug}"


def throw(records: Path, pair: Pair, thrown: Thrown, wall_ms: int, spool: Spool) -> None:
    """Throws a pair's switch, for whoever looks at its latch. Raises Unavailable."""
    killed.throw(killed.latch_of(records, pair.slug), thrown, wall_ms)
    spool.put(Kind.KILL_SWITCH, f"pairs:{pair.slug}", describe(thrown, pair))


@dataclass
class Seen:
    """What a pair's switch judges by."""

    profit: Callable[[], Decimal | None]
    losing: Callable[[], int]
    refused: Callable[[], int]


class Brake:
    """One pair's kill switch."""

    def __init__(
        self,
        records: Path,
        pair: Pair,
        settings: KillSettings,
        seen: Seen,
        spool: Spool,
        clock_ns: Callable[[], int],
        wall_ms: Callable[[], int],
    ) -> None:
        self._records, self._pair, self._seen, self._spool = records, pair, seen, spool
        self._clock_ns, self._wall_ms = clock_ns, wall_ms
        self._latch = killed.latch_of(records, pair.slug)
        self._tally_file = killed.tally_of(records, pair.slug)
        self._switch = KillSwitch(settings, pair.quote, killed.read_tally(self._tally_file))
        self._saved = self._switch.tally
        self._look_ns = self._save_ns = 0
        self.thrown = killed.read(self._latch)
        self._is_latched = self.thrown is not None

    def use(self, settings: KillSettings) -> None:
        """Takes new parameters over; what is thrown stays so."""
        self._switch.settings = settings

    @property
    def reason(self) -> str | None:
        """Why nothing may rest on the venue; None while all is well."""
        return None if self.thrown is None else describe(self.thrown, self._pair)

    @property
    def is_to_leave(self) -> bool:
        """Whether the process must go. Not before the latch is on disk, or it would come back."""
        return self.thrown is not None and self.thrown.level is KillLevel.STOP and self._is_latched

    def turn(self) -> bool:
        """Looks around, several times a second; whether something has changed."""
        now_ns = self._clock_ns()
        if now_ns < self._look_ns:
            return False
        self._look_ns = now_ns + _LOOK_NS
        latched, before = killed.read(self._latch), self.thrown
        if latched is not None:
            self.thrown, self._is_latched = latched, True
        elif self.thrown is not None and self._is_latched:
            log.warning("resumed: the kill switch is back in place")
            self.thrown, self._is_latched = None, False
            self._switch.reset(self._seen.losing())
        elif self.thrown is not None:
            self._write(self.thrown)
        else:
            self._judge(now_ns)
        return self.thrown != before

    def _judge(self, now_ns: int) -> None:
        seen = self._seen
        found = self._switch.look(seen.profit(), seen.losing(), seen.refused())
        if found is None:
            self._save(now_ns)
            return
        log.error("kill switch (%s): %s", found.level.value, found.reason)
        self.thrown = found
        self._switch.reset(seen.losing())
        self._save_ns = 0
        self._save(now_ns)
        self._write(found)

    def _write(self, thrown: Thrown) -> None:
        """It holds in memory at once; on disk as soon as that takes it."""
        try:
            throw(self._records, self._pair, thrown, self._wall_ms(), self._spool)
        except Unavailable as error:
            log.error("%s", error)
        else:
            self._is_latched = True

    def _save(self, now_ns: int) -> None:
        if self._switch.tally == self._saved or now_ns < self._save_ns:
            return
        self._save_ns = now_ns + _SAVE_NS
        try:
            killed.write_tally(self._tally_file, self._switch.tally)
        except Unavailable as error:
            log.error("%s", error)
        else:
            self._saved = self._switch.tally


@dataclass(frozen=True)
class Member:
    """A pair that the switch of all pairs counts."""

    pair: Pair
    quotes: QuotesCell


@dataclass
class CommonBrake:
    """The switch of all pairs together, in TWD. It throws the latch of each."""

    records: Path
    settings: KillSettings
    members: Sequence[Member]
    spool: Spool
    wall_ms: Callable[[], int]
    results: dict[Pair, Result] = field(default_factory=dict)
    _losing: int = 0
    _marks: dict[Pair, Decimal] = field(default_factory=dict)
    _pending: dict[Pair, Thrown] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._file = killed.tally_of(self.records, killed.ALL)
        self._switch = KillSwitch(self.settings, TWD, killed.read_tally(self._file))
        self._saved = self._switch.tally

    def count(self, trades: Sequence[OwnTrade]) -> None:
        """Takes in fills of our own orders, oldest first, each once."""
        for trade in trades:
            before = self.results.get(trade.pair, Result())
            self.results[trade.pair] = after = before.after(trade)
            if after.losing_in_a_row > before.losing_in_a_row:
                self._losing += 1
            elif before.is_closed_by(trade):
                self._losing = 0

    def turn(self, prices: Mapping[Pair, Decimal]) -> list[Pair]:
        """Judges, and throws the latches; which were thrown now. `prices`: the venue's last."""
        states = {member.pair: member.quotes.read() for member in self.members}
        for pair, state in states.items():
            if state.reference_bid and state.reference_ask:
                middle = exact(state.reference_bid) + exact(state.reference_ask)
                self._marks[pair] = middle / 2
        if not self._pending:
            refused = sum(state.refused for state in states.values())
            found = self._switch.look(self.profit(prices), self._losing, refused)
            if found is not None:
                common = Thrown(found.level, f"all pairs: {found.reason}")
                self._pending = {member.pair: common for member in self.members}
                self._switch.reset(self._losing)
        self._save()
        return self._throw_pending()

    def profit(self, prices: Mapping[Pair, Decimal]) -> Decimal | None:
        """In TWD, realised and unrealised; None while a position can't be valued."""
        total = Decimal(0)
        for pair, result in self.results.items():
            rate = Decimal(1) if pair.quote == TWD else prices.get(Pair(pair.quote, TWD))
            mark = self._marks.get(pair, prices.get(pair))
            if rate is None or (mark is None and result.position):
                return None
            total += (result.realised + result.unrealised(mark or Decimal(0))) * rate
        return total

    def _throw_pending(self) -> list[Pair]:
        done = []
        for pair, thrown in list(self._pending.items()):
            latch = killed.latch_of(self.records, pair.slug)
            if thrown.is_graver_than(killed.read(latch)):
                try:
                    throw(self.records, pair, thrown, self.wall_ms(), self.spool)
                except Unavailable as error:
                    log.error("%s", error)
                    continue
            del self._pending[pair]
            done.append(pair)
        return done

    def _save(self) -> None:
        if self._switch.tally == self._saved:
            return
        try:
            killed.write_tally(self._file, self._switch.tally)
        except Unavailable as error:
            log.error("%s", error)
        else:
            self._saved = self._switch.tally
