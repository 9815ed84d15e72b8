"""ACE's REST API v2 as a pure function: a call and the time in, the reply out.

The socket side lives in `mmd.sim.ace.server`; a test in virtual time calls `Venue.answer` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, Literal, TypeVar

from mmd.sim.ace import rows
from mmd.sim.ace.candles import DURATION_MINUTES, Tape
from mmd.sim.ace.engine import Engine
from mmd.sim.ace.form import Form, item_form
from mmd.sim.ace.gate import RateLimit, check_signed
from mmd.sim.ace.orders import Rejected, Status

_T = TypeVar("_T")
_MAX_PAGE = 500
_DEFAULT_PAGE = 10
_MAX_CANDLES = 2000


@dataclass(frozen=True, slots=True)
class BatchPaths:
    """Where the batch calls live. They are private to market makers on contract, so the paths
    and field names are a guess that both sides share."""

    submit: str = "/open/v2/order/submit_batch_order"
    cancel: str = "/open/v2/order/cancel_batch_orders"
    max_orders: int = 20


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What may differ between venues that speak this API."""

    window_ms: int = 5000
    """How far a request's timeStamp may be off, either way."""
    rate_limit_per_s: float | None = None
    """Requests a key may send per second; None: any number."""
    rate_burst: float | None = None
    """How many of them at once; None: twice the rate."""
    paging: Literal["page", "row"] = "page"
    """Whether `start` counts pages or rows; the document leaves it open."""
    batch: BatchPaths | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived. `path` is without the base path."""

    method: str
    path: str
    parameters: Mapping[str, str]
    is_form: bool = True
    """Whether a POST body was form-urlencoded."""

    @property
    def api_key(self) -> str | None:
        return self.parameters.get("apiKey") or None


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: HTTP status and JSON body. `account` is the key whose signature was accepted."""

    body: Any
    http_status: int = 200
    account: str | None = None

    @property
    def status(self) -> int:
        """The status of the envelope; public calls without one count as 200."""
        if isinstance(self.body, dict) and "attachment" in self.body:
            return int(self.body["status"])
        return self.http_status

    @property
    def message(self) -> str | None:
        return self.body.get("message") if isinstance(self.body, dict) else None


_Signed = Callable[[str, Form, int], Any]
_Public = Callable[[Form, int], Any]


