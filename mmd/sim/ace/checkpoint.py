"""A checkpoint: all that the entries of the record up to some point amount to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import orjson
from pydantic import TypeAdapter

from mmd.sim.ace.ledger import Ledger
from mmd.sim.ace.orders import OwnFill, SimOrder
from mmd.sim.ace.referee import Memory


@dataclass(frozen=True, slots=True)
class AccountImage:
    """An API account as it stands at a checkpoint, with orders from old to new."""

    name: str
    totals: dict[str, Decimal]
    open: list[SimOrder]
    finished: list[SimOrder]
    fills: list[OwnFill]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after entry `n`."""

    n: int
    segment: int
    """Later entries stand in this segment of the record and in those after it."""
    accounts: list[AccountImage]
    memory: Memory


_CHECKPOINT = TypeAdapter(Checkpoint)


def read_checkpoint(text: bytes) -> Checkpoint:
    """Raises pydantic.ValidationError."""
    return _CHECKPOINT.validate_json(text)


def write_checkpoint(checkpoint: Checkpoint) -> bytes:
    return orjson.dumps(checkpoint, default=str)


def images(ledger: Ledger) -> list[AccountImage]:
    """The API accounts as they stand now. Shares its lists' items with the ledger."""
    return [
        AccountImage(
            name=account.name,
            totals=dict(account.totals),
            open=list(account.open.values()),
            finished=list(account.finished.values()),
            fills=list(account.fills),
        )
        for account in ledger.accounts.values()
        if account.limited
    ]
