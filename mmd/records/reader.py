"""One pair's view of the account's records: what is new since it last looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from mmd.decide.inventory import Holdings
from mmd.records.pnl import Result
from mmd.records.store import LastPrice, Store
from mmd.words.ids import Owner, owner_of
from mmd.words.market import Balance, Order, OwnTrade, Pair


@dataclass(frozen=True, slots=True)
class News:
    """What the account process recorded since the last reading."""

    trades: Sequence[OwnTrade] = ()
    filled: dict[str, Decimal] = field(default_factory=dict)
    """How much is filled in all, of each order that was filled further, by customOrderId."""
    listed: list[Order] | None = None
    """The pair's open orders, if there is a newer list."""
    asked_ns: int = 0
    has_balances: bool = False
    """Whether the balances are as new as the list."""


class AccountReader:
    """Follows fills and lists of open orders of one pair, and adds up its account."""

    def __init__(self, path: Path, pair: Pair, instance: str) -> None:
        self._path, self._pair, self._instance = path, pair, instance
        self._store: Store | None = None
        self._last_fill = 0
        self._last_list = 0
        self._filled: dict[str, Decimal] = {}
        self.result = Result()
        self._balances: dict[str, Balance] = {}
        self._price: LastPrice | None = None

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def read(self) -> News:
        """What is new. Nothing is new while nothing has been recorded yet.

        Raises Unavailable when the records can't be read now; nothing is lost by that.
        """
        if self._store is None:
            if not self._path.exists():
                return News()
            self._store = Store.look(self._path)
        snapshot = self._store.newest_open_orders(self._last_list, self._pair)
        fills = self._store.fills(self._last_fill, self._pair)
        trades, filled = self._book([fill.trade for fill in fills])
        if fills:
            self._last_fill = fills[-1].id
        if snapshot is None:
            return News(trades, filled)
        self._last_list = snapshot.number
        has_balances = self._store.balances_seen() == snapshot.number
        if has_balances:
            self._balances = self._store.balances()
        self._price = self._store.prices().get(self._pair)
        return News(trades, filled, list(snapshot.orders), snapshot.asked_ns, has_balances)

    def holdings(self) -> Holdings:
        """The position by our own fills, and what the account has in all of both currencies, free
        or in orders, as far as it is known."""
        base, quote = (self._balances.get(name) for name in (self._pair.base, self._pair.quote))
        return Holdings(
            self.result.position, base.total if base else None, quote.total if quote else None
        )

    def free(self) -> tuple[Decimal, Decimal] | None:
        """What the venue called free of base and quote currency when it last told; None while it
        is not known."""
        base, quote = (self._balances.get(name) for name in (self._pair.base, self._pair.quote))
        return None if base is None or quote is None else (base.free, quote.free)

    def last_price(self, since_ms: int) -> Decimal | None:
        """Of anybody's newest trade of the pair, if the venue said so after a time."""
        if self._price is None or self._price.wall_ms < since_ms:
            return None
        return self._price.price

    def _book(self, trades: Sequence[OwnTrade]) -> tuple[list[OwnTrade], dict[str, Decimal]]:
        mine = [trade for trade in trades if self._is_ours(trade)]
        filled = {}
        for trade in mine:
            self.result = self.result.after(trade)
            total = self._filled.get(trade.client_id, Decimal(0)) + trade.amount
            self._filled[trade.client_id] = filled[trade.client_id] = total
        return mine, filled

    def _is_ours(self, trade: OwnTrade) -> bool:
        return owner_of(trade.client_id, self._instance) is Owner.OURS
