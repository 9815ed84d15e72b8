"""The whole exchange without sockets: API, crowd, faults, referee and record over one engine.

Runs in virtual time as well: every call takes the time, and entries go to any function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from mmd.sim.ace.candles import Tape
from mmd.sim.ace.checkpoint import Checkpoint, images
from mmd.sim.ace.crowd import Crowd, CrowdOptions, Fair
from mmd.sim.ace.engine import STRANGER, Engine
from mmd.sim.ace.entries import Cause, Entry
from mmd.sim.ace.faults import Decision, FaultPlan
from mmd.sim.ace.form import asked_pair
from mmd.sim.ace.ledger import Account
from mmd.sim.ace.orders import Event, Opened, OrderRequest, SimOrder
from mmd.sim.ace.referee import Referee
from mmd.sim.ace.venue import Answer, Call, Venue, VenueRules
from mmd.words.market import Pair

Sink = Callable[[Entry], None]


@dataclass(frozen=True)
class AccountOptions:
    """An API account: its secret, and what it holds when it is seen for the first time."""

    secret: str = field(repr=False)
    balances: Mapping[str, Decimal] = field(default_factory=dict)


class Exchange:
    """Joins the parts; each method is one action and makes one entry."""

    def __init__(
        self,
        accounts: Mapping[str, AccountOptions],
        rules: VenueRules,
        fair: Fair,
        pairs: Iterable[Pair],
        seed: int,
        sink: Sink,
        crowd_options: CrowdOptions | None = None,
    ) -> None:
        self.engine = Engine()
        self.tape = Tape()
        secrets = {key: options.secret for key, options in accounts.items()}
        self.venue = Venue(self.engine, self.tape, secrets, rules)
        self.faults = FaultPlan(Random(f"{seed} faults"))
        options = crowd_options or CrowdOptions()
        self.crowd = Crowd(self.engine, fair, pairs, Random(f"{seed} crowd"), options)
        self.referee = Referee()
        self.fair = fair
        self._accounts = accounts
        self._sink = sink
        self._n = 0

    @property
    def entries(self) -> int:
        """How many entries the record has had."""
        return self._n

    def restore(self, checkpoint: Checkpoint | None, entries: Iterable[Entry]) -> None:
        """Takes up where the record ends. Call before anything else happens."""
        if checkpoint is not None:
            self._restore_image(checkpoint)
        for key in self._accounts:
            self._ensure_account(key)
        for entry in entries:
            for event in entry.events:
                self._ensure_account(event.account)
                self.engine.replay(event)
            self.referee.see(entry)
            self._n = entry.n

    def open(self, now_ms: int) -> None:
        """Opens for business; accounts never seen before get their first balances."""
        for key, options in self._accounts.items():
            account = self._ensure_account(key)
            if not account.totals:
                for currency, total in options.balances.items():
                    self.engine.set_balance(key, currency, total)
        self._commit("start", now_ms)

    def close(self, now_ms: int) -> None:
        """The last entry of an orderly end."""
        self._commit("stop", now_ms)

    def checkpoint(self, segment: int) -> Checkpoint:
        """All that happened up to now."""
        return Checkpoint(self._n, segment, images(self.engine.ledger), self.referee.memory)

    def venue_ms(self, now_ms: int) -> int:
        """The time by the exchange's own clock."""
        return now_ms + self.faults.skew_ms

    def handle(self, call: Call, decision: Decision, now_ms: int) -> Answer | None:
        """Carries a request out, unless the fault forbids it; None when it was not."""
        asked_for = asked_pair(call.parameters)
        if asked_for is not None:
            self.crowd.join(asked_for)
        answer = self.venue.answer(call, self.venue_ms(now_ms)) if decision.executed else None
        events = self._commit("api", now_ms, call, answer, decision.name)
        fresh = dict.fromkeys(event.pair for event in events if isinstance(event, Opened))
        if fresh:
            self.crowd.hit(fresh, now_ms)
            self._commit("crowd", now_ms)
        return answer

    def step(self, now_ms: int) -> None:
        """Lets the crowd act."""
        self.crowd.step(now_ms)
        self._commit("crowd", now_ms)

    def place_as_stranger(self, request: OrderRequest, keep: bool, now_ms: int) -> SimOrder:
        """A third party's order; what can't trade at once rests if `keep`. Raises Rejected."""
        order = self.engine.place(STRANGER, request, now_ms)
        if order.status.is_open and not keep:
            self.engine.cancel(STRANGER, order.order_no, now_ms)
        self._commit("outside", now_ms)
        return order

    def cancel_strangers(self, now_ms: int) -> int:
        """Takes all resting orders of the third party back; returns how many."""
        numbers = list(self.engine.account(STRANGER).open)
        for number in numbers:
            self.engine.cancel(STRANGER, number, now_ms)
        return len(numbers)

    def set_balance(self, account: str, currency: str, total: Decimal, now_ms: int) -> None:
        """Raises KeyError for an unknown account."""
        self.engine.account(account)
        self.engine.set_balance(account, currency, total)
        self._commit("control", now_ms)

    def _restore_image(self, checkpoint: Checkpoint) -> None:
        opened = []
        for image in checkpoint.accounts:
            account = self._ensure_account(image.name)
            account.totals = dict(image.totals)
            account.open = {order.order_no: order for order in image.open}
            account.finished = {order.order_no: order for order in image.finished}
            account.fills.extend(image.fills)
            opened += image.open
        opened.sort(key=lambda order: order.order_no)
        last = [list(image.finished)[-1:] for image in checkpoint.accounts]
        numbers = [order.order_no for orders in last for order in orders]
        numbers += [fill.trade_no for image in checkpoint.accounts for fill in image.fills[-1:]]
        self.engine.restore(opened, numbers)
        self.referee = Referee(checkpoint.memory, opened)
        self._n = checkpoint.n

    def _ensure_account(self, key: str) -> Account:
        return self.engine.ledger.accounts.get(key) or self.engine.add_account(key)

    def _commit(
        self,
        cause: Cause,
        now_ms: int,
        call: Call | None = None,
        answer: Answer | None = None,
        fault: str | None = None,
    ) -> list[Event]:
        """Makes an entry of what the last action brought about, and returns its events. What the
        crowd does among itself is no entry."""
        outcome = self.engine.take_outcome()
        for trade in outcome.trades:
            self.tape.add(trade)
        if cause == "crowd" and not outcome.events:
            return outcome.events
        self._n += 1
        entry = Entry(
            n=self._n,
            t=now_ms,
            cause=cause,
            account=answer.account if answer else None,
            method=call.method if call else None,
            path=call.path if call else None,
            parameters=_shown(call) if call else None,
            http_status=answer.http_status if answer else None,
            status=answer.status if answer else None,
            message=answer.message if answer else None,
            fault=fault,
            events=outcome.events,
        )
        self.referee.see(entry)
        self._sink(entry)
        return outcome.events


def _shown(call: Call) -> dict[str, str]:
    return {name: value for name, value in call.parameters.items() if name != "signKey"}
