"""The supervisorctl plugin: shows every child as a row, and hands commands to the parent.

Runs inside supervisord, as the factory of `[rpcinterface:supervisor]`. supervisord has one thread
and runs the parent only, so nothing here may block or fail: rows come from the status block,
commands go over a non-blocking socket and are answered by a deferred with a deadline. Rows stay
while the parent is away. The methods that concern "all" stay as they are: they act on the parent.

Imports nothing but the standard library and supervisor, directly or not: supervisord would not
start without it.
"""

from __future__ import annotations

import datetime
import glob
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from supervisor.datatypes import signal_number
from supervisor.http import NOT_DONE_YET, logtail_handler
from supervisor.options import readFile, split_namespec, tailFile
from supervisor.rpcinterface import SupervisorNamespaceRPCInterface, make_main_rpcinterface
from supervisor.states import ProcessStates, getProcessStateDescription
from supervisor.xmlrpc import Faults, RPCError

from mmd.supervision.plugin_link import ParentLink
from mmd.supervision.plugin_watch import FrozenWatch
from mmd.supervision.status_block import Row

GROUPS = frozenset({"feeds", "rates", "pairs", "jobs"})
"""Groups that exist even while they have no members."""
START_WAIT_S = 10.0
STOP_WAIT_S = 60.0
_POLL_S = 0.01

_STATES = {
    "stopped": ProcessStates.STOPPED,
    "backing_off": ProcessStates.BACKOFF,
    "starting": ProcessStates.STARTING,
    "ready": ProcessStates.RUNNING,
    "running": ProcessStates.RUNNING,
    "stalled": ProcessStates.STOPPING,
    "stopping": ProcessStates.STOPPING,
    "parked": ProcessStates.FATAL,
}
_stock_logtail = logtail_handler.handle_request


