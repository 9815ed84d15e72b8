"""Who may come in: signature, time stamp, request rate. Pure; the time is an argument."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmd.sim.ace.orders import Rejected, Status


def signature(secret: str, parameters: Mapping[str, str]) -> str:
    """ACE's `signKey`: SHA-256 of `ACE_SIGN`, the secret and all values in order of their names.

    Parameters without a value and `signKey` itself don't count. Source: API v2 document.
    """
    values = [
        parameters[name] for name in sorted(parameters) if name != "signKey" and parameters[name]
    ]
    return hashlib.sha256(f"ACE_SIGN{secret}{''.join(values)}".encode()).hexdigest()


def check_signed(
    parameters: Mapping[str, str], secrets: Mapping[str, str], now_ms: int, window_ms: int
) -> str:
    """The API key of a signed request. Raises Rejected."""
    key, stamp, sign = (parameters.get(n, "") for n in ("apiKey", "timeStamp", "signKey"))
    if not key or not sign or not stamp.isdecimal():
        raise Rejected(Status.MALFORMED, "apiKey, timeStamp and signKey are required")
    secret = secrets.get(key)
    if secret is None or not hmac.compare_digest(sign, signature(secret, parameters)):
        raise Rejected(Status.BAD_SIGNATURE, "apiKey or signKey is wrong")
    if abs(int(stamp) - now_ms) > window_ms:
        raise Rejected(Status.BAD_TIMESTAMP, "timeStamp is too far from the time of the server")
    return key


@dataclass(slots=True)
class RateLimit:
    """Requests allowed to each key: `per_s` on average, `burst` at once."""

    per_s: float
    burst: float
    _tokens: dict[str, tuple[float, int]] = field(default_factory=dict)

    def allows(self, key: str, now_ms: int) -> bool:
        """Whether one more request may pass now; if so it is counted."""
        tokens, then = self._tokens.get(key, (self.burst, now_ms))
        tokens = min(self.burst, tokens + max(0, now_ms - then) * self.per_s / 1000)
        allowed = tokens >= 1
        self._tokens[key] = (tokens - 1 if allowed else tokens, now_ms)
        return allowed
