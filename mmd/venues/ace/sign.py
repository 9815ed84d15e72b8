"""The venue's signature, as its API document describes it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from mmd.config.secrets import AceKey

_PREFIX = "ACE_SIGN"


def signature(params: Mapping[str, str], secret: str) -> str:
    """SHA-256 over prefix, secret, and the values in the order of their names, nothing between."""
    values = "".join(params[name] for name in sorted(params))
    return sha256(f"{_PREFIX}{secret}{values}".encode()).hexdigest()


def signed(params: Mapping[str, str], key: AceKey, time_ms: int) -> dict[str, str]:
    """The parameters of a signed call; `time_ms` is the venue's time."""
    stamped = {**params, "apiKey": key.api_key, "timeStamp": str(time_ms)}
    return {**stamped, "signKey": signature(stamped, key.secret)}
