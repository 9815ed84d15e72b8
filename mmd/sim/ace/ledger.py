"""Accounts: balances, what open orders hold back of them, orders and fills.

All changes go through `open`, `fill`, `close` and `set_balance`, in trading as well as when a
restart replays the record; so a rebuilt ledger equals the one that was lost.

Fees are taken in quote currency, from buyer and seller alike (as ccxt books them), so a buy order
holds back its value and the taker's fee on it.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from mmd.sim.ace.orders import (
    TAKER_FEE,
    ZERO,
    BalanceSet,
    Closed,
    Filled,
    Opened,
    OrderType,
    OwnFill,
    SimOrder,
)
from mmd.words.market import OrderStatus, Side

KEPT_ORDERS = 20_000
"""How many finished orders of an account can still be looked up."""
KEPT_FILLS = 20_000


class Account:
    """One customer. A *limited* one is an API account: its balances bind and it is recorded."""

    def __init__(self, name: str, uid: int, *, limited: bool) -> None:
        self.name = name
        self.uid = uid
        self.limited = limited
        self.totals: dict[str, Decimal] = {}
        self.held: dict[str, Decimal] = {}
        # Invariant: held[c] is the sum of `reserved` over the open orders that spend c.
        self.open: dict[str, SimOrder] = {}
        self.finished: dict[str, SimOrder] = {}
        self.fills: deque[OwnFill] = deque(maxlen=KEPT_FILLS)

    def free(self, currency: str) -> Decimal:
        """What a new order may spend."""
        return self.totals.get(currency, ZERO) - self.held.get(currency, ZERO)

    def find(self, order_no: str) -> SimOrder | None:
        return self.open.get(order_no) or self.finished.get(order_no)


def spent_currency(order: SimOrder) -> str:
    """What the order gives away: quote currency for a buy, base currency for a sell."""
    return order.pair.quote if order.side is Side.BUY else order.pair.base


class Ledger:
    """All accounts, and the fees the exchange took."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.fees: dict[str, Decimal] = {}

    def add_account(self, name: str, *, limited: bool) -> Account:
        account = Account(name, 1000 + len(self.accounts), limited=limited)
        self.accounts[name] = account
        return account

    def set_balance(self, event: BalanceSet) -> None:
        self.accounts[event.account].totals[event.currency] = event.total

    def open(self, event: Opened) -> SimOrder:
        """Books a new order and what it holds back."""
        order = SimOrder(
            order_no=event.order_no,
            account=event.account,
            client_id=event.client_id,
            pair=event.pair,
            side=event.side,
            type=event.type,
            price=event.price,
            amount=event.amount,
            value=event.value,
            time_ms=event.time_ms,
        )
        account = self.accounts[event.account]
        account.open[order.order_no] = order
        self._reserve(account, order, event.reserved)
        return order

    def fill(self, event: Filled) -> SimOrder:
        """Books one fill of one order: money, fee, hold, status."""
        account = self.accounts[event.account]
        fill = event.fill
        order = account.open[fill.order_no]
        pair, value = order.pair, fill.price * fill.amount
        order.filled += fill.amount
        order.traded_value += value
        self.fees[pair.quote] = self.fees.get(pair.quote, ZERO) + fill.fee
        if order.side is Side.BUY:
            paid = value + fill.fee
            self._move(account, pair.quote, -paid)
            self._move(account, pair.base, fill.amount)
            left = order.reserved - paid
            if order.type is OrderType.LIMIT:
                left = order.remaining * order.price * (1 + TAKER_FEE)
        else:
            self._move(account, pair.base, -fill.amount)
            self._move(account, pair.quote, value - fill.fee)
            left = order.remaining
        self._reserve(account, order, left)
        if account.limited:
            account.fills.append(fill)
        order.status = OrderStatus.PARTLY_FILLED
        if event.done:
            self._finish(account, order, OrderStatus.FILLED)
        return order

    def close(self, event: Closed) -> SimOrder:
        """Books the end of an order and frees what it still holds back."""
        account = self.accounts[event.account]
        order = account.open[event.order_no]
        self._finish(account, order, event.status)
        return order

    def recount_holds(self) -> None:
        """Makes `held` the sum of what open orders hold back, after a restart."""
        for account in self.accounts.values():
            account.held = {}
            for order in account.open.values():
                currency = spent_currency(order)
                account.held[currency] = account.held.get(currency, ZERO) + order.reserved

    def _move(self, account: Account, currency: str, change: Decimal) -> None:
        account.totals[currency] = account.totals.get(currency, ZERO) + change

    def _reserve(self, account: Account, order: SimOrder, amount: Decimal) -> None:
        currency = spent_currency(order)
        held = account.held.get(currency, ZERO) + amount - order.reserved
        account.held[currency] = held
        order.reserved = amount

    def _finish(self, account: Account, order: SimOrder, status: OrderStatus) -> None:
        self._reserve(account, order, ZERO)
        order.status = status
        del account.open[order.order_no]
        if not account.limited:
            return
        account.finished[order.order_no] = order
        if len(account.finished) > KEPT_ORDERS:
            del account.finished[next(iter(account.finished))]
