"""The parent as seen from inside supervisord: its lock, its status block, its control socket.

Like the plugin: nothing blocks, and nothing but the standard library and supervisor is imported.
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from supervisor.medusa import asyncore_25 as asyncore

from mmd.supervision.lock import holder
from mmd.supervision.status_block import Block, Row, read

_MAX_BYTES = 128 << 10
_MARGIN_S = 2.0
"""How much longer than the parent's own deadline an answer is waited for."""
_COLLECT_S = 0.2
"""An answer that nobody collects within this time is thrown away."""


class ParentLink:
    """What the plugin knows of the parent."""

    def __init__(self, run_folder: Path) -> None:
        self._run = run_folder

    def rows(self) -> dict[str, Row]:
        """What the parent last showed, corrected by whether it lives and says so itself."""
        block = read(self._run / "status")
        if block is None:
            return {}
        trouble = self._trouble(block)
        return {row.name: _doubted(row, *trouble) if trouble else row for row in block.rows}

    def send(self, request: dict[str, Any]) -> Call | None:
        """Sends a request; None when nobody takes it."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        try:
            connection.connect(str(self._run / "control.sock"))
            connection.send(json.dumps(request).encode())
        except OSError:
            connection.close()
            return None
        return Call(connection, time.monotonic() + request["wait_s"] + _MARGIN_S)

    def _trouble(self, block: Block) -> tuple[str, str] | None:
        pid = holder(self._run / "parent.lock")
        if pid is None:
            return "stopped", "mmd is down"
        if pid != block.parent_pid:
            return "stopped", "mmd is starting"
        return None if block.is_fresh else ("unknown", "parent silent")


class Call(asyncore.dispatcher):  # type: ignore[misc]
    """A request under way, watched by supervisord's own loop.

    That loop turns once a second unless a descriptor is ready, and answers a deferred call only
    while it turns. So once the answer is there, this keeps the loop turning (by being writable)
    until the answer is collected, or for a fifth of a second.
    """

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        super().__init__(connection)
        self._connection: socket.socket | None = connection
        self._deadline = deadline
        self._reply: dict[str, Any] | None = None
        self._collect_by = deadline + _MARGIN_S

    def collect(self) -> dict[str, Any] | None:
        """The reply; None while there is none. One without results tells of a failure."""
        if self._reply is None and time.monotonic() < self._deadline:
            return None
        self._end()
        return self._reply or {"text": "the parent does not answer"}

    def readable(self) -> bool:
        if time.monotonic() > self._collect_by:
            self._end()
        return self._reply is None and self._connection is not None

    def writable(self) -> bool:
        return self._reply is not None and self._connection is not None

    def handle_read(self) -> None:
        if self._connection is None:
            return
        try:
            packet = self._connection.recv(_MAX_BYTES)
            reply = json.loads(packet) if packet else {"text": "mmd has ended"}
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            reply = {"text": str(error)}
        self._reply = reply if isinstance(reply, dict) else {"text": "a reply without sense"}
        self._collect_by = time.monotonic() + _COLLECT_S

    def handle_write(self) -> None:
        """The loop has turned; that is all that was wanted."""

    def handle_expt(self) -> None:
        """Nothing of the kind is ever sent."""

    def handle_error(self) -> None:
        self._reply = {"text": "the connection to the parent broke"}
        self._end()

    def _end(self) -> None:
        if self._connection is not None:
            self.del_channel()
            self._connection.close()
            self._connection = None


def _doubted(row: Row, state: str, why: str) -> Row:
    """A row that nobody vouches for now."""
    pid = row.pid if state == "unknown" else 0
    return row._replace(pid=pid, state=state, health=why)
