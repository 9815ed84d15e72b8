"""Who may see the page, and who may command through it.

Without a token only this machine can connect. Then a foreign page in the operator's own browser
is the danger: it may point a name of its own at 127.0.0.1 (so the Host is checked), or post to
us (so the Origin is checked). With a token, the browser shows a cookie derived from it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from mmd.config.secrets import Secret

COOKIE = "mmd_session"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "mmd",
}
"""Goes with every answer."""


class Guard:
    """Judges requests by their headers. The token is compared in constant time."""

    def __init__(self, token: Secret | None) -> None:
        self._token = token.text.encode() if token else None

    @property
    def wants_token(self) -> bool:
        return self._token is not None

    def knows_host(self, host: str) -> bool:
        """Whether the name that the browser used is one that only we can have."""
        return self._token is not None or _is_here(_hostname(host))

    def is_own_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether the page that sends this is ours; to be asked of all that changes anything."""
        origin = headers.get("Origin", "")
        parts = urlsplit(origin)
        same_host = parts.scheme in ("http", "https") and parts.netloc == headers.get("Host", "")
        return same_host and headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"

    def is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode(), self._token)

    def admits(self, cookies: Mapping[str, str], authorization: str) -> bool:
        """Whether the request shows that its sender knows the token."""
        if self._token is None:
            return True
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip())
        cookie = cookies.get(COOKIE, "")
        return hmac.compare_digest(cookie.encode(), self.cookie().encode())

    def cookie(self) -> str:
        """What a browser shows instead of the token; holds as long as the token does."""
        assert self._token is not None
        return hmac.new(self._token, b"mmd page session", hashlib.sha256).hexdigest()


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_here(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
