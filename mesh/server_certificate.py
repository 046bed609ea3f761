"""The certificate of a server of ours, by its own authority: renewed at half life, for new connections, without touching others."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cryptography import x509

from mesh.authority import Authority
from mesh.rotation import renew_at
from mesh.signing_request import KeyPair, server_context


class ServerCertificate:
    """Owner of the TLS context that new connections begin with. `names` are the DNS names under which the server is reached; `bare` makes
    a context of the roots (PEM), as yet without a certificate of its own."""

    def __init__(
        self, authority: Callable[[], Authority], names: Sequence[str], bare: Callable[[str], ssl.SSLContext] = server_context
    ) -> None:
        self._authority = authority
        self._names = tuple(names)
        self._bare = bare
        self._context: ssl.SSLContext | None = None
        self._bundle = ""
        self._renew_at = 0.0

    def context(self) -> ssl.SSLContext:
        """A new one where the certificate is half through its life, or other roots are trusted than before."""
        return self.context_at(datetime.now(UTC))

    def context_at(self, now: datetime) -> ssl.SSLContext:
        """The same at a time that is handed in."""
        authority = self._authority()
        bundle = authority.bundle(now)
        if self._context is None or bundle != self._bundle or now.timestamp() >= self._renew_at:
            keys = KeyPair()
            chain = authority.issue_server(keys.request(), self._names, now, x509.random_serial_number())
            context = self._bare(bundle)
            keys.load_into(context, chain)
            leaf = x509.load_pem_x509_certificate(chain.encode())
            end = leaf.not_valid_after_utc.timestamp()
            self._context, self._bundle, self._renew_at = context, bundle, renew_at(now.timestamp(), end, random.random())
        return self._context
