"""Where the venue is and by which key it knows us."""

from __future__ import annotations

import ssl
import urllib.request
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from mmd.config.secrets import AceKey


@dataclass(frozen=True, slots=True)
class AceEndpoint:
    """All that a client must be told."""

    base_url: str
    """Without a slash at the end, as in `https://ace.io/polarisex`."""
    key: AceKey
    timeout_s: float = 5.0
    """Longest wait for a connection, and again for each piece of a reply."""
    submit_path: str | None = None
    """Path of the private call that places several orders; None: placed one by one."""
    cancel_path: str | None = None
    """Path of the private call that cancels several orders; None: cancelled one by one."""
    max_orders: int = 20
    """Most orders in one batch call."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, for simulators and tests."""

    def ssl_context(self) -> ssl.SSLContext | None:
        """What to trust; None without TLS, since reading the system's certificates takes time."""
        if not self.base_url.startswith("https:"):
            return None
        return ssl.create_default_context(cafile=self.ca_file)

    def proxy(self) -> str | None:
        """The proxy that the environment names for this address; never one for loopback."""
        parts = urlsplit(self.base_url)
        host = parts.hostname or ""
        if _is_loopback(host) or urllib.request.proxy_bypass(host):
            return None
        return urllib.request.getproxies().get(parts.scheme)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
