"""How one pair is quoted, and how it trades with itself where that is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from mmd.config.base import (
    PAIR_PATTERN,
    AmountRange,
    Number,
    SecondsRange,
    Strict,
    parse_pair,
)
from mmd.config.quoting import QuoteSettings as QuoteSettings
from mmd.config.risk import RiskSettings
from mmd.words.market import Pair
from mmd.words.source import PATTERN, Source

AUTO: Literal["auto"] = "auto"


class CleanStart(Enum):
    """Which open orders a worker deletes before it quotes."""

    OURS = "ours"
    ALL = "all"


class SelfTradeMethod(Enum):
    """Where a self-trade takes place."""

    SELF_MIDTRADER = "self_midtrader"
    SELF_TRADER = "self_trader"


class FirstSide(Enum):
    """Which of the two orders of a self-trade is sent first."""

    RANDOM = "random"
    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True, slots=True)
class SelfTradeCaps:
    """The most within a span of time; None: no cap."""

    count: int
    amount: Decimal | None
    """In base currency."""
    fees: Decimal | None
    """In quote currency."""


class SelfTradeSettings(Strict):
    """Trading with oneself to print volume. Refused in live mode."""

    enabled: bool = False
    """Whether the pair trades with itself."""
    method: SelfTradeMethod = SelfTradeMethod.SELF_MIDTRADER
    """self_midtrader: at the middle between best bid and ask; self_trader: at a price drawn
    at random between them."""
    volume_threshold: Number = Field(default=Decimal(1), gt=0, le=Decimal("1e12"))
    """Volume traded on Binance, in base currency, that causes one self-trade; varied at random
    by a fifth either way."""
    every_s: SecondsRange | None = None
    """A self-trade also takes place when none has for a time drawn at random from this range;
    not given: by volume only."""
    amount: AmountRange | None = None
    """Amount of a self-trade, drawn at random, in base currency; not given: as for quotes."""
    first_side: FirstSide = FirstSide.RANDOM
    """Which of the two orders is sent first."""
    max_per_hour: int = Field(default=600, ge=1, le=3600)
    """Most self-trades within any hour."""
    max_per_day: int = Field(default=10_000, ge=1, le=86_400)
    """Most self-trades within any 24 hours."""
    max_amount_per_hour: Number | None = Field(default=None, gt=0, le=Decimal("1e12"))
    """Most base currency traded with ourselves within any hour; not given: no cap."""
    max_amount_per_day: Number | None = Field(default=None, gt=0, le=Decimal("1e12"))
    """Most base currency traded with ourselves within any 24 hours; not given: no cap."""
    max_fees_per_hour: Number | None = Field(default=None, gt=0, le=Decimal("1e18"))
    """Self-trades stop once this much fee, in quote currency, was paid for them within an hour;
    not given: no cap."""
    max_fees_per_day: Number | None = Field(default=None, gt=0, le=Decimal("1e18"))
    """Self-trades stop once this much fee, in quote currency, was paid for them within 24 hours;
    not given: no cap."""
    sleep_s: SecondsRange = SecondsRange(min=0.5, max=2)
    """Pause after a self-trade, drawn at random; the shortest where nothing was matched."""

    @property
    def caps_per_hour(self) -> SelfTradeCaps:
        return SelfTradeCaps(self.max_per_hour, self.max_amount_per_hour, self.max_fees_per_hour)

    @property
    def caps_per_day(self) -> SelfTradeCaps:
        return SelfTradeCaps(self.max_per_day, self.max_amount_per_day, self.max_fees_per_day)


def _parse_rate(value: object) -> Pair | Literal["auto"] | None:
    if value is None or value == "none":
        return None
    return AUTO if value == AUTO else parse_pair(value)


RateChoice = Annotated[
    Pair | Literal["auto"] | None,
    PlainValidator(_parse_rate),
    PlainSerializer(lambda rate: None if rate is None else str(rate)),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": PAIR_PATTERN},
                              {"enum": [AUTO, "none", None]}]}),
]  # fmt: skip


def _parse_source(value: object) -> Source:
    if isinstance(value, Source):
        return value
    try:
        return Source.parse(str(value))
    except ValueError:
        raise PydanticCustomError(
            "source", "must be a symbol of Binance in capitals, such as BTCUSDT"
        ) from None


SourceChoice = Annotated[
    Source,
    PlainValidator(_parse_source),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": PATTERN}),
]


class PairSettings(Strict):
    """One market on ACE."""

    binance: SourceChoice = Field(examples=["BTCUSDT"])
    """Symbol on Binance whose price is followed, in capitals, such as BTCUSDT; or a cross of two:
    ETHBTC * BTCUSDT, ETHUSDT / BTCUSDT. The first one's traded volume counts."""
    rate: RateChoice = AUTO
    """Pair on ACE that turns Binance's prices into the pair's quote currency; none: no
    conversion; auto: USDT/TWD for a pair in TWD, none for a pair in USDT."""
    clean_start: CleanStart = CleanStart.OURS
    """Open orders to delete before quoting: ours, or all (whoever placed them)."""
    quote: QuoteSettings = Field(examples=[{"amount": {"min": "0.002", "max": "0.01"}}])
    """How the pair is quoted."""
    self_trade: SelfTradeSettings = SelfTradeSettings()
    """How the pair trades with itself; off."""
    risk: RiskSettings = RiskSettings()
    """What no order may break, and when the kill switch is thrown."""
