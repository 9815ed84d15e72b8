"""What happens in a forked child before and after its entry point.

The child lets go of everything that belongs to the parent, makes sure that it cannot outlive it,
and then runs the entry point to its end, which becomes an exit code.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import logging
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmd.cells.layouts import HealthCell, ParentCell
from mmd.processes.context import ChildContext, Entry, Heart, ParentLink, Stop
from mmd.supervision.lock import Lock, LockHeld
from mmd.words.errors import Exit, MmdError

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_COMM_BYTES = 15
_libc = ctypes.CDLL(None, use_errno=True)

DUMP_SIGNAL = signal.SIGUSR1
BLOCKED_WHILE_FORKING = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTSTP}
)
"""A signal between the fork and `_settle_signals` would run the parent's handlers in the child,
and ring the parent through the wake-up descriptor that both still share."""
_LOG_BYTES = 1 << 20
_SECOND_LOOK_S = 0.3


@dataclass(frozen=True)
class Birth:
    """All that the parent hands to a newborn."""

    name: str
    entry: Entry
    keeps: tuple[int, ...]
    drains: bool
    drain_s: float
    """How long it may take to leave once it must, before the kernel ends it."""
    health: HealthCell
    parent: ParentCell
    parent_pid: int
    lease_s: float
    home: Path
    error_log: Path
    lock: Path | None


def live(birth: Birth) -> None:
    """Runs the child to its end. Raises SystemExit with its exit code."""
    _settle_signals()
    _drop_log_handlers()
    _redirect_output(birth.error_log)
    _close_others(birth.keeps)
    _die_with_parent(birth)
    _settle_process(birth.name)
    link = ParentLink(birth.parent, birth.parent_pid, _pidfd(birth.parent_pid), birth.lease_s)
    heart = Heart(birth.health)
    stop = _TimedStop(birth.drain_s if birth.drains else None)
    context = ChildContext(birth.name, heart, stop, link, birth.home)
    code = _run(birth, context)
    _end_frozen_parent(link)
    sys.exit(code)


class _TimedStop(Stop):
    """A stop signal after which the kernel ends the process in time, however it hangs."""

    def __init__(self, drain_s: float | None) -> None:
        super().__init__()
        self._drain_s = drain_s

    def request(self) -> None:
        if self._drain_s is not None and not self.requested:
            signal.setitimer(signal.ITIMER_REAL, self._drain_s)
        super().request()


def _run(birth: Birth, context: ChildContext) -> int:
    try:
        lock = Lock(birth.lock) if birth.lock else None
        birth.entry(context)
    except LockHeld as error:
        _last_words(context.heart, str(error))
        return Exit.UNREACHABLE  # it will be free some time: no reason to be parked
    except MmdError as error:
        log.error("%s ends: %s", birth.name, error)
        _last_words(context.heart, str(error))
        return error.exit_code
    except SystemExit:
        raise
    except BaseException as error:
        log.critical("%s ends by an unexpected error", birth.name, exc_info=True)
        _last_words(context.heart, f"{type(error).__name__}: {error}")
        raise
    if lock:
        lock.release()
    return Exit.DONE


def _last_words(heart: Heart, text: str) -> None:
    _tell(text)
    heart.count_error(text)


def _tell(text: str) -> None:
    """A line in the child's own log; a full disk must not end it."""
    with suppress(OSError):
        os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n".encode())


def _settle_signals() -> None:
    """Off with the parent's handlers: TERM ends the process until the entry point takes it; a
    terminal's signals are the parent's business."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    # Until it is registered anew: its default would end the process.
    faulthandler.unregister(DUMP_SIGNAL)
    signal.signal(DUMP_SIGNAL, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_WHILE_FORKING)


def _drop_log_handlers() -> None:
    """Closes the parent's log handlers while their descriptors are still theirs: closed later,
    they would close whatever the child has opened under the same number."""
    named = logging.root.manager.loggerDict.values()
    for logger in (logging.root, *(one for one in named if isinstance(one, logging.Logger))):
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
            handler.close()


def _redirect_output(path: Path) -> None:
    """Standard output and error go to a file of its own: a pipe to somebody who hangs would
    block the child."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_name(path.name + ".1"))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    _tell(f"process {os.getpid()} starts")


def _close_others(keeps: tuple[int, ...]) -> None:
    """Closes every descriptor but stdio and the given ones.

    The Python objects that own the closed ones stay alive in the frames below, so none of them
    closes a number that was given out anew.
    """
    start = 3
    for fd in sorted(keeps):
        os.closerange(start, fd)
        start = fd + 1
    highest, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.closerange(start, max(highest, start))


def _die_with_parent(birth: Birth) -> None:
    """A child with nothing to cancel just goes; another is asked to."""
    number = signal.SIGTERM if birth.drains else signal.SIGKILL
    if _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != birth.parent_pid:
        sys.exit(Exit.FAILED)  # the parent died before the signal was armed


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        sys.exit(Exit.FAILED)


def _settle_process(name: str) -> None:
    _libc.prctl(_PR_SET_NAME, process_title(name).encode(), 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(sys.stderr)
    faulthandler.register(DUMP_SIGNAL, sys.stderr, all_threads=True)
    gc.enable()


def process_title(name: str) -> str:
    """`pair:btc_twd` for `pairs:btc_twd`; the kernel keeps 15 bytes."""
    group, _, member = name.partition(":")
    return f"{group.removesuffix('s')}:{member}"[:_COMM_BYTES]


def _end_frozen_parent(link: ParentLink) -> None:
    """A child that leaves because its parent is frozen ends it, so that supervisord can start
    another. Looks twice, since the whole machine may just have been asleep."""
    if link.is_alive(time.monotonic_ns()):
        return
    time.sleep(_SECOND_LOOK_S)
    if link.is_alive(time.monotonic_ns()):
        return
    try:
        signal.pidfd_send_signal(link.pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return
    _tell("the parent was frozen and has been killed")
