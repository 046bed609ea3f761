"""TLS to backends, as BackendTLSPolicy has it: whom to trust, what name to send, and who must answer.

Without subject alternative names the hostname is both the name sent and the identity that OpenSSL demands. With them it is
only sent, and any one of them must be in the certificate, which OpenSSL cannot be asked for: `check` does it after the
handshake, and no byte may be exchanged before it has passed.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from gateway.ir.backend import BackendProtocol, BackendTls, SubjectAltName
from gateway.ir.listener import Certificate
from gateway.net.alerts import CarefulSslObject
from gateway.net.key_material import TlsConfigurationError, harden, load_pair, trusted


class BackendIdentityError(Exception):
    """The backend's certificate is valid, but none of the demanded names is in it."""


class TlsSettings(Protocol):
    """How TLS is done with an endpoint, and who must answer: BackendTlsSettings, or those of the mesh (net.mesh_tls)."""

    @property
    def context(self) -> ssl.SSLContext:
        """For connections made now."""

    @property
    def relaying(self) -> ssl.SSLContext:
        """The same for bytes that are passed on as they are."""

    @property
    def announces_end(self) -> bool:
        """Whether whoever answers is known to end in order with close_notify alone (net.tls_transport)."""

    @property
    def server_hostname(self) -> str:
        """The name sent; '' for none."""

    @property
    def inside(self) -> bool:
        """Whether a PROXY header belongs inside of TLS, as everything else that would stand on a plain connection."""

    def check(self, ssl_object: ssl.SSLObject) -> None:
        """To be called once the handshake is over, before anything is sent. Raises BackendIdentityError."""


class BackendTlsSettings(NamedTuple):
    context: ssl.SSLContext
    server_hostname: str
    """The name sent (RFC 6066 3), to be given to the event loop as `server_hostname`."""
    subject_alt_names: tuple[SubjectAltName, ...]
    inside: bool = False
    announces_end: bool = False

    @property
    def relaying(self) -> ssl.SSLContext:
        """What is offered is decided when it is made, see `backend_context`."""
        return self.context

    def check(self, ssl_object: ssl.SSLObject) -> None:
        """To be called once the handshake is over, before anything is sent. Raises BackendIdentityError.

        The demanded names are BackendTLSPolicyValidation.subjectAltNames: a Hostname compared without case, and against a
        wildcard in the certificate too (RFC 9525 6.3); a URI compared byte by byte. A certificate with a NUL in any of its
        names is refused, since other software would read that name as a shorter one.
        """
        if not self.subject_alt_names:
            return
        names = _names(ssl_object)
        if any("\0" in name for _, name in names):
            raise BackendIdentityError("the backend's certificate has a subject alternative name with a NUL in it")
        if not any(_matches(demanded, kind, name) for demanded in self.subject_alt_names for kind, name in names):
            demanded = ", ".join(f"{name.type} {name.value}" for name in self.subject_alt_names)
            present = ", ".join(f"{kind} {name!r}" for kind, name in names) or "none"
            raise BackendIdentityError(f"the backend's certificate has the subject alternative names {present}; wanted: {demanded}")


ALPN: Final[dict[BackendProtocol, tuple[str, ...]]] = {"http/1.1": ("http/1.1",), "h2c": ("h2",), "auto": ("h2", "http/1.1")}
"""What is offered to a backend, by its protocol; nothing to one that is relayed to."""


def backend_context(
    tls: BackendTls, bundles: Sequence[str], client_certificate: Certificate | None = None, alpn: Sequence[str] = ()
) -> BackendTlsSettings:
    """What connections to a backend are made with. Raises TlsConfigurationError.

    `bundles` are the PEM texts of the trust bundles, none for the system's authorities (wellKnownCACertificates System); `alpn` are the
    protocols offered, none for bytes that are passed on as they are.
    A common name never counts as identity (RFC 9525 6.4).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context)
    context.sslobject_class = CarefulSslObject
    context.hostname_checks_common_name = False
    context.check_hostname = not tls.subject_alt_names
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if bundles:
        context.load_verify_locations(cadata=trusted(bundles, "validation of the backend"))
    else:
        _trust_system(context)
    if client_certificate is not None:
        load_pair(lambda path: context.load_cert_chain(path, password=""), client_certificate)
    return BackendTlsSettings(context, tls.hostname, tls.subject_alt_names)


def _trust_system(context: ssl.SSLContext) -> None:
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    # Authorities in a folder are loaded when they are needed, so that a count of zero is no proof.
    folder = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509"] and not (folder and os.listdir(folder)):
        raise TlsConfigurationError(
            "this system has no CA certificates (wellKnownCACertificates: System); install the package ca-certificates, "
            "set SSL_CERT_FILE, or name a ConfigMap in caCertificateRefs"
        )


def _names(ssl_object: ssl.SSLObject) -> tuple[tuple[str, str], ...]:
    """(DNS, name) and (URI, name) of the peer's certificate."""
    try:
        names = (ssl_object.getpeercert() or {}).get("subjectAltName", ())
    except ValueError as error:
        raise BackendIdentityError(f"the backend's certificate has a malformed name: {error}") from error
    return tuple((str(name[0]), str(name[1])) for name in names if name[0] in ("DNS", "URI"))


def _matches(demanded: SubjectAltName, kind: str, name: str) -> bool:
    if demanded.type == "URI":
        return kind == "URI" and name == demanded.value
    if kind != "DNS":
        return False
    wanted, present = demanded.value.lower(), name.lower()
    return wanted == present or (present.startswith("*.") and not wanted.startswith("*.") and wanted.partition(".")[2] == present[2:])
