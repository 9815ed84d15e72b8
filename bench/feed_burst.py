"""CPU per message of the feed process in bursts, beside websocket-client's own receive loop.

    python bench/feed_burst.py [FOLDER] [burst size] [pause in ms]

Replays the recorded bookTickers and trades (FOLDER, else $MMD_DATA, else ../shared/data) from a
process of its own, in bursts over loopback. What is measured is the reader's CPU time alone,
user and system, cell writes and bell included.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import multiprocessing
import os
import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

import websocket

from mmd.cells.layouts import BOOK, HEALTH, PARENT, ParentState
from mmd.cells.segment import Segment
from mmd.cells.wake import Bell
from mmd.processes.context import ChildContext, Heart, ParentLink, Stop
from mmd.processes.feed import FeedJob, run

ROOT = Path(__file__).parent.parent
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def load(folder: Path, symbol: str) -> list[bytes]:
    """The recorded messages as frames."""
    frames = []
    with gzip.open(folder / f"{symbol}_20240808.gz") as lines:
        for line in lines:
            payload = line.split(b" ", 1)[1].rstrip()
            if b"@bookTicker" in payload or b"@trade" in payload:
                head = b"\x81\x7e" + struct.pack(">H", len(payload))
                frames.append(
                    (head if len(payload) > 125 else bytes((0x81, len(payload)))) + payload
                )
    return frames


def serve(listener: socket.socket, frames: list[bytes], burst: int, pause_s: float) -> None:
    """Answers one client's handshake, then sends everything in bursts."""
    connection, _ = listener.accept()
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(4096)
    key = next(row[18:].strip() for row in head.split(b"\r\n") if b"WebSocket-Key" in row)
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    first = next(index for index, frame in enumerate(frames) if b"@bookTicker" in frame)
    connection.sendall(b"".join(frames[: first + 1]))
    time.sleep(0.6)  # the reader is to be at rest when the clock starts
    for start in range(first + 1, len(frames), burst):
        connection.sendall(b"".join(frames[start : start + burst]))
        time.sleep(pause_s)
    connection.recv(4096)


def measure_feed(url: str, symbol: str, count: int) -> float:
    """CPU seconds that the feed takes for `count` messages."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        segment = Segment.create(home)
        parent_cell = segment.add(PARENT, "parent")
        parent_cell.write(ParentState(os.getpid(), time.monotonic_ns() + 10**12))
        health = segment.add(HEALTH, "feed")
        book = segment.add(BOOK, symbol)
        stop, bell = Stop(), Bell()
        parent = ParentLink(parent_cell, os.getpid(), os.eventfd(0), 2.0)
        context = ChildContext("feed", Heart(health), stop, parent, home)
        job = FeedJob(
            symbol.upper(), url, "http://127.0.0.1:1", "trade", 0, book, None, bell, 10**9
        )
        began = 0.0

        def watch() -> None:
            nonlocal began
            while not health.read().connected:
                time.sleep(0.002)
            time.sleep(0.3)
            began = time.process_time()
            while health.read().messages < count:
                time.sleep(0.05)
            stop.request()

        watcher = threading.Thread(target=watch)
        watcher.start()
        run(job, context)
        watcher.join()
        spent = time.process_time() - began
        print(f"  {book.counter} cell writes, {health.read().errors} errors")
        segment.remove(home)
        return spent


def measure_library(url: str, symbol: str, count: int) -> float:
    """CPU seconds that websocket-client's loop with json takes for the same."""
    address = f"{url}/stream?streams={symbol}@bookTicker/{symbol}@trade"
    connection = websocket.create_connection(
        address, skip_utf8_validation=True, http_proxy_host="unused", http_no_proxy=["127.0.0.1"]
    )
    began = time.process_time()
    for _ in range(count):
        _, frame = connection.recv_data_frame(True)
        json.loads(frame.data)
    spent = time.process_time() - began
    connection.shutdown()
    return spent


def main() -> None:
    arguments = dict(enumerate(sys.argv))
    default = os.environ.get("MMD_DATA", str(ROOT.parent / "shared" / "data"))
    folder = Path(arguments.get(1, default))
    burst, pause_s = int(arguments.get(2, "600")), float(arguments.get(3, "5")) / 1000
    for symbol in ("btcusdt", "ethusdt"):
        frames = load(folder, symbol)
        for name, measure in (("mmd feed", measure_feed), ("websocket-client", measure_library)):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                arguments_ = (listener, frames, burst, pause_s)
                server = multiprocessing.get_context("fork").Process(target=serve, args=arguments_)
                server.start()
                url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
                spent = measure(url, symbol, len(frames))
                server.terminate()
                server.join()
            print(f"{symbol} {name}: {spent / len(frames) * 1e6:.2f} µs per message")


if __name__ == "__main__":
    main()
