"""The ledger: what became of every order that one pair sent, as far as we know.

Every change goes through `Ledger.apply` and one total table: a (state, event) that is not in it
is impossible by our understanding, changes nothing, and is reported with the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from mmd.words.market import NewOrder, Order, Side


class State(Enum):
    """Where an order stands, as far as we know."""

    WANTED = "wanted"
    SENDING = "sending"
    UNKNOWN = "unknown"
    """Sent, and no clear answer came: it may rest on the venue."""
    OPEN = "open"
    PARTLY_FILLED = "partly filled"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REFUSED = "refused"

    __hash__ = object.__hash__  # Enum's own, in Python, takes six times as long

    @property
    def is_final(self) -> bool:
        return self in _FINAL

    @property
    def rests(self) -> bool:
        """Known to stand in the venue's book, with no cancel under way."""
        return self is State.OPEN or self is State.PARTLY_FILLED


ADOPTED_LEVEL = -1
"""The level of an order that an earlier run left: any quote may claim it."""
SELF_TRADE_LEVEL = -2
"""The level of an order that is to meet another of ours: the ladder leaves it alone."""

_FINAL = frozenset({State.FILLED, State.CANCELLED, State.REFUSED})


class Event(Enum):
    """What can happen to an order."""

    SENT = "request sent"
    DROPPED = "not sent after all"
    ACCEPTED = "venue gave it a number"
    REFUSED = "venue said no"
    LOST = "no clear answer to the order"
    CANCEL_SENT = "cancel sent"
    CANCEL_FAILED = "cancel was not executed"
    CANCELLED = "venue cancelled it"
    PART_FILL = "part of it was filled"
    FULL_FILL = "all of it was filled"
    SEEN_OPEN = "the venue lists it as open"
    PROVEN_ABSENT = "the venue proves that it is not open"

    __hash__ = object.__hash__


