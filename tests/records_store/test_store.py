"""Every fill once, every list whole, whatever dies in between."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmd.records.store import Cursor, LastPrice, Store
from mmd.words.errors import Unavailable
from mmd.words.market import Balance, Order, OrderStatus, OwnTrade, Pair, Side

FORK = multiprocessing.get_context("fork")
BASE = 16708186395087940051961000274150
"""Trade numbers have 32 digits: more than 64 bits hold."""


def trade(number: int, order_no: str = "1", amount: str = "0.001") -> OwnTrade:
    return OwnTrade(
        trade_no=BASE + number,
        order_no=order_no,
        client_id="mmd1x",
        pair=Pair("BTC", "TWD"),
        side=Side.SELL,
        price=Decimal("2000000.1"),
        amount=Decimal(amount),
        fee=Decimal("1.00000005"),
        is_maker=True,
        is_self=False,
        time_ms=1_700_000_000_000 + number,
    )


def order(number: int) -> Order:
    return Order(
        str(BASE + number),
        "",
        Pair("ETH", "USDT"),
        Side.BUY,
        Decimal("3000.10"),
        Decimal("1.50"),
        Decimal("0.5"),
        OrderStatus.PARTLY_FILLED,
        17,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records" / "account.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as store:
        yield store


def test_a_fill_comes_back_as_it_was(store: Store) -> None:
    store.cursor(0)
    assert store.add_fills([trade(1)]) == [trade(1)]
    (fill,) = store.fills()
    assert fill.trade == trade(1)


def test_a_fill_is_recorded_once(store: Store) -> None:
    store.cursor(0)
    store.add_fills([trade(1), trade(2)])
    assert store.add_fills([trade(2), trade(3)]) == [trade(3)]
    assert [f.trade.trade_no - BASE for f in store.fills()] == [1, 2, 3]


def test_a_self_match_has_a_fill_for_each_of_its_orders(store: Store) -> None:
    store.cursor(0)
    store.add_fills([trade(1, "buy"), trade(1, "sell")])
    assert len(store.fills()) == 2


def test_the_cursor_starts_once_and_reads_its_last_number_again(store: Store) -> None:
    assert store.cursor(1000) == Cursor(1000, None)
    assert store.cursor(2000) == Cursor(1000, None)
    store.add_fills([trade(2), trade(1)])
    assert store.cursor(3000).trade_no == BASE + 2
    store.add_fills([trade(1)])
    assert store.cursor(3000).trade_no == BASE + 2
    store.add_fills([])
    assert store.cursor(3000).trade_no == BASE + 2


def test_readers_follow_by_the_order_of_recording(store: Store, path: Path) -> None:
    store.cursor(0)
    store.add_fills([trade(5)])
    with Store.look(path) as reader:
        (first,) = reader.fills()
        store.add_fills([trade(3)])  # a smaller number, recorded later
        (second,) = reader.fills(first.id)
        assert second.trade == trade(3)
        assert reader.fills(second.id) == []


def test_a_list_is_replaced_as_a_whole(store: Store, path: Path) -> None:
    with Store.look(path) as reader:
        assert reader.newest_open_orders() is None
        assert store.set_open_orders([order(1), order(2)], 1, 2, 3) == 1
        assert store.set_open_orders([order(2), order(3)], 4, 5, 6) == 2
        found = reader.newest_open_orders()
        assert found is not None
        assert (found.number, found.wall_ms, found.asked_ns, found.answered_ns) == (2, 4, 5, 6)
        assert set(found.orders) == {order(2), order(3)}
        assert reader.newest_open_orders(newer_than=2) is None
        assert store.set_open_orders([], 7, 8, 9) == 3
        emptied = reader.newest_open_orders(newer_than=2)
        assert emptied is not None
        assert emptied.orders == ()


def test_balances_are_replaced_as_a_whole(store: Store) -> None:
    twd, x = Balance("TWD", Decimal("10.50"), Decimal(1)), Balance("X", Decimal(1), Decimal(1))
    assert store.balances_seen() == 0
    store.set_open_orders([], 1, 2, 3, [twd, x])
    store.set_open_orders([], 4, 5, 6, [Balance("TWD", Decimal("0.10"), Decimal("0.10"))])
    assert store.balances() == {"TWD": Balance("TWD", Decimal("0.10"), Decimal("0.10"))}
    assert store.balances_seen() == 2


def test_a_list_without_balances_leaves_the_former_ones(store: Store) -> None:
    store.set_open_orders([], 1, 2, 3, [Balance("TWD", Decimal(2), Decimal(1))])
    store.set_open_orders([order(1)], 4, 5, 6)
    assert store.balances() == {"TWD": Balance("TWD", Decimal(2), Decimal(1))}
    assert store.balances_seen() == 1


def test_who_merely_looks_makes_no_file(path: Path) -> None:
    with pytest.raises(Unavailable):
        Store.look(path)
    assert not path.exists()


def test_who_merely_looks_cannot_write(store: Store, path: Path) -> None:
    with Store.look(path) as reader, pytest.raises(Unavailable):
        reader.set_open_orders([], 1, 2, 3)


def test_a_busy_file_is_waited_for_and_leaves_nothing_half_done(store: Store, path: Path) -> None:
    store.cursor(0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        store.add_fills([trade(1)])
    other.execute("ROLLBACK")
    other.close()
    assert store.add_fills([trade(1)]) == [trade(1)]


def test_an_error_within_a_transaction_undoes_all_of_it(store: Store) -> None:
    store.set_open_orders([order(1)], 1, 2, 3, [Balance("TWD", Decimal(1), Decimal(1))])
    twice = [Balance("BTC", Decimal(1), Decimal(1))] * 2
    with pytest.raises(sqlite3.IntegrityError):
        store.set_open_orders([], 4, 5, 6, twice)
    assert set(store.balances()) == {"TWD"}
    listed = store.newest_open_orders()
    assert listed is not None
    assert listed.orders == (order(1),)


def _write_for_ever(path: Path) -> None:
    with Store.open(path) as store:
        last = store.cursor(0).trade_no
        number = last - BASE if last is not None else 0
        while True:
            # As the account process does: the last one is read again, then some new ones.
            store.add_fills([trade(n) for n in range(max(number, 1), number + 4)])
            number += 3


def test_every_fill_is_kept_once_across_kills(path: Path) -> None:
    with Store.open(path) as reader:
        for life in range(1, 6):
            process = FORK.Process(target=_write_for_ever, args=(path,))
            process.start()
            assert process.pid is not None
            seen = len(reader.fills())
            while len(reader.fills()) < seen + 30 * life:
                pass
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        numbers = [fill.trade.trade_no - BASE for fill in reader.fills()]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        assert reader.cursor(0).trade_no == BASE + len(numbers)


def _open_store(path: Path) -> None:
    with Store.open(path) as store:
        store.cursor(5)


def test_processes_may_make_the_file_at_the_same_time(path: Path) -> None:
    makers = [FORK.Process(target=_open_store, args=(path,)) for _ in range(6)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0] * 6


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(1, 20), max_size=12), max_size=4))
def test_whatever_overlaps_the_union_is_recorded(reads: list[list[int]]) -> None:
    with TemporaryDirectory() as folder, Store.open(Path(folder) / "account.sqlite") as store:
        store.cursor(0)
        new = [found for read in reads for found in store.add_fills([trade(n) for n in read])]
        wanted = sorted({n for read in reads for n in read})
        assert sorted(t.trade_no - BASE for t in new) == wanted
        assert sorted(f.trade.trade_no - BASE for f in store.fills()) == wanted


def test_last_prices_are_replaced_as_a_whole(tmp_path: Path) -> None:
    btc, eth = Pair("BTC", "TWD"), Pair("ETH", "TWD")
    with Store.open(tmp_path / "a.sqlite") as store:
        assert store.prices() == {}
        store.set_prices({btc: Decimal("3000000.5"), eth: Decimal(1)}, 5)
        store.set_prices({btc: Decimal("3000000.5")}, 6)
        assert store.prices() == {btc: LastPrice(Decimal("3000000.5"), 6)}
