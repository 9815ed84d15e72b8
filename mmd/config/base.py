"""What all settings share: the frozen base, checks across fields, ranges, pairs as keys."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mmd.words.market import Pair

PAIR_PATTERN = "^[A-Za-z0-9]{2,12}[/_][A-Za-z0-9]{2,12}$"


class Fault(NamedTuple):
    """What is wrong between fields of one model."""

    at: tuple[str, ...]
    """Keys from the model down to the value to be mended."""
    must: str
    """What would be right, as in `must be at least 1`."""


class Faults(ValueError):
    """All faults of one model at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{'.'.join(fault.at)} {fault.must}" for fault in faults))
        self.faults = faults


class Strict(BaseModel):
    """A frozen group of settings that accepts no unknown key."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="after")
    def _no_faults(self) -> Strict:
        faults = tuple(self.faults())
        if faults:
            raise Faults(faults)
        return self

    def faults(self) -> list[Fault]:
        """What is wrong between fields that are each right by themselves."""
        return []


class AmountRange(Strict):
    """From min to max in base currency; a value is drawn at random between the two."""

    min: Decimal = Field(gt=0, le=Decimal("1e12"))
    """Smallest amount."""
    max: Decimal = Field(gt=0, le=Decimal("1e12"))
    """Largest amount, at least min."""

    def faults(self) -> list[Fault]:
        return _range_faults(self.min, self.max)


class SecondsRange(Strict):
    """From min to max seconds; a value is drawn at random between the two."""

    min: float = Field(gt=0, le=86400)
    """Shortest time."""
    max: float = Field(gt=0, le=86400)
    """Longest time, at least min."""

    def faults(self) -> list[Fault]:
        return _range_faults(self.min, self.max)


def _range_faults(low: float | Decimal, high: float | Decimal) -> list[Fault]:
    return [Fault(("max",), f"must be at least min, which is {low}")] if high < low else []


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
