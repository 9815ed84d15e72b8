"""The local order book keeps to the rules that Binance documents."""

from __future__ import annotations

import orjson

from mmd.sim.binance.book import LocalBook


def snapshot(last_id: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    return orjson.dumps({"lastUpdateId": last_id, "bids": bids, "asks": asks})


def diff(first_id: int, last_id: int, bids: list[list[str]], asks: list[list[str]]) -> bytes:
    return orjson.dumps(
        {"e": "depthUpdate", "E": 5, "U": first_id, "u": last_id, "b": bids, "a": asks}
    )


def book_at(last_id: int) -> LocalBook:
    book = LocalBook()
    book.feed_snapshot(
        snapshot(last_id, [["99.0", "1"], ["98.0", "2"]], [["101.0", "1"], ["100.0", "3"]])
    )
    return book


def test_sides_are_sorted_best_first() -> None:
    book = book_at(10).as_rest()
    assert [price for price, _ in book["bids"]] == ["99.00000000", "98.00000000"]
    assert [price for price, _ in book["asks"]] == ["100.00000000", "101.00000000"]


def test_diffs_set_and_delete_levels_with_absolute_amounts() -> None:
    book = book_at(10)
    book.feed_diff(diff(11, 12, [["99.00000000", "0.00000000"], ["97.5", "4"]], [["100.0", "7"]]))
    assert book.as_rest() == {
        "lastUpdateId": 12,
        "bids": [("98.00000000", "2"), ("97.50000000", "4")],
        "asks": [("100.00000000", "7"), ("101.00000000", "1")],
    }


def test_deleting_an_unknown_level_changes_nothing() -> None:
    book = book_at(10)
    before = book.as_rest()
    book.feed_diff(diff(11, 11, [["50.0", "0.00000000"]], []))
    assert book.as_rest() == before | {"lastUpdateId": 11}


def test_a_diff_from_before_the_snapshot_is_ignored() -> None:
    book = book_at(10)
    book.feed_diff(diff(8, 10, [["99.0", "77"]], []))
    assert book.as_rest(1)["bids"] == [("99.00000000", "1")]


def test_diffs_before_the_snapshot_wait_for_it() -> None:
    book = LocalBook()
    book.feed_diff(diff(5, 9, [["99.0", "8"]], []))
    book.feed_diff(diff(10, 12, [["99.0", "9"]], []))
    assert book.update_id is None
    book.feed_snapshot(snapshot(10, [["99.0", "1"]], []))
    assert book.update_id == 12
    assert book.as_rest()["bids"] == [("99.00000000", "9")]


def test_a_gap_makes_the_book_unknown_until_a_newer_snapshot() -> None:
    book = book_at(10)
    book.feed_diff(diff(12, 13, [["99.0", "5"]], []))
    assert book.update_id is None
    book.feed_diff(diff(14, 15, [["99.0", "6"]], []))
    book.feed_snapshot(snapshot(13, [["99.0", "5"]], []))
    assert book.update_id == 15
    assert book.as_rest()["bids"] == [("99.00000000", "6")]


def test_changes_into_another_book_lead_exactly_there() -> None:
    book = book_at(10)
    other = snapshot(20, [["98.0", "2"], ["96.0", "1"]], [["100.0", "4"]])
    bids, asks = book.changes_into(other)
    book.feed_diff(diff(11, 20, [list(row) for row in bids], [list(row) for row in asks]))
    wanted = LocalBook()
    wanted.feed_snapshot(other)
    assert book.as_rest() == wanted.as_rest()