_S, _E = State, Event
TRANSITIONS: dict[tuple[State, Event], State] = {
    (_S.WANTED, _E.SENT): _S.SENDING,
    (_S.WANTED, _E.DROPPED): _S.REFUSED,
    (_S.SENDING, _E.DROPPED): _S.REFUSED,
    (_S.SENDING, _E.ACCEPTED): _S.OPEN,
    (_S.SENDING, _E.REFUSED): _S.REFUSED,
    (_S.SENDING, _E.LOST): _S.UNKNOWN,
    # News of an order may overtake the reply to it.
    (_S.SENDING, _E.SEEN_OPEN): _S.OPEN,
    (_S.SENDING, _E.PART_FILL): _S.PARTLY_FILLED,
    (_S.SENDING, _E.FULL_FILL): _S.FILLED,
    (_S.UNKNOWN, _E.SEEN_OPEN): _S.OPEN,
    (_S.UNKNOWN, _E.PART_FILL): _S.PARTLY_FILLED,
    (_S.UNKNOWN, _E.FULL_FILL): _S.FILLED,
    (_S.UNKNOWN, _E.PROVEN_ABSENT): _S.CANCELLED,
    (_S.UNKNOWN, _E.CANCELLED): _S.CANCELLED,
    (_S.OPEN, _E.ACCEPTED): _S.OPEN,
    (_S.OPEN, _E.SEEN_OPEN): _S.OPEN,
    (_S.OPEN, _E.CANCEL_SENT): _S.CANCELLING,
    (_S.OPEN, _E.PART_FILL): _S.PARTLY_FILLED,
    (_S.OPEN, _E.FULL_FILL): _S.FILLED,
    (_S.OPEN, _E.CANCELLED): _S.CANCELLED,
    (_S.OPEN, _E.PROVEN_ABSENT): _S.CANCELLED,
    (_S.OPEN, _E.LOST): _S.OPEN,
    (_S.PARTLY_FILLED, _E.ACCEPTED): _S.PARTLY_FILLED,
    (_S.PARTLY_FILLED, _E.SEEN_OPEN): _S.PARTLY_FILLED,
    (_S.PARTLY_FILLED, _E.CANCEL_SENT): _S.CANCELLING,
    (_S.PARTLY_FILLED, _E.PART_FILL): _S.PARTLY_FILLED,
    (_S.PARTLY_FILLED, _E.FULL_FILL): _S.FILLED,
    (_S.PARTLY_FILLED, _E.CANCELLED): _S.CANCELLED,
    (_S.PARTLY_FILLED, _E.PROVEN_ABSENT): _S.CANCELLED,
    (_S.PARTLY_FILLED, _E.LOST): _S.PARTLY_FILLED,
    (_S.CANCELLING, _E.CANCEL_FAILED): _S.OPEN,
    (_S.CANCELLING, _E.CANCELLED): _S.CANCELLED,
    (_S.CANCELLING, _E.PART_FILL): _S.CANCELLING,
    (_S.CANCELLING, _E.FULL_FILL): _S.FILLED,
    (_S.CANCELLING, _E.SEEN_OPEN): _S.CANCELLING,
    (_S.CANCELLING, _E.PROVEN_ABSENT): _S.CANCELLED,
    # The reply to an order that was answered for by other news, or given up, comes late.
    (_S.FILLED, _E.ACCEPTED): _S.FILLED,
    (_S.FILLED, _E.LOST): _S.FILLED,
    (_S.FILLED, _E.CANCELLED): _S.FILLED,
    (_S.FILLED, _E.CANCEL_FAILED): _S.FILLED,
    (_S.FILLED, _E.FULL_FILL): _S.FILLED,
    (_S.FILLED, _E.PROVEN_ABSENT): _S.FILLED,
    # A fill that happened before the cancel is reported after it.
    (_S.CANCELLED, _E.PART_FILL): _S.CANCELLED,
    (_S.CANCELLED, _E.FULL_FILL): _S.FILLED,
    (_S.CANCELLED, _E.CANCELLED): _S.CANCELLED,
    (_S.CANCELLED, _E.CANCEL_FAILED): _S.CANCELLED,
    (_S.CANCELLED, _E.PROVEN_ABSENT): _S.CANCELLED,
    # An order that we had given up arrived after all.
    (_S.CANCELLED, _E.ACCEPTED): _S.OPEN,
    (_S.CANCELLED, _E.SEEN_OPEN): _S.OPEN,
    # The venue's list outweighs its earlier no.
    (_S.REFUSED, _E.SEEN_OPEN): _S.OPEN,
}


@dataclass(slots=True)
class Entry:
    """One order of the ledger."""

    order: NewOrder
    level: int
    """Its place in the ladder, 0 at the touch; or ADOPTED_LEVEL, or SELF_TRADE_LEVEL."""
    state: State
    changed_ns: int
    """When the state last changed or was confirmed."""
    expires_ns: int
    """When it is to be replaced, however well it is priced."""
    order_no: str = ""
    filled: Decimal = Decimal(0)

    @property
    def side(self) -> Side:
        return self.order.side

    @property
    def price(self) -> Decimal:
        return self.order.price

    @property
    def remaining(self) -> Decimal:
        return self.order.amount - self.filled


@dataclass(frozen=True, slots=True)
class Impossible:
    """An event that the table does not allow: the evidence."""

    client_id: str
    state: State
    event: Event
    now_ns: int

    def __str__(self) -> str:
        return f"order {self.client_id}: {self.event.value!r} while {self.state.value!r}"


@dataclass(slots=True)
class SideFills:
    """What was filled of one side's quotes in this run; self-trades left out."""

    amount: Decimal = Decimal(0)
    """In base currency."""
    count: int = 0
    """How often there was news of a fill."""
    last_ns: int = 0
    last_level: int = ADOPTED_LEVEL
    """The level of the order that was filled last."""


def _no_fills() -> dict[Side, SideFills]:
    return {side: SideFills() for side in Side}


