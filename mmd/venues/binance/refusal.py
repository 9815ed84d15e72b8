"""What an HTTP status of Binance means, for REST and for the WebSocket handshake alike
(rest-api.md, "HTTP Return Codes")."""

from __future__ import annotations

from collections.abc import Mapping

from mmd.words.errors import Fatal, MmdError, RateLimited, Refused, Unavailable

_LEAST_WAIT_S = {429: 60.0, 418: 120.0, 403: 300.0}
"""Too many requests; banned for going on in spite of it; blocked by the firewall. Asking again
sooner makes it worse."""
RESTRICTED_LOCATION = 451


def refusal(status: int, headers: Mapping[str, str], text: str) -> MmdError:
    """The error that stands for a status other than success. `headers` by lower-case name."""
    message = f"Binance answered {status}: {text[:120]}".rstrip(": ")
    if status in _LEAST_WAIT_S:
        return RateLimited(message, max(_LEAST_WAIT_S[status], _retry_after_s(headers)))
    if status == RESTRICTED_LOCATION:
        return Fatal(f"{message} (restricted location: this host may not use Binance)")
    if 400 <= status < 500:
        return Refused(message, status)
    return Unavailable(message)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    try:
        return float(headers.get("retry-after", ""))
    except ValueError:  # absent, or a date, which Binance does not use
        return 0.0
