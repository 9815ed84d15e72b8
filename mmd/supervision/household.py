"""All children of one parent: brings them in line with a plan, stops them in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from mmd.supervision.keeper import House, Keeper
from mmd.supervision.lifecycle import ALIVE, State
from mmd.supervision.spec import ChildSpec, Plan, Planned
from mmd.supervision.status_block import Row
from mmd.supervision.wants import Wants

SHUTDOWN_MARGIN_S = 5.0


@dataclass
class Difference:
    """What a reload has changed, by name."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    tuned: list[str] = field(default_factory=list)
    """Goes on with new parameters."""

    def lines(self) -> list[str]:
        """For people; empty when nothing has changed."""
        groups = {"added": self.added, "removed": self.removed}
        groups |= {"restarted": self.restarted, "new parameters": self.tuned}
        return [f"{what}: {', '.join(names)}" for what, names in groups.items() if names]


class Household:
    """The keepers, in the order of the plan."""

    def __init__(self, house: House, wants: Wants, plan: Plan) -> None:
        self.keepers: dict[str, Keeper] = {}
        self.wants = wants
        self._house = house
        self._plan = plan
        self._leaving_until: float | None = None

    def move_in(self) -> Difference:
        """Follows the plan as it is now. Raises ConfigError, and then nothing has changed."""
        planned = self._plan(self._house.segment, self._unplanned_names())
        difference = self._compare(planned.children)
        self.wants.note(spec.name for spec in planned.children)
        for name in difference.removed:
            self._retire(self.keepers[name])
        for spec in planned.children:
            self._follow(spec, difference)
        for spec in planned.retired:
            if spec.name not in self.keepers:
                self._retire(self._add(spec))
        self._forget_unknown(planned)
        return difference

    def tick(self, now: float) -> float:
        """Lets time pass; returns when a look at a silent child is due at the latest."""
        due = inf
        for keeper in list(self.keepers.values()):
            due = min(due, keeper.tick(now))
            if keeper.retired and keeper.life.is_settled:
                del self.keepers[keeper.spec.name]
                self.wants.forget(keeper.spec.name)
        return due

    def names(self) -> list[str]:
        """Those that can be commanded: all but the retired."""
        return [name for name, keeper in self.keepers.items() if not keeper.retired]

    def rows(self) -> list[Row]:
        return [keeper.row() for keeper in self.keepers.values()]

    # Leaving.

    def leave(self, now: float) -> bool:
        """Stops those with orders, then the others; True once all are gone. Call it again and
        again. What is wanted stays as it is: the next life brings them back."""
        if self._leaving_until is None:
            limits = [keeper.spec.limits for keeper in self.keepers.values()]
            patience = max((limit.stop_s + limit.sweep_s for limit in limits), default=0)
            self._leaving_until = now + patience + SHUTDOWN_MARGIN_S
        first = [keeper for keeper in self.keepers.values() if keeper.spec.drains]
        others = [keeper for keeper in self.keepers.values() if not keeper.spec.drains]
        sweeps_end = now > self._leaving_until
        if not self._are_gone(first, sweeps_end=sweeps_end):
            return False
        return self._are_gone(others, sweeps_end=sweeps_end)

    @property
    def is_leaving(self) -> bool:
        return self._leaving_until is not None

    @property
    def left_orders(self) -> list[str]:
        """Children of which it is not proven that nothing rests on the venue."""
        keepers = self.keepers.values()
        return [k.spec.name for k in keepers if k.life.sweeping and k.life.sweeping.is_needed]

    def _are_gone(self, keepers: list[Keeper], *, sweeps_end: bool) -> bool:
        for keeper in keepers:
            if keeper.life.wanted or keeper.life.state not in (State.STOPPED, State.STOPPING):
                keeper.stop()
        return all(self._is_gone(keeper, sweeps_end=sweeps_end) for keeper in keepers)

    @staticmethod
    def _is_gone(keeper: Keeper, *, sweeps_end: bool) -> bool:
        life = keeper.life
        if life.state in ALIVE:
            return False
        sweeping = life.sweeping
        if sweeping is None or not sweeping.is_needed:
            return True
        if sweeps_end:
            keeper.end_sweep()
        return sweeping.pid is None and (sweeping.has_failed or sweeps_end)

    # Following a plan.

    def _compare(self, specs: Sequence[ChildSpec]) -> Difference:
        difference = Difference()
        names = {spec.name for spec in specs}
        present = {name: keeper for name, keeper in self.keepers.items() if not keeper.retired}
        difference.removed = [name for name in present if name not in names]
        for spec in specs:
            keeper = present.get(spec.name)
            if keeper is None:
                difference.added.append(spec.name)
            elif keeper.spec.identity != spec.identity:
                difference.restarted.append(spec.name)
            elif keeper.spec.parameters != spec.parameters:
                difference.tuned.append(spec.name)
        return difference

    def _follow(self, spec: ChildSpec, difference: Difference) -> None:
        keeper = self.keepers.get(spec.name)
        want = self.wants[spec.name]
        if keeper is None or keeper.retired:
            keeper = keeper or self._add(spec)
            keeper.renew(spec)
            keeper.retired = False
            keeper.show_want(want)
            if want.up:
                keeper.start()
        elif spec.name in difference.restarted:
            keeper.renew(spec)
            if want.up:
                keeper.restart()
        elif spec.name in difference.tuned:
            keeper.tune(spec)
            if want.up and keeper.life.state is State.PARKED:
                keeper.start()  # what parked it may have been mended
        else:
            keeper.renew(spec)

    def _add(self, spec: ChildSpec) -> Keeper:
        keeper = self.keepers[spec.name] = Keeper(self._house, spec)
        return keeper

    @staticmethod
    def _retire(keeper: Keeper) -> None:
        keeper.retired = True
        keeper.stop()

    def _unplanned_names(self) -> list[str]:
        present = {name for name, keeper in self.keepers.items() if not keeper.retired}
        return [name for name in self.wants.names() if name not in present]

    def _forget_unknown(self, planned: Planned) -> None:
        specs = (*planned.children, *planned.retired)
        known = {spec.name for spec in specs} | set(self.keepers)
        for name in self.wants.names():
            if name not in known:
                self.wants.forget(name)
