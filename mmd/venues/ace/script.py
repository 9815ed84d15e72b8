"""Dialogues with the venue that take several calls, written once for both clients.

A script is a generator: it yields calls that may run side by side, and is sent the list of their
answers, each a result or the error that the call ended with. Or it yields a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from mmd.venues.ace.protocol import Call, Caller
from mmd.words.errors import MmdError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Go on after so many seconds."""

    seconds: float


Ask: TypeAlias = tuple[Call[Any], ...] | Pause
Script: TypeAlias = Generator[Ask, list[Any], T]


class AsyncCaller(Protocol):
    """Whatever carries calls to the venue and awaits the answer."""

    async def call(self, call: Call[T]) -> T: ...


def one(call: Call[T]) -> Script[T]:
    """Asks one call, for `answer = yield from one(call)`. Raises what the call ends with."""
    (answer,) = yield (call,)
    if isinstance(answer, MmdError):
        raise answer
    result: T = answer
    return result


def play(caller: Caller, script: Script[T], sleep: Callable[[float], None] = time.sleep) -> T:
    """Plays a script to its end, one call after the other."""
    answers: list[Any] | None = None
    while True:
        try:
            ask = next(script) if answers is None else script.send(answers)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(ask, Pause):
            sleep(ask.seconds)
            answers = []
        else:
            answers = [_attempt(caller, call) for call in ask]


async def play_async(
    caller: AsyncCaller,
    script: Script[T],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Plays a script to its end; calls that it asks together run side by side."""
    answers: list[Any] | None = None
    while True:
        try:
            ask = next(script) if answers is None else script.send(answers)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(ask, Pause):
            await sleep(ask.seconds)
            answers = []
        elif len(ask) == 1:
            answers = [await _attempt_async(caller, ask[0])]  # a task of its own would cost time
        else:
            answers = await asyncio.gather(*(_attempt_async(caller, call) for call in ask))


def _attempt(caller: Caller, call: Call[T]) -> T | MmdError:
    try:
        return caller.call(call)
    except MmdError as error:
        return error


async def _attempt_async(caller: AsyncCaller, call: Call[T]) -> T | MmdError:
    try:
        return await caller.call(call)
    except MmdError as error:
        return error
