"""picows with orjson, on uvloop."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import uvloop
from picows import WSListener, ws_connect

from bench.memory import Memory, taker


class Listener(WSListener):
    def __init__(self, take):
        self.take = take

    def on_ws_frame(self, transport, frame):
        self.take(orjson.loads(frame.get_payload_as_bytes())["data"])


async def main() -> None:
    url, path, symbol = sys.argv[1:4]
    take = taker(Memory(Path(path)))
    address = f"{url}/stream?streams={symbol}@bookTicker/{symbol}@trade"
    transport, _ = await ws_connect(lambda: Listener(take), address)
    await transport.wait_disconnected()


if __name__ == "__main__":
    uvloop.run(main())
