"""What the venue says of the account, on disk: fills, balances, open orders (SQLite).

The account process writes, all others read. A fill and the cursor that moves past it are written
in one transaction, and the cursor reads its last number again: so every fill is kept exactly once,
across any crash. Trade numbers have 32 digits, more than SQLite's integers hold: they are text.
Open a store after the fork: SQLite's locks belong to a process.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Self

from mmd.words.errors import Unavailable
from mmd.words.market import Balance, Order, OrderStatus, OwnTrade, Pair, Side

FILE = "account.sqlite"
_BUSY_S = 0.3
_SWITCH_TRIES, _SWITCH_NAP_S = 50, 0.02
_SCHEMA = """
CREATE TABLE IF NOT EXISTS fills (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    trade_no TEXT NOT NULL, order_no TEXT NOT NULL, client_id TEXT NOT NULL, pair TEXT NOT NULL,
    side INTEGER NOT NULL, price TEXT NOT NULL, amount TEXT NOT NULL, fee TEXT NOT NULL,
    is_maker INTEGER NOT NULL, is_self INTEGER NOT NULL, time_ms INTEGER NOT NULL,
    UNIQUE (trade_no, order_no));
CREATE TABLE IF NOT EXISTS cursor (
    only INTEGER PRIMARY KEY CHECK (only = 1), since_ms INTEGER NOT NULL, trade_no TEXT);