@dataclass(slots=True)
class Ledger:
    """All orders of one run of one pair, and those it adopted."""

    entries: dict[str, Entry] = field(default_factory=dict)
    """Orders that may still rest on the venue, by customOrderId."""
    finished: dict[str, Entry] = field(default_factory=dict)
    """The last finished orders, kept for late news of them."""
    impossible: list[Impossible] = field(default_factory=list)
    """Evidence that nobody has logged yet."""
    fills: dict[Side, SideFills] = field(default_factory=_no_fills)
    keep_finished: int = 2_000

    def carry_over(self, position: Decimal) -> None:
        """What earlier runs bought more than they sold counts as filled, of old."""
        side = Side.BUY if position > 0 else Side.SELL
        self.fills[side].amount += abs(position)

    def want(self, order: NewOrder, level: int, now_ns: int, expires_ns: int) -> Entry:
        """Enters an order that is about to be sent. From here on it counts as exposure."""
        assert self.find(order.client_id) is None, "a customOrderId is used once"
        entry = Entry(order, level, State.WANTED, now_ns, expires_ns)
        self.entries[order.client_id] = entry
        return entry

    def adopt(self, order: Order, now_ns: int, expires_ns: int) -> Entry:
        """Enters an order of an earlier run that was found open on the venue."""
        key = order.client_id or order.order_no
        wanted = NewOrder(key, order.side, order.price, order.amount)
        state = State.PARTLY_FILLED if order.filled else State.OPEN
        entry = Entry(
            wanted, ADOPTED_LEVEL, state, now_ns, expires_ns, order.order_no, order.filled
        )
        self.entries[key] = entry
        return entry

    def find(self, client_id: str) -> Entry | None:
        """The order with that customOrderId, finished or not."""
        return self.entries.get(client_id) or self.finished.get(client_id)

    def apply(self, client_id: str, event: Event, now_ns: int) -> Entry | None:
        """Moves an order along the table; None if it is not ours to know."""
        entry = self.find(client_id)
        if entry is None:
            return None
        target = TRANSITIONS.get((entry.state, event))
        if target is None:
            self.impossible.append(Impossible(client_id, entry.state, event, now_ns))
            return entry
        entry.changed_ns = now_ns
        self._move(entry, target)
        return entry

    def book_fill(self, client_id: str, filled: Decimal, now_ns: int) -> Entry | None:
        """Takes note of how much of an order is filled in all; smaller news is old news."""
        entry = self.find(client_id)
        if entry is None or filled <= entry.filled:
            return entry
        before, entry.filled = entry.filled, min(filled, entry.order.amount)
        self._count_fill(entry, entry.filled - before, now_ns)
        event = Event.FULL_FILL if entry.remaining <= 0 else Event.PART_FILL
        return self.apply(client_id, event, now_ns)

    def _count_fill(self, entry: Entry, amount: Decimal, now_ns: int) -> None:
        if entry.level == SELF_TRADE_LEVEL:
            return
        fills = self.fills[entry.side]
        fills.amount += amount
        fills.count += 1
        fills.last_ns, fills.last_level = now_ns, entry.level

    def live(self, side: Side | None = None) -> list[Entry]:
        """Orders that rest on the venue or may do so soon."""
        if side is None:
            return list(self.entries.values())
        return [entry for entry in self.entries.values() if entry.order.side is side]

    def best_live_price(self, side: Side) -> Decimal | None:
        """The price nearest to the other side that one of our orders has or may have."""
        prices = [entry.order.price for entry in self.live(side)]
        if not prices:
            return None
        return max(prices) if side is Side.BUY else min(prices)

    def take_impossible(self) -> list[Impossible]:
        """Hands the evidence over to whoever logs it."""
        taken, self.impossible = self.impossible, []
        return taken

    def _move(self, entry: Entry, target: State) -> None:
        entry.state = target
        client_id = entry.order.client_id
        if not target.is_final:
            self.finished.pop(client_id, None)
            self.entries[client_id] = entry
            return
        self.entries.pop(client_id, None)
        self.finished[client_id] = entry
        while len(self.finished) > self.keep_finished:
            del self.finished[next(iter(self.finished))]
