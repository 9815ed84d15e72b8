"""Rounds of blows, each followed by recovery and proof."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import Any

from chaos import proof
from chaos.blows import ALONE, BLOWS, LAST, UPPER, Hand, Missed
from chaos.chronicle import Chronicle
from chaos.subject import SECRETS, CommandFailed, Subject
from chaos.watch import Watch, wall_ms
from chaos.world import World
from mmd.records.store import FILE as STORE_FILE
from mmd.records.store import Store
from mmd.words.errors import MmdError, Unavailable

CHANGES: dict[str, Any] = {
    "pairs": {
        "BTC/TWD": {"self_trade": {"enabled": True, "volume_threshold": 0.5}},
    },
    "alerts": {"min_disk_mb": 1},
}
"""What is changed in the shipped configuration: self-trades happen as well."""
SWEEP_S = 5.0
"""What a stall, the parent's own death and a loaded machine may add to the stall limit until
somebody answers for a dead owner's orders again; once more for each further blow to those above."""
PULL_S = 1.5
"""Age limit of a price to the last cancel, on a loaded machine."""
RECOVERY_S = 45.0
AGREEMENT_S = 20.0
LEAST_PRESENCE = 0.5
_MOST_BLOWS = 3
_LOOK_S = 0.1
_CALM_S = 2.0


class Broken(Exception):
    """Something that must always be true is not. One complete line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


@dataclass
class Outcome:
    """What a campaign came to."""

    seed: int
    blows: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    orders: int = 0
    fills: int = 0
    presence: dict[str, float] = field(default_factory=dict)
    longest_alone_s: float = 0.0
    """The longest time that an order rested while nobody answered for it."""
    wrong: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    home: Path | None = None
    """Where the files are, when something was wrong."""

    def lines(self) -> list[str]:
        """For people."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.blows.items()))
        shares = ", ".join(f"{pair} {share:.0%}" for pair, share in self.presence.items())
        return [
            f"seed {self.seed}: {self.rounds} rounds, {self.blows.total()} blows ({kinds})",
            f"{self.orders} orders, {self.fills} fills; both sides quoted: {shares}",
            f"no order rested unanswered for longer than {self.longest_alone_s:.2f} s",
        ]


def run(
    seconds: float,
    seed: int,
    replay: Sequence[Path],
    tell: Callable[[str], None] = print,
    calm_s: float = _CALM_S,
    least_presence: float = LEAST_PRESENCE,
) -> Outcome:
    """Strikes a fresh mmd for so long, every kind of blow at least once.

    `calm_s`: the longest pause between rounds; `least_presence`: for how much of the time every
    pair must have quoted both sides.
    """
    outcome = Outcome(seed)
    subject = Subject(CHANGES, replay)
    began = time.monotonic()

    def note(line: str) -> None:
        stamped = f"{time.monotonic() - began:7.2f} s  {wall_ms()}  {line}"
        outcome.story.append(stamped)
        tell(stamped)

    try:
        note("mmd start")
        subject.start()
        with closing(World(subject.home)) as world:
            campaign = _Campaign(subject, world, Random(seed), note, outcome, calm_s)
            campaign.run(began + seconds)
            outcome.wrong += proof.too_absent(outcome.presence, least_presence)
    except Broken as broken:
        outcome.wrong += broken.lines
    except CommandFailed as failure:
        outcome.wrong.append(str(failure))
    finally:
        subject.remove(keep_files=bool(outcome.wrong))
    outcome.home = subject.home if outcome.wrong else None
    return outcome


def rounds(random: Random) -> Iterator[list[str]]:
    """Kinds of blows for one round after the other. All kinds come once before any comes twice."""
    while True:
        deck = sorted(BLOWS)
        random.shuffle(deck)
        while deck:
            first = deck.pop()
            if first in ALONE:
                yield [first]
                continue
            dealt = [first]
            for _ in range(random.randint(0, _MOST_BLOWS - 1)):
                fitting = [kind for kind in deck if kind not in ALONE]
                if fitting:
                    dealt.append(fitting[0])
                    deck.remove(fitting[0])
            dealt.sort(key=lambda kind: kind in LAST)
            yield dealt


