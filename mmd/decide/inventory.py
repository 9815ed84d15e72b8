"""How prices and amounts lean on what is held, and where buying or selling must end."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mmd.config.quoting import InventorySettings
from mmd.words.market import Side

_ZERO, _ONE = Decimal(0), Decimal(1)
_PERCENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What we hold, as far as we know."""

    position: Decimal = _ZERO
    """What our fills bought less what they sold, in base currency."""
    base: Decimal | None = None
    """What the account has of the base currency in all; None: not known."""
    quote: Decimal | None = None
    """The same of the quote currency."""


def lean(settings: InventorySettings, holdings: Holdings, price: Decimal) -> Decimal:
    """From -1 (too little is held) over 0 to 1 (too much)."""
    share = base_share(holdings, price)
    if settings.target_pct is not None and share is not None:
        off = share - settings.target_pct * _PERCENT
        return min(max(off / (settings.range_pct * _PERCENT), -_ONE), _ONE)
    position = holdings.position
    limit = settings.max_long if position > 0 else settings.max_short
    if limit is None:
        return _ZERO
    return min(max(position / limit, -_ONE), _ONE)


def base_share(holdings: Holdings, price: Decimal) -> Decimal | None:
    """The base currency's part of the account's value, 0 … 1; None while it is not known."""
    if holdings.base is None or holdings.quote is None:
        return None
    value = holdings.base * price
    total = value + holdings.quote
    return value / total if total > 0 else None


def room(settings: InventorySettings, holdings: Holdings, side: Side) -> Decimal | None:
    """How much may rest on a side so that the position stays within its limit even if all of it
    is filled; never below 0. None: no limit."""
    if side is Side.BUY:
        return _left(settings.max_long, holdings.position)
    return _left(settings.max_short, -holdings.position)


def _left(limit: Decimal | None, taken: Decimal) -> Decimal | None:
    return None if limit is None else max(limit - taken, _ZERO)


def size_factor(settings: InventorySettings, leaning: Decimal, side: Side) -> Decimal:
    """By what the amounts of a side are multiplied: less where it would increase the lean."""
    growing = leaning if side is Side.BUY else -leaning
    if growing <= 0:
        return _ONE
    return _ONE - growing * settings.skew_size_pct * _PERCENT
