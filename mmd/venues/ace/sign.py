"""The venue's signature, as its API document describes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter

from mmd.config.secrets import AceKey

_PREFIX = "ACE_SIGN"


def signature(params: Mapping[str, str], secret: str) -> str:
    """SHA-256 over prefix, secret, and the values in the order of their names, nothing between.
    There is at least one value."""
    values = "".join(_in_order(tuple(params))(params))
    return sha256(f"{_PREFIX}{secret}{values}".encode()).hexdigest()


@lru_cache
def _in_order(names: tuple[str, ...]) -> Callable[[Mapping[str, str]], Iterable[str]]:
    """Takes the values out of parameters with these names, in the order of the names: a call's
    names are the same each time, so they are sorted once."""
    return itemgetter(*sorted(names))


def signed(params: Mapping[str, str], key: AceKey, time_ms: int) -> dict[str, str]:
    """The parameters of a signed call; `time_ms` is the venue's time."""
    stamped = {**params, "apiKey": key.api_key, "timeStamp": str(time_ms)}
    return {**stamped, "signKey": signature(stamped, key.secret)}
