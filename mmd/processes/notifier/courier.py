"""Carries the spool to one address: a thread of its own, so that a dead service holds up nobody.

What was told is remembered on disk only after it was taken: a death in between tells it twice,
never not at all.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import asdict
from pathlib import Path

from mmd.processes.notifier.channels import Channel
from mmd.processes.notifier.digest import Digest, Message, Pace
from mmd.records.alerts import Place, Spool, open_troubles
from mmd.words.errors import Unavailable

log = logging.getLogger("notifier")

_LOOK_EVERY_S = 0.1
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 120.0
_NEWCOMER_S = 600.0
"""An address that is new hears of what happened so long before, and of nothing older."""


class Courier:
    """One address and what it has been told."""

    def __init__(self, spool: Spool, channel: Channel, pace: Pace, name: str) -> None:
        self._spool, self._channel = spool, channel
        self._path = spool.folder / f"told-{channel.mark}.json"
        self._digest = Digest(pace, name)
        self._hurry, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=channel.name, daemon=True)
        self._read = self._told = Place()
        self._retry_s = _FIRST_RETRY_S
        self._next_try_s = 0.0
        self.failures = 0
        """Attempts that failed, in all."""

    def start(self) -> None:
        self._take_up()
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """False once the thread has died of an error, or has finished after `finish` or
        `leave`."""
        return self._thread.is_alive()

    def finish(self) -> None:
        """Tells what is left at once, as the last thing."""
        self._hurry.set()

    def leave(self) -> None:
        """Tells nothing more; the next life goes on."""
        self._over.set()
        self._hurry.set()

    def join(self, patience_s: float) -> None:
        """Waits until the thread has ended, for so long at most."""
        self._thread.join(patience_s)

    def _take_up(self) -> None:
        """Goes on where an earlier life stopped."""
        known = _load(self._path)
        if known is not None:
            self._read = self._told = known
            everything, _ = self._spool.read_all()
            untold, _ = self._spool.read_all(known)
            told = everything[: len(everything) - len(untold)]
            self._digest.told(open_troubles(told).values(), time.monotonic())
            return
        oldest_ms = (time.time() - _NEWCOMER_S) * 1000
        alerts, self._read = self._spool.read_all()
        recent = [alert for alert in alerts if alert.wall_ms >= oldest_ms]
        self._digest.take(recent, time.monotonic())

    def _run(self) -> None:
        while not self._over.is_set():
            is_last = self._hurry.is_set()
            self._look()
            message = self._digest.message()
            if message and (is_last or self._is_due()):
                self._send(message)
            elif message is None and self._told != self._read:
                self._remember(self._read)
            if is_last:
                return
            self._hurry.wait(_LOOK_EVERY_S)

    def _look(self) -> None:
        alerts, self._read = self._spool.read(self._read)
        self._digest.take(alerts, time.monotonic())

    def _is_due(self) -> bool:
        due_s, now_s = self._digest.due_s(), time.monotonic()
        return due_s is not None and now_s >= due_s and now_s >= self._next_try_s

    def _send(self, message: Message) -> None:
        read = self._read
        try:
            self._channel.send(message)
        except Unavailable as error:
            self.failures += 1
            log.warning("%s: %s; next try in %.0f s", self._channel.name, error, self._retry_s)
            self._next_try_s = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
            return
        log.info("told %s: %s", self._channel.name, message.title)
        self._retry_s = _FIRST_RETRY_S
        self._digest.sent(message, time.monotonic())
        self._remember(read)

    def _remember(self, place: Place) -> None:
        temporary = self._path.with_suffix(".new")
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(asdict(place)))
            temporary.rename(self._path)
        except OSError as error:
            log.warning("what was told can't be written down: %s", error.strerror)
            return
        self._told = place


def _load(path: Path) -> Place | None:
    try:
        return Place(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
