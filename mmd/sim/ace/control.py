"""`/sim/…`: faults, record, report, state and third-party orders, for those who run the simulation.

JSON in and out; no signature. What can't be done answers HTTP 400 with `{"error": …}`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmd.sim.ace.entries import Entry
from mmd.sim.ace.exchange import Exchange
from mmd.sim.ace.faults import Fault
from mmd.sim.ace.orders import OrderRequest, OrderType, Rejected
from mmd.sim.ace.record import Record
from mmd.sim.ace.rows import text
from mmd.words.market import Pair, Side

_MAX_ENTRIES = 10_000
_FILTERS = ("cause", "account", "path", "fault", "order_no", "client_id")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ThirdPartyOrder(_Model):
    """Body of POST /sim/order. Without a price it is a market order."""

    pair: str
    side: str = Field(pattern="^(buy|sell)$")
    amount: Decimal
    price: Decimal | None = None
    keep: bool = True
    """Whether what does not trade at once stays in the book."""

    def request(self) -> OrderRequest:
        return OrderRequest(
            pair=Pair.parse(self.pair),
            side=Side[self.side.upper()],
            type=OrderType.LIMIT if self.price is not None else OrderType.MARKET,
            price=self.price,
            amount=self.amount,
        )


class BalanceChange(_Model):
    """Body of POST /sim/balance."""

    account: str
    currency: str
    total: Decimal


class CrowdChange(_Model):
    """Body of POST /sim/crowd."""

    active: bool


class Control:
    """The calls under `/sim/`."""

    def __init__(self, exchange: Exchange, record: Record, clock: Callable[[], int]) -> None:
        self._exchange = exchange
        self._record = record
        self._clock = clock
        self._calls: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[Any]]] = {
            ("POST", "/sim/faults"): self._add_fault,
            ("GET", "/sim/faults"): self._list_faults,
            ("DELETE", "/sim/faults"): self._clear_faults,
            ("GET", "/sim/record"): self._entries,
            ("GET", "/sim/report"): self._report,
            ("GET", "/sim/state"): self._state,
            ("POST", "/sim/order"): self._place,
            ("DELETE", "/sim/order"): self._withdraw,
            ("POST", "/sim/balance"): self._set_balance,
            ("POST", "/sim/crowd"): self._set_crowd,
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        call = self._calls.get((request.method, request.path))
        if call is None:
            return _json({"error": "no such call"}, 404)
        try:
            return _json(await call(request))
        except Rejected as refusal:
            return _json({"error": refusal.message, "status": int(refusal.status)}, 400)
        except (ValidationError, ValueError, KeyError, re.error) as error:
            return _json({"error": str(error)}, 400)

    async def _add_fault(self, request: web.BaseRequest) -> Any:
        fault = Fault.model_validate_json(await request.read())
        return {"id": self._exchange.faults.add(fault)}

    async def _list_faults(self, _request: web.BaseRequest) -> Any:
        return self._exchange.faults.rows()

    async def _clear_faults(self, request: web.BaseRequest) -> Any:
        number = request.query.get("id")
        self._exchange.faults.clear(int(number) if number else None)
        return self._exchange.faults.rows()

    async def _entries(self, request: web.BaseRequest) -> Any:
        """Entries after number `after`, at most `limit`, that pass the filters given."""
        query = dict(request.query)
        after = int(query.pop("after", 0))
        limit = min(int(query.pop("limit", 1000)), _MAX_ENTRIES)
        unknown = set(query) - set(_FILTERS)
        if unknown:
            raise ValueError(f"unknown filters: {sorted(unknown)}")
        entries = await asyncio.to_thread(self._read, after, limit, query)
        return {"entries": entries, "next": entries[-1].n if entries else after}

    def _read(self, after: int, limit: int, filters: Mapping[str, str]) -> list[Entry]:
        found: list[Entry] = []
        for entry in self._record.read(after):
            if len(found) >= limit:
                break
            if _passes(entry, filters):
                found.append(entry)
        return found

    async def _report(self, request: web.BaseRequest) -> Any:
        """The referee's report; `intended` is a regular expression, see `Referee.report`."""
        intended = request.query.get("intended")
        pattern = re.compile(intended) if intended else None
        return self._exchange.referee.report(self._exchange.engine.ledger, self._clock(), pattern)

    async def _state(self, _request: web.BaseRequest) -> Any:
        engine, now = self._exchange.engine, self._clock()
        markets = {}
        for pair, book in engine.books.items():
            bid, ask = book.bids.best(), book.asks.best()
            lively = pair in self._exchange.crowd.pairs
            if bid is None and ask is None and not lively:
                continue
            markets[str(pair)] = {
                "fair": _text(self._exchange.fair(pair, now) if lively else None),
                "bid": _text(bid.price if bid else None),
                "ask": _text(ask.price if ask else None),
                "last": _text(self._exchange.tape.last_price(pair)),
            }
        accounts = {
            account.name: {
                "balances": {
                    currency: {"total": text(total), "free": text(account.free(currency))}
                    for currency, total in account.totals.items()
                },
                "open_orders": len(account.open),
            }
            for account in engine.ledger.accounts.values()
            if account.limited
        }
        return {
            "time_ms": now,
            "last_request_ms": self._exchange.referee.memory.pace.last_ms or None,
            "entries": self._exchange.entries,
            "crowd": self._exchange.crowd.active,
            "faults": self._exchange.faults.rows(),
            "markets": markets,
            "accounts": accounts,
        }

    async def _place(self, request: web.BaseRequest) -> Any:
        body = ThirdPartyOrder.model_validate_json(await request.read())
        order = self._exchange.place_as_stranger(body.request(), body.keep, self._clock())
        return {
            "orderNo": order.order_no,
            "status": int(order.status),
            "filled": text(order.filled),
            "average": text(order.average_price),
        }

    async def _withdraw(self, _request: web.BaseRequest) -> Any:
        return {"cancelled": self._exchange.cancel_strangers(self._clock())}

    async def _set_balance(self, request: web.BaseRequest) -> Any:
        body = BalanceChange.model_validate_json(await request.read())
        self._exchange.set_balance(body.account, body.currency, body.total, self._clock())
        return {"total": text(body.total)}

    async def _set_crowd(self, request: web.BaseRequest) -> Any:
        self._exchange.crowd.active = CrowdChange.model_validate_json(await request.read()).active
        self._exchange.step(self._clock())
        return {"active": self._exchange.crowd.active}


def _passes(entry: Entry, filters: Mapping[str, str]) -> bool:
    for name, wanted in filters.items():
        if name in ("order_no", "client_id"):
            if wanted not in _named(entry, name):
                return False
        elif name == "path":
            if wanted not in (entry.path or ""):
                return False
        elif getattr(entry, name) != wanted:
            return False
    return True


def _named(entry: Entry, name: str) -> set[str | None]:
    """The order numbers or customOrderIds that an entry speaks of."""
    holders = [getattr(event, "fill", event) for event in entry.events]
    found = {getattr(holder, name, None) for holder in holders}
    asked = {"order_no": "orderNo", "client_id": "customOrderId"}[name]
    return found | {(entry.parameters or {}).get(asked)}


def _text(number: Decimal | None) -> str | None:
    return None if number is None else text(number)


def _json(content: Any, status: int = 200) -> web.Response:
    body = orjson.dumps(content, default=str)
    return web.Response(body=body, status=status, content_type="application/json")
