"""The entries of the exchange's record. Pure data and codec.

One entry holds one action whole: a request and all that it brought about, or one step of the
crowd. It is written in one piece, so a crash leaves no half of an action behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import orjson
from pydantic import Field, TypeAdapter

from mmd.sim.ace.orders import BalanceSet, Closed, Filled, Opened

Cause = Literal["start", "stop", "api", "crowd", "outside", "control"]
_Tagged = Annotated[Opened | Filled | Closed | BalanceSet, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the record."""

    n: int
    """Counts all entries, from 1."""
    t: int
    """When, in ms since 1970."""
    cause: Cause
    account: str | None = None
    """The API key whose signature was accepted."""
    method: str | None = None
    path: str | None = None
    parameters: dict[str, str] | None = None
    """Without signKey."""
    http_status: int | None = None
    """None where no reply was given."""
    status: int | None = None
    message: str | None = None
    fault: str | None = None
    events: list[_Tagged] = field(default_factory=list)

    def line(self) -> bytes:
        """JSON without the fields that say nothing, and a line feed."""
        row = {
            name: value
            for name in self.__slots__
            if (value := getattr(self, name)) is not None and value != []
        }
        return orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE)


_ENTRY = TypeAdapter(Entry)


def read_entry(line: bytes) -> Entry:
    """Raises pydantic.ValidationError when the line is not a whole entry."""
    return _ENTRY.validate_json(line)
