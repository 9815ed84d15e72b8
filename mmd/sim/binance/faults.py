"""Faults on request: what real networks and the real venue do at their worst.

Each is a JSON object with `fault` naming it, for `POST /sim/faults`. Those that strike
connections take `connection` (a number from `GET /sim/state`) or `symbol` (connections that
listen to it); without either they strike all.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ConnectionFault(_Fault):
    connection: int | None = None
    symbol: str | None = None


class _PassingFault(_ConnectionFault):
    for_s: float | None = Field(default=None, gt=0)
    """Ends by itself after this time; without it, by the fault `heal`."""


class Drop(_ConnectionFault):
    """Ends connections: with a close frame, by the end of TCP alone, or by an RST."""

    fault: Literal["drop"] = "drop"
    how: Literal["close", "eof", "rst"] = "close"
    code: int = Field(default=1001, ge=1000, le=4999)


class Stall(_PassingFault):
    """No data any more, but pings are answered. A kept backlog comes at the end."""

    fault: Literal["stall"] = "stall"
    backlog: bool = False


class HalfOpen(_PassingFault):
    """Neither reads nor writes; TCP stays open."""

    fault: Literal["half_open"] = "half_open"


class MutePings(_PassingFault):
    """The venue sends no pings of its own."""

    fault: Literal["mute_pings"] = "mute_pings"


class Split(_PassingFault):
    """Every write goes out in pieces of at most `size` bytes."""

    fault: Literal["split"] = "split"
    size: int = Field(default=1, ge=1)


class BadFrame(_ConnectionFault):
    """One frame that should not be. `fragments` and `not_json` break no rule of WebSocket."""

    fault: Literal["bad_frame"] = "bad_frame"
    kind: Literal[
        "not_json",
        "garbage",
        "reserved_bits",
        "reserved_opcode",
        "invalid_utf8",
        "cut_off",
        "fragments",
    ] = "not_json"


class ServerShutdown(_ConnectionFault):
    """The event that asks clients to open a new connection; then, if told, the end."""

    fault: Literal["server_shutdown"] = "server_shutdown"
    close_after_s: float | None = Field(default=None, ge=0)


class Burst(_Fault):
    """The next `count` messages of the market come at once."""

    fault: Literal["burst"] = "burst"
    count: int = Field(default=1000, ge=1)


class OldUpdate(_Fault):
    """The last bookTicker again: with `by` 0 a duplicate, else with an id lower by that.

    `shift_bps` moves its prices, so that one can see who believes it.
    """

    fault: Literal["old_update"] = "old_update"
    symbol: str
    by: int = Field(default=0, ge=0)
    shift_bps: int = Field(default=0, gt=-10_000)


class TradeGap(_Fault):
    """The next `count` trades of a symbol are never sent."""

    fault: Literal["trade_gap"] = "trade_gap"
    symbol: str
    count: int = Field(default=1, ge=1)


class Refuse(_Fault):
    """New stream connections are refused with this HTTP status for a while."""

    fault: Literal["refuse"] = "refuse"
    status: int = Field(default=429, ge=400, le=599)
    for_s: float = Field(default=5.0, gt=0)
    retry_after_s: int | None = None


class RestFault(_Fault):
    """The next `count` REST requests fail."""

    fault: Literal["rest_error"] = "rest_error"
    status: int = Field(default=503, ge=400, le=599)
    code: int = -1000
    count: int = Field(default=1, ge=1)
    retry_after_s: int | None = None


class Heal(_Fault):
    """Ends all faults that last."""

    fault: Literal["heal"] = "heal"


Fault = Annotated[
    Drop
    | Stall
    | HalfOpen
    | MutePings
    | Split
    | BadFrame
    | ServerShutdown
    | Burst
    | OldUpdate
    | TradeGap
    | Refuse
    | RestFault
    | Heal,
    Field(discriminator="fault"),
]

parser: TypeAdapter[Fault] = TypeAdapter(Fault)
"""Reads a fault from JSON. Raises pydantic.ValidationError."""
