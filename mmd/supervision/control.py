"""The control socket: how people and the supervisorctl plugin command the parent.

One request and one reply, each a JSON object in one packet of a SEQPACKET socket
to which only its owner may connect. A reply may come later than the request, when
what was asked for has come about.

    {"do": "stop", "names": ["pairs:btc_twd"], "wait_s": 10}
    {"ok": true, "text": "", "results": [{"name": …, "ok": true, "code": "done", "text": …}]}
"""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmd.words.errors import Unavailable

Message = dict[str, Any]
MAX_BYTES = 128 << 10
_BACKLOG = 64
_MOST_CALLERS = 200
"""More at once are sent away: the parent needs descriptors for its children."""


class Reply:
    """Where the answer to one request goes; sent once, whenever it is known."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def send(self, message: Message) -> None:
        self._send(json.dumps(message).encode())

    def refuse(self, text: str, code: str = "failed") -> None:
        self.send({"ok": False, "code": code, "text": text, "results": []})


Handler = Callable[[Message, Reply], None]


class ControlServer:
    """The parent's end. Never blocks."""

    def __init__(self, selector: selectors.BaseSelector, path: Path, handle: Handler) -> None:
        """Must be made under the parent's lock: an existing socket is a dead parent's."""
        self._selector = selector
        self._path = path
        self._handle = handle
        self._connections: set[socket.socket] = set()
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        before = os.umask(0o077)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(0o700)
        self._listener.listen(_BACKLOG)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        if len(self._connections) >= _MOST_CALLERS:
            connection.close()
            return
        connection.setblocking(False)
        self._connections.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._receive(connection))

    def _receive(self, connection: socket.socket) -> None:
        if connection not in self._connections:
            return  # dropped since the selector looked
        try:
            packet = connection.recv(MAX_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            packet = b""
        if not packet:
            self._drop(connection)
            return
        reply = Reply(lambda answer: self._send(connection, answer))
        try:
            request = json.loads(packet)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            reply.refuse("a request is a JSON object")
            return
        self._handle(request, reply)

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        if connection not in self._connections:
            return  # whoever asked has gone
        try:
            connection.send(answer)
        except (BlockingIOError, ConnectionError):
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection)
        connection.close()


def ask(path: Path, request: Message, timeout_s: float = 15.0) -> Message:
    """Sends a request to the parent and returns its reply.

    Raises Unavailable when no parent runs or none answers in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.send(json.dumps(request).encode())
            answer = connection.recv(MAX_BYTES)
        except TimeoutError:
            raise Unavailable(f"mmd has not answered within {timeout_s:g} s") from None
        except (FileNotFoundError, ConnectionError, BlockingIOError):
            raise Unavailable("mmd is not running") from None
    if not answer:
        raise Unavailable("mmd has ended without an answer")
    reply = json.loads(answer)
    assert isinstance(reply, dict)
    return reply


def command(
    path: Path, do: str, names: Sequence[str] = (), *, wait_s: float = 10.0, **more: Any
) -> Message:
    """`ask` for what concerns children: start, stop, restart, pause, resume, signal, status."""
    request = {"do": do, "names": list(names), "wait_s": wait_s, **more}
    return ask(path, request, timeout_s=wait_s + 2)
