"""What the seeded hand can do. Each kind of blow is one function on a `Hand`.

Everything is drawn from the hand's random numbers, and targets are chosen by name, so that a seed
gives the same blows again. What must end (a freeze, a fault) is put off with `later`.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil

from chaos.subject import Subject
from chaos.watch import Watch, wall_ms
from chaos.world import World
from mmd.supervision import control
from mmd.words.errors import MmdError

_FIND_S = 5.0
_BLIND_S = 5.0
_SIGNALS = {signal.SIGKILL: "killed", signal.SIGSTOP: "stopped", signal.SIGCONT: "woke"}

VENUE_PATHS = ("", "/order/order", "/order/cancel", "getOrderList", "getTradeList", "OrderStatus")
VENUE_FAULTS = (
    {"kind": "delay", "delay_ms": 200, "jitter_ms": 1500},
    {"kind": "delay", "delay_ms": 200, "jitter_ms": 1500, "after": True},
    {"kind": "error_before"},
    {"kind": "error_after"},
    {"kind": "lost_reply"},
    {"kind": "reset"},
    {"kind": "rate_limit"},
    {"kind": "freeze", "seconds": 3},
    {"kind": "refuse", "status": 9999},
    {"kind": "refuse", "status": 2021},
    {"kind": "malformed"},
    {"kind": "skew", "skew_ms": 7000},
    {"kind": "skew", "skew_ms": -7000},
)
STREAM_FAULTS = (
    {"fault": "drop", "how": "close"},
    {"fault": "drop", "how": "eof"},
    {"fault": "drop", "how": "rst"},
    {"fault": "stall", "for_s": 2.5},
    {"fault": "stall", "for_s": 2.5, "backlog": True},
    {"fault": "half_open", "for_s": 4},
    {"fault": "split", "for_s": 2, "size": 1},
    {"fault": "bad_frame", "kind": "garbage"},
    {"fault": "bad_frame", "kind": "cut_off"},
    {"fault": "bad_frame", "kind": "not_json"},
    {"fault": "server_shutdown", "close_after_s": 1},
    {"fault": "old_update", "symbol": "btcusdt", "by": 5, "shift_bps": 200},
    {"fault": "trade_gap", "symbol": "btcusdt", "count": 3},
    {"fault": "refuse", "status": 429, "for_s": 1},
    {"fault": "rest_error", "count": 3},
)


class Missed(Exception):
    """There was nothing to strike."""


@dataclass
class Hand:
    """The hand, what it strikes, and what it has still to end."""

    subject: Subject
    world: World
    random: Random
    watch: Watch
    tell: Callable[[str], None]
    """Takes a line for the story."""
    blind: list[tuple[int, int]] = field(default_factory=list)
    """Times (ms since 1970) in which no price could reach us."""
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Has something done during a later `wait`."""
        self._later.append((time.monotonic() + seconds, act))

    def wait(self, seconds: float) -> None:
        """Lets time pass, and does what falls due."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for item in [item for item in self._later if item[0] <= now]:
                self._later.remove(item)
                item[1]()
            if now >= until:
                return
            dues = [due for due, _ in self._later]
            time.sleep(max(0.0, min([until, *dues]) - now))

    def finish(self) -> None:
        """Waits for everything that must end, and heals both venues."""
        while self._later:
            self.wait(max(0.0, max(due for due, _ in self._later) - time.monotonic()))
        self.world.heal()

    def child(self, group: str = "") -> str:
        """The name of a child, whether it lives just now or not."""
        names = sorted(self.subject.states())
        if not (chosen := [name for name in names if name.startswith(group)]):
            raise Missed(f"there are no {group or 'children'}")
        return self.random.choice(chosen)

    def find(self, look: Callable[[], int | None], what: str) -> int:
        """A living process; it may be on its way up after the last blow. Raises Missed."""
        patience = time.monotonic() + _FIND_S
        while time.monotonic() < patience:
            pid = look()
            if pid and psutil.pid_exists(pid):
                return pid
            self.wait(0.02)
        raise Missed(f"{what} was not there")

    def find_child(self, name: str) -> int:
        return self.find(lambda: self.subject.children().get(name), name)

    def signal(self, pid: int, number: signal.Signals, what: str) -> None:
        """Raises Missed when the process has just gone."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            raise Missed(f"{what} had just gone") from None
        self.tell(f"{_SIGNALS[number]} {what} (process {pid})")

    def freeze(self, pid: int, what: str, seconds: float) -> None:
        """Stops a process and wakes it later, if it still lives then."""
        self.signal(pid, signal.SIGSTOP, f"{what} for {seconds:.1f} s")

        def wake() -> None:
            with suppress(Missed):
                self.signal(pid, signal.SIGCONT, what)

        self.later(seconds, wake)


