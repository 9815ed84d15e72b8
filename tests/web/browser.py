"""A real headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
_PATIENCE_S = 20.0


class Page:
    """One tab."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=_PATIENCE_S)
        self._number = 0
        self.faults: list[str] = []
        """Errors that the page's scripts raised, and what its policy blocked."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._socket.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command and returns its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.faults.append(json.dumps(message["params"]["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded":
            entry = message["params"]["entry"]
            if entry["level"] == "error":
                self.faults.append(f"{entry['text']} {entry.get('url', '')}")

    def open(self, url: str, width: int = 1440, height: int = 900, scale: float = 1) -> None:
        self.size(width, height, scale)
        self.call("Page.navigate", url=url)

    def size(self, width: int, height: int, scale: float = 1) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def dark(self, is_dark: bool) -> None:
        value = "dark" if is_dark else "light"
        feature = {"name": "prefers-color-scheme", "value": value}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def ask(self, script: str) -> Any:
        """The value of an expression."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, script: str, patience_s: float = _PATIENCE_S) -> None:
        """Returns once the expression holds; fails when it never does."""
        until_s = time.monotonic() + patience_s
        while not self.ask(f"Boolean({script})"):
            assert time.monotonic() < until_s, f"never: {script}; faults: {self.faults}"
            time.sleep(0.05)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A screenshot; `whole`: of the page's full length."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def browser() -> Iterator[Page]:
    """A browser with one tab and a profile of its own. It is no child of ours, so that it may
    outlive a test; it ends with the last one."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(prefix="mmd-chromium-", ignore_cleanup_errors=True) as folder:
        subprocess.run(
            ["setsid", "--fork", CHROMIUM, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        page = Page(_tab(Path(folder) / "DevToolsActivePort"))
        try:
            yield page
            page.call("Browser.close")
        finally:
            page.close()
            _end(folder)


def _end(folder: str) -> None:
    """Waits until all processes of that profile are gone; ends them when they stay."""
    mine = [p for p in psutil.process_iter() if folder in _command_line(p)]
    _, alive = psutil.wait_procs(mine, timeout=10)
    for process in alive:
        process.kill()


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _tab(port_file: Path) -> str:
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        assert time.monotonic() < until_s, "Chromium does not come up"
        try:
            port = port_file.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                tabs = json.load(answer)
        except (OSError, IndexError, ValueError):
            time.sleep(0.05)
            continue
        for tab in tabs:
            if tab["type"] == "page":
                url: str = tab["webSocketDebuggerUrl"]
                return url
        time.sleep(0.05)
