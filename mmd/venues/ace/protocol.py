"""One question to the venue, and what its answer means. No I/O.

Replies under `/open` come in an envelope: `attachment`, `message`, `parameters`, `status`. The
numeric `status` decides, whatever the HTTP code and the text of `message`; 200 is success.
Status numbers are sorted as ccxt 4.4.60 sorts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode

from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.parse import MalformedReply
from mmd.venues.ace.sign import signed
from mmd.words.errors import (
    InsufficientBalance,
    InvalidOrder,
    KeyRejected,
    MmdError,
    OrderGone,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    UnknownStatus,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

TIME_HEADER = "X-RESPONSE-TIME"
"""Carries the venue's time in ms on every reply under `/open`."""

SUCCESS = 200
_REFUSALS: dict[int, type[Refused]] = {
    **dict.fromkeys((2003, 2004, 2005, 2036, 2039, 2053, 2063, 20183), InvalidOrder),
    2021: InsufficientBalance,
    2061: OrderGone,
    9996: Refused,
}
_KEY_REJECTED = (10012, 20182)
_NO_SUCH_PATH = (404, 405, 501)
_PLAIN = re.compile(r"[A-Za-z0-9._~-]*").fullmatch
"""What a form holds as it is."""
_CREDENTIALS = re.compile(
    r"((?:(?:api|sign)_?key|secret)\W{0,3}[=:]\W{0,3})[^\s\"'&,;})\]]+|\b[0-9a-f]{64}\b",
    re.IGNORECASE,
)
"""Keys and signatures, in a form, an address or JSON."""
_DEFAULT_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0


class Kind(StrEnum):
    """What a call asks for; names it in logs and counters."""

    MARKETS = "markets"
    PRICES = "prices"
    ORDER_BOOK = "order book"
    BALANCES = "balances"
    NEW_ORDER = "new order"
    CANCEL = "cancel"
    NEW_ORDERS = "new orders"
    CANCELS = "cancels"
    OPEN_ORDERS = "open orders"
    ORDER_STATUS = "order status"
    ORDER_HISTORY = "order history"
    OWN_TRADES = "own trades"


_EXECUTING = (Kind.NEW_ORDER, Kind.CANCEL, Kind.NEW_ORDERS, Kind.CANCELS)


@dataclass(slots=True)  # as Request: one is made for each request
class Call(Generic[T_co]):
    """A request, and how to read its answer. `call` methods of clients return the answer."""

    kind: Kind
    method: str
    """GET: parameters in the address; POST: as a form."""
    path: str
    params: Mapping[str, str]
    signed: bool
    parse: Callable[[Any], T_co]
    """Reads the attachment, or the whole reply where there is no envelope.

    Raises MalformedReply."""

    @property
    def executes(self) -> bool:
        """Whether a lost reply leaves an outcome to find out."""
        return self.kind in _EXECUTING

    @property
    def has_envelope(self) -> bool:
        return not self.path.startswith("/oapi/")


class Caller(Protocol):
    """Whatever carries calls to the venue and waits for the answer."""

    def call(self, call: Call[T]) -> T: ...


@dataclass(slots=True)  # not frozen, which would take four times as long to make
class Request:
    """A call as it goes over the wire. Holds a signature, so it is not shown."""

    method: str
    url: str
    body: bytes | None = field(repr=False)
    headers: Mapping[str, str]


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def build(call: Call[Any], endpoint: AceEndpoint, time_ms: int) -> Request:
    """The request that asks `call`; `time_ms` is the venue's time."""
    params = {name: value for name, value in call.params.items() if value}
    if call.signed:
        params = signed(params, endpoint.key, time_ms)
    url, form = endpoint.base_url + call.path, _form(params)
    if call.method == "GET":
        return Request("GET", f"{url}?{form}" if form else url, None, {})
    return Request("POST", url, form.encode(), _FORM)


def _form(params: Mapping[str, str]) -> str:
    """The parameters as a form. Most need no quoting, which one look at all of them tells; for
    twelve fields that takes 1 µs instead of 20."""
    values = tuple(params.values())
    if _PLAIN("".join(values)):
        return _layout(tuple(params)) % values
    return urlencode(params)


@lru_cache
def _layout(names: tuple[str, ...]) -> str:
    """A form with these names, a place for each value."""
    return "&".join([f"{name}=%s" for name in names])


def finish(
    call: Call[T], http_status: int, headers: Mapping[str, str], body: bytes | bytearray
) -> T:
    """What an answer says.

    Raises RateLimited, KeyRejected, InvalidOrder, InsufficientBalance, OrderGone or another
    Refused; and for an answer that says nothing clear, OutcomeUnknown when the call executes
    something, Unavailable when it doesn't.
    """
    if http_status == 429:
        raise RateLimited(f"{call.kind}: too many requests", _retry_after_s(headers))
    reply = _load(body)
    if not call.has_envelope:
        if http_status != 200:
            raise no_clear_answer(call, f"HTTP {http_status}")
        return _read(call, reply)
    status = status_of(reply)
    if status == SUCCESS:
        return _read(call, reply.get("attachment"))
    raise _error(call, http_status, status, reply)


def no_clear_answer(call: Call[Any], what: str) -> MmdError:
    """The error for a request that left us, and whose answer is lost or unreadable."""
    if call.executes:
        return OutcomeUnknown(f"{call.kind}: no clear answer: {what}")
    return Unavailable(f"{call.kind}: no clear answer: {what}")


def _error(call: Call[Any], http_status: int, status: int | None, reply: Any) -> MmdError:
    if status is None:
        if http_status in _NO_SUCH_PATH:
            return UnknownStatus(f"{call.kind}: HTTP {http_status} for {call.path}", http_status)
        return no_clear_answer(call, f"HTTP {http_status} without a status")
    what = f"{call.kind}: status {status}: {_masked(str(reply.get('message')))[:200]}"
    error = refusal(status, what)
    if isinstance(error, UnknownStatus) and (http_status >= 500 or 500 <= status < 600):
        # A web server's own report of its failure: it tells nothing of the order.
        return no_clear_answer(call, f"HTTP {http_status}, status {status}")
    return error


def _masked(message: str) -> str:
    """What the venue says, without what it repeats of our signed request."""
    return _CREDENTIALS.sub(lambda found: f"{found[1] or ''}…", message)


def refusal(status: int, what: str) -> MmdError:
    """The error that a status other than success stands for."""
    if status in _REFUSALS:
        return _REFUSALS[status](what, status)
    if status in _KEY_REJECTED:
        return KeyRejected(what)
    if status == 429:
        return RateLimited(what)
    return UnknownStatus(what, status)


def _read(call: Call[T], content: Any) -> T:
    try:
        return call.parse(content)
    except MalformedReply as error:
        raise no_clear_answer(call, str(error)) from None


def _load(body: bytes | bytearray) -> Any:
    """The reply with every fraction exact; None for what is not JSON."""
    try:
        return _decoder.decode(body.decode())
    except (ValueError, ArithmeticError, RecursionError):
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)
"""Made once: making it takes as long as reading a reply."""


def status_of(reply: Any) -> int | None:
    """The status in an envelope or in an item of a batch, which comes as a number or as text."""
    status = reply.get("status") if isinstance(reply, dict) else None
    if isinstance(status, str) and status.isascii() and status.isdigit():
        return int(status[:9])
    return status if type(status) is int else None


def _retry_after_s(headers: Mapping[str, str]) -> float:
    text = headers.get("Retry-After", "")
    if not text.isascii() or not text.isdigit():
        return _DEFAULT_RETRY_S
    return min(float(text), _LONGEST_RETRY_S)
