"""The TLS contexts a listener terminates with: one for each set of names its certificates stand for.

The context is chosen before the handshake, and never changed in it: a demand for client certificates would not carry over,
and a session begun under one name could be resumed under another. Where client certificates are demanded nothing is
resumed at all. There are no tickets; but the ssl module cannot turn off the memory of TLS 1.2 sessions, so a client that
offers the id of one meets a context made for it alone, which remembers nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from gateway.ir.listener import Certificate
from gateway.net.alerts import ServerContext
from gateway.net.certificate_names import CertificateNames, MalformedCertificate, read_certificate_names
from gateway.net.key_material import TlsConfigurationError, harden, load_pair, trusted

if TYPE_CHECKING:
    from gateway.net.insecure_fallback import FallbackContext

TlsContext: TypeAlias = "ServerContext | FallbackContext"
"""A FallbackContext, told by `not isinstance(context, ssl.SSLContext)`, where the mode is AllowInsecureFallback."""

Mode = Literal["AllowValidOnly", "AllowInsecureFallback"]
"""ClientValidation.mode: a client certificate must verify, or it is asked for and whatever comes is let in, unverified."""

HTTP = ("h2", "http/1.1")
"""In the order in which we prefer them."""

_Build = Callable[[Sequence[Certificate]], "TlsContext"]


class ServerContexts:
    """What one listener's handshakes are made with. Made by `server_contexts`."""

    __slots__ = ("_build_again", "_by_name", "_expiries", "alpn")

    def __init__(self, certificates: Sequence[Certificate], alpn: tuple[str, ...], build: _Build, *, forgets: bool) -> None:
        self._build_again = build if forgets else None
        self._by_name: dict[bytes, tuple[TlsContext, Sequence[Certificate]]] = {}
        self._expiries: list[tuple[datetime, Certificate]] = []
        self.alpn = tuple(protocol.encode() for protocol in alpn)
        """Protocols offered; a client that offers others only is to be refused (RFC 7301 3.2)."""
        for names, group in _grouped(certificates):
            built = (build([certificate for certificate, _ in group]), [certificate for certificate, _ in group])
            for name in (*names, b""):
                self._by_name.setdefault(name, built)
            self._expiries.extend((facts.not_after, certificate) for certificate, facts in group)

    def choose(self, server_name: bytes, *, resumes: bool = False) -> TlsContext:
        """By the names of the certificates: exact, then a wildcard for the first label (RFC 9525 6.3), else the first certificate.

        `server_name` and `resumes` are those of the ClientHello.
        """
        context, certificates = self._find(server_name)
        if resumes and self._build_again is not None:
            return self._build_again(certificates)
        return context

    def expired(self, now: datetime) -> tuple[str, ...]:
        """A sentence about each certificate that is past its time at `now`. They are served all the same: clients are the judges."""
        return tuple(
            f"Certificate {certificate.key} expired at {not_after:%Y-%m-%d %H:%M:%SZ} and clients refuse it; renew {certificate.source}"
            for not_after, certificate in self._expiries
            if not_after < now
        )

    def _find(self, server_name: bytes) -> tuple[TlsContext, Sequence[Certificate]]:
        found = self._by_name.get(server_name)
        if found is None:
            _, dot, parent = server_name.partition(b".")
            found = self._by_name.get(b"*." + parent) if dot else None
        return self._by_name[b""] if found is None else found


def server_contexts(
    certificates: Sequence[Certificate],
    validation: str | None = None,
    mode: Mode = "AllowValidOnly",
    alpn: tuple[str, ...] = HTTP,
) -> ServerContexts:
    """The contexts for a listener's certificates, which stand in the listener's order. Raises TlsConfigurationError.

    `validation` is the PEM of the authorities whose client certificates are asked for, None to ask for none. Certificates
    for the same names with keys of different types share a context, and what the client can do decides between them. Of
    two others that claim a name the first has it.
    """
    if not certificates:
        raise TlsConfigurationError("the listener has no certificate; name one in tls.certificateRefs")
    if validation is None:
        return ServerContexts(certificates, alpn, lambda group: _context(group, alpn), forgets=False)
    authorities = trusted((validation,), "client validation (tls.frontend)")
    if mode == "AllowValidOnly":
        return ServerContexts(certificates, alpn, lambda group: _validating_context(group, alpn, authorities), forgets=True)
    # Imported only here: the library behind it costs a process ten megabytes.
    from gateway.net.insecure_fallback import fallback_context  # noqa: PLC0415

    return ServerContexts(certificates, alpn, lambda group: fallback_context(group, alpn, authorities), forgets=False)


def _context(certificates: Sequence[Certificate], alpn: tuple[str, ...]) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context)
    for certificate in certificates:
        load_pair(lambda path: context.load_cert_chain(path, password=""), certificate)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _validating_context(certificates: Sequence[Certificate], alpn: tuple[str, ...], authorities: str) -> ServerContext:
    context = _context(certificates, alpn)
    context.load_verify_locations(cadata=authorities)
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


_Group = list[tuple[Certificate, CertificateNames]]


def _grouped(certificates: Sequence[Certificate]) -> Iterator[tuple[frozenset[bytes], _Group]]:
    """Certificates that one context can hold together, with their names, in the order of the first of each."""
    groups: list[tuple[frozenset[bytes], _Group]] = []
    for certificate in certificates:
        try:
            facts = read_certificate_names(certificate.chain)
        except MalformedCertificate as error:
            raise TlsConfigurationError(f"Certificate {certificate.key}: its chain (tls.crt) {error}") from error
        for names, group in groups:
            if names == facts.names and all(facts.key_type != other.key_type for _, other in group):
                # Alone first: beside another pair OpenSSL would take a key that belongs to that one.
                _context([certificate], ())
                group.append((certificate, facts))
                break
        else:
            groups.append((facts.names, [(certificate, facts)]))
    yield from groups
