"""Reconciliation: the venue's list of open orders against the ledger, settled in its favour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mmd.decide.ledger import Entry, Event, Ledger, State
from mmd.words.market import Order


@dataclass(frozen=True, slots=True)
class Differences:
    """What the venue's list told us that we did not know."""

    adopted: list[Entry] = field(default_factory=list)
    """Orders of earlier runs, or late arrivals of this one."""
    missing: list[Entry] = field(default_factory=list)
    """Orders that we hold for open and the venue does not list: look each one up."""

    def __bool__(self) -> bool:
        return bool(self.adopted or self.missing)


def reconcile(
    ledger: Ledger, listed: Iterable[Order], asked_ns: int, grace_ns: int, expires_ns: int
) -> Differences:
    """Brings the ledger in line with a complete list of our open orders.

    `listed`: all of our own open orders of the pair, asked for at `asked_ns`. An order whose
    state changed after `asked_ns - grace_ns` is left alone: it was in flight.
    """
    differences = Differences()
    settled_before_ns = asked_ns - grace_ns
    seen = set()
    for order in listed:
        key = order.client_id or order.order_no
        seen.add(key)
        entry = ledger.find(key)
        if entry is None:
            differences.adopted.append(ledger.adopt(order, asked_ns, expires_ns))
            continue
        _confirm(ledger, entry, order, asked_ns, settled_before_ns, differences)
    for entry in list(ledger.live()):
        if entry.order.client_id in seen or entry.changed_ns >= settled_before_ns:
            continue
        if entry.order_no and entry.state is not State.SENDING:
            differences.missing.append(entry)
    return differences


def _confirm(
    ledger: Ledger,
    entry: Entry,
    order: Order,
    asked_ns: int,
    settled_before_ns: int,
    differences: Differences,
) -> None:
    entry.order_no = order.order_no
    if entry.state.is_final:
        if entry.changed_ns >= settled_before_ns:
            return
        differences.adopted.append(entry)
        ledger.apply(order.client_id, Event.SEEN_OPEN, asked_ns)
    elif entry.state in (State.SENDING, State.UNKNOWN):
        ledger.apply(order.client_id, Event.SEEN_OPEN, asked_ns)
    ledger.book_fill(order.client_id, order.filled, asked_ns)


def settle(ledger: Ledger, entry: Entry, found: Order, now_ns: int) -> None:
    """Books what a look-up of one order told: what is filled, and whether it still rests.

    A look-up may lack the customOrderId, so the order is told by its entry.
    """
    key = entry.order.client_id
    ledger.book_fill(key, found.filled, now_ns)
    if entry.state is State.FILLED:
        return
    if found.status.is_open:
        if entry.state is State.CANCELLING:
            ledger.apply(key, Event.CANCEL_FAILED, now_ns)
        else:
            ledger.apply(key, Event.SEEN_OPEN, now_ns)
        return
    ledger.apply(key, Event.CANCELLED, now_ns)
