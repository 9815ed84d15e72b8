"""Frames: what the server writes is WebSocket, what a client writes is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websocket import ABNF

from mmd.sim.binance.frames import (
    FrameReader,
    Message,
    Opcode,
    ProtocolError,
    accept_key,
    encode,
    encode_text,
)


def masked(payload: bytes, opcode: int = Opcode.TEXT, final: bool = True) -> bytes:
    return bytes(ABNF(int(final), 0, 0, 0, opcode, 1, payload).format())


def test_the_handshake_key_is_that_of_the_rfc() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("size", [0, 1, 125, 126, 2047, 2048, 65535, 65536, 200_000])
def test_text_frames_of_all_sizes_have_the_right_header(size: int) -> None:
    payload = b"x" * size
    frame = encode_text(payload)
    wanted = ABNF(1, 0, 0, 0, ABNF.OPCODE_TEXT, 0, payload).format()
    assert frame == wanted
    assert frame == encode(Opcode.TEXT, payload)


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 40))
def test_messages_survive_any_split_on_the_way(payloads: list[bytes], piece: int) -> None:
    stream = b"".join(masked(payload) for payload in payloads)
    reader = FrameReader()
    found = [
        message
        for start in range(0, len(stream), piece)
        for message in reader.feed(stream[start : start + piece])
    ]
    assert found == [Message(Opcode.TEXT, payload) for payload in payloads]


def test_a_ping_between_fragments_is_seen_and_the_fragments_are_joined() -> None:
    stream = (
        masked(b"one ", final=False)
        + masked(b"hello", Opcode.PING)
        + masked(b"two", Opcode.CONTINUATION)
    )
    assert list(FrameReader().feed(stream)) == [
        Message(Opcode.PING, b"hello"),
        Message(Opcode.TEXT, b"one two"),
    ]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\x81\x02hi", 1002),
        (b"\xc1\x80\x00\x00\x00\x00", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (b"\x80\x80\x00\x00\x00\x00", 1002),
        (b"\x09\x80\x00\x00\x00\x00", 1002),
        (b"\x81\xff\x00\x00\x00\x00\x7f\x00\x00\x00", 1009),
    ],
    ids=["unmasked", "reserved bits", "reserved opcode", "lone continuation", "split ping", "huge"],
)
def test_a_broken_frame_is_refused_with_its_close_code(stream: bytes, code: int) -> None:
    with pytest.raises(ProtocolError) as error:
        list(FrameReader().feed(stream))
    assert error.value.code == code
