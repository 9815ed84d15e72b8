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

from mmd.config.quoting import InventorySettings
from mmd.config.risk import RiskSettings
from mmd.decide.ladder import WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Ledger
from mmd.decide.plan import Action, Cancel, Place, Urgency, would_meet
from mmd.decide.reference import BPS, Reference
from mmd.words.market import MarketRules, Side

_ZERO = Decimal(0)
_MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Approved:
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
class _Live:
    """What may rest on the venue, per side; grows with each order that is approved."""

    count: int = 0
    amounts: dict[Side, Decimal] = field(default_factory=lambda: dict.fromkeys(Side, _ZERO))
    bid_value: Decimal = _ZERO
    value: Decimal = _ZERO
    """Of the orders approved in this look."""
    best: dict[Side, Decimal] = field(default_factory=dict)
    """Quotes alone: the two orders of a self-trade are to meet."""

    def add(self, side: Side, price: Decimal, amount: Decimal, level: int) -> None:
        self.count += 1
        self.amounts[side] += amount
        if side is Side.BUY:
            self.bid_value += amount * price
        if level == SELF_TRADE_LEVEL:
            return
        best = self.best.get(side)
        is_best = best is None or (price > best if side is Side.BUY else price < best)
        if is_best:
            self.best[side] = price


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
        live.add(quote.side, quote.price, quote.amount, quote.level)
        live.value += quote.price * quote.amount
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
        side, price = quote.side, quote.price
        if quote.level != SELF_TRADE_LEVEL:  # those lie inside the venue's spread
            if view.reference is None:
                return "there is no reference to judge the price by"
            fair = view.reference.ask if side is Side.BUY else view.reference.bid
            if would_meet(side, price, fair):
                return f"the price {price} is through the reference {fair}"
        last, band = view.last_price, self.settings.band_bps
        if last is not None and band is not None and abs(price - last) > last * band * BPS:
            return f"the price {price} is further than {band} bps from ACE's last price {last}"
        if would_meet(side, price, live.best.get(side.opposite)):
            return f"the price {price} would meet one of our own orders"
        return ""

    def _amount_fault(self, quote: WantedQuote, live: _Live, view: View, now_ns: int) -> str:
        side, amount = quote.side, quote.amount
        if live.count >= self.settings.max_open_orders:
            return f"{live.count} orders rest or are under way already"
        limits, resting = self.inventory, live.amounts[side]
        if side is Side.BUY:
            if limits.max_long is not None and view.position + resting + amount > limits.max_long:
                return f"the position could pass max_long, {limits.max_long}"
        elif limits.max_short is not None and resting + amount - view.position > limits.max_short:
            return f"the position could pass max_short, {limits.max_short}"
        return self._funds_fault(quote, live, view.funds) or self._pace_fault(quote, live, now_ns)

    def _funds_fault(self, quote: WantedQuote, live: _Live, funds: Funds | None) -> str:
        if funds is None:
            return ""
        pair = self.rules.pair
        if quote.side is Side.BUY:
            needed, currency = live.bid_value + quote.price * quote.amount, pair.quote
            has = funds.quote
        else:
            needed, currency = live.amounts[Side.SELL] + quote.amount, pair.base
            has = funds.base
        if needed > has:
            return f"not enough {currency}: {needed} needed with the orders that rest, {has} there"
        return ""

    def _pace_fault(self, quote: WantedQuote, live: _Live, now_ns: int) -> str:
        most = self.settings.max_value_per_minute
        if most is None:
            return ""
        while self._sent and now_ns - self._sent[0][0] >= _MINUTE_NS:
            self._sent_value -= self._sent.popleft()[1]
        value = self._sent_value + live.value + quote.price * quote.amount
        if value > most:
            return f"orders worth {value} within a minute; {most} are allowed"
        return ""


def _live(ledger: Ledger) -> _Live:
    live = _Live()
    for entry in ledger.live():
        live.add(entry.side, entry.price, entry.remaining, entry.level)
    return live


def funds_of(
    free: tuple[Decimal, Decimal], own_bids_value: Decimal, own_asks_amount: Decimal
) -> Funds:
    """What a pair may spend: what the venue calls free of base and quote currency, and what it
    held back at that moment for the pair's own orders."""
    base, quote = free
    return Funds(base + own_asks_amount, quote + own_bids_value)
