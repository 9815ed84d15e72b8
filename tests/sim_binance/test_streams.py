"""The venue on the wire, as websocket-client sees it."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop
import websocket

from mmd.sim.binance import BinanceSimOptions, Limits
from mmd.sim.binance.server import BinanceSim
from mmd.sim.tls import LoopbackCertificate
from tests.sim_binance.support import (
    ask,
    diff,
    eventually,
    reply_in,
    ticker,
    trade,
    venue,
    write_recording,
)

STREAMS = "btcusdt@bookTicker/btcusdt@trade/btcusdt@depth@100ms"


def small(path: Path, step_ms: int = 1) -> list[str]:
    return write_recording(
        path,
        ticker(1, "99.00000000", "100.00000000"),
        trade(1, "100.00000000"),
        ticker(5, "3.00000000", "4.00000000", "ETHUSDT"),
        diff(1, 2, [["98.00000000", "1"]], []),
        json.dumps(ticker(3, "99.50000000", "100.00000000")),
        step_ms=step_ms,
    )


@pytest.mark.parametrize("speed", [math.inf, 1.0], ids=["max", "recorded pace"])
def test_combined_payloads_are_the_recorded_bytes(tmp_path: Path, speed: float) -> None:
    texts = small(tmp_path / "r")
    with venue(replay=[tmp_path / "r"], once=True, speed=speed) as found:
        socket = found.open(f"/stream?streams={STREAMS}/ethusdt@bookTicker")
        assert [socket.recv() for _ in texts] == texts


def test_raw_payloads_are_the_recorded_data_and_only_what_was_asked_for(tmp_path: Path) -> None:
    texts = small(tmp_path / "r")
    with venue(replay=[tmp_path / "r"], once=True, speed=math.inf) as found:
        socket = found.open("/ws/btcusdt@bookTicker")
        assert socket.recv() in texts[0]
        assert socket.recv() in texts[4]


def test_the_timeline_waits_for_the_first_subscription(tmp_path: Path) -> None:
    texts = small(tmp_path / "r")
    with venue(replay=[tmp_path / "r"], once=True, speed=math.inf) as found:
        socket = found.open("/ws")
        assert found.state()["timeline"] == "waiting"
        assert ask(socket, "SUBSCRIBE", "btcusdt@trade") == {"result": None, "id": 1}
        assert socket.recv() in texts[1]


def test_all_connections_share_one_timeline() -> None:
    with venue(seed=3) as found:
        one = found.open("/ws/btcusdt@bookTicker")
        other = found.open("/stream")
        ask(other, "SUBSCRIBE", "btcusdt@bookTicker")
        theirs = json.loads(other.recv())["data"]
        while (mine := json.loads(one.recv()))["u"] < theirs["u"]:
            pass
        assert mine == theirs


def test_subscriptions_can_change_on_the_way() -> None:
    with venue(seed=3, speed=5) as found:
        socket = found.open("/stream?streams=btcusdt@bookTicker")
        ask(socket, "SUBSCRIBE", "ethusdt@bookTicker")
        ask(socket, "UNSUBSCRIBE", "btcusdt@bookTicker")
        assert ask(socket, "LIST_SUBSCRIPTIONS")["result"] == ["ethusdt@bookTicker"]
        assert {json.loads(socket.recv())["stream"] for _ in range(20)} == {"ethusdt@bookTicker"}


def test_set_property_changes_the_form() -> None:
    with venue(seed=3) as found:
        socket = found.open("/ws/btcusdt@bookTicker")
        assert ask(socket, "GET_PROPERTY", "combined")["result"] is False
        ask(socket, "SET_PROPERTY", "combined", True)
        assert json.loads(socket.recv())["stream"] == "btcusdt@bookTicker"


def test_a_wrong_command_is_answered_and_the_data_goes_on() -> None:
    with venue(seed=3) as found:
        socket = found.open("/ws/btcusdt@bookTicker")
        socket.send("{nonsense")
        assert reply_in(socket)["code"] == 3
        assert "u" in json.loads(socket.recv())


def test_once_ends_idle_but_connected(tmp_path: Path) -> None:
    texts = small(tmp_path / "r")
    with venue(replay=[tmp_path / "r"], once=True, speed=math.inf) as found:
        socket = found.open(f"/stream?streams={STREAMS}")
        for _ in range(len(texts) - 1):
            socket.recv()
        assert found.state()["timeline"] == "idle"
        socket.ping(b"still there?")
        opcode, frame = socket.recv_data_frame(control_frame=True)
        assert (opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"still there?")


def test_without_once_the_recording_goes_on_for_ever(tmp_path: Path) -> None:
    small(tmp_path / "r")
    with venue(replay=[tmp_path / "r"], speed=math.inf) as found:
        socket = found.open("/ws/btcusdt@bookTicker")
        updates = [json.loads(socket.recv())["u"] for _ in range(500)]
        assert all(a < b for a, b in pairwise(updates))


def test_the_recorded_pace_is_kept_and_can_be_multiplied(tmp_path: Path) -> None:
    small(tmp_path / "r", step_ms=50)
    took = {}
    for speed in (1.0, 10.0):
        with venue(replay=[tmp_path / "r"], once=True, speed=speed) as found:
            socket = found.open(f"/stream?streams={STREAMS}/ethusdt@bookTicker")
            socket.recv()
            begin = time.monotonic()
            for _ in range(4):
                socket.recv()
            took[speed] = time.monotonic() - begin
    assert took[1.0] >= 0.18
    assert 0.015 <= took[10.0] < took[1.0]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.recordings
def test_at_full_speed_a_slow_reader_loses_nothing(
    recordings: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    path = recordings / "btcusdt_20240808.gz"
    with venue(new_loop, replay=[path], once=True, speed=math.inf) as found:
        socket = found.open(f"/stream?streams={STREAMS}", skip_utf8_validation=True)
        time.sleep(0.3)
        held_back = found.state()["messages_sent"]
        counts: Counter[str] = Counter()
        lasts: dict[str, int] = {}
        while counts.total() < 41_248:
            payload = socket.recv_data()[1]
            stream = payload[11 : payload.index(b'"', 11)].decode()
            counts[stream] += 1
            if stream == "btcusdt@trade":
                number = json.loads(payload)["data"]["t"]
                assert number == lasts.get(stream, number - 1) + 1
                lasts[stream] = number
        assert held_back < 41_248
        assert counts == {
            "btcusdt@bookTicker": 28_040,
            "btcusdt@trade": 9_757,
            "btcusdt@depth@100ms": 3_451,
        }
        assert found.state()["messages_sent"] == 41_248


@pytest.mark.recordings
def test_at_full_speed_nobody_loses_anything_to_a_slower_one(recordings: Path) -> None:
    path = recordings / "ethusdt_20240808.gz"
    counts: Counter[str] = Counter()

    def read(name: str, socket: websocket.WebSocket, pause_every: int) -> None:
        for number in range(24_077):
            if number % pause_every == 0:
                time.sleep(0.02)
            socket.recv_data()
            counts[name] += 1

    with venue(replay=[path], once=True, speed=math.inf) as found:
        sockets = {name: found.open("/ws", skip_utf8_validation=True) for name in ("a", "b")}
        # The second subscription stands before the first one sets the clock going.
        ask(sockets["a"], "SET_PROPERTY", "combined", True)
        found.in_loop(lambda: subscribe_all(found.sim, "ethusdt@bookTicker"))
        readers = [
            threading.Thread(target=read, args=(name, socket, every))
            for (name, socket), every in zip(sockets.items(), (24_000, 2_000), strict=True)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert counts == {"a": 24_077, "b": 24_077}
        assert [c["sent"] for c in found.state()["connections"]] == [24_077, 24_077]


def subscribe_all(sim: BinanceSim, stream: str) -> None:
    for connection in sim.connections.values():
        connection.subscriptions.add([stream])
    sim.timeline.listen(list(sim.connections.values()))


def test_at_a_pace_a_reader_too_far_behind_is_cut_off() -> None:
    with venue(speed=2000, limits=Limits(max_backlog=200_000)) as found:
        socket = found.open("/ws/btcusdt@bookTicker/btcusdt@depth20@100ms")
        eventually(lambda: not found.sim.connections)
        with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
            read_to_the_end(socket)


def test_the_venue_pings_and_drops_who_does_not_answer() -> None:
    limits = Limits(ping_interval_s=0.05, pong_timeout_s=0.2, inbound_per_s=100)
    with venue(limits=limits) as found:
        polite, rude = found.open("/ws"), found.open("/ws")
        pings = 0
        while len(found.sim.connections) == 2:
            opcode, _ = polite.recv_data_frame(control_frame=True)
            assert opcode == websocket.ABNF.OPCODE_PING
            pings += 1
        assert pings >= 2
        assert [c["number"] for c in found.state()["connections"]] == [1]
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            read_to_the_end(rude)


def read_to_the_end(socket: websocket.WebSocket) -> None:
    while True:
        socket.recv_frame()


def test_more_than_five_messages_a_second_end_the_connection() -> None:
    with venue() as found:
        socket = found.open("/ws")
        for number in range(6):
            socket.ping(str(number))
        seen = [socket.recv_data_frame(control_frame=True) for _ in range(6)]
        assert [opcode for opcode, _ in seen] == [websocket.ABNF.OPCODE_PONG] * 5 + [
            websocket.ABNF.OPCODE_CLOSE
        ]
        assert seen[-1][1].data[:2] == (1008).to_bytes(2, "big")


def test_a_connection_has_its_lifetime() -> None:
    with venue(limits=Limits(lifetime_s=0.1)) as found:
        opcode, data = found.open("/ws").recv_data(control_frame=True)
        assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1001).to_bytes(2, "big"))


def test_too_many_streams_in_the_address_are_refused() -> None:
    with venue(limits=Limits(max_streams=2)) as found:
        with pytest.raises(websocket.WebSocketBadStatusException) as error:
            found.open("/stream?streams=a@trade/b@trade/c@trade")
        assert error.value.status_code == 400
        assert found.get("/ws").status_code == 400


def test_wss_and_https_work_with_the_certificate_made_on_the_spot(tmp_path: Path) -> None:
    with venue(tls=True, ca_file=tmp_path / "ca.pem", seed=1) as found:
        found.trust(tmp_path / "ca.pem")
        assert json.loads(found.open("/ws/btcusdt@bookTicker").recv())["s"] == "BTCUSDT"
        assert found.get("/api/v3/ping").json() == {}
        assert isinstance(found.sim.certificate, LoopbackCertificate)


def test_the_top_is_known_to_others_and_follows_the_stream() -> None:
    with venue(seed=1, autostart=True) as found:
        first = found.in_loop(lambda: found.sim.top("BTCUSDT"))
        assert first is not None
        eventually(lambda: found.in_loop(lambda: found.sim.top("BTCUSDT")) != first)
        assert found.in_loop(lambda: found.sim.top("???")) is None


def test_a_taken_port_is_an_error() -> None:
    async def second(port: int) -> None:
        async with BinanceSim(BinanceSimOptions(port=port)):
            pass

    with venue() as found, pytest.raises(OSError, match="in use"):
        asyncio.run(second(found.sim.port))
