"""websocket-client's own receive loop, with orjson and without its UTF-8 check."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import orjson
import websocket

from bench.memory import Memory, taker


def main() -> None:
    url, path, symbol = sys.argv[1:4]
    take = taker(Memory(Path(path)))
    connection = websocket.create_connection(
        f"{url}/stream?streams={symbol}@bookTicker/{symbol}@trade",
        skip_utf8_validation=True,
        http_proxy_host="unused",
        http_no_proxy=[os.environ.get("BENCH_HOST", "127.0.0.1")],
    )
    while True:
        _, frame = connection.recv_data_frame(True)
        if frame.opcode == websocket.ABNF.OPCODE_CLOSE:
            return
        take(orjson.loads(frame.data)["data"])


if __name__ == "__main__":
    main()
