"""Recordings play verbatim, and repetitions join: ids and times rise, prices go on."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mmd.sim.binance.events import OPENING, SNAPSHOT, Event, unwrap
from mmd.sim.binance.recording import RecordedSource
from mmd.sim.binance.shift import Mover, Shift
from mmd.words.errors import ConfigError
from tests.sim_binance.support import diff, ticker, trade, write_recording

SNAPSHOT_TEXT = '{"lastUpdateId":101,"bids":[["99.00000000","1"]],"asks":[["100.00000000","1"]]}'


def play(source: RecordedSource, count: int) -> list[Event]:
    events = [source.next() for _ in range(count)]
    return [event for event in events if event is not None]


def small(path: Path) -> list[str]:
    return write_recording(
        path,
        ticker(100, "99.00000000", "100.00000000"),
        diff(99, 102, [["99.00000000", "1"]], []),
        SNAPSHOT_TEXT,
        trade(7, "100.00000000", time_ms=1_700_000_000_500),
        diff(103, 108, [["98.00000000", "0.00000000"]], [], time_ms=1_700_000_000_600),
        trade(9, "101.00000000", time_ms=1_700_000_000_700),
        ticker(110, "103.50000000", "104.00000000"),
    )


def test_one_pass_gives_every_line_verbatim_and_then_nothing(tmp_path: Path) -> None:
    texts = small(tmp_path / "r")
    source = RecordedSource([tmp_path / "r"], once=True)
    events = play(source, 20)
    assert [payload.decode() for _, stream, payload in events if "@snapshot" not in stream] == [
        text for text in texts if '"stream"' in text
    ]
    assert source.next() is None
    assert source.due_ns is None


def test_spaces_and_strange_key_order_are_read_too(tmp_path: Path) -> None:
    spaced = json.dumps(ticker(1, "1.0", "2.0"))
    reversed_keys = '{"data":{"u":2,"s":"BTCUSDT"},"stream":"btcusdt@bookTicker"}'
    write_recording(tmp_path / "r", spaced, reversed_keys)
    first, second = play(RecordedSource([tmp_path / "r"], once=True), 5)
    assert first[1:] == ("btcusdt@bookTicker", spaced.encode())
    assert second[1] == "btcusdt@bookTicker"
    assert json.loads(unwrap(second[2])) == {"u": 2, "s": "BTCUSDT"}


def test_a_snapshot_belongs_to_the_symbol_whose_ids_are_near(tmp_path: Path) -> None:
    write_recording(
        tmp_path / "r",
        ticker(5000, "1.0", "2.0", "ETHUSDT"),
        SNAPSHOT_TEXT,
        ticker(100, "1.0", "2.0", "BTCUSDT"),
    )
    source = RecordedSource([tmp_path / "r"])
    assert source.opening("BTCUSDT") == SNAPSHOT_TEXT.encode()
    assert source.opening("ETHUSDT") is None


def test_repetitions_join(tmp_path: Path) -> None:
    small(tmp_path / "r")
    source = RecordedSource([tmp_path / "r"])
    events = play(source, 3 * 8)
    times = [time_ns for time_ns, _, _ in events]
    assert times == sorted(times)
    data = [(stream, json.loads(unwrap(payload))) for _, stream, payload in events]

    tickers = [d for stream, d in data if stream == "btcusdt@bookTicker"]
    updates = [d["u"] for d in tickers]
    assert all(a < b for a, b in pairwise(updates))
    # The recording ends 4.5 higher than it began; so does each repetition, from there.
    assert [d["b"] for d in tickers] == [
        "99.00000000",
        "103.50000000",
        "103.50000000",
        "108.00000000",
        "108.00000000",
        "112.50000000",
    ]
    trades = [d for stream, d in data if stream == "btcusdt@trade"]
    assert [d["t"] for d in trades] == [7, 9, 10, 12, 13, 15]
    for key in ("E", "T"):
        stamps = [d[key] for d in trades]
        assert all(a < b for a, b in pairwise(stamps))


def test_each_repetition_opens_with_the_shifted_book_that_its_diffs_fit_to(tmp_path: Path) -> None:
    small(tmp_path / "r")
    events = play(RecordedSource([tmp_path / "r"]), 9)
    _, stream, payload = events[7]
    assert stream == "btcusdt" + OPENING
    book = json.loads(unwrap(payload))
    assert book["bids"] == [["103.50000000", "1"]]
    following = [json.loads(unwrap(p)) for _, s, p in play_again(tmp_path) if "@depth" in s]
    assert following[0]["U"] == book["lastUpdateId"] + 1
    assert book["lastUpdateId"] > 110


def play_again(tmp_path: Path) -> list[Event]:
    return play(RecordedSource([tmp_path / "r"]), 15)[8:]


def test_a_long_drift_starts_anew_before_it_leaves_all_reason(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", ticker(1, "100.0", "101.0"), ticker(2, "40.0", "41.0"))
    source = RecordedSource([tmp_path / "r"])
    bids = [float(json.loads(unwrap(p))["b"]) for _, _, p in play(source, 40)]
    assert min(bids) > 0
    assert len(set(bids)) > 1


def test_several_files_share_one_clock(tmp_path: Path) -> None:
    write_recording(tmp_path / "a", *(ticker(i, "1.0", "2.0") for i in range(1, 5)), step_ms=2)
    write_recording(
        tmp_path / "b", *(ticker(i, "3.0", "4.0", "ETHUSDT") for i in range(1, 5)), step_ms=3
    )
    source = RecordedSource([tmp_path / "a", tmp_path / "b"], once=True)
    events = play(source, 20)
    assert source.symbols == ("BTCUSDT", "ETHUSDT")
    assert len(events) == 8
    assert [e[0] for e in events] == sorted(e[0] for e in events)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    for name, text in (("words", "hello\n"), ("empty", ""), ("json", '1 {"x":1}\n')):
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=name):
            RecordedSource([tmp_path / name])
    with pytest.raises(ConfigError, match="missing"):
        RecordedSource([tmp_path / "missing"])


def test_a_gzip_file_that_was_cut_off_plays_to_its_end(tmp_path: Path) -> None:
    messages = [ticker(i, f"{i}.0", f"{i + 1}.0") for i in range(1, 3000)]
    write_recording(tmp_path / "plain", *messages)
    whole = gzip.compress((tmp_path / "plain").read_bytes())
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    source = RecordedSource([tmp_path / "cut.gz"], once=True)
    found = play(source, 3000)
    assert 100 < len(found) < 2999


PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    ("bookTicker", ticker(5, "99.50000000", "100.00000000")),
    ("trade", trade(7, "100.00000000")),
    ("depth@100ms", diff(3, 9, [["99.5", "1"], ["98.00000000", "2"]], [])),
    ("depth@100ms", diff(3, 9, [], [["100.1", "0.00000000"]])),
    ("depth5", {"stream": "x@depth5", "data": json.loads(SNAPSHOT_TEXT)}),
]


@pytest.mark.parametrize(("kind", "message"), PAYLOADS, ids=[k for k, _ in PAYLOADS])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["tight", "spaced"])
def test_only_ids_times_and_prices_move(
    kind: str, message: dict[str, Any], separators: tuple[str, str]
) -> None:
    text = json.dumps(message, separators=separators).encode()
    shift = Shift(1000, 200, 0, 30_000, 2 * 10**8)
    data = json.loads(Mover(kind, shift)(text))["data"]
    old = message["data"]
    steps = {"u": 1000, "U": 1000, "lastUpdateId": 1000, "t": 200, "E": 30_000, "T": 30_000}
    for key, value in old.items():
        if key in steps:
            assert data[key] == value + steps[key]
        elif key in ("p", "b", "a") and isinstance(value, str):
            assert float(data[key]) == float(value) + 2
        elif isinstance(value, list):
            assert [[float(p), q] for p, q in data[key]] == [[float(p) + 2, q] for p, q in value]
        else:
            assert data[key] == value


def test_messages_of_one_stream_may_be_spaced_differently() -> None:
    mover = Mover("bookTicker", Shift(update_ids=10))
    for separators in ((",", ":"), (", ", ": "), (",", ":")):
        text = json.dumps(ticker(5, "9.0", "10.0"), separators=separators).encode()
        assert json.loads(mover(text))["data"]["u"] == 15


@pytest.mark.recordings
def test_real_recordings_repeat_without_a_break(recordings: Path) -> None:
    path = recordings / "ethusdt_20240808.gz"
    source = RecordedSource([path])
    once = Counter(stream for _, stream, _ in play(RecordedSource([path], once=True), 50_000))
    events = play(source, 2 * sum(once.values()) + 1)
    counts = Counter(stream for _, stream, _ in events)
    assert counts.pop("ethusdt" + OPENING) == 1
    assert counts == {stream: 2 * count for stream, count in once.items()}
    last: dict[str, int] = {}
    for _, stream, payload in events:
        if stream.endswith((SNAPSHOT, OPENING)):
            continue
        data = json.loads(unwrap(payload))
        number = data["t"] if stream.endswith("@trade") else data["u"]
        assert number > last.get(stream, 0)
        last[stream] = number