Blow = Callable[[Hand], None]


def kill_child(hand: Hand) -> None:
    name = hand.child()
    hand.signal(hand.find_child(name), signal.SIGKILL, name)


def kill_pairs(hand: Hand) -> None:
    """All at the same moment."""
    pids = {str(pair): hand.find_child(f"pairs:{pair.slug}") for pair in hand.subject.pairs}
    for name, pid in pids.items():
        hand.signal(pid, signal.SIGKILL, name)


def kill_again(hand: Hand) -> None:
    """A pair, and its replacements as soon as they are there, until it backs off and is swept."""
    name = hand.child("pairs:")
    for _ in range(hand.random.randint(3, 5)):
        hand.signal(hand.find_child(name), signal.SIGKILL, name)
        hand.wait(hand.random.uniform(0.0, 0.4))


def stop_child(hand: Hand) -> None:
    """For good; only a kill helps."""
    name = hand.child()
    hand.signal(hand.find_child(name), signal.SIGSTOP, name)


def stop_pair(hand: Hand) -> None:
    name = hand.child("pairs:")
    hand.signal(hand.find_child(name), signal.SIGSTOP, name)


def freeze_child(hand: Hand) -> None:
    """For less than the stall limit or for more."""
    name = hand.child()
    hand.freeze(hand.find_child(name), name, hand.random.uniform(0.2, 3.0))


def flood_feed(hand: Hand) -> None:
    count = hand.random.randint(3_000, 30_000)
    hand.world.strike_streams({"fault": "burst", "count": count})
    hand.tell(f"{count} messages at once on every stream")


def flood_parent(hand: Hand) -> None:
    """Callers that say nothing, nonsense, or ask a lot, on the control socket."""
    path = hand.subject.paths.control_socket
    callers = 0
    for nonsense in (b"", b"{", b"\xff" * 4000, b'{"do": "dance"}') * hand.random.randint(5, 15):
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        caller.settimeout(0.2)
        try:
            caller.connect(str(path))
            if nonsense:
                caller.send(nonsense)
        except OSError:
            caller.close()
            break
        callers += 1
        hand.later(hand.random.uniform(0.0, 1.0), caller.close)
    if not callers:
        raise Missed("the parent does not listen")
    hand.tell(f"{callers} callers talk nonsense to the parent")


def kill_parent(hand: Hand) -> None:
    hand.signal(hand.find(hand.subject.parent, "the parent"), signal.SIGKILL, "the parent")


def stop_parent(hand: Hand) -> None:
    """For good; its children must end it."""
    hand.signal(hand.find(hand.subject.parent, "the parent"), signal.SIGSTOP, "the parent")


def freeze_parent(hand: Hand) -> None:
    """For less than its lease or for more."""
    pid = hand.find(hand.subject.parent, "the parent")
    hand.freeze(pid, "the parent", hand.random.uniform(0.2, 3.0))


def kill_supervisord(hand: Hand) -> None:
    """Then start anew, while the parent is still leaving or after it has left."""
    pid = hand.find(hand.subject.supervisord, "supervisord")
    hand.signal(pid, signal.SIGKILL, "supervisord")
    hand.wait(hand.random.choice((0.0, 0.5, 4.0)))
    _start(hand)


def freeze_supervisord(hand: Hand) -> None:
    pid = hand.find(hand.subject.supervisord, "supervisord")
    hand.freeze(pid, "supervisord", hand.random.uniform(0.5, 4.0))


