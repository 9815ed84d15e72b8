"""python-binance's multiplex socket, with a queue that can't run over: its own of 100 would end
the stream in the first burst."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from binance import AsyncClient, BinanceSocketManager

from bench.memory import Memory, taker


async def main() -> None:
    url, path, symbol = sys.argv[1:4]
    take = taker(Memory(Path(path)))
    client = AsyncClient()
    manager = BinanceSocketManager(client, max_queue_size=1 << 30)
    manager.STREAM_URL = f"{url}/"
    async with manager.multiplex_socket([f"{symbol}@bookTicker", f"{symbol}@trade"]) as stream:
        while True:
            message = await stream.recv()
            take(message["data"])


if __name__ == "__main__":
    asyncio.run(main())