class _Campaign:
    def __init__(
        self,
        subject: Subject,
        world: World,
        random: Random,
        tell: Callable[[str], None],
        outcome: Outcome,
        calm_s: float,
    ) -> None:
        self._calm_s = calm_s
        self._subject, self._world, self._outcome = subject, world, outcome
        self._random, self._tell = random, tell
        self._absences_judged = 0
        self._chronicle = Chronicle()
        self._watch = Watch(subject.pairs, subject.owner)
        self._hand = Hand(subject, world, random, self._watch, tell)
        supervision = subject.settings["supervision"]
        self._stall_limit_s = supervision["stall_limit_s"]
        self._price_limit_s = subject.settings["defaults"]["quote"]["max_price_age_s"] + PULL_S

    def run(self, until: float) -> None:
        with self._watch.going():
            self._recover()
            for kinds in rounds(self._random):
                self._round(kinds)
                every = all(self._outcome.blows[kind] for kind in BLOWS)
                if time.monotonic() >= until and (every or self._outcome.rounds > 10 * len(BLOWS)):
                    break
        self._end()

    def _round(self, kinds: list[str]) -> None:
        self._outcome.rounds += 1
        self._tell(f"round {self._outcome.rounds}: {', '.join(kinds)}")
        for kind in kinds:
            try:
                BLOWS[kind](self._hand)
            except Missed as missed:
                self._tell(f"{kind} missed: {missed}")
            else:
                self._outcome.blows[kind] += 1
            self._hand.wait(self._random.choice((0.0, 0.05, 0.3, 1.0)))
        self._hand.finish()
        took = self._recover()
        self._prove(self._stall_limit_s + SWEEP_S * max(1, len(UPPER.intersection(kinds))))
        self._tell(f"all quote again after {took:.1f} s; proven")
        self._hand.wait(self._random.uniform(0.0, self._calm_s))

    def _recover(self) -> float:
        """Waits until every pair has orders on both sides and a worker that is up."""
        began = time.monotonic()
        while missing := self._missing():
            if time.monotonic() - began > RECOVERY_S:
                raise Broken([f"not back after {RECOVERY_S:.0f} s: {line}" for line in missing])
            self._hand.wait(_LOOK_S)
        return time.monotonic() - began

    def _missing(self) -> list[str]:
        self._follow()
        states = self._subject.states()
        missing = []
        for pair in self._subject.pairs:
            state = states.get(f"pairs:{pair.slug}", "unknown")
            sides = self._chronicle.sides(str(pair))
            if len(sides) < 2 or state not in ("ready", "running"):
                missing.append(f"{pair} is {state} and has orders on {len(sides)} sides")
        down = [name for name, state in states.items() if state in ("parked", "stopped")]
        if not self._subject.parent_answers():
            missing.append("the parent is silent")
        return missing + [f"{name} is {states[name]}" for name in down]

    def _follow(self) -> None:
        self._chronicle.take(self._world.entries(self._chronicle.last))

    def _prove(self, orphan_limit_s: float) -> None:
        """Proves everything, now that nothing strikes. Raises Broken."""
        report = self._world.report()
        self._follow()
        wrong = proof.orders_sent_twice(self._chronicle)
        wrong += proof.own_meetings(report, self._chronicle)
        absences = self._watch.absences[self._absences_judged :]
        over = takewhile(lambda absence: absence.end_ms is not None, absences)
        self._absences_judged += len(list(over))
        wrong += proof.orphans(self._chronicle, absences, orphan_limit_s, wall_ms())
        wrong += proof.quotes_without_price(self._chronicle, self._hand.blind, self._price_limit_s)
        if wrong:
            raise Broken(wrong)
        for check in (self._orders, self._fills, self._figures):
            self._agree(check)

    def _agree(self, check: Callable[[], list[str]]) -> None:
        """What is under way differs for a moment; what is wrong stays."""
        patience = time.monotonic() + AGREEMENT_S
        while wrong := check():
            if time.monotonic() > patience:
                raise Broken(wrong)
            self._hand.wait(_LOOK_S)

    def _orders(self) -> list[str]:
        wrong = []
        for pair in self._subject.pairs:
            try:
                explained = self._subject.explain(pair)
            except Unavailable as error:
                wrong.append(str(error))
                continue
            self._follow()
            wrong += proof.orders_differ(self._chronicle, str(pair), explained)
        return wrong

    def _fills(self) -> list[str]:
        self._follow()
        with Store.look(self._subject.paths.records / STORE_FILE) as store:
            recorded = [fill.trade for fill in store.fills()]
        return proof.fills_differ(self._chronicle, recorded)

    def _figures(self) -> list[str]:
        try:
            rows = {row["pair"]: row for row in self._subject.status()["pairs"]}
        except MmdError as error:
            return [str(error)]
        self._follow()
        pairs = map(str, self._subject.pairs)
        return [line for p in pairs for line in proof.figures_differ(self._chronicle, p, rows[p])]

    def _end(self) -> None:
        """Stops mmd and proves that nothing is left of it."""
        report, pairs = self._world.report(), [str(pair) for pair in self._subject.pairs]
        outcome, chronicle = self._outcome, self._chronicle
        seen, nothing = report["presence"], {"share": 0.0}
        outcome.presence = {p: seen.get(f"paper {p}", nothing)["share"] for p in pairs}
        outcome.orders, outcome.fills = len(chronicle.stories), len(chronicle.fills)
        alone_ms = [
            proof.alone_ms(story, absence, wall_ms())
            for story in chronicle.stories.values()
            for absence in self._watch.absences
        ]
        outcome.longest_alone_s = max(alone_ms, default=0) / 1000
        wrong = [f"no blow of the kind {kind!r} came" for kind in BLOWS if not outcome.blows[kind]]
        self._tell("mmd stop")
        self._subject.stop()
        chronicle.take(self._subject.last_words_of_the_venue(chronicle.last))
        wrong += [f"order {s.order_no} is left" for p in pairs for s in chronicle.open_orders(p)]
        wrong += self._subject.leftovers()
        wrong += proof.secrets_shown(self._subject.home, SECRETS, self._subject.slips)
        if wrong:
            raise Broken(wrong)