def make(supervisord: Any, **_config: Any) -> Any:
    """The factory. Falls back to the stock interface rather than stop supervisord."""
    try:
        return MmdInterface(supervisord)
    except (AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        supervisord.options.logger.critical(f"mmd's rows are not shown: {error!r}")
        return make_main_rpcinterface(supervisord)


class MmdInterface(SupervisorNamespaceRPCInterface):  # type: ignore[misc]
    """supervisord's own interface, with more rows."""

    def __init__(self, supervisord: Any) -> None:
        super().__init__(supervisord)
        self._parent = ParentLink(_run_folder(supervisord.options))
        _take_over_tail_f(self)
        FrozenWatch(supervisord).begin()

    # Looking.

    def getProcessInfo(self, name: str) -> dict[str, Any]:
        """Info about one process, as supervisord gives it."""
        if not self._is_ours(name):
            return _as_dict(super().getProcessInfo(name))
        self._update("getProcessInfo")
        return _info(self._row(name), self._now())

    def getAllProcessInfo(self) -> list[dict[str, Any]]:
        """Info about all processes: supervisord's own, then ours."""
        infos = list(super().getAllProcessInfo())
        now = self._now()
        rows = self._parent.rows().values()
        return infos + [_info(row, now) for row in rows if self._is_ours(row.name)]

    # Commanding.

    def startProcess(self, name: str, wait: bool = True) -> Any:
        """Starts a process, and waits until it is ready."""
        if not self._is_ours(name):
            return super().startProcess(name, wait)
        self._update("startProcess")
        if _is_group(name):
            return self.startProcessGroup(split_namespec(name)[0], wait)
        self._row(name)
        faults = {"already": Faults.ALREADY_STARTED, "failed": Faults.SPAWN_ERROR}
        request = _request("start", name, START_WAIT_S if wait else 0)
        return self._deferred(request, _one(name, faults), Faults.SPAWN_ERROR)

    def stopProcess(self, name: str, wait: bool = True) -> Any:
        """Stops a process, and waits until it has cancelled its orders and gone."""
        if not self._is_ours(name):
            return super().stopProcess(name, wait)
        self._update("stopProcess")
        if _is_group(name):
            return self.stopProcessGroup(split_namespec(name)[0], wait)
        self._row(name)
        faults = {"already": Faults.NOT_RUNNING, "failed": Faults.FAILED}
        request = _request("stop", name, STOP_WAIT_S if wait else 0)
        return self._deferred(request, _one(name, faults), Faults.FAILED, Faults.NOT_RUNNING)

    def signalProcess(self, name: str, signal: str) -> Any:
        """Sends a signal, by name or number."""
        if not self._is_ours(name):
            return super().signalProcess(name, signal)
        self._update("signalProcess")
        if _is_group(name):
            return self.signalProcessGroup(split_namespec(name)[0], signal)
        self._row(name)
        faults = {"already": Faults.NOT_RUNNING, "failed": Faults.BAD_SIGNAL}
        request = _request("signal", name, 0) | {"signal": _signal_number(signal)}
        return self._deferred(request, _one(name, faults), Faults.FAILED, Faults.NOT_RUNNING)

    def startProcessGroup(self, name: str, wait: bool = True) -> Any:
        """Starts all processes of a group that are not up."""
        if not self._is_ours(f"{name}:*"):
            return super().startProcessGroup(name, wait)
        self._update("startProcessGroup")
        request = _request("start", f"{name}:*", START_WAIT_S if wait else 0)
        return self._group(name, request, Faults.SPAWN_ERROR)

    def stopProcessGroup(self, name: str, wait: bool = True) -> Any:
        """Stops all processes of a group that are up."""
        if not self._is_ours(f"{name}:*"):
            return super().stopProcessGroup(name, wait)
        self._update("stopProcessGroup")
        request = _request("stop", f"{name}:*", STOP_WAIT_S if wait else 0)
        return self._group(name, request, Faults.FAILED)

    def signalProcessGroup(self, name: str, signal: str) -> Any:
        """Sends a signal to all processes of a group."""
        if not self._is_ours(f"{name}:*"):
            return super().signalProcessGroup(name, signal)
        self._update("signalProcessGroup")
        request = _request("signal", f"{name}:*", 0) | {"signal": _signal_number(signal)}
        return self._group(name, request, Faults.BAD_SIGNAL)

    # Logs.

    def readProcessStdoutLog(self, name: str, offset: int, length: int) -> str:
        """Part of the child's log."""
        if not self._is_ours(name):
            return str(super().readProcessStdoutLog(name, offset, length))
        return self._read_log(newest(self._row(name).log), offset, length)

    def readProcessStderrLog(self, name: str, offset: int, length: int) -> str:
        """Part of the child's last words and stack dumps."""
        if not self._is_ours(name):
            return str(super().readProcessStderrLog(name, offset, length))
        return self._read_log(self._row(name).error_log, offset, length)

    def tailProcessStdoutLog(self, name: str, offset: int, length: int) -> list[Any]:
        """The end of the child's log: text, offset, overflow."""
        if not self._is_ours(name):
            return list(super().tailProcessStdoutLog(name, offset, length))
        return self._tail_log(newest(self._row(name).log), offset, length)

    def tailProcessStderrLog(self, name: str, offset: int, length: int) -> list[Any]:
        """The end of the child's last words: text, offset, overflow."""
        if not self._is_ours(name):
            return list(super().tailProcessStderrLog(name, offset, length))
        return self._tail_log(self._row(name).error_log, offset, length)

    def clearProcessLogs(self, name: str) -> bool:
        """Refused for our rows: what was traded stays on record."""
        if not self._is_ours(name):
            return bool(super().clearProcessLogs(name))
        raise RPCError(Faults.FAILED, f"{name}: mmd keeps its logs; settings say for how long")

    readProcessLog = readProcessStdoutLog
    tailProcessLog = tailProcessStdoutLog
    clearProcessLog = clearProcessLogs

    def _read_log(self, path: str, offset: int, length: int) -> str:
        self._update("readProcessLog")
        if not os.path.exists(path):
            raise RPCError(Faults.NO_FILE, path)
        try:
            raw = readFile(path, int(offset), int(length))
        except ValueError as error:
            raise RPCError(getattr(Faults, error.args[0], Faults.FAILED)) from None
        return _printable(raw)

    def _tail_log(self, path: str, offset: int, length: int) -> list[Any]:
        self._update("tailProcessLog")
        if not os.path.exists(path):
            return ["", 0, False]
        text, end, overflow = tailFile(path, int(offset), int(length))
        return [_printable(text), end, overflow]

    def explain_tail_f(self, request: Any) -> bool:
        """Answers `tail -f` of one of our rows by saying where the log is; False if not ours."""
        path = unquote(request.split_uri()[0]).removeprefix("/logtail/")
        name, _, channel = path.partition("/")
        row = self._parent.rows().get(name) if self._is_ours(name) else None
        if row is None:
            return False
        log = row.error_log if channel == "stderr" else newest(row.log)
        text = f"tail -f is not served for {name}; run: tail -F {log}\n".encode()
        request["Content-Type"] = "text/plain;charset=utf-8"
        request["Content-Length"] = len(text)
        request.push(text)
        request.done()
        return True

    # What they share.

    def _is_ours(self, name: str) -> bool:
        group = split_namespec(name)[0]
        if group in self.supervisord.process_groups:
            return False
        return group in GROUPS or any(n.startswith(f"{group}:") for n in self._parent.rows())

    def _row(self, name: str) -> Row:
        row = self._parent.rows().get(name)
        if row is None:
            raise RPCError(Faults.BAD_NAME, name)
        return row

    def _group(self, name: str, request: dict[str, Any], fault: int) -> Any:
        if not any(row.startswith(f"{name}:") for row in self._parent.rows()):
            return []

        def results(reply: dict[str, Any]) -> list[dict[str, Any]]:
            told = [result for result in reply["results"] if result["code"] != "already"]
            return [_group_result(result, fault) for result in told]

        return self._deferred(request, results, fault)

    def _deferred(
        self,
        request: dict[str, Any],
        answer: Callable[[dict[str, Any]], Any],
        fault: int,
        fault_when_down: int | None = None,
    ) -> Callable[[], Any]:
        """A function that supervisord calls again and again until it has the answer."""
        call = self._parent.send(request)
        if call is None:
            raise RPCError(fault_when_down or fault, "mmd is down")

        def poll() -> Any:
            reply = call.collect()
            if reply is None:
                return NOT_DONE_YET
            if not reply.get("results"):
                raise RPCError(fault, _printable(str(reply.get("text"))))
            return answer(reply)

        poll.delay = _POLL_S  # type: ignore[attr-defined]
        poll.rpcinterface = self  # type: ignore[attr-defined]
        return poll


def _take_over_tail_f(interface: MmdInterface) -> None:
    """`tail -f` goes past the interface to a handler of its own, which knows no rows of ours."""

    def handle_request(handler: Any, request: Any) -> None:
        if not interface.explain_tail_f(request):
            _stock_logtail(handler, request)

    logtail_handler.handle_request = handle_request


def newest(pattern: str) -> str:
    """The log of the latest day that a pattern with `*` for the day fits."""
    found: list[str] = glob.glob(pattern) if "*" in pattern else []
    return max(found, default=pattern)


def _run_folder(options: Any) -> Path:
    """`var/run`: where supervisord's own socket lies."""
    for config in options.server_configs:
        if config["family"] == socket.AF_UNIX:
            return Path(config["file"]).absolute().parent
    return Path(options.here).parent / "var" / "run"


def _request(do: str, name: str, wait_s: float) -> dict[str, Any]:
    return {"do": do, "names": [name], "wait_s": wait_s}


def _one(name: str, faults: dict[str, int]) -> Callable[[dict[str, Any]], bool]:
    """Turns the result for one child into True or a fault."""

    def answer(reply: dict[str, Any]) -> bool:
        result = reply["results"][0]
        if result["code"] in faults:
            raise RPCError(faults[result["code"]], f"{name}: {_printable(result['text'])}")
        return True

    return answer


def _group_result(result: dict[str, Any], fault: int) -> dict[str, Any]:
    group, _, member = result["name"].partition(":")
    return {
        "group": group,
        "name": member,
        "status": Faults.SUCCESS if result["ok"] else fault,
        "description": "OK" if result["ok"] else _printable(result["text"]),
    }


def _info(row: Row, now: float) -> dict[str, Any]:
    """A row in supervisord's words."""
    group, _, member = row.name.partition(":")
    state = _STATES.get(row.state, ProcessStates.UNKNOWN)
    log = newest(row.log)
    return {
        "name": member,
        "group": group,
        "start": int(row.since) if row.pid else 0,
        "stop": 0 if row.pid else int(row.since),
        "now": int(now),
        "state": state,
        "statename": getProcessStateDescription(state),
        "spawnerr": _printable(row.health) if row.state in ("parked", "backing_off") else "",
        "exitstatus": 0,
        "logfile": log,
        "stdout_logfile": log,
        "stderr_logfile": row.error_log,
        "pid": row.pid,
        "description": _printable(_description(row, now)),
    }


def _description(row: Row, now: float) -> str:
    parts = [row.health]
    if row.pid:
        uptime = datetime.timedelta(seconds=max(0, int(now - row.since)))
        parts = [f"pid {row.pid}, uptime {uptime}", row.health]
    return ", ".join(part for part in parts if part)


def _is_group(name: str) -> bool:
    return split_namespec(name)[1] is None


def _signal_number(text: str) -> int:
    try:
        return int(signal_number(text))
    except ValueError:
        raise RPCError(Faults.BAD_SIGNAL, text) from None


def _printable(text: str | bytes) -> str:
    """Without the control characters that no XML may hold."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _as_dict(info: Any) -> dict[str, Any]:
    return dict(info)
