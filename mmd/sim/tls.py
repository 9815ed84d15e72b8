"""A certificate made on the spot, so that simulated venues can speak wss and https."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

import trustme


@dataclass(slots=True)
class LoopbackCertificate:
    """A certificate for this machine, signed by an authority that exists only in memory."""

    authority: trustme.CA = field(default_factory=trustme.CA)

    def server_context(self) -> ssl.SSLContext:
        """What a simulated venue serves with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """What a client connects with: it trusts this authority besides the usual ones."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    @property
    def authority_pem(self) -> bytes:
        """The authority's certificate, for clients that take a file of trusted ones."""
        return self.authority.cert_pem.bytes()
