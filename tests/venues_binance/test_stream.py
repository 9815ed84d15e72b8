"""One connection over real sockets: opening it, reading it, keeping it alive, losing it."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmd.sim.tls import LoopbackCertificate
from mmd.venues.binance.frames import Cutter, Gulp, Opcode
from mmd.venues.binance.stream import (
    SECOND_NS,
    LinkLost,
    Session,
    open_session,
    stream_address,
    ticker_prefix,
)
from mmd.words.errors import Fatal, MmdError, RateLimited, Refused, Unavailable
from tests.venues_binance.wire import Peer, StreamServer, frame, ticker, trade

PREFIX = ticker_prefix("BTCUSDT")


def opened(
    server: StreamServer, greet: Callable[[], Peer], timeout_s: float = 5.0
) -> tuple[Session, Peer]:
    """A session and the server's end of it."""
    peers: list[Peer] = []
    thread = threading.Thread(target=lambda: peers.append(greet()))
    thread.start()
    address = stream_address(server.url, ["btcusdt@bookTicker", "btcusdt@trade"])
    try:
        session = open_session(address, Cutter(PREFIX), time.monotonic_ns, timeout_s=timeout_s)
    finally:
        thread.join()
    return session, peers[0]


@pytest.fixture
def pair() -> Iterator[tuple[Session, Peer]]:
    with StreamServer() as server:
        session, peer = opened(server, server.accept)
        yield session, peer
        session.close()


def read(session: Session, now_ns: int = 0) -> Gulp:
    """The next gulp with anything in it."""
    for _ in range(100):
        if not session.more:
            assert select.select([session], [], [], 5)[0], "nothing came"
        gulp = session.read(now_ns)
        if gulp.count or gulp.controls or gulp.error:
            return gulp
    raise AssertionError("only fragments came")


def test_the_address_is_a_combined_stream() -> None:
    address = stream_address("wss://stream.binance.com:9443/", ["btcusdt@trade", "币usdt@trade"])
    assert address == (
        "wss://stream.binance.com:9443/stream?streams=btcusdt@trade/%E5%B8%81usdt@trade"
    )


def test_what_follows_the_handshake_in_the_same_segment_is_not_lost() -> None:
    with StreamServer() as server:
        beyond = frame(trade(1)) + frame(ticker(2))
        session, peer = opened(server, lambda: server.accept(beyond))
        assert peer.target == "/stream?streams=btcusdt@bookTicker/btcusdt@trade"
        gulp = read(session)
        assert gulp.messages == [trade(1), ticker(2)]
        session.close()


def test_the_socket_has_the_options_of_a_feed(pair: tuple[Session, Peer]) -> None:
    copy = socket.socket(fileno=os.dup(pair[0].fileno()))
    assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
    assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 200_000
    copy.close()


