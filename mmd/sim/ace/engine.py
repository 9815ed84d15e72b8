"""The exchange itself: checks, matching by price and time, accounts. No I/O, no clock of its own.

Every call takes the time. What happened is collected until `take_outcome` is called, so that one
request, or one step of the crowd, becomes one entry of the record.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from mmd.sim.ace.book import Book
from mmd.sim.ace.ledger import Account, Ledger
from mmd.sim.ace.markets import all_markets
from mmd.sim.ace.orders import (
    MAKER_FEE,
    TAKER_FEE,
    ZERO,
    BalanceSet,
    Closed,
    Event,
    Filled,
    Opened,
    OrderRequest,
    OrderType,
    Outcome,
    OwnFill,
    PublicTrade,
    Rejected,
    SimOrder,
    Status,
)
from mmd.words.market import MarketRules, OrderStatus, Pair, Side

CROWD = "crowd"
"""The account of the simulated participants. Its balances do not bind."""
STRANGER = "stranger"
"""The account of orders placed from outside as a third party. Its balances do not bind."""
_MAX_PRICE = Decimal(10) ** 12
_MAX_CLIENT_ID = 32


class _Numbers:
    """Order and trade numbers: 32 digits, beginning with the time in ms, always growing."""

    def __init__(self) -> None:
        self._time_ms = 0
        self._sequence = 0

    def next(self, now_ms: int) -> str:
        self._time_ms = max(self._time_ms, now_ms)
        self._sequence += 1
        return f"{self._time_ms:013d}{self._sequence:019d}"

    def skip(self, number: str) -> None:
        """Makes all later numbers greater than one handed out before a restart."""
        self._time_ms = max(self._time_ms, int(number[:13]) + 1)


class Engine:
    """Markets, books and accounts."""

    def __init__(self, markets: dict[Pair, MarketRules] | None = None) -> None:
        self.markets = all_markets() if markets is None else markets
        self.books = {pair: Book() for pair in self.markets}
        self.ledger = Ledger()
        self._numbers = _Numbers()
        self._outcome = Outcome()
        for name in (CROWD, STRANGER):
            self.ledger.add_account(name, limited=False)

    def add_account(self, name: str) -> Account:
        """A new API account, with nothing in it."""
        return self.ledger.add_account(name, limited=True)

    def account(self, name: str) -> Account:
        return self.ledger.accounts[name]

    def take_outcome(self) -> Outcome:
        """What happened since the last call."""
        outcome, self._outcome = self._outcome, Outcome()
        return outcome

    def set_balance(self, account: str, currency: str, total: Decimal) -> None:
        event = BalanceSet(account, currency, total)
        self.ledger.set_balance(event)
        self._note(self.account(account), event)

    def place(self, account_name: str, request: OrderRequest, now_ms: int) -> SimOrder:
        """Takes an order, trades what can be traded, rests or cancels what is left.

        Raises Rejected when the order breaks a rule or the balance does not suffice.
        """
        rules = self._check(request)
        account = self.account(account_name)
        reserve = self._required(request)
        currency = rules.pair.quote if request.side is Side.BUY else rules.pair.base
        if account.limited and account.free(currency) < reserve:
            raise Rejected(Status.INSUFFICIENT_BALANCE, f"not enough free {currency}")
        opened = Opened(
            order_no=self._numbers.next(now_ms),
            account=account_name,
            client_id=request.client_id,
            pair=request.pair,
            side=request.side,
            type=request.type,
            price=(request.price or ZERO) if request.type is OrderType.LIMIT else ZERO,
            amount=ZERO if request.type is OrderType.MARKET_VALUE else request.amount or ZERO,
            value=(request.value or ZERO) if request.type is OrderType.MARKET_VALUE else ZERO,
            reserved=reserve,
            time_ms=now_ms,
        )
        order = self.ledger.open(opened)
        self._note(account, opened)
        spent = self._match(order, rules, now_ms)
        if not order.status.is_open:
            return order
        if order.type is OrderType.LIMIT:
            self.books[order.pair].side(order.side).add(order)
        else:
            self._close(account, order, now_ms, whole=spent)
        return order

    def cancel(self, account_name: str, order_no: str, now_ms: int) -> SimOrder:
        """Takes a resting order back. Raises Rejected when it is finished or unknown."""
        account = self.account(account_name)
        order = account.open.get(order_no)
        if order is None:
            if order_no in account.finished:
                raise Rejected(Status.ORDER_GONE, "the order is already filled or cancelled")
            raise Rejected(Status.MALFORMED, "no such order")
        self.books[order.pair].side(order.side).remove(order)
        self._close(account, order, now_ms, whole=False)
        return order

    def replay(self, event: Event) -> None:
        """Makes a recorded event true again, after a restart."""
        match event:
            case Opened():
                self._numbers.skip(event.order_no)
                order = self.ledger.open(event)
                if order.type is OrderType.LIMIT:
                    self.books[order.pair].side(order.side).add(order)
            case Filled():
                self._numbers.skip(event.fill.trade_no)
                order = self.ledger.fill(event)
                if not order.status.is_open:
                    self._drop(order)
            case Closed():
                self._drop(self.ledger.close(event))
            case BalanceSet():
                self.ledger.set_balance(event)

    def restore(self, orders: Iterable[SimOrder], numbers: Iterable[str]) -> None:
        """Puts a checkpoint's open orders back into their books, in the order given, and makes
        all new numbers greater than `numbers`."""
        for order in orders:
            self._numbers.skip(order.order_no)
            if order.type is OrderType.LIMIT:
                self.books[order.pair].side(order.side).add(order)
        for number in numbers:
            self._numbers.skip(number)
        self.ledger.recount_holds()

    def _check(self, request: OrderRequest) -> MarketRules:
        """Holds a request against the market's rules. Raises Rejected."""
        rules = self.markets.get(request.pair)
        if rules is None:
            raise Rejected(Status.UNKNOWN_MARKET, f"no market {request.pair}")
        if request.client_id is not None and len(request.client_id) > _MAX_CLIENT_ID:
            raise Rejected(Status.BAD_CLIENT_ID, "customOrderId is longer than 32 characters")
        if request.type is OrderType.MARKET_VALUE:
            if request.side is not Side.BUY or request.value is None or request.value <= 0:
                raise Rejected(Status.BAD_ORDER, "type 3 buys for a value above zero")
            return rules
        if request.amount is None or request.amount < rules.min_amount:
            raise Rejected(Status.AMOUNT_TOO_SMALL, f"num is below {rules.min_amount}")
        if request.amount > rules.max_amount:
            raise Rejected(Status.AMOUNT_TOO_LARGE, f"num is above {rules.max_amount}")
        if request.amount % rules.lot:
            raise Rejected(Status.AMOUNT_PRECISION, f"num is not a multiple of {rules.lot}")
        if request.type is not OrderType.LIMIT:
            return rules
        if request.price is None or not 0 < request.price <= _MAX_PRICE:
            raise Rejected(Status.BAD_PRICE, "price is missing or out of range")
        if request.price % rules.tick:
            raise Rejected(Status.PRICE_PRECISION, f"price is not a multiple of {rules.tick}")
        return rules

    def _required(self, request: OrderRequest) -> Decimal:
        """What an order has to hold back of the currency that it spends."""
        amount = request.amount or ZERO
        if request.side is Side.SELL:
            return amount
        match request.type:
            case OrderType.LIMIT:
                value = amount * (request.price or ZERO)
            case OrderType.MARKET:
                value = self._cost(request.pair, amount)
            case OrderType.MARKET_VALUE:
                value = request.value or ZERO
        return value * (1 + TAKER_FEE)

    def _cost(self, pair: Pair, amount: Decimal) -> Decimal:
        """The value of the best asks that add up to an amount, or of all there are."""
        cost = ZERO
        for ask in self.books[pair].asks:
            take = min(amount, ask.remaining)
            cost += take * ask.price
            amount -= take
            if not amount:
                break
        return cost

    def _match(self, taker: SimOrder, rules: MarketRules, now_ms: int) -> bool:
        """Trades with the best opposite orders. True when a type 3 order spent its value."""
        opposite = self.books[taker.pair].opposite(taker.side)
        while taker.status.is_open:
            maker = opposite.best()
            if maker is None or not _crosses(taker, maker):
                return False
            amount = min(maker.remaining, taker.remaining)
            if taker.type is OrderType.MARKET_VALUE:
                affordable = (taker.value - taker.traded_value) / maker.price
                amount = min(maker.remaining, rules.round_amount(affordable))
                if not amount:
                    return True
            self._trade(taker, maker, amount, now_ms)
            if not maker.status.is_open:
                opposite.remove(maker)
        return False

    def _trade(self, taker: SimOrder, maker: SimOrder, amount: Decimal, now_ms: int) -> None:
        trade_no = self._numbers.next(now_ms)
        is_self = taker.account == maker.account
        self._outcome.trades.append(PublicTrade(taker.pair, maker.price, amount, now_ms))
        for order, other, rate in ((maker, taker, MAKER_FEE), (taker, maker, TAKER_FEE)):
            fill = OwnFill(
                trade_no=trade_no,
                order_no=order.order_no,
                client_id=order.client_id,
                pair=order.pair,
                side=order.side,
                price=maker.price,
                amount=amount,
                fee=maker.price * amount * rate,
                is_maker=order is maker,
                is_self=is_self,
                time_ms=now_ms,
            )
            event = Filled(
                account=order.account,
                fill=fill,
                done=order.type is not OrderType.MARKET_VALUE and amount == order.remaining,
                other_client_id=other.client_id if is_self else None,
                other_order_no=other.order_no if is_self else None,
            )
            self.ledger.fill(event)
            self._note(self.account(order.account), event)

    def _close(self, account: Account, order: SimOrder, now_ms: int, *, whole: bool) -> None:
        status = OrderStatus.CANCELLED
        if order.filled:
            status = OrderStatus.FILLED if whole else OrderStatus.PARTLY_FILLED_CANCELLED
        event = Closed(account.name, order.order_no, status, now_ms)
        self.ledger.close(event)
        self._note(account, event)

    def _drop(self, order: SimOrder) -> None:
        if order.type is OrderType.LIMIT:
            self.books[order.pair].side(order.side).remove(order)

    def _note(self, account: Account, event: Event) -> None:
        if account.limited:
            self._outcome.events.append(event)


def _crosses(taker: SimOrder, maker: SimOrder) -> bool:
    if taker.type is not OrderType.LIMIT:
        return True
    if taker.side is Side.BUY:
        return taker.price >= maker.price
    return taker.price <= maker.price
