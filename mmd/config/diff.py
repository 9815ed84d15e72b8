"""What lies between two configurations, as a reload must know it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Generic, TypeVar

from pydantic import BaseModel

from mmd.config.base import plain
from mmd.config.model import PairSettings, Settings
from mmd.words.market import Pair
from mmd.words.source import Source

K = TypeVar("K")
_RELOADED = ("pairs", "rates")
_LOOKERS = ("alerts", "web", "risk", "journal")
"""Sections of processes that a reload starts anew."""


@dataclass(frozen=True)
class Changes(Generic[K]):
    """What came, went, or stayed with other values."""

    added: tuple[K, ...] = ()
    removed: tuple[K, ...] = ()
    changed: tuple[K, ...] = ()


@dataclass(frozen=True)
class Diff:
    """Everything between an old and a new configuration."""

    pairs: Changes[Pair]
    """Changed: other parameters, same books."""
    rebooked: tuple[Pair, ...]
    """Pairs that read other books now: another symbol, rate or depth."""
    rates: Changes[Pair]
    feeds: Changes[str]
    """By Binance symbol. Changed: other depth."""
    lines: tuple[str, ...]
    """For people: `pairs.BTC/TWD.quote.spread_bps: 20 → 25`."""
    restart: tuple[str, ...]
    """Those lines that take effect with a full restart only."""

    def __bool__(self) -> bool:
        return bool(self.lines)


def diff(old: Settings, new: Settings) -> Diff:
    """What must be done to get from `old` to `new`."""
    pairs = _changes(old.pairs, new.pairs)
    rebooked = tuple(pair for pair in pairs.changed if _books(old, pair) != _books(new, pair))
    parameters = tuple(pair for pair in pairs.changed if pair not in rebooked)
    lines = tuple(_lines(old, new))
    return Diff(
        pairs=Changes(pairs.added, pairs.removed, parameters),
        rebooked=rebooked,
        rates=_changes(old.rates, new.rates),
        feeds=_changes(old.feeds, new.feeds),
        lines=lines,
        restart=tuple(line for line in lines if line.split(".")[0] not in (*_RELOADED, *_LOOKERS)),
    )


def _changes(old: Mapping[K, object], new: Mapping[K, object]) -> Changes[K]:
    return Changes(
        added=tuple(key for key in new if key not in old),
        removed=tuple(key for key in old if key not in new),
        changed=tuple(key for key in new if key in old and old[key] != new[key]),
    )


def _books(settings: Settings, pair: Pair) -> tuple[Source, Pair | None, int]:
    """The books that a pair reads."""
    chosen: PairSettings = settings.pairs[pair]
    return chosen.binance, settings.rate_of(pair), chosen.quote.depth


def _lines(old: Settings, new: Settings) -> Iterator[str]:
    for section in Settings.model_fields:
        before, after = getattr(old, section), getattr(new, section)
        if section in _RELOADED:
            changes = _changes(before, after)
            yield from (f"{section}.{pair}: added" for pair in changes.added)
            yield from (f"{section}.{pair}: removed" for pair in changes.removed)
            for pair in changes.changed:
                yield from _leaves(before[pair], after[pair], f"{section}.{pair}")
        else:
            yield from _leaves(before, after, section)


def _leaves(old: object, new: object, name: str) -> Iterator[str]:
    if old == new:
        return
    before, after = _members(old), _members(new)
    if before is None or after is None:
        yield f"{name}: {_shown(old)} → {_shown(new)}"
        return
    for key in {**before, **after}:
        yield from _leaves(before.get(key), after.get(key), f"{name}.{key}")


def _members(value: object) -> dict[str, object] | None:
    if isinstance(value, BaseModel):
        return dict(value)
    if isinstance(value, dict):
        return {str(key): member for key, member in value.items()}
    return None


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal | float):
        return plain(value)
    if isinstance(value, BaseModel):
        return ", ".join(f"{key} {_shown(member)}" for key, member in value)
    return str(value)
