"""The sending side: a WebSocket server for one client, on plain sockets, so that the sender never
is what is measured."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
from types import TracebackType
from typing import Self

from bench.market import frame

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT_S = 60.0
_RECORD_BYTES = 16 << 10


class Sender:
    """Listens on a port of its own; `accept` waits for a client and lets it subscribe."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_ACCEPT_S)
        self._socket: socket.socket | None = None
        scheme, host = ("wss", "localhost") if tls else ("ws", "127.0.0.1")
        self.url = f"{scheme}://{host}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()
        self._listener.close()

    def accept(self) -> None:
        """Waits for a client that has subscribed to two streams, by address or by command."""
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_ACCEPT_S)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        self._socket = connection
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._receive(connection)
        lines = head.split(b"\r\n")
        rows = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
        key = {name.lower(): value for name, value in rows.items()}[b"sec-websocket-key"]
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        missing = 2 - lines[0].count(b"@")
        while missing > 0:
            command = json.loads(_payload(connection))
            missing -= len(command["params"])
            connection.sendall(frame(json.dumps({"result": None, "id": command["id"]}).encode()))

    def send(self, data: bytes) -> None:
        """Sends all, as fast as the client takes it."""
        assert self._socket is not None
        if self._tls is None:
            self._socket.sendall(data)
            return
        for start in range(0, len(data), _RECORD_BYTES):
            self._socket.sendall(data[start : start + _RECORD_BYTES])

    @staticmethod
    def _receive(connection: socket.socket) -> bytes:
        data = connection.recv(4096)
        if not data:
            raise ConnectionError("the client hung up in the handshake")
        return data


def _payload(connection: socket.socket) -> bytes:
    """The text of the client's next data frame."""
    while True:
        first, size = _exactly(connection, 2)
        size &= 0x7F
        if size == 126:
            size = int.from_bytes(_exactly(connection, 2), "big")
        mask = _exactly(connection, 4)
        payload = _exactly(connection, size)
        if first & 0x0F in (1, 2):
            return bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the client hung up")
        data += part
    return data