def test_one_gulp_takes_all_that_has_arrived(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.send(*[ticker(u) for u in range(1001, 1501)], trade(1), trade(2))
    time.sleep(0.05)
    gulp = read(session, now_ns=123)
    assert gulp.count == 502
    assert not session.more
    assert session.last_frame_ns == 123
    assert next(gulp.newest()) == ticker(1500)


def test_a_frame_in_two_pieces_is_one_message(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    data = frame(trade(1))
    peer.raw(data[:50])
    assert select.select([session], [], [], 5)[0]
    assert session.read(99).count == 0
    assert session.last_frame_ns != 99
    peer.raw(data[50:])
    assert read(session).messages == [trade(1)]


def test_a_ping_is_answered_with_its_payload(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.ping(b"1723161255208")
    assert read(session, 7).controls == [(Opcode.PING, b"1723161255208")]
    assert peer.read_until(Opcode.PONG) == b"1723161255208"
    assert session.last_frame_ns == 7


def test_of_many_pings_at_once_the_newest_is_answered(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.raw(b"".join(frame(b"%d" % n, opcode=9) for n in range(50)))
    read(session)
    assert peer.read_frame() == (Opcode.PONG, b"49")


def test_a_close_frame_is_answered_and_ends_the_session(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.send(trade(1))
    peer.close_frame(1008, "disconnected")
    time.sleep(0.05)
    gulp = read(session)
    assert gulp.messages == [trade(1)]
    assert "1008 disconnected" in str(gulp.error)
    assert peer.read_until(Opcode.CLOSE) == (1008).to_bytes(2, "big")


def test_what_came_before_the_end_still_counts(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.send(trade(1))
    peer.close()
    time.sleep(0.05)
    messages = []
    while not (gulp := read(session)).error:
        messages += gulp.messages
    assert messages + gulp.messages == [trade(1)]
    assert isinstance(gulp.error, LinkLost)


def test_a_reset_is_a_lost_link(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.reset()
    assert isinstance(read(session).error, LinkLost)


def test_a_breach_of_the_protocol_ends_the_session(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    peer.raw(frame(b"x", extra_bits=0x40))
    assert "reserved" in str(read(session).error)


def test_silence_is_pinged_once_a_second_and_then_the_link_is_dead(
    pair: tuple[Session, Peer],
) -> None:
    session, peer = pair
    start = session.last_frame_ns
    for tenth in range(50):
        session.check(start + tenth * SECOND_NS // 10)
    with pytest.raises(LinkLost, match="no frame"):
        session.check(start + 5 * SECOND_NS + 1)
    peer.socket.settimeout(0.1)
    assert [peer.read_frame() for _ in range(4)] == [(Opcode.PING, b"")] * 4
    with pytest.raises(TimeoutError):
        peer.read_frame()


def test_frames_keep_the_link_alive_without_pings(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    start = session.last_frame_ns
    for second in range(1, 20):
        peer.raw(frame(b"", opcode=10))
        read(session, start + second * SECOND_NS)
        session.check(start + second * SECOND_NS + SECOND_NS // 2)
    peer.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        peer.read_frame()


def test_a_server_that_reads_nothing_is_given_up(pair: tuple[Session, Peer]) -> None:
    session, _ = pair
    flood = bytes(64 << 20)  # more than all buffers between the two hold
    with pytest.raises(LinkLost, match="reads nothing"):
        session._send(flood)


def test_a_good_bye_is_said(pair: tuple[Session, Peer]) -> None:
    session, peer = pair
    session.close()
    assert peer.read_until(Opcode.CLOSE) == (1000).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (429, "Retry-After: 99\r\n", RateLimited),
        (418, "", RateLimited),
        (403, "", RateLimited),
        (451, "", Fatal),
        (404, "", Refused),
        (503, "", Unavailable),
    ],
)
def test_a_refused_handshake_says_what_to_do(
    status: int, headers: str, kind: type[MmdError]
) -> None:
    with StreamServer() as server:
        thread = threading.Thread(target=server.refuse, args=(status, headers))
        thread.start()
        with pytest.raises(kind) as caught:
            open_session(server.url, Cutter(), time.monotonic_ns)
        thread.join()
        assert type(caught.value) is kind
        if "99" in headers:
            assert isinstance(caught.value, RateLimited)
            assert caught.value.retry_after_s == 99


def test_a_server_that_never_shakes_hands_is_unavailable() -> None:
    with StreamServer() as server, pytest.raises(Unavailable, match="can't connect"):
        open_session(server.url, Cutter(), time.monotonic_ns, timeout_s=0.1)


@pytest.mark.parametrize("address", ["ws://127.0.0.1:1/x", "ftp://127.0.0.1/x", ""])
def test_an_address_without_a_server_is_unavailable(address: str) -> None:
    with pytest.raises(Unavailable):
        open_session(address, Cutter(), time.monotonic_ns, timeout_s=0.5)


def test_loopback_goes_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with StreamServer() as server:
        session, _ = opened(server, server.accept)
        session.close()


def test_other_hosts_go_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        asked: list[bytes] = []

        def answer() -> None:
            connection, _ = proxy.accept()
            asked.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 503 No\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unavailable, match="503"):
            open_session("wss://stream.binance.com:9443/stream", Cutter(), time.monotonic_ns)
        thread.join()
    assert asked[0].startswith(b"CONNECT stream.binance.com:9443 ")


@pytest.fixture
def certificate() -> LoopbackCertificate:
    return LoopbackCertificate()


@pytest.fixture
def trusted(
    certificate: LoopbackCertificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(certificate.authority_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))


@pytest.mark.usefixtures("trusted")
def test_over_tls_nothing_stays_behind_in_the_library(certificate: LoopbackCertificate) -> None:
    with StreamServer(tls=certificate.server_context()) as server:
        session, peer = opened(server, server.accept)
        peer.send(*[ticker(u) for u in range(1, 2001)], *[trade(n) for n in range(1, 2001)])
        peer.ping(b"p")
        count = 0
        while count < 4000:
            count += read(session).count
        while session.more:
            session.read(0)
        assert peer.read_until(Opcode.PONG) == b"p"
        peer.send(trade(2001))
        assert read(session).messages == [trade(2001)]
        peer.close()
        assert isinstance(read(session).error, LinkLost)
        session.close()


def test_an_unknown_certificate_is_not_trusted(certificate: LoopbackCertificate) -> None:
    with StreamServer(tls=certificate.server_context()) as server:

        def accept() -> None:
            with pytest.raises(OSError, match=r"alert|EOF|reset"):
                server.accept()

        thread = threading.Thread(target=accept)
        thread.start()
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            open_session(server.url, Cutter(), time.monotonic_ns)
        thread.join()
