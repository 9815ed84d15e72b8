"""The guard: the last look at each order before it is sent. Pure.

Nothing goes to the venue that is not `Approved`, and only the guard approves. It trusts nothing
that decided before it: prices are compared with the newest books, amounts with the venue's rules,
the position and the balance with what is known at this moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from mmd.config.quoting import InventorySettings
from mmd.config.risk import RiskSettings
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Ledger
from mmd.decide.plan import Action, Cancel, Place, Urgency
from mmd.decide.reference import BPS, Reference
from mmd.words.market import MarketRules, Side

_ZERO = Decimal(0)
_MINUTE_NS = 60_000_000_000


class Approved(NamedTuple):
    """An order that may be sent."""

    quote: WantedQuote
    urgency: Urgency
    reason: str
    """Why it is wanted."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An order that must not be sent."""

    quote: WantedQuote
    reason: str
    """Why not."""


@dataclass(frozen=True, slots=True)
class Funds:
    """What may be spent of one pair's two currencies, before our orders of that pair."""

    base: Decimal
    quote: Decimal


@dataclass(frozen=True, slots=True)
class View:
    """What the guard judges by; whatever is None is not known, and bounds nothing."""

    fault: str | None
    """Why no price may be trusted now."""
    reference: Reference | None
    """The newest one."""
    position: Decimal = _ZERO
    """What our fills bought less what they sold, in base currency."""
    last_price: Decimal | None = None
    """Of the pair's newest trade on the venue."""
    funds: Funds | None = None


@dataclass(slots=True)
class _Side:
    """What may rest on one side."""

    amount: Decimal = _ZERO
    value: Decimal = _ZERO
    best: Decimal | None = None
    """Of the quotes alone: the two orders of a self-trade are to meet."""


@dataclass(slots=True)
class _Live:
    """What may rest on the venue; grows with each order that is approved."""

    bids: _Side = field(default_factory=_Side)
    asks: _Side = field(default_factory=_Side)
    count: int = 0
    new_value: Decimal = _ZERO
    """Of the orders approved in this look."""

    def add(self, is_bid: bool, price: Decimal, amount: Decimal, level: int) -> Decimal:
        """Takes in an order; returns its worth."""
        self.count += 1
        side = self.bids if is_bid else self.asks
        value = price * amount
        side.amount += amount
        side.value += value
        best = side.best
        is_best = best is None or (price > best if is_bid else price < best)
        if is_best and level != SELF_TRADE_LEVEL:
            side.best = price
        return value


