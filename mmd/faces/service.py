"""Starts and stops mmd as a service: supervisord, which runs the parent, which runs the rest.

Both work by signals, locks and files alone, so that they work whatever else hangs.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from mmd.config.paths import PACKAGE, Paths
from mmd.supervision import proc, status_block
from mmd.supervision.lock import Lock, LockHeld, holder
from mmd.words.errors import ConfigError, MmdError, Unavailable

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 90.0
"""Longer than supervisord waits for the parent (`stopwaitsecs`)."""
_PID_PATIENCE_S = 5.0
_LOOK_EVERY_S = 0.05
_MOMENT_S = 0.5
"""A process that is just being killed is dead by then."""
_TERM_LOST_S = 2.0
"""supervisord loses a TERM that it sends between fork and exec; then the parent gets another."""
_CONF_NAME = "supervisord.conf"


class AlreadyRunning(MmdError):
    """There is nothing to start."""


class NotQuoting(Unavailable):
    """Not everything came up in time, so all was taken down again. `missing` says what."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__("\n".join(missing))
        self.missing = tuple(missing)


def start(
    paths: Paths,
    missing: Callable[[], Sequence[str]],
    environment: Mapping[str, str],
    *,
    command: Sequence[str] = (),
    timeout_s: float = START_TIMEOUT_S,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Starts supervisord and all, and returns once `missing` finds nothing missing any more.

    `meanwhile` is done while the parent loads; what it raises takes everything down again.

    `missing` names what is not up yet, in words for people; it may raise Unavailable, which means
    the same. `environment` is what supervisord and all below it run with; `command` runs the
    parent (default: `bin/mmd run`).

    Raises AlreadyRunning, ConfigError when supervisord does not start, NotQuoting.
    """
    paths.make()
    with _one_at_a_time(paths):
        refuse_second(paths)
        _spawn(paths, write_conf(paths, command), environment)
        try:
            meanwhile()
            found = _wait_until_up(paths, missing, timeout_s)
        except MmdError:
            _take_down(paths)
            raise
        if found:
            _take_down(paths)
            raise NotQuoting(found)


def start_in_foreground(
    paths: Paths, environment: Mapping[str, str], *, command: Sequence[str] = ()
) -> NoReturn:
    """Becomes supervisord, without leaving the terminal. Raises AlreadyRunning, ConfigError."""
    paths.make()
    with _one_at_a_time(paths):
        refuse_second(paths)
        conf = write_conf(paths, command)
    arguments = [*_supervisord(conf), "--nodaemon"]
    os.execve(sys.executable, arguments, _environment(environment))


def stop(paths: Paths) -> bool:
    """Stops all: pairs first, supervisord last. False when nothing ran.

    Raises Unavailable when something does not end in time.
    """
    with _one_at_a_time(paths):
        return _take_down(paths)


def supervisord_pid(paths: Paths) -> int | None:
    """The supervisord that runs on this home, if any."""
    try:
        pid = int((paths.run / "supervisord.pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    seen = proc.stat(pid)
    is_dead = seen is None or seen.state == "Z"
    return None if is_dead or b"supervisord" not in arguments else pid


def write_conf(paths: Paths, command: Sequence[str] = ()) -> Path:
    """The configuration for supervisord: the project's own, or for another home a copy in it.

    Raises ConfigError when the project has none.
    """
    project = paths.conf / _CONF_NAME
    try:
        text = project.read_text()
    except OSError as error:
        raise ConfigError(f"{project}: {error.strerror}") from None
    if paths.home == paths.conf.parent / "var" and not command:
        return project
    command = command or (sys.executable, "-m", "mmd", "run")
    text = text.replace("%(here)s/../var", "%(here)s")
    text = text.replace('command="%(here)s/../bin/mmd" run', f"command={_escaped(*command)}")
    text = text.replace("directory=%(here)s/..", f"directory={paths.conf.parent!s}")
    conf = paths.home / _CONF_NAME
    conf.write_text(text)
    return conf


def _escaped(*arguments: str) -> str:
    return shlex.join(arguments).replace("%", "%%")


def _supervisord(conf: Path) -> list[str]:
    return [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(conf)]


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """So that the plugin can be imported, wherever mmd is installed."""
    search = [str(PACKAGE.parent), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(search)}


@contextmanager
def _one_at_a_time(paths: Paths) -> Iterator[None]:
    try:
        lock = Lock(paths.run / "service.lock")
    except LockHeld as error:
        raise AlreadyRunning(f"another start or stop is under way (process {error.pid})") from None
    try:
        yield
    finally:
        lock.release()


def refuse_second(paths: Paths) -> None:
    """Refuses to start a second one, and waits for a parent that is about to leave."""
    pid = supervisord_pid(paths)
    if pid and not _is_gone(pid, _MOMENT_S):
        raise AlreadyRunning(f"mmd is running already, under supervisord (process {pid})")
    parent = holder(paths.parent_lock)
    if parent is None:
        return
    block = status_block.read(paths.status)
    if block is None or not (block.is_supervised or block.parent_state == "stopping"):
        raise AlreadyRunning(f"mmd is running already, without supervisord (process {parent})")
    _wait_until_gone(paths, {parent})


def _spawn(paths: Paths, conf: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        _supervisord(conf),
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ConfigError(f"supervisord does not start: {(done.stderr or done.stdout).strip()}")
    # It has gone into the background, and tells its number only after that.
    deadline = time.monotonic() + _PID_PATIENCE_S
    while supervisord_pid(paths) is None:
        if time.monotonic() > deadline:
            raise ConfigError(f"supervisord does not start; see {paths.log / 'supervisord.log'}")
        time.sleep(_LOOK_EVERY_S / 5)
    _wake(paths)


def _wake(paths: Paths) -> None:
    """supervisord 4.3 sleeps for a second before it spawns anything, unless somebody calls."""
    with socket.socket(socket.AF_UNIX) as caller, suppress(OSError):
        caller.connect(str(paths.supervisor_socket))


def _wait_until_up(
    paths: Paths, missing: Callable[[], Sequence[str]], timeout_s: float
) -> Sequence[str]:
    """What is still missing after the time-out, or once waiting cannot help any more."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            found = missing() if _is_up(paths) else ["the parent is not up"]
        except Unavailable as error:
            found = [str(error)]
        if not found:
            return []
        if parked := _parked(paths):
            return parked
        if supervisord_pid(paths) is None:
            return ["supervisord has ended; its log says why", *found]
        if time.monotonic() >= deadline:
            return found
        time.sleep(_LOOK_EVERY_S)


def _is_up(paths: Paths) -> bool:
    """Whether the parent that runs now, not one before it, has shown its children."""
    block = status_block.read(paths.status)
    return (
        block is not None
        and block.parent_state == "running"
        and block.parent_pid == holder(paths.parent_lock)
    )


def _parked(paths: Paths) -> list[str]:
    block = status_block.read(paths.status)
    if block is None or not _is_up(paths):
        return []
    return [f"{row.name} is parked: {row.health}" for row in block.rows if row.state == "parked"]


def _take_down(paths: Paths) -> bool:
    """Asks supervisord, or else the parent, to leave, and waits until both are gone."""
    supervisord, parent = supervisord_pid(paths), holder(paths.parent_lock)
    first = supervisord or parent
    if first is None:
        return False
    _send(first, signal.SIGTERM)
    _wait_until_gone(paths, {pid for pid in (supervisord, parent) if pid})
    return True


def _wait_until_gone(paths: Paths, pids: set[int]) -> None:
    """Waits for these processes, and for any parent that supervisord may have started since.

    One that is frozen is ended: what it would have done, others do without it.
    """
    start = time.monotonic()
    while pids := {pid for pid in pids | _parents(paths) if not _is_gone(pid, _LOOK_EVERY_S)}:
        for pid in pids:
            if proc.is_frozen(pid):
                _send(pid, signal.SIGKILL)
        waited_s = time.monotonic() - start
        if waited_s > _TERM_LOST_S and _is_up(paths):
            for parent in _parents(paths):
                _send(parent, signal.SIGTERM)
        if waited_s > STOP_TIMEOUT_S:
            raise Unavailable(f"processes do not end: {sorted(pids)}")


def _parents(paths: Paths) -> set[int]:
    parent = holder(paths.parent_lock)
    return set() if parent is None else {parent}


def _is_gone(pid: int, wait_s: float) -> bool:
    """Whether the process is dead, or dies within that time."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], wait_s)[0])
    finally:
        os.close(pidfd)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