def cut_power(hand: Hand) -> None:
    """Everything dies at once; then start anew."""
    with hand.watch.excused():
        hand.subject.cut_power()
        hand.tell("killed everything at once")
        hand.wait(hand.random.uniform(0.0, 1.0))
        _start(hand)


def freeze_all(hand: Hand) -> None:
    """As a machine that is suspended and wakes."""
    seconds = hand.random.uniform(0.5, 4.0)
    with hand.watch.excused():
        victims = hand.subject.freeze()
        hand.tell(f"stopped everything at once for {seconds:.1f} s")
        hand.wait(seconds)
        hand.random.shuffle(victims)
        for process in victims:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
    hand.tell("woke everything")


def cut_streams(hand: Hand) -> None:
    fault = hand.random.choice(STREAM_FAULTS)
    hand.world.strike_streams(dict(fault))
    hand.tell(f"streams: {fault}")


def blind(hand: Hand) -> None:
    """No price reaches us for longer than a price is good for."""
    hand.world.strike_streams({"fault": "refuse", "status": 503, "for_s": _BLIND_S + 1})
    hand.world.strike_streams({"fault": "drop", "how": "rst"})
    start_ms = wall_ms()
    hand.tell(f"no streams for {_BLIND_S} s")
    hand.wait(_BLIND_S)
    hand.blind.append((start_ms, wall_ms()))


def break_venue(hand: Hand) -> None:
    fault = dict(hand.random.choice(VENUE_FAULTS))
    if fault["kind"] != "skew":
        fault["path"] = hand.random.choice(VENUE_PATHS)
        fault["probability"] = hand.random.choice((0.3, 0.7, 1.0))
    hand.world.break_venue(fault)
    seconds = hand.random.uniform(0.5, 4.0)
    hand.tell(f"venue for {seconds:.1f} s: {fault}")
    hand.later(seconds, lambda: hand.world.heal())


def command(hand: Hand) -> None:
    """What an operator may ask for at a bad moment."""
    do = hand.random.choice((("restart",), ("stop", "start"), ("pause", "resume"), ("reload",)))
    name = hand.child("pairs:") if do[0] != "restart" else hand.child()
    socket_path = hand.subject.paths.control_socket

    try:
        names = [] if do[0] == "reload" else [name]
        reply = control.command(socket_path, do[0], names, wait_s=0.5)
    except MmdError as error:
        hand.tell(f"{do[0]} {name}: {error}")
    else:
        hand.tell(f"asked to {do[0]} {name}: {reply['text']}")
    if undo := do[1:]:
        hand.later(hand.random.uniform(0.1, 2.0), lambda: _insist(hand, undo[0], name))


def _insist(hand: Hand, what: str, name: str, tries: int = 100) -> None:
    """Asks until it is done: else a pair would stay down or silent, as it was told to."""
    try:
        reply = control.command(hand.subject.paths.control_socket, what, [name], wait_s=0.1)
    except MmdError:
        reply = {"ok": False}
    if reply["ok"]:
        hand.tell(f"asked to {what} {name}: {reply['text']}")
    elif tries:
        hand.later(0.3, lambda: _insist(hand, what, name, tries - 1))


def _start(hand: Hand) -> None:
    """Starts mmd, while the hand goes on with what it has begun."""
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(hand.subject.start)
        while not start.done():
            hand.wait(0.05)
        start.result()
    hand.tell(f"mmd start brought all back in {time.monotonic() - began:.1f} s")


BLOWS: dict[str, Blow] = {
    blow.__name__.replace("_", " "): blow
    for blow in (
        kill_child, kill_pairs, kill_again, stop_child, stop_pair, freeze_child, flood_feed,
        flood_parent, kill_parent, stop_parent, freeze_parent, kill_supervisord,
        freeze_supervisord, cut_power, freeze_all, cut_streams, blind, break_venue, command,
    )
}  # fmt: skip
ALONE = frozenset({"blind"})
"""Kinds whose proof needs that nothing else happens."""
UPPER = frozenset(
    {"kill parent", "stop parent", "freeze parent", "kill supervisord", "freeze supervisord"}
)
"""Kinds that strike those who would replace a dead pair, or sweep for it."""
LAST = frozenset({"kill supervisord", "cut power"})
"""Kinds that end with a start."""
