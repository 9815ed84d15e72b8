"""Several orders at once: by the venue's private batch calls where configured, else one by one.

The batch calls are given to market makers by contract and are not published. What is assumed here:
the form field `orders` holds a JSON list of objects with the fields of a new order, `orderNos` a
JSON list of order numbers; the attachment is a list with one result for each, in the same order,
with `status` and `message`, and `orderNo` and `customOrderId` where they apply.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mmd.venues.ace import calls, parse
from mmd.venues.ace.endpoint import AceEndpoint
from mmd.venues.ace.parse import MalformedReply, Row
from mmd.venues.ace.protocol import SUCCESS, Call, Kind, refusal, status_of
from mmd.venues.ace.script import Script
from mmd.words.errors import MmdError, OutcomeUnknown, Refused
from mmd.words.market import MarketRules, NewOrder

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


def submit(
    endpoint: AceEndpoint, rules: MarketRules, orders: Sequence[NewOrder]
) -> Script[list[str | MmdError]]:
    """Places orders; for each, its number or the error that it ended with.

    When a batch is refused as a whole, so that nothing of it was executed, its orders are placed
    one by one. Whatever is not known to be refused is never sent again: it is OutcomeUnknown.
    """
    return _each(
        orders,
        endpoint.submit_path,
        endpoint.max_orders,
        together=lambda path, chunk: _new_orders(path, rules, chunk),
        singly=lambda order: calls.new_order(rules, order),
        may_repeat=(Refused,),
    )


def cancel(endpoint: AceEndpoint, order_numbers: Sequence[str]) -> Script[list[MmdError | None]]:
    """Cancels orders; for each, None or the error that it ended with.

    A cancel may be sent twice without harm, so a batch with a lost answer is repeated singly too.
    """
    return _each(
        order_numbers,
        endpoint.cancel_path,
        endpoint.max_orders,
        together=_cancels,
        singly=calls.cancel,
        may_repeat=(Refused, OutcomeUnknown),
    )


def _each(
    items: Sequence[I],
    path: str | None,
    max_items: int,
    together: Callable[[str, Sequence[I]], Call[list[R | MmdError]]],
    singly: Callable[[I], Call[R]],
    may_repeat: tuple[type[MmdError], ...],
) -> Script[list[R | MmdError]]:
    if path is None:
        return (yield tuple(singly(item) for item in items))
    chunks = [items[at : at + max_items] for at in range(0, len(items), max_items)]
    answers = yield tuple(together(path, chunk) for chunk in chunks)
    outcomes: list[R | MmdError] = []
    for chunk, answer in zip(chunks, answers, strict=True):
        if isinstance(answer, may_repeat):
            outcomes += yield tuple(singly(item) for item in chunk)
        elif isinstance(answer, MmdError):
            outcomes += [answer] * len(chunk)
        else:
            outcomes += answer
    return outcomes


def _new_orders(
    path: str, rules: MarketRules, orders: Sequence[NewOrder]
) -> Call[list[str | MmdError]]:
    names = [order.client_id for order in orders]
    params = {"orders": _json([calls.order_fields(rules, order) for order in orders])}
    return Call(
        Kind.NEW_ORDERS,
        "POST",
        path,
        params,
        True,
        lambda content: _results(content, "customOrderId", names, parse.new_order),
    )


def _cancels(path: str, order_numbers: Sequence[str]) -> Call[list[MmdError | None]]:
    params = {"orderNos": _json(list(order_numbers))}
    return Call(
        Kind.CANCELS,
        "POST",
        path,
        params,
        True,
        lambda content: _results(content, "orderNo", order_numbers, lambda _result: None),
    )


def _results(
    content: object, name: str, wanted: Sequence[str], read: Callable[[Row], R]
) -> list[R | MmdError]:
    """The result of each item. Raises MalformedReply when it is not clear which is whose."""
    results = parse.rows(content)
    if len(results) != len(wanted):
        raise MalformedReply("a batch is answered for another number of items")
    for result, expected in zip(results, wanted, strict=True):
        if str(result.get(name) or expected) != expected:
            raise MalformedReply("a batch is answered in another order")
    return [_result(result, read) for result in results]


def _result(result: Row, read: Callable[[Row], R]) -> R | MmdError:
    status = status_of(result)
    if status is None or 500 <= status < 600:
        return OutcomeUnknown("an item of a batch has no clear result")
    if status != SUCCESS:
        return refusal(status, f"status {status}: {str(result.get('message'))[:200]}")
    try:
        return read(result)
    except MalformedReply as error:
        return OutcomeUnknown(f"an item of a batch has no clear result: {error}")


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))
