"""Faults on request: what goes wrong with which request is decided here, purely.

The server acts on the decision with real sockets; a test in virtual time may act on it otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class FaultKind(Enum):
    """What goes wrong, and whether the exchange carries the request out all the same."""

    DELAY = "delay"
    """Carried out late, by `delay_ms`; `after` delays the reply instead."""
    ERROR_BEFORE = "error_before"
    """HTTP `http_status`, not carried out."""
    ERROR_AFTER = "error_after"
    """HTTP `http_status`, but carried out."""
    LOST_REPLY = "lost_reply"
    """Carried out; the connection is closed without a reply."""
    RESET = "reset"
    """Not carried out; the connection is reset."""
    RATE_LIMIT = "rate_limit"
    """HTTP 429, not carried out."""
    FREEZE = "freeze"
    """Not carried out; no answer for `seconds`, then the connection is closed."""
    REFUSE = "refuse"
    """Not carried out; a regular reply with `status`."""
    MALFORMED = "malformed"
    """Carried out; the reply's body is cut short and no longer JSON."""
    SKEW = "skew"
    """The exchange's clock is off by `skew_ms` for as long as the fault is set."""


class Fault(BaseModel):
    """One fault. It strikes requests that pass all filters, with the given probability."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    probability: float = Field(default=1.0, ge=0, le=1)
    count: int | None = Field(default=None, ge=1)
    """How often it strikes before it is used up; None: until cleared."""
    skip: int = Field(default=0, ge=0)
    """How many matching requests it lets pass first."""
    path: str = ""
    """Strikes only paths that contain this."""
    api_key: str | None = None
    """Strikes only requests with this key."""
    delay_ms: float = Field(default=0, ge=0)
    jitter_ms: float = Field(default=0, ge=0)
    """A random time up to this is added to `delay_ms`."""
    after: bool = False
    seconds: float = Field(default=10, ge=0)
    http_status: int = Field(default=502, ge=500, le=599)
    status: int = 9999
    skew_ms: int = 0


@dataclass(slots=True)
class _Armed:
    number: int
    fault: Fault
    seen: int = 0
    struck: int = 0

    @property
    def used_up(self) -> bool:
        return self.fault.count is not None and self.struck >= self.fault.count


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one request. `fault` is None, or the one that spoils its outcome."""

    delay_before_s: float = 0.0
    delay_after_s: float = 0.0
    fault: Fault | None = None

    @property
    def executed(self) -> bool:
        """Whether the exchange carries the request out."""
        return self.fault is None or self.fault.kind in _CARRIED_OUT

    @property
    def name(self) -> str | None:
        """For the record: which fault struck."""
        if self.fault is not None:
            return self.fault.kind.value
        return "delay" if self.delay_before_s or self.delay_after_s else None


_CARRIED_OUT = {FaultKind.ERROR_AFTER, FaultKind.LOST_REPLY, FaultKind.MALFORMED}
NO_FAULT = Decision()


@dataclass(slots=True)
class FaultPlan:
    """The faults that are set, and the dice that decide whom they strike."""

    random: Random
    _armed: list[_Armed] = field(default_factory=list)
    _next_number: int = 1

    @property
    def skew_ms(self) -> int:
        """How far the exchange's clock is ahead."""
        return sum(a.fault.skew_ms for a in self._armed if a.fault.kind is FaultKind.SKEW)

    def add(self, fault: Fault) -> int:
        """Sets a fault; returns its number."""
        number = self._next_number
        self._next_number += 1
        self._armed.append(_Armed(number, fault))
        return number

    def clear(self, number: int | None = None) -> None:
        """Lifts one fault, or all."""
        self._armed = [a for a in self._armed if number is not None and a.number != number]

    def rows(self) -> list[dict[str, Any]]:
        """The faults that are set, for people."""
        return [
            {
                "id": a.number,
                "struck": a.struck,
                **a.fault.model_dump(mode="json", exclude_defaults=True),
            }
            for a in self._armed
        ]

    def decide(self, path: str, api_key: str | None) -> Decision:
        """What happens to this request. Delays add up; of other faults the first one strikes."""
        if not self._armed:
            return NO_FAULT
        before = after = 0.0
        spoiler: Fault | None = None
        for armed in self._armed:
            fault = armed.fault
            if fault.kind is FaultKind.SKEW or not self._strikes(armed, path, api_key):
                continue
            if fault.kind is FaultKind.DELAY:
                armed.struck += 1
                delay = (fault.delay_ms + self.random.random() * fault.jitter_ms) / 1000
                before, after = (before, after + delay) if fault.after else (before + delay, after)
            elif spoiler is None:
                armed.struck += 1
                spoiler = fault
        self._armed = [a for a in self._armed if not a.used_up]
        return Decision(before, after, spoiler)

    def _strikes(self, armed: _Armed, path: str, api_key: str | None) -> bool:
        fault = armed.fault
        if fault.path not in path or fault.api_key not in (None, api_key):
            return False
        armed.seen += 1
        if armed.seen <= fault.skip:
            return False
        return fault.probability >= 1 or self.random.random() < fault.probability