CREATE TABLE IF NOT EXISTS balances (
    currency TEXT PRIMARY KEY, total TEXT NOT NULL, free TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS snapshot (
    only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER NOT NULL, wall_ms INTEGER NOT NULL,
    asked_ns INTEGER NOT NULL, answered_ns INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS open_orders (
    order_no TEXT PRIMARY KEY, client_id TEXT NOT NULL, pair TEXT NOT NULL, side INTEGER NOT NULL,
    price TEXT NOT NULL, amount TEXT NOT NULL, filled TEXT NOT NULL, status INTEGER NOT NULL,
    time_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS balances_seen (
    only INTEGER PRIMARY KEY CHECK (only = 1), list INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS prices (
    pair TEXT PRIMARY KEY, price TEXT NOT NULL, wall_ms INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete list of the account's open orders."""

    number: int
    """Grows by one with each list."""
    wall_ms: int
    """When it was complete, ms since 1970."""
    asked_ns: int
    """Monotonic time before the first page was asked for: orders placed later may be missing."""
    answered_ns: int
    """Monotonic time after the last page came: orders that ended later may still be listed."""
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class LastPrice:
    """Of the newest trade of anybody in one market of the venue."""

    price: Decimal
    wall_ms: int
    """When the venue said so, ms since 1970."""


@dataclass(frozen=True, slots=True)
class Fill:
    """A recorded fill. `id` grows in the order of recording: it is the readers' cursor."""

    id: int
    trade: OwnTrade


@dataclass(frozen=True, slots=True)
class Cursor:
    """From where on own trades are to be asked for."""

    since_ms: int
    """The venue's time when recording began."""
    trade_no: int | None
    """The last recorded trade; to be read again. None: none is recorded yet."""


class Store:
    """The records of one account. Methods raise Unavailable when the file can't be used now;
    nothing is half-written then."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Store:
        """For mmd's own processes; makes the file if need be."""
        return cls(connect(path, _SCHEMA))

    @classmethod
    def look(cls, path: Path) -> Store:
        """For who merely looks. Raises Unavailable when nothing has been recorded yet."""
        return cls(connect_to_look(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def cursor(self, since_ms: int) -> Cursor:
        """From where on to ask for own trades; for a new store that is `since_ms`."""
        with self._transaction("IMMEDIATE") as connection:
            connection.execute("INSERT OR IGNORE INTO cursor VALUES (1, ?, NULL)", (since_ms,))
            row = connection.execute("SELECT since_ms, trade_no FROM cursor").fetchone()
        since_ms, trade_no = row
        return Cursor(since_ms, None if trade_no is None else int(trade_no))

    def add_fills(self, trades: Iterable[OwnTrade]) -> list[OwnTrade]:
        """Records the trades not recorded yet and moves the cursor to the greatest number;
        returns the new ones."""
        ordered = sorted(trades, key=lambda trade: (trade.trade_no, trade.order_no))
        if not ordered:
            return []
        with self._transaction("IMMEDIATE") as connection:
            new = [trade for trade in ordered if _insert_fill(connection, trade)]
            (before,) = connection.execute("SELECT trade_no FROM cursor").fetchone()
            last = max(ordered[-1].trade_no, int(before or 0))
            connection.execute("UPDATE cursor SET trade_no = ?", (str(last),))
        return new

    def fills(self, after_id: int = 0, pair: Pair | None = None, since_ms: int = 0) -> list[Fill]:
        """Fills of one pair, or of all, recorded after the one with the given id, in the order of
        recording; those at the venue's time `since_ms` or later."""
        with faults():
            rows = self._connection.execute(
                "SELECT * FROM fills WHERE id > ? AND pair LIKE ? AND time_ms >= ? ORDER BY id",
                (after_id, _pattern(pair), since_ms),
            ).fetchall()
        return [_fill(row) for row in rows]

    def last_fill_id(self) -> int:
        """The id of the newest fill; 0 when there is none."""
        with faults():
            (last,) = self._connection.execute("SELECT max(id) FROM fills").fetchone()
        return last or 0

    def balances(self) -> dict[str, Balance]:
        """The newest balances, by currency."""
        with faults():
            rows = self._connection.execute("SELECT * FROM balances").fetchall()
        return {name: Balance(name, Decimal(total), Decimal(free)) for name, total, free in rows}

    def balances_seen(self) -> int:
        """The number of the list of open orders that came with the newest balances."""
        with faults():
            row = self._connection.execute("SELECT list FROM balances_seen").fetchone()
        return 0 if row is None else int(row[0])

    def set_prices(self, prices: Mapping[Pair, Decimal], wall_ms: int) -> None:
        """Replaces the last prices."""
        rows = [(str(pair), str(price), wall_ms) for pair, price in prices.items()]
        with self._transaction("IMMEDIATE") as connection:
            connection.execute("DELETE FROM prices")
            connection.executemany("INSERT INTO prices VALUES (?, ?, ?)", rows)

    def prices(self) -> dict[Pair, LastPrice]:
        """The venue's last prices, by pair."""
        with faults():
            rows = self._connection.execute("SELECT * FROM prices").fetchall()
        return {_pair(pair): LastPrice(Decimal(price), ms) for pair, price, ms in rows}

    def set_open_orders(
        self,
        orders: Iterable[Order],
        wall_ms: int,
        asked_ns: int,
        answered_ns: int,
        balances: Sequence[Balance] = (),
    ) -> int:
        """Replaces the list of open orders, and all balances where they were asked for at the
        same time; returns the new list's number."""
        rows = [_order_row(order) for order in orders]
        with self._transaction("IMMEDIATE") as connection:
            before = connection.execute("SELECT number FROM snapshot").fetchone()
            number: int = before[0] + 1 if before else 1
            connection.execute("DELETE FROM open_orders")
            connection.executemany("INSERT INTO open_orders VALUES (?,?,?,?,?,?,?,?,?)", rows)
            connection.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?, ?)",
                (number, wall_ms, asked_ns, answered_ns),
            )
            if balances:
                _replace_balances(connection, balances, number)
        return number

    def newest_open_orders(self, newer_than: int = 0, pair: Pair | None = None) -> Snapshot | None:
        """The newest whole list, of one pair or of all, if its number is greater than the given
        one."""
        with self._transaction("DEFERRED") as connection:
            head = connection.execute(
                "SELECT number, wall_ms, asked_ns, answered_ns FROM snapshot WHERE number > ?",
                (newer_than,),
            ).fetchone()
            if head is None:
                return None
            rows = connection.execute(
                "SELECT * FROM open_orders WHERE pair LIKE ?", (_pattern(pair),)
            ).fetchall()
        number, wall_ms, asked_ns, answered_ns = head
        orders = tuple(_order(row) for row in rows)
        return Snapshot(number, wall_ms, asked_ns, answered_ns, orders)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with faults():
            self._connection.execute(f"BEGIN {kind}")
            with self._connection:  # commits, or rolls back
                yield self._connection


def connect(path: Path, schema: str) -> sqlite3.Connection:
    """A file that is written by mmd's own processes, made if need be. Raises Unavailable."""
    with faults():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path, schema)
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        _to_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(schema)
    return connection


def connect_to_look(path: Path) -> sqlite3.Connection:
    """The same for who merely looks. Raises Unavailable when there is no such file."""
    with faults():
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
        )


def _make(path: Path, schema: str) -> None:
    """A new file appears with all its tables at once, for its readers do not look for them."""
    made = path.with_name(f"{path.name}.{os.getpid()}.new")
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.executescript(schema)
    with suppress(FileExistsError):  # another process was first
        os.link(made, path)
    made.unlink()


def _to_wal(connection: sqlite3.Connection) -> None:
    """The switch of a new file needs it for itself and does not wait: others may be making it."""
    for _ in range(_SWITCH_TRIES - 1):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            time.sleep(_SWITCH_NAP_S)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def faults() -> Iterator[None]:
    """A busy, full or missing file is to be waited for: raises Unavailable."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise Unavailable(f"the account's records can't be used now: {error}") from error


def _replace_balances(
    connection: sqlite3.Connection, balances: Sequence[Balance], number: int
) -> None:
    rows = [(b.currency, str(b.total), str(b.free)) for b in balances]
    connection.execute("DELETE FROM balances")
    connection.executemany("INSERT INTO balances VALUES (?, ?, ?)", rows)
    connection.execute("INSERT OR REPLACE INTO balances_seen VALUES (1, ?)", (number,))


def _insert_fill(connection: sqlite3.Connection, trade: OwnTrade) -> bool:
    done = connection.execute(
        "INSERT OR IGNORE INTO fills VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?)",
        (
            str(trade.trade_no),
            trade.order_no,
            trade.client_id,
            str(trade.pair),
            int(trade.side),
            str(trade.price),
            str(trade.amount),
            str(trade.fee),
            trade.is_maker,
            trade.is_self,
            trade.time_ms,
        ),
    )
    return done.rowcount == 1


def _fill(row: tuple[int, str, str, str, str, int, str, str, str, int, int, int]) -> Fill:
    number, trade_no, order_no, client_id, pair, side, price, amount, fee, maker, self_, ms = row
    trade = OwnTrade(
        trade_no=int(trade_no),
        order_no=order_no,
        client_id=client_id,
        pair=_pair(pair),
        side=Side(side),
        price=Decimal(price),
        amount=Decimal(amount),
        fee=Decimal(fee),
        is_maker=bool(maker),
        is_self=bool(self_),
        time_ms=ms,
    )
    return Fill(number, trade)


def _order_row(order: Order) -> tuple[object, ...]:
    return (
        order.order_no,
        order.client_id,
        str(order.pair),
        int(order.side),
        str(order.price),
        str(order.amount),
        str(order.filled),
        int(order.status),
        order.time_ms,
    )


def _order(row: tuple[str, str, str, int, str, str, str, int, int]) -> Order:
    order_no, client_id, pair, side, price, amount, filled, status, time_ms = row
    return Order(
        order_no=order_no,
        client_id=client_id,
        pair=_pair(pair),
        side=Side(side),
        price=Decimal(price),
        amount=Decimal(amount),
        filled=Decimal(filled),
        status=OrderStatus(status),
        time_ms=time_ms,
    )


def _pattern(pair: Pair | None) -> str:
    return "%" if pair is None else str(pair)


def _pair(text: str) -> Pair:
    base, quote = text.split("/")
    return Pair(base, quote)
