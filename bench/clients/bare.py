"""The floor: recv into a big buffer, cut the frames, and decode all of them, or none.

    python -m bench.clients.bare URL MEMORY SYMBOL [cut]

With `cut` nothing is decoded: the record's update id then counts messages.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import orjson
import websocket

from bench.memory import RECORD, RECORD_AT, Memory, taker

_BUFFER_BYTES = 1 << 20
_EXTENDED = 126
_length = struct.Struct(">H").unpack_from


def main() -> None:
    url, path, symbol, *options = sys.argv[1:]
    memory = Memory(Path(path))
    connection = websocket.create_connection(
        f"{url}/stream?streams={symbol}@bookTicker/{symbol}@trade",
        sockopt=[(1, 8, 512 << 10)],  # SOL_SOCKET, SO_RCVBUF: as much as mmd's feed has
        http_proxy_host="unused",
        http_no_proxy=[os.environ.get("BENCH_HOST", "127.0.0.1")],
    )
    receive = connection.sock.recv_into
    take, count = taker(memory), 0
    is_cut_only = "cut" in options
    loads = orjson.loads
    buffer = bytearray(_BUFFER_BYTES)
    view = memoryview(buffer)
    end = 0
    while True:
        got = receive(view[end:])
        if not got:
            return
        end += got
        data, position = bytes(view[:end]), 0
        while end - position >= 4:
            size = data[position + 1]
            start = position + 2
            if size == _EXTENDED:
                (size,) = _length(data, start)
                start += 2
            stop = start + size
            if stop > end:
                break
            if is_cut_only:
                count += 1
            else:
                take(loads(data[start:stop])["data"])
            position = stop
        if is_cut_only:
            RECORD.pack_into(memory.buffer, RECORD_AT, 1, 0, 0, 0, 0, count, *[0] * 10)
        rest = end - position
        buffer[:rest] = data[position:]
        end = rest


if __name__ == "__main__":
    main()
