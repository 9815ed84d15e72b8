"""Faults are real on the wire."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket as sockets
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import websocket

from mmd.sim.binance import Limits
from tests.sim_binance.support import Venue, ask, eventually, trade, venue, write_recording

TICKERS = "/ws/btcusdt@bookTicker"


def bare(found: Venue, path: str) -> sockets.socket:
    """A connection after its handshake, for looking at bytes."""
    tcp = sockets.create_connection(("127.0.0.1", found.sim.port), timeout=5)
    tcp.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += tcp.recv(1)
    assert b" 101 " in head
    return tcp


def drain(socket: websocket.WebSocket, quiet_s: float) -> list[Any]:
    """All messages until nothing comes for a while."""
    socket.settimeout(quiet_s)
    found = []
    with contextlib.suppress(websocket.WebSocketTimeoutException):
        while True:
            found.append(socket.recv())
    socket.settimeout(5)
    return found


@pytest.mark.parametrize("code", [1000, 1001, 1008])
def test_a_drop_sends_its_close_code(code: int) -> None:
    with venue() as found:
        socket = found.open("/ws")
        assert found.strike("drop", code=code) == 1
        opcode, data = socket.recv_data(control_frame=True)
        assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, code.to_bytes(2, "big"))
        eventually(lambda: not found.sim.connections)


def test_a_drop_by_rst_is_a_reset() -> None:
    with venue() as found:
        socket = found.open("/ws")
        found.strike("drop", how="rst")
        with pytest.raises(ConnectionResetError):
            socket.recv()


def test_a_drop_by_eof_has_no_close_frame() -> None:
    with venue() as found, bare(found, "/ws") as tcp:
        found.strike("drop", how="eof")
        assert tcp.recv(100) == b""


def test_one_connection_can_be_chosen_by_number_or_symbol() -> None:
    with venue() as found:
        found.open("/ws/btcusdt@trade")
        found.open("/ws/ethusdt@trade")
        assert found.strike("drop", connection=99) == 0
        assert found.strike("drop", symbol="ETHUSDT") == 1
        eventually(lambda: len(found.sim.connections) == 1)
        assert found.state()["connections"][0]["streams"] == ["btcusdt@trade"]
        assert found.strike("drop", connection=1) == 1


def test_a_stalled_connection_answers_pings_and_sends_nothing_else() -> None:
    with venue(speed=5) as found:
        socket = found.open(TICKERS)
        last = json.loads(socket.recv())["u"]
        found.strike("stall")
        for message in drain(socket, 0.1):
            last = json.loads(message)["u"]
        socket.ping(b"x")
        assert socket.recv_data_frame(control_frame=True)[0] == websocket.ABNF.OPCODE_PONG
        time.sleep(0.1)
        found.strike("heal")
        assert json.loads(socket.recv())["u"] > last + 5


def test_a_stall_with_backlog_delivers_the_old_messages_at_its_end() -> None:
    with venue(speed=5) as found:
        socket, other = found.open(TICKERS), found.open(TICKERS)
        found.strike("stall", connection=1, backlog=True, for_s=0.4)
        time.sleep(0.2)
        updates = [json.loads(socket.recv())["u"] for _ in range(60)]
        wanted = [json.loads(other.recv())["u"] for _ in range(100)]
        start = wanted.index(max(updates[0], wanted[0]))
        common = [u for u in updates if u >= wanted[start]]
        assert wanted[start : start + len(common)] == common


def test_a_half_open_connection_is_silent_but_alive() -> None:
    with venue(speed=5) as found:
        socket = found.open(TICKERS)
        found.strike("half_open")
        drain(socket, 0.1)
        socket.ping(b"anybody?")
        assert drain(socket, 0.15) == []
        assert found.state()["connections"][0]["flow"] == "half-open"
        found.strike("heal")
        eventually(lambda: socket.recv_data_frame(True)[0] == websocket.ABNF.OPCODE_PONG)


def test_half_open_does_not_hold_up_others_at_full_speed() -> None:
    with venue(speed=math.inf) as found:
        found.open(TICKERS)
        eventually(lambda: any(c.is_behind for c in list(found.sim.connections.values())))
        found.strike("half_open", connection=1)
        socket = found.open(TICKERS)
        for _ in range(1_000):
            assert socket.recv_data()[1]


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("not_json", b"\x81\x10this is not JSON"),
        ("garbage", b"\x70\x77\x7e"),
        ("reserved_bits", b"\xc1\x02{}"),
        ("reserved_opcode", b"\x83\x02{}"),
        ("invalid_utf8", b"\x81\x0a"),
        ("cut_off", b'\x81\x19{"u":1,'),
        ("fragments", b"\x01\x0a"),
    ],
)
def test_bad_frames_are_on_the_wire_as_named(kind: str, start: bytes) -> None:
    with venue() as found, bare(found, "/ws") as tcp:
        found.strike("bad_frame", kind=kind)
        assert tcp.recv(1000).startswith(start)


def test_fragments_are_valid_to_a_real_client() -> None:
    with venue() as found:
        socket = found.open("/ws")
        found.strike("bad_frame", kind="fragments")
        assert json.loads(socket.recv()) == {"result": None, "id": None}


def test_split_writes_arrive_in_pieces_and_whole() -> None:
    with venue(speed=5) as found, bare(found, TICKERS) as tcp:
        found.strike("split", size=3)
        time.sleep(0.05)
        tcp.recv(1 << 20)
        sizes = [len(tcp.recv(1 << 16)) for _ in range(30)]
        assert min(sizes) <= 3
    with venue(speed=5) as found:
        socket = found.open(TICKERS)
        found.strike("split", size=1)
        updates = [json.loads(socket.recv())["u"] for _ in range(20)]
        assert all(a < b for a, b in pairwise(updates))


def test_a_burst_brings_many_messages_at_once() -> None:
    with venue() as found:
        socket = found.open(TICKERS)
        socket.recv()
        begin = time.monotonic()
        found.strike("burst", count=1000)
        for _ in range(1000):
            socket.recv_data()
        assert time.monotonic() - begin < 3


def test_an_update_can_come_again_or_from_the_past() -> None:
    with venue(speed=5) as found:
        socket = found.open(TICKERS)
        updates = [json.loads(socket.recv())["u"]]
        found.strike("old_update", symbol="BTCUSDT", by=10**6, shift_bps=100)
        while updates[-1] >= updates[0]:
            updates.append(json.loads(socket.recv())["u"])
        assert updates[-1] == updates[-2] - 10**6
        found.strike("old_update", symbol="BTCUSDT")
        updates = updates[:-1] + [json.loads(socket.recv())["u"] for _ in range(30)]
        assert sum(a == b for a, b in pairwise(updates)) == 1


def test_trades_can_be_missing(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", *(trade(i, "1.00000000") for i in range(1, 8)))
    with venue(replay=[tmp_path / "r"], once=True, speed=math.inf) as found:
        socket = found.open("/ws")
        found.strike("trade_gap", symbol="BTCUSDT", count=3)
        ask(socket, "SUBSCRIBE", "btcusdt@trade")
        assert [json.loads(socket.recv())["t"] for _ in range(4)] == [4, 5, 6, 7]


def test_server_shutdown_in_both_forms_and_then_the_end() -> None:
    with venue() as found:
        raw, combined = found.open("/ws"), found.open("/stream")
        assert found.strike("server_shutdown", close_after_s=0.05) == 2
        event = json.loads(raw.recv())
        assert event.keys() == {"e", "E"}
        assert event["e"] == "serverShutdown"
        wrapped = json.loads(combined.recv())
        assert wrapped["stream"] == "!serverShutdown"
        assert wrapped["data"]["e"] == "serverShutdown"
        assert raw.recv_data(control_frame=True)[1][:2] == (1001).to_bytes(2, "big")


@pytest.mark.parametrize("status", [429, 418, 403])
def test_handshakes_can_be_refused_for_a_while(status: int) -> None:
    with venue() as found:
        found.strike("refuse", status=status, for_s=60, retry_after_s=7)
        with pytest.raises(websocket.WebSocketBadStatusException) as error:
            found.open("/ws")
        assert error.value.status_code == status
        assert error.value.resp_headers["retry-after"] == "7"
        found.strike("heal")
        found.open("/ws")
        assert (found.state()["refused"], found.state()["handshakes"]) == (1, 1)


def test_rest_can_fail_for_some_requests() -> None:
    with venue() as found:
        found.strike("rest_error", status=429, code=-1003, count=2, retry_after_s=3)
        answers = [found.get("/api/v3/ping") for _ in range(3)]
        assert [a.status_code for a in answers] == [429, 429, 200]
        assert answers[0].json()["code"] == -1003
        assert answers[0].headers["Retry-After"] == "3"


def test_pings_can_be_muted() -> None:
    with venue(limits=Limits(ping_interval_s=0.03)) as found:
        socket = found.open("/ws")
        assert socket.recv_data_frame(control_frame=True)[0] == websocket.ABNF.OPCODE_PING
        found.strike("mute_pings")
        drain(socket, 0.1)
        assert drain(socket, 0.15) == []


@pytest.mark.parametrize(
    "body", ["nonsense", "{}", '{"fault":"unheard_of"}', '{"fault":"burst","count":0}']
)
def test_a_fault_that_makes_no_sense_is_refused_with_the_reason(body: str) -> None:
    with venue() as found:
        answer = found.post_fault(body)
        assert answer.status_code == 400
        assert answer.json()["error"]
        assert found.state()["faults"] == {}


def test_faults_work_over_tls_too(tmp_path: Path) -> None:
    with venue(tls=True, ca_file=tmp_path / "ca.pem", speed=5) as found:
        found.trust(tmp_path / "ca.pem")
        one, two = found.open(TICKERS), found.open(TICKERS)
        found.strike("split", connection=1, size=5)
        found.strike("half_open", connection=2)
        assert json.loads(one.recv())["u"]
        drain(two, 0.1)
        assert drain(two, 0.1) == []
        # A TLS library reports a reset as it likes: the bare socket below tells the truth.
        with sockets.socket(fileno=os.dup(two.sock.fileno())) as tcp:
            tcp.settimeout(5)
            found.strike("drop", how="rst")
            with pytest.raises(ConnectionResetError):
                read_to_the_end(tcp)


def read_to_the_end(tcp: sockets.socket) -> None:
    while tcp.recv(1 << 16):
        pass