@dataclass(slots=True)
class Guard:
    """Holds nothing between two looks but the value of what was sent within the last minute."""

    rules: MarketRules
    settings: RiskSettings
    inventory: InventorySettings
    _sent: deque[tuple[int, Decimal]] = field(default_factory=deque)
    _sent_value: Decimal = _ZERO

    def use(self, settings: RiskSettings, inventory: InventorySettings) -> None:
        """Takes new parameters over."""
        self.settings, self.inventory = settings, inventory

    def filter(
        self, actions: Sequence[Action], ledger: Ledger, view: View, now_ns: int
    ) -> tuple[list[Cancel | Approved], list[Refused]]:
        """A plan with its orders approved, in its order, and what was refused. Cancels pass."""
        passed: list[Cancel | Approved] = []
        refused: list[Refused] = []
        live: _Live | None = None
        for action in actions:
            if isinstance(action, Cancel):
                passed.append(action)
                continue
            if live is None:
                live = _live(ledger)
            checked = self._check(action, live, view, now_ns)
            if isinstance(checked, Approved):
                passed.append(checked)
            else:
                refused.append(checked)
        return passed, refused

    def check_all(
        self, places: Sequence[Place], ledger: Ledger, view: View, now_ns: int
    ) -> list[Approved] | Refused:
        """Orders that make sense together only: all approved, or the first refusal."""
        live = _live(ledger)
        passed = []
        for place in places:
            checked = self._check(place, live, view, now_ns)
            if isinstance(checked, Refused):
                return checked
            passed.append(checked)
        return passed

    def _check(self, place: Place, live: _Live, view: View, now_ns: int) -> Approved | Refused:
        quote = place.quote
        reason = (
            view.fault
            or self._form_fault(quote)
            or self._price_fault(quote, live, view)
            or self._amount_fault(quote, live, view, now_ns)
        )
        if reason:
            return Refused(quote, reason)
        is_bid = quote.side is Side.BUY
        live.new_value += live.add(is_bid, quote.price, quote.amount, quote.level)
        return Approved(quote, place.urgency, place.reason)

    def count_sent(self, approved: Approved, now_ns: int) -> None:
        """Takes note that an order is sent: what is approved may still be left for later."""
        if self.settings.max_value_per_minute is not None:
            value = approved.quote.price * approved.quote.amount
            self._sent.append((now_ns, value))
            self._sent_value += value

    def _form_fault(self, quote: WantedQuote) -> str:
        """What the venue would refuse whatever the market does."""
        rules, price, amount = self.rules, quote.price, quote.amount
        if not (price.is_finite() and amount.is_finite() and price > 0):
            return f"{amount} @ {price} is no order"
        if price % rules.tick:
            return f"the price {price} is off the venue's grid of {rules.tick}"
        if amount % rules.lot:
            return f"the amount {amount} is off the venue's grid of {rules.lot}"
        if amount < rules.min_amount:
            return f"the amount {amount} is below the venue's minimum of {rules.min_amount}"
        if amount > rules.max_amount:
            return f"the amount {amount} is above the venue's maximum of {rules.max_amount}"
        most = self.settings.max_order_value
        if most is not None and price * amount > most:
            return f"the order is worth {price * amount}, over its limit of {most}"
        return ""

    def _price_fault(self, quote: WantedQuote, live: _Live, view: View) -> str:
        price, is_bid = quote.price, quote.side is Side.BUY
        if quote.level != SELF_TRADE_LEVEL:  # those lie inside the venue's spread
            if view.reference is None:
                return "there is no reference to judge the price by"
            fair = view.reference.ask if is_bid else view.reference.bid
            if price >= fair if is_bid else price <= fair:
                return f"the price {price} is through the reference {fair}"
        last, band = view.last_price, self.settings.band_bps
        if last is not None and band is not None and abs(price - last) > last * band * BPS:
            return f"the price {price} is further than {band} bps from ACE's last price {last}"
        own = (live.asks if is_bid else live.bids).best
        if own is not None and (price >= own if is_bid else price <= own):
            return f"the price {price} would meet one of our own orders"
        return ""

    def _amount_fault(self, quote: WantedQuote, live: _Live, view: View, now_ns: int) -> str:
        if live.count >= self.settings.max_open_orders:
            return f"{live.count} orders rest or are under way already"
        limits, is_bid = self.inventory, quote.side is Side.BUY
        side, limit = (live.bids, limits.max_long) if is_bid else (live.asks, limits.max_short)
        amount = side.amount + quote.amount
        held = view.position if is_bid else -view.position
        if limit is not None and held + amount > limit:
            return f"the position could pass {'max_long' if is_bid else 'max_short'}, {limit}"
        if view.funds is not None:
            needed = side.value + quote.price * quote.amount if is_bid else amount
            has = view.funds.quote if is_bid else view.funds.base
            if needed > has:
                pair = self.rules.pair
                currency = pair.quote if is_bid else pair.base
                return f"not enough {currency}: {needed} with the orders that rest, {has} there"
        if self.settings.max_value_per_minute is None:
            return ""
        return self._pace_fault(quote, live, now_ns, self.settings.max_value_per_minute)

    def _pace_fault(self, quote: WantedQuote, live: _Live, now_ns: int, most: Decimal) -> str:
        while self._sent and now_ns - self._sent[0][0] >= _MINUTE_NS:
            self._sent_value -= self._sent.popleft()[1]
        value = self._sent_value + live.new_value + quote.price * quote.amount
        return f"orders worth {value} within a minute; {most} are allowed" if value > most else ""


def _live(ledger: Ledger) -> _Live:
    live = _Live()
    for entry in ledger.live():
        order = entry.order
        live.add(order.side is Side.BUY, order.price, entry.remaining, entry.level)
    return live


def funds_of(
    free: tuple[Decimal, Decimal], own_bids_value: Decimal, own_asks_amount: Decimal
) -> Funds:
    """What a pair may spend: what the venue calls free of base and quote currency, and what it
    held back at that moment for the pair's own orders."""
    base, quote = free
    return Funds(base + own_asks_amount, quote + own_bids_value)
