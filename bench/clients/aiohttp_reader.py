"""aiohttp with orjson, on uvloop."""

from __future__ import annotations

import sys
from pathlib import Path

import aiohttp
import orjson
import uvloop

from bench.memory import Memory, taker


async def main() -> None:
    url, path, symbol = sys.argv[1:4]
    take = taker(Memory(Path(path)))
    address = f"{url}/stream?streams={symbol}@bookTicker/{symbol}@trade"
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as connection:
        async for message in connection:
            take(orjson.loads(message.data)["data"])


if __name__ == "__main__":
    uvloop.run(main())