@dataclass(slots=True)
class Venue:
    """All calls of the API over one engine."""

    engine: Engine
    tape: Tape
    secrets: Mapping[str, str]
    """API key → secret."""
    rules: VenueRules = field(default_factory=VenueRules)
    _public: dict[str, _Public] = field(init=False)
    _signed: dict[str, _Signed] = field(init=False)
    _limit: RateLimit | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._public = {
            "/oapi/v2/list/tradePrice": self._prices,
            "/oapi/v2/list/marketPair": self._markets,
            "/open/v2/public/getOrderBook": self._book,
        }
        self._signed = {
            "/open/v2/coin/customerAccount": self._balances,
            "/open/v2/kline/getKline": self._candles,
            "/open/v2/order/order": self._order,
            "/open/v2/order/cancel": self._cancel,
            "/open/v2/order/getOrderList": self._open_orders,
            "/open/v2/order/showOrderStatus": self._order_status,
            "/open/v2/order/showOrderHistory": self._order_history,
            "/open/v2/order/getTradeList": self._own_trades,
        }
        if self.rules.batch is not None:
            self._signed[self.rules.batch.submit] = self._submit_batch
            self._signed[self.rules.batch.cancel] = self._cancel_batch
        per_s = self.rules.rate_limit_per_s
        if per_s is not None:
            self._limit = RateLimit(per_s, max(1, self.rules.rate_burst or 2 * per_s))

    def answer(self, call: Call, now_ms: int) -> Answer:
        """Carries a call out. Never raises for anything a client can send."""
        form = Form(call.parameters)
        account: str | None = None
        try:
            if call.path in self._public:
                if call.method != "GET":
                    return _wrong_method()
                body = self._public[call.path](form, now_ms)
                return Answer(body if call.path.startswith("/oapi") else rows.envelope(body))
            handler = self._signed.get(call.path)
            if handler is None:
                return Answer(rows.envelope(None, 404, "no such path"), 404)
            if call.method != "POST":
                return _wrong_method()
            if not call.is_form:
                raise Rejected(Status.MALFORMED, "the body must be form-urlencoded")
            if self._is_over_limit(call.api_key, now_ms):
                return Answer(rows.envelope(None, 429, "too many requests"), 429)
            account = check_signed(call.parameters, self.secrets, now_ms, self.rules.window_ms)
            return Answer(rows.envelope(handler(account, form, now_ms)), account=account)
        except Rejected as refusal:
            body = rows.envelope(None, refusal.status, refusal.message)
            return Answer(body, account=account)

    def _is_over_limit(self, key: str | None, now_ms: int) -> bool:
        """Counts a request against its key's rate, if there is a limit and we know the key."""
        if self._limit is None or key is None or key not in self.secrets:
            return False
        return not self._limit.allows(key, now_ms)

    def _prices(self, _form: Form, now_ms: int) -> Any:
        found = {}
        for pair in self.engine.markets:
            last = self.tape.last_price(pair)
            if last is not None:
                found[str(pair)] = rows.price_row(last, *self.tape.day_volume(pair, now_ms))
        return found

    def _markets(self, _form: Form, _now_ms: int) -> Any:
        return [rows.market_row(rules) for rules in self.engine.markets.values()]

    def _book(self, form: Form, _now_ms: int) -> Any:
        pair = form.needed_pair()
        rules = self.engine.markets.get(pair)
        if rules is None:
            raise Rejected(Status.UNKNOWN_MARKET, f"no market {pair}")
        depth = form.within("depth", 1, _MAX_PAGE, 100)
        book = self.engine.books[pair]
        return rows.book_row(rules, book.bids.levels(depth), book.asks.levels(depth))

    def _balances(self, account: str, _form: Form, _now_ms: int) -> Any:
        return rows.balance_rows(self.engine.account(account))

    def _candles(self, _account: str, form: Form, _now_ms: int) -> Any:
        minutes = DURATION_MINUTES.get(form.integer("duration") or 1)
        if minutes is None:
            raise Rejected(Status.MALFORMED, "unknown duration")
        found = self.tape.candles(
            form.needed_pair(),
            minutes,
            form.integer("startTime"),
            form.integer("endTime"),
            form.within("limit", 1, _MAX_CANDLES, _MAX_CANDLES),
        )
        return [rows.candle_row(candle) for candle in found]

    def _order(self, account: str, form: Form, now_ms: int) -> Any:
        order = self.engine.place(account, form.order(), now_ms)
        return {"orderNo": order.order_no, "customOrderId": order.client_id}

    def _cancel(self, account: str, form: Form, now_ms: int) -> Any:
        self.engine.cancel(account, form.text("orderNo"), now_ms)
        return 200

    def _open_orders(self, account: str, form: Form, _now_ms: int) -> Any:
        holder = self.engine.account(account)
        pair = form.pair()
        newest_first = [o for o in reversed(holder.open.values()) if pair in (None, o.pair)]
        return [rows.list_row(order, holder.uid) for order in self._page(newest_first, form)]

    def _order_status(self, account: str, form: Form, _now_ms: int) -> Any:
        order = self.engine.account(account).find(form.text("orderNo"))
        if order is None:
            raise Rejected(Status.MALFORMED, "no such order")
        return rows.status_row(order)

    def _order_history(self, account: str, form: Form, now_ms: int) -> Any:
        order = self._order_status(account, form, now_ms)
        number = form.text("orderNo")
        fills = [f for f in self.engine.account(account).fills if f.order_no == number]
        return {"order": order, "trades": [rows.history_trade_row(fill) for fill in fills]}

    def _own_trades(self, account: str, form: Form, _now_ms: int) -> Any:
        """Newest first; from `startTradeNo` on (it included) oldest first."""
        holder = self.engine.account(account)
        pair, side, since = form.pair(), form.side(), form.integer("startTime") or 0
        cursor = form.integer("startTradeNo")
        first_no = f"{cursor or 0:032d}"
        found = [
            fill
            for fill in takewhile(lambda f: f.trade_no >= first_no, reversed(holder.fills))
            if pair in (None, fill.pair) and side in (None, fill.side) and fill.time_ms >= since
        ]
        if cursor is not None:
            found.reverse()
        return [rows.trade_row(f, holder.find(f.order_no)) for f in self._page(found, form)]

    def _submit_batch(self, account: str, form: Form, now_ms: int) -> Any:
        assert self.rules.batch is not None
        items = form.json_list("orders", self.rules.batch.max_orders)
        return [_each(partial(self._submit_one, account, item, now_ms)) for item in items]

    def _submit_one(self, account: str, item: object, now_ms: int) -> Any:
        return self._order(account, item_form(item), now_ms)

    def _cancel_batch(self, account: str, form: Form, now_ms: int) -> Any:
        assert self.rules.batch is not None
        results = []
        for number in form.json_list("orderNos", self.rules.batch.max_orders):
            item = Form({"orderNo": str(number)})
            result = _each(partial(self._cancel, account, item, now_ms))
            results.append({"orderNo": str(number), **result})
        return results

    def _page(self, items: list[_T], form: Form) -> list[_T]:
        start = form.within("start", 1, 10**9, 1)
        size = form.within("size", 1, _MAX_PAGE, _DEFAULT_PAGE)
        first = (start - 1) * size if self.rules.paging == "page" else start - 1
        return items[first : first + size]


def _wrong_method() -> Answer:
    return Answer(rows.envelope(None, 405, "wrong method"), 405)


def _each(act: Callable[[], Any]) -> dict[str, Any]:
    """The result of one item of a batch; the others go on when it is refused."""
    try:
        result = act()
    except Rejected as refusal:
        return {"status": int(refusal.status), "message": refusal.message}
    return {"status": 200, "message": None, **(result if isinstance(result, dict) else {})}
