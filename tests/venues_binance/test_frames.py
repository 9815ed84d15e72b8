"""Frames are cut alike however the bytes arrive, and what RFC 6455 forbids ends the connection."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmd.cells.layouts import BookState
from mmd.venues.binance.book import FeedState
from mmd.venues.binance.frames import Cutter, Opcode, ProtocolError, client_frame
from mmd.venues.binance.messages import BookTicker, Trade, decode
from mmd.venues.binance.stream import ticker_prefix
from tests.venues_binance.wire import frame, ticker, trade

PREFIX = ticker_prefix("BTCUSDT")


def cut_in_pieces(cutter: Cutter, data: bytes, cuts: list[int]) -> tuple[list[bytes], list[bytes]]:
    """All messages that count one by one, and the newest ticker of every gulp."""
    messages: list[bytes] = []
    newest: list[bytes] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        gulp = cutter.feed(data[start:stop])
        assert gulp.error is None
        messages += gulp.messages
        newest += list(gulp.newest())[:1]
    return messages, newest


sizes = st.one_of(st.integers(0, 200), st.integers(65_530, 65_540), st.integers(120, 130))
cuts = st.lists(st.integers(0, 10**6), max_size=12)


@given(st.lists(sizes, max_size=6), cuts)
@settings(max_examples=60, deadline=None)
def test_any_split_gives_the_same_messages(lengths: list[int], where: list[int]) -> None:
    wanted = [bytes([65 + index]) * length for index, length in enumerate(lengths)]
    data = b"".join(map(frame, wanted))
    messages, newest = cut_in_pieces(Cutter(), data, where)
    assert messages == wanted
    assert newest == []


def outcome(data: bytes, where: list[int]) -> BookState:
    """The book after all frames, read in gulps that end at the given places."""
    cutter, state = Cutter(PREFIX), FeedState(BookState(), new_epoch=1)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in where), len(data)]
    for start, stop in itertools.pairwise(edges):
        gulp = cutter.feed(data[start:stop])
        for payload in [*list(gulp.newest())[:1], *gulp.messages]:
            event = decode(payload)
            if isinstance(event, BookTicker):
                state.ticker(event, 0)
            elif isinstance(event, Trade):
                state.trade(event, 0)
    return state.book()


ids = st.one_of(st.none(), st.integers(1, 30), st.integers(90, 110), st.integers(1, 2000))


@given(st.lists(ids, max_size=30), cuts)
@settings(max_examples=300, deadline=None)
def test_any_split_gives_the_same_book(ids: list[int | None], where: list[int]) -> None:
    frames = [
        frame(trade(n) if u is None else ticker(u, bid=f"{n}.00000000", ask="999.00000000"))
        for n, u in enumerate(ids, start=1)
    ]
    one_by_one = list(itertools.accumulate(map(len, frames)))
    data = b"".join(frames)
    book = outcome(data, where)
    assert book == outcome(data, one_by_one)
    assert book.update_id == max([u for u in ids if u is not None], default=0)
    assert book.trade_count == ids.count(None)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 4)), max_size=6), cuts)
@settings(max_examples=60, deadline=None)
def test_messages_in_many_frames_with_controls_between_come_out_whole(
    shapes: list[tuple[int, int]], where: list[int]
) -> None:
    data, wanted, pings = b"", [], 0
    for length, pieces in shapes:
        payload = b"x" * length
        wanted.append(payload)
        step = length // pieces + 1
        parts = [payload[i * step : (i + 1) * step] for i in range(pieces)]
        for index, part in enumerate(parts):
            data += frame(part, opcode=0 if index else 1, final=index == pieces - 1)
            data += frame(b"p", opcode=9)
            pings += 1
    cutter, messages, controls = Cutter(PREFIX), [], []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in where), len(data)]
    for start, stop in itertools.pairwise(edges):
        gulp = cutter.feed(data[start:stop])
        messages += gulp.messages
        controls += gulp.controls
    assert messages == wanted
    assert controls == [(Opcode.PING, b"p")] * pings


def test_of_rising_tickers_in_one_gulp_only_the_newest_is_there_to_decode() -> None:
    cutter = Cutter(PREFIX)
    cutter.feed(frame(ticker(100)))
    gulp = cutter.feed(b"".join(frame(ticker(u)) for u in range(101, 131)) + frame(trade(1)))
    assert gulp.count == 31
    assert gulp.messages == [trade(1)]
    assert next(gulp.newest()) == ticker(130)


def test_ids_may_gain_or_lose_a_digit() -> None:
    cutter = Cutter(PREFIX)
    seen = []
    for u in (98, 99, 100, 101, 9, 10, 11, 1000, 99):
        gulp = cutter.feed(frame(ticker(u)) + frame(ticker(u + 1)))
        seen.append(max(decode(p).update_id for p in [*gulp.messages, *gulp.newest()]))  # type: ignore[union-attr]
    assert seen == [99, 100, 101, 102, 10, 11, 12, 1001, 100]


def test_a_ticker_inside_a_fragmented_message_is_not_taken_for_a_whole_one() -> None:
    cutter = Cutter(PREFIX)
    cutter.feed(frame(ticker(1)) + frame(ticker(2)))
    gulp = cutter.feed(frame(b"{", final=False) + frame(ticker(3)))
    assert isinstance(gulp.error, ProtocolError)
    assert gulp.tickers == []


def test_a_frame_bigger_than_the_buffer_makes_the_buffer_grow() -> None:
    cutter = Cutter(size=1024)
    payload = b"y" * 70_000
    data, messages = frame(payload) + frame(b"z"), []
    while data:
        cutter.make_room()
        room = cutter.room
        assert room
        count = min(len(room), len(data))
        room[:count] = data[:count]
        cutter.filled(count)
        data = data[count:]
        messages += cutter.cut().messages
    assert messages == [payload, b"z"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (frame(b"x", extra_bits=0x40), "reserved"),
        (frame(b"x", extra_bits=0x10), "reserved"),
        (b"\x81\x81abcdx", "masked"),
        (frame(b"x", opcode=3), "opcode"),
        (frame(b"x", opcode=0), "continues nothing"),
        (frame(b"x", final=False) + frame(b"y"), "inside another"),
        (frame(b"x", opcode=9, final=False), "control"),
        (frame(b"x" * 126, opcode=10), "control"),
        (b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), "too big"),
        (b"\x81\x7f" + b"\xff" * 8, "too big"),
    ],
)
def test_what_the_protocol_forbids_is_an_error_after_what_came_before(
    data: bytes, what: str
) -> None:
    gulp = Cutter().feed(frame(b"good") + data)
    assert gulp.messages == [b"good"]
    assert what in str(gulp.error)


def test_a_message_in_too_many_frames_is_refused() -> None:
    cutter = Cutter(message_limit=100)
    gulp = cutter.feed(frame(b"x" * 90, final=False) + frame(b"x" * 90, opcode=0))
    assert "too big" in str(gulp.error)


@given(st.binary(max_size=125), st.binary(min_size=4, max_size=4))
def test_client_frames_are_masked_and_unmask_to_their_payload(payload: bytes, mask: bytes) -> None:
    data = client_frame(Opcode.PONG, payload, mask)
    assert data[0] == 0x8A
    assert data[1] == 0x80 | len(payload)
    assert data[2:6] == mask
    assert bytes(byte ^ mask[i % 4] for i, byte in enumerate(data[6:])) == payload


def test_a_client_frame_too_long_for_a_control_frame_is_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="126"):
        client_frame(Opcode.PING, b"x" * 126, b"abcd")
