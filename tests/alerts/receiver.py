"""A service that takes alerts, on loopback; it can be told to refuse."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What has arrived."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self.answers = threading.Event()
        """Cleared: requests get no answer until it is set."""
        self.answers.set()
        self.attempts = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.attempts += 1
                outer.answers.wait()
                if outer.status == 200:
                    outer.bodies.append(json.loads(body))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stays silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """All alerts of all messages that came to the webhook."""
        return [alert for body in self.bodies for alert in body.get("alerts", [])]

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    found.start()
    try:
        yield found
    finally:
        found.close()


def wait_until(holds: Callable[[], bool], patience_s: float = 8.0) -> None:
    """Returns once it holds; fails when it never does."""
    until_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until_s, "what was waited for never came"
        time.sleep(0.01)
