"""How far away a host is, and what stands in the way: name, connection, TLS."""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from mmd.config.model import Settings

_TIMEOUT_S = 5.0
_TRIES = 5
_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


@dataclass(frozen=True)
class Route:
    """A host that mmd must reach."""

    name: str
    host: str
    port: int
    is_tls: bool


@dataclass(frozen=True)
class Seen:
    """What the way to it is like."""

    dns_ms: float = 0.0
    connect_ms: float = 0.0
    """Median time of a TCP connection: one round trip."""
    tls: str = ""
    days_left: int = 0
    """Of the certificate."""
    fault: str = ""
    remedy: str = ""


def routes(settings: Settings) -> list[Route]:
    """The hosts of a configuration; none for what is simulated."""
    urls = {
        "Binance streams": settings.stream_url,
        "Binance REST": settings.rest_url,
        "ACE": settings.ace_url,
    }
    return [_route(name, url) for name, url in urls.items() if url is not None]


def _route(name: str, url: str) -> Route:
    parts = urlsplit(url)
    port = parts.port or _PORTS[parts.scheme]
    return Route(name, parts.hostname or "", port, parts.scheme in ("https", "wss"))


def examine(route: Route) -> Seen:
    """Goes there. Never raises."""
    began_s = time.perf_counter()
    try:
        found = socket.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return Seen(
            fault=f"its name is not resolved: {error.strerror}",
            remedy="check /etc/resolv.conf and the network: getent hosts " + route.host,
        )
    dns_ms = (time.perf_counter() - began_s) * 1000
    family, _, _, _, address = found[0]
    times_ms = []
    try:
        for _ in range(_TRIES):
            times_ms.append(_connect_ms(family, address))
    except OSError as error:
        return Seen(
            fault=f"can't be connected to: {error.strerror or 'no answer'}",
            remedy="check firewall and proxy: does the host allow this machine's address?",
        )
    connect_ms = statistics.median(times_ms)
    if not route.is_tls:
        return Seen(dns_ms, connect_ms)
    try:
        tls, days_left = _handshake(route, family, address)
    except ssl.SSLCertVerificationError as error:
        return Seen(
            fault=f"its certificate is not trusted: {error.verify_message}",
            remedy="install ca-certificates; a proxy that opens TLS needs its authority added; "
            "check this machine's date",
        )
    except OSError as error:
        return Seen(
            fault=f"TLS fails: {error.strerror or error}", remedy="is there a proxy in between?"
        )
    return Seen(dns_ms, connect_ms, tls, days_left)


def _connect_ms(family: int, address: tuple[object, ...]) -> float:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_S)
        began_s = time.perf_counter()
        connection.connect(address)
        return (time.perf_counter() - began_s) * 1000


def _handshake(route: Route, family: int, address: tuple[object, ...]) -> tuple[str, int]:
    """Version of TLS, and days that the certificate holds."""
    context = ssl.create_default_context()
    with socket.socket(family, socket.SOCK_STREAM) as plain:
        plain.settimeout(_TIMEOUT_S)
        plain.connect(address)
        with context.wrap_socket(plain, server_hostname=route.host) as secure:
            certificate = secure.getpeercert() or {}
            ends = str(certificate.get("notAfter", ""))
            left_s = ssl.cert_time_to_seconds(ends) - time.time() if ends else 0.0
            return secure.version() or "TLS", int(left_s // 86_400)
