"""What all settings share: the frozen base, checks across fields, ranges, pairs as keys."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mmd.words.market import Pair

_MOST_PLACES = 18
PAIR_PATTERN = "^[A-Za-z0-9]{2,12}[/_][A-Za-z0-9]{2,12}$"


class Fault(NamedTuple):
    """What is wrong between fields that are each right by themselves."""

    at: tuple[str, ...]
    """Keys from the model down to the value to be mended."""
    must: str
    """What would be right, as in `must be at least 1`."""
    given: tuple[tuple[str, ...], ...] = ()
    """Other values that the judgement rests on, as keys from the model down."""


class Faults(ValueError):
    """All faults of one model at once."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{'.'.join(fault.at)} {fault.must}" for fault in faults))


NO_FAULTS = object()
"""Validation context for a caller that asks for the faults itself."""


def _empty_if_none(data: object) -> object:
    return {} if data is None else data


EMPTY_IF_NONE = BeforeValidator(_empty_if_none)
"""A group whose keys are all commented out reads as null in YAML."""


class Strict(BaseModel):
    """A frozen group of settings that accepts no unknown key."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, data: object) -> object:
        return _empty_if_none(data)

    @model_validator(mode="after")
    def _no_faults(self, info: ValidationInfo) -> Self:
        faults = [] if info.context is NO_FAULTS else self.faults()
        if faults:
            raise Faults(faults)
        return self

    def faults(self) -> list[Fault]:
        """What is wrong between fields that are each right by themselves."""
        return []


def _check_digits(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > _MOST_PLACES:
        raise PydanticCustomError("places", f"must have at most {_MOST_PLACES} decimal places")
    return number


Number = Annotated[Decimal, AfterValidator(_check_digits)]
"""An exact number. Bounded, since 1e-999999999 written out would fill the memory."""


def plain(number: float | Decimal) -> str:
    """A number as people write it, without an exponent where that is possible."""
    return f"{number:f}" if isinstance(number, Decimal) else f"{number:g}"


class AmountRange(Strict):
    """From min to max in base currency; a value is drawn at random between the two."""

    min: Number = Field(gt=0, le=Decimal("1e12"), examples=["0.002"])
    """Smallest amount."""
    max: Number = Field(gt=0, le=Decimal("1e12"), examples=["0.01"])
    """Largest amount, at least min."""

    def faults(self) -> list[Fault]:
        return _range_faults(self.min, self.max)


class SecondsRange(Strict):
    """From min to max seconds; a value is drawn at random between the two."""

    min: float = Field(gt=0, le=86400, examples=["30"])
    """Shortest time."""
    max: float = Field(gt=0, le=86400, examples=["90"])
    """Longest time, at least min."""

    def faults(self) -> list[Fault]:
        return _range_faults(self.min, self.max)


def _range_faults(low: float | Decimal, high: float | Decimal) -> list[Fault]:
    if high >= low:
        return []
    return [Fault(("max",), f"must be at least min, which is {plain(low)}", (("min",),))]


def parse_pair(value: object) -> Pair:
    """A pair from `BTC/TWD`, `btc_twd` or itself. Raises ValueError for anything else."""
    if isinstance(value, Pair):
        return value
    try:
        return Pair.parse(str(value))
    except ValueError:
        raise PydanticCustomError("pair", "must be a pair such as BTC/TWD") from None


PairName = Annotated[
    Pair,
    PlainValidator(parse_pair),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": PAIR_PATTERN}),
]


def pattern(regex: str, must: str) -> AfterValidator:
    """A check that a text has a form, with a message that says which."""

    def check(text: str) -> str:
        if re.fullmatch(regex, text) is None:
            raise PydanticCustomError("form", "{must}", {"must": must})
        return text

    return AfterValidator(check)


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL, or None when it has no host or an impossible port."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable and parts.username is None else None


def _check_url(url: str, plain: str, tls: str) -> str:
    parts = split_url(url)
    if parts is None or parts.scheme not in (plain, tls) or parts.query or parts.fragment:
        raise PydanticCustomError("url", f"must be a URL such as {tls}://host or {plain}://host:1")
    return url.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(lambda url: _check_url(url, "http", "https"))]
WebSocketUrl = Annotated[str, AfterValidator(lambda url: _check_url(url, "ws", "wss"))]
