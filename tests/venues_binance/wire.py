"""A WebSocket server on loopback that the test drives itself, frame by frame, and a REST twin."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PATIENCE_S = 10.0


def frame(payload: bytes, opcode: int = 1, final: bool = True, extra_bits: int = 0) -> bytes:
    """A server's frame, in the shortest of the three length forms."""
    first = bytes(((0x80 if final else 0) | extra_bits | opcode,))
    size = len(payload)
    if size < 126:
        return first + bytes((size,)) + payload
    if size < 1 << 16:
        return first + b"\x7e" + struct.pack(">H", size) + payload
    return first + b"\x7f" + struct.pack(">Q", size) + payload


def packed(message: object) -> bytes:
    """JSON as Binance writes it: without blanks."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def ticker(
    update_id: int,
    bid: str = "100.00000000",
    ask: str = "101.00000000",
    bid_qty: str = "1.00000000",
    ask_qty: str = "2.00000000",
    symbol: str = "BTCUSDT",
) -> bytes:
    data = {"u": update_id, "s": symbol, "b": bid, "B": bid_qty, "a": ask, "A": ask_qty}
    return packed({"stream": f"{symbol.lower()}@bookTicker", "data": data})


def trade(
    trade_id: int,
    qty: str = "0.10000000",
    price: str = "100.50000000",
    time_ms: int = 1_700_000_000_000,
    symbol: str = "BTCUSDT",
) -> bytes:
    data = {
        "e": "trade",
        "E": time_ms,
        "s": symbol,
        "t": trade_id,
        "p": price,
        "q": qty,
        "T": time_ms,
        "m": True,
        "M": True,
    }
    return packed({"stream": f"{symbol.lower()}@trade", "data": data})


def agg_trade(
    agg_id: int, first: int, last: int, qty: str = "0.10000000", time_ms: int = 1_700_000_000_000
) -> bytes:
    data = {
        "e": "aggTrade",
        "E": time_ms,
        "s": "BTCUSDT",
        "a": agg_id,
        "p": "100.50000000",
        "q": qty,
        "f": first,
        "l": last,
        "T": time_ms,
        "m": True,
        "M": True,
    }
    return packed({"stream": "btcusdt@aggTrade", "data": data})


def depth(update_id: int, bids: list[list[str]], asks: list[list[str]], levels: int = 5) -> bytes:
    data = {"lastUpdateId": update_id, "bids": bids, "asks": asks}
    return packed({"stream": f"btcusdt@depth{levels}@100ms", "data": data})


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, target: str) -> None:
        self.socket = connection
        self.target = target
        """What was asked for: path and query."""

    def send(self, *payloads: bytes) -> None:
        """Text messages, joined in one write."""
        self.socket.sendall(b"".join(frame(payload) for payload in payloads))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ping(self, payload: bytes = b"") -> None:
        self.socket.sendall(frame(payload, opcode=9))

    def close_frame(self, code: int, reason: str = "") -> None:
        self.socket.sendall(frame(code.to_bytes(2, "big") + reason.encode(), opcode=8))

    def read_frame(self) -> tuple[int, bytes]:
        """One frame from the client, unmasked. Raises AssertionError if it was not masked,
        ConnectionError at the end of the connection."""
        first, second = self._read(2)
        assert first & 0x80, "clients never fragment here"
        assert second & 0x80, "a client must mask"
        size = second & 0x7F
        assert size < 126
        mask = self._read(4)
        return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(self._read(size)))

    def read_until(self, opcode: int) -> bytes:
        """The payload of the client's next frame of that kind."""
        while True:
            got, payload = self.read_frame()
            if got == opcode:
                return payload

    def answer_pings(self, stop: threading.Event) -> None:
        """Answers pings until told to stop, or the client leaves: for a thread."""
        self.socket.settimeout(0.05)
        while not stop.is_set():
            try:
                opcode, payload = self.read_frame()
            except TimeoutError:
                continue
            except OSError:
                return
            if opcode == 9:
                self.socket.sendall(frame(payload, opcode=10))

    def reset(self) -> None:
        """Ends the connection by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise ConnectionError("the client hung up")
            data += chunk
        return data


class StreamServer:
    """Listens; the test accepts and answers each connection itself."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self._peers: list[Peer] = []
        scheme = "wss" if tls else "ws"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self, beyond: bytes = b"") -> Peer:
        """Shakes hands with the next client. `beyond` follows in the same write."""
        connection, head = self._greet()
        key = next(
            line.split(b":", 1)[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + GUID.encode()).digest()).decode()
        reply = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        connection.sendall(reply.encode() + beyond)
        peer = Peer(connection, head.split(b" ")[1].decode())
        self._peers.append(peer)
        return peer

    def refuse(self, status: int, headers: str = "") -> None:
        """Answers the next client with that HTTP status."""
        connection, _ = self._greet()
        reply = f"HTTP/1.1 {status} No\r\n{headers}Content-Length: 2\r\n\r\nno"
        connection.sendall(reply.encode())
        connection.close()

    def is_waited_for(self, timeout_s: float) -> bool:
        """Whether a client comes within that time; it is hung up on."""
        self._listener.settimeout(timeout_s)
        try:
            connection, _ = self._listener.accept()
        except TimeoutError:
            return False
        finally:
            self._listener.settimeout(PATIENCE_S)
        connection.close()
        return True

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        self._listener.close()

    def __enter__(self) -> StreamServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _greet(self) -> tuple[socket.socket, bytes]:
        connection, _ = self._listener.accept()
        connection.settimeout(PATIENCE_S)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(4096)
        return connection, head


@dataclass
class RestServer:
    """Answers REST questions with what the test puts in `replies`, by path; 404 for others."""

    replies: dict[str, Any] = field(default_factory=dict)
    """Path after /api/v3/ → object for JSON, bytes as they are, or (status, headers, bytes)."""
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        rest = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                path = url.path.removeprefix("/api/v3/")
                rest.asked.append((path, parse_qs(url.query)))
                reply = rest.replies.get(path, (404, {}, b'{"code":-1,"msg":"no such path"}'))
                if not isinstance(reply, tuple):
                    reply = (200, {}, reply)
                status, headers, body = reply
                body = body if isinstance(body, bytes) else packed(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if self.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def set_depth(
        self,
        update_id: int,
        bid: tuple[str, str] = ("90.00000000", "5.00000000"),
        ask: tuple[str, str] = ("91.00000000", "6.00000000"),
    ) -> None:
        """What a depth question is answered with."""
        self.replies["depth"] = {
            "lastUpdateId": update_id,
            "bids": [list(bid)],
            "asks": [list(ask)],
        }

    def set_ticker(self, bid: str, bid_qty: str, ask: str, ask_qty: str) -> None:
        """What a bookTicker question is answered with."""
        self.replies["ticker/bookTicker"] = {
            "symbol": "BTCUSDT",
            "bidPrice": bid,
            "bidQty": bid_qty,
            "askPrice": ask,
            "askQty": ask_qty,
        }

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.asked)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> RestServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
