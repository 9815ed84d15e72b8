"""What is recorded is what was sent, and it can be played again."""

from __future__ import annotations

import gzip
import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmd.faces.record import Recorded, record
from mmd.processes.context import Stop
from mmd.words.errors import ConfigError
from tests.feed.running import QUICK, wait_for
from tests.sim_binance.support import venue
from tests.venues_binance.wire import RestServer, StreamServer, packed, ticker, trade


@contextmanager
def recording(stream_url: str, rest_url: str, file: Path) -> Iterator[list[Recorded]]:
    """Records in a thread as long as the block; afterwards the list holds what came of it."""
    stop, results = Stop(), []

    def work() -> None:
        results.append(record(stream_url, rest_url, ["BTCUSDT"], file, stop, timing=QUICK.link))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield results
    finally:
        stop.request()
        thread.join()


def lines(file: Path) -> list[tuple[int, bytes]]:
    with gzip.open(file) as content:
        rows = [line.rstrip(b"\n").split(b" ", 1) for line in content]
    return [(int(stamp), payload) for stamp, payload in rows]


def test_every_message_is_kept_word_for_word_with_its_time(tmp_path: Path) -> None:
    file = tmp_path / "r.gz"
    sent = [ticker(11), trade(1), packed({"stream": "x", "data": {"币": 1}}), ticker(12)]
    with StreamServer() as server, RestServer() as rest:
        rest.set_depth(10)
        began = time.time_ns()
        with recording(server.url, rest.url, file) as results:
            peer = server.accept()
            assert peer.target.endswith(
                "?streams=btcusdt@bookTicker/btcusdt@trade/btcusdt@depth@100ms"
            )
            peer.send(*sent)
            peer.reset()
            peer = server.accept()
            peer.send(trade(2))
            wait_for(lambda: rest.count("depth") == 2)
            time.sleep(0.2)
            peer.send(trade(3))
            time.sleep(0.1)
    kept = lines(file)
    snapshots = [payload for _, payload in kept if b'"stream"' not in payload]
    assert snapshots == [packed(rest.replies["depth"])] * 2
    assert [payload for _, payload in kept if b'"stream"' in payload] == [
        *sent,
        trade(2),
        trade(3),
    ]
    assert all(began <= stamp <= time.time_ns() for stamp, _ in kept)
    assert (results[0].messages, results[0].connections, results[0].errors) == (6, 2, 1)


def test_a_recording_of_a_recording_plays_alike(tmp_path: Path, recordings: Path) -> None:
    source = tmp_path / "short.gz"
    with gzip.open(recordings / "btcusdt_20240808.gz") as content, gzip.open(source, "wb") as short:
        short.writelines(line for _, line in zip(range(3000), content, strict=False))
    copy = tmp_path / "copy.gz"
    with (
        venue(replay=[source], once=True, speed=math.inf) as played,
        recording(played.sim.stream_url, played.sim.rest_url, copy),
    ):
        wait_for(lambda: played.sim.timeline.state == "idle")
        time.sleep(0.3)
    streams = [json.loads(payload).get("stream") for _, payload in lines(source)]
    originals = [p for (_, p), stream in zip(lines(source), streams, strict=True) if stream]
    assert [payload for _, payload in lines(copy) if b'"stream"' in payload] == originals
    with venue(replay=[copy], once=True, speed=math.inf) as again:
        assert again.sim.market.top("BTCUSDT") is not None


def test_a_snapshot_that_failed_is_asked_for_again(tmp_path: Path) -> None:
    file = tmp_path / "r.gz"
    with StreamServer() as server, RestServer() as rest, recording(server.url, rest.url, file):
        server.accept()
        wait_for(lambda: rest.count("depth") >= 2)
        rest.set_depth(10)
        count = rest.count("depth")
        wait_for(lambda: rest.count("depth") > count)
        time.sleep(0.2)
    assert packed(rest.replies["depth"]) in [payload for _, payload in lines(file)]


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "r.gz"
    file.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="File exists"):
        record("ws://127.0.0.1:1", "http://127.0.0.1:1", ["BTCUSDT"], file, Stop())
    assert file.read_bytes() == b"precious"
