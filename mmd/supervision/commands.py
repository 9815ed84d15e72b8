"""Carries out what comes through the control socket, and answers once it has come about."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass

from mmd.supervision.control import Message, Reply
from mmd.supervision.household import Household
from mmd.supervision.keeper import Keeper
from mmd.supervision.lifecycle import ALIVE, UP, State
from mmd.supervision.names import UnknownName, resolve
from mmd.words.errors import ConfigError, Unavailable

LONGEST_WAIT_S = 120.0


@dataclass(frozen=True)
class Result:
    """What became of a command to one child."""

    name: str
    ok: bool
    code: str
    """`done`, `already` (nothing to do) or `failed`."""
    text: str


Check = Callable[[], Result | None]
"""Says what became of it; None while it is under way."""


class _Pending:
    """A request whose answer is not known yet."""

    def __init__(self, reply: Reply, do: str, acts: list[tuple[Keeper, Check]], due: float) -> None:
        self._reply = reply
        self._do = do
        self._acts = acts
        self._due = due
        self._results: list[Result | None] = [None] * len(acts)

    def settle(self, now: float) -> bool:
        """Whether all results are known now."""
        for index, (keeper, check) in enumerate(self._acts):
            if self._results[index] is None:
                late = _late(self._do, keeper) if now >= self._due else None
                self._results[index] = check() or late
        return None not in self._results

    def answer(self) -> None:
        results = [result for result in self._results if result]
        self._reply.send(
            {
                "ok": all(result.ok for result in results),
                "text": "\n".join(f"{result.name}: {result.text}" for result in results),
                "results": [asdict(result) for result in results],
            }
        )


class Commands:
    """What may be asked of the parent."""

    def __init__(
        self,
        household: Household,
        clock: Callable[[], float],
        *,
        shutdown: Callable[[str], None],
        show: Callable[[], None],
    ) -> None:
        """`show` publishes the status, so that nobody who has an answer sees an older one."""
        self._household = household
        self._clock = clock
        self._shutdown = shutdown
        self._show = show
        self._pending: list[_Pending] = []
        self._acts: dict[str, Callable[[Keeper, Message], Check]] = {
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "pause": self._pause,
            "resume": self._resume,
            "signal": self._signal,
            "pid": self._pid,
        }

    def handle(self, request: Message, reply: Reply) -> None:
        """Carries out one request."""
        try:
            self._handle(request, reply)
        except Unavailable as error:
            reply.refuse(str(error))

    def _handle(self, request: Message, reply: Reply) -> None:
        do = request.get("do")
        if do == "reload":
            self._reload(reply)
        elif do == "shutdown":
            self._shutdown("asked to over the control socket")
            reply.send({"ok": True, "text": "stopping", "pid": os.getpid(), "results": []})
        elif isinstance(do, str) and (do == "status" or do in self._acts):
            self._each(do, request, reply)
        else:
            reply.refuse(f"there is no command {do!r}")

    def settle(self) -> None:
        """Answers what has come about since. To be called after every event."""
        if self._pending:
            now = self._clock()
            settled = [pending for pending in self._pending if pending.settle(now)]
            if not settled:
                return
            self._pending = [pending for pending in self._pending if pending not in settled]
            self._show()
            for pending in settled:
                pending.answer()

    def _reload(self, reply: Reply) -> None:
        if self._household.is_leaving:
            reply.refuse("mmd is stopping")
            return
        try:
            difference = self._household.move_in()
        except ConfigError as error:
            reply.refuse(str(error), "config")
            return
        lines = difference.lines() or ["nothing has changed"]
        reply.send(
            {"ok": True, "text": "\n".join(lines), "results": [], "changes": asdict(difference)}
        )

    def _each(self, do: str, request: Message, reply: Reply) -> None:
        names = request.get("names", [])
        wait_s = request.get("wait_s", 10.0)
        if not isinstance(names, list) or not isinstance(wait_s, (int, float)) or not wait_s >= 0:
            reply.refuse("names is a list, wait_s a number of seconds", "usage")
            return
        try:
            known = self._household.names()
            chosen = [name for text in names for name in resolve(str(text), known)]
        except UnknownName as error:
            reply.refuse(str(error), "unknown")
            return
        if self._household.is_leaving and do not in ("status", "pid"):
            reply.refuse("mmd is stopping")
            return
        if do == "status":
            rows = [r for r in self._household.rows() if not names or r.name in chosen]
            reply.send({"ok": True, "text": "", "results": [], "rows": rows})
            return
        keepers = [self._household.keepers[name] for name in dict.fromkeys(chosen)]
        act = self._acts[do]
        acts = [(keeper, act(keeper, request)) for keeper in keepers]
        due = self._clock() + float(min(wait_s, LONGEST_WAIT_S))
        self._pending.append(_Pending(reply, do, acts, due))
        self.settle()

    def _start(self, keeper: Keeper, _: Message) -> Check:
        life = keeper.life
        if life.wanted and life.state in ALIVE and life.state is not State.STOPPING:
            return _known(keeper, True, "already", "already started")
        self._household.wants.change(keeper.spec.name, up=True)
        before = life.starts
        keeper.start()
        return lambda: _came_up(keeper, before)

    def _restart(self, keeper: Keeper, _: Message) -> Check:
        self._household.wants.change(keeper.spec.name, up=True)
        before = keeper.life.starts
        keeper.restart()
        return lambda: _came_up(keeper, before)

    def _stop(self, keeper: Keeper, _: Message) -> Check:
        was_stopped = keeper.life.state in (State.STOPPED, State.PARKED)
        self._household.wants.change(keeper.spec.name, up=False)
        keeper.stop()
        if was_stopped:
            return _known(keeper, True, "already", "not running")
        return lambda: _went_down(keeper)

    def _pause(self, keeper: Keeper, _: Message) -> Check:
        return self._set_paused(keeper, True)

    def _resume(self, keeper: Keeper, _: Message) -> Check:
        return self._set_paused(keeper, False)

    def _set_paused(self, keeper: Keeper, paused: bool) -> Check:
        if not keeper.is_pausable:
            return _known(keeper, False, "failed", "only pairs can be paused")
        name = keeper.spec.name
        same = self._household.wants[name].paused == paused
        self._household.wants.change(name, paused=paused)
        keeper.show_want(self._household.wants[name])
        text = "paused" if paused else "resumed"
        if not paused and keeper.release():
            text, same = "resumed; the kill switch is back in place", False
        return _known(keeper, True, "already" if same else "done", text)

    def _signal(self, keeper: Keeper, request: Message) -> Check:
        number = request.get("signal")
        if not isinstance(number, int) or not 0 < number < 65:
            return _known(keeper, False, "failed", f"there is no signal {number!r}")
        if keeper.signal(number):
            return _known(keeper, True, "done", "signalled")
        return _known(keeper, False, "already", "not running")

    def _pid(self, keeper: Keeper, _: Message) -> Check:
        return _known(keeper, True, "done", str(keeper.life.pid or 0))


def _known(keeper: Keeper, ok: bool, code: str, text: str) -> Check:
    result = Result(keeper.spec.name, ok, code, text)
    return lambda: result


def _came_up(keeper: Keeper, starts_before: int) -> Result | None:
    life = keeper.life
    if life.state in UP and life.starts > starts_before:
        return Result(keeper.spec.name, True, "done", f"started as process {life.pid}")
    if life.state in (State.PARKED, State.STOPPED):
        return Result(keeper.spec.name, False, "failed", life.reason)
    return None


def _went_down(keeper: Keeper) -> Result | None:
    if keeper.life.state is State.STOPPED:
        return Result(keeper.spec.name, True, "done", "stopped")
    if keeper.life.wanted:
        return Result(keeper.spec.name, False, "failed", "started again by another command")
    return None


def _late(do: str, keeper: Keeper) -> Result:
    """What to say when patience ends before the command is done."""
    life = keeper.life
    if do != "stop" and life.state is State.STARTING:
        return Result(keeper.spec.name, True, "done", "started, but not ready yet")
    return Result(keeper.spec.name, False, "failed", f"still {life.state.value}: {life.reason}")
