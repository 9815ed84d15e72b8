"""Dialogues with the venue that take several calls, written once for both clients.

A script is a generator: it yields calls that may run side by side, and is sent the list of their
answers, each a result or the error that the call ended with. Or it yields a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
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

    def call(self, call: Call[T]) -> Coroutine[Any, Any, T]: ...


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


def play_async(
    caller: AsyncCaller,
    script: Script[T],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Coroutine[Any, Any, T]:
    """Plays a script to its end; calls that it asks together run side by side. The first calls
    are made at once, not only when the result is awaited."""
    try:
        ask = next(script)
    except StopIteration as end:
        return _value(end.value)
    return _go_on(caller, script, _begin(caller, ask), sleep)


_Begun: TypeAlias = list[Coroutine[Any, Any, Any]] | Pause


def _begin(caller: AsyncCaller, ask: Ask) -> _Begun:
    return ask if isinstance(ask, Pause) else [caller.call(call) for call in ask]


async def _go_on(
    caller: AsyncCaller,
    script: Script[T],
    begun: _Begun,
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    while True:
        answers: list[Any] = []
        if isinstance(begun, Pause):
            await sleep(begun.seconds)
        elif len(begun) == 1:
            answers = [await _outcome(begun[0])]  # a task of its own would cost time
        else:
            answers = await asyncio.gather(*map(_outcome, begun))
        try:
            ask = script.send(answers)
        except StopIteration as end:
            result: T = end.value
            return result
        begun = _begin(caller, ask)


async def _value(value: T) -> T:
    return value


def _attempt(caller: Caller, call: Call[T]) -> T | MmdError:
    try:
        return caller.call(call)
    except MmdError as error:
        return error


async def _outcome(answer: Coroutine[Any, Any, T]) -> T | MmdError:
    try:
        return await answer
    except MmdError as error:
        return error
