"""TLS around a gateway: objects that hold certificates, clients that trust them, and backends that speak TLS."""

from __future__ import annotations

import json
import ssl
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.certificates import Authority, Pair
from tests.wire.backends import Conversation

AUTHORITY = Authority("Authority of the tests")
STRANGER = Authority("Authority that nobody trusts")


def secret(name: str, pair: Pair) -> str:
    """A Secret of type kubernetes.io/tls."""
    data = {"tls.crt": b64encode(pair.chain.encode()).decode(), "tls.key": b64encode(pair.private_key.encode()).decode()}
    return json.dumps({"kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls", "data": data})


def authorities(name: str, *trusted: Authority) -> str:
    """A ConfigMap with CA certificates."""
    certificates = "".join(authority.certificate for authority in trusted)
    return json.dumps({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"ca.crt": certificates}})


def https(name: str, *secrets: str, hostname: str = "", port: int = 443) -> dict[str, Any]:
    """An HTTPS listener with the certificates of these Secrets."""
    listener: dict[str, Any] = {
        "name": name,
        "port": port,
        "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": each} for each in secrets]},
    }
    return listener | ({"hostname": hostname} if hostname else {})


def http(name: str = "http", port: int = 80) -> dict[str, Any]:
    return {"name": name, "port": port, "protocol": "HTTP"}


def gateway(*listeners: dict[str, Any], tls: dict[str, Any] | None = None, name: str = "web") -> str:
    """A Gateway; `tls` is its spec.tls."""
    spec = {"gatewayClassName": "tidegate", "listeners": listeners} | ({"tls": tls} if tls else {})
    return json.dumps({"kind": "Gateway", "metadata": {"name": name}, "spec": spec})


def trusting(*trusted: Authority, own: tuple[Path, Path] | None = None, alpn: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext:
    """A client's context: whom it trusts, the certificate and key it has, what it offers to speak."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="".join(authority.certificate for authority in trusted or (AUTHORITY,)))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if own is not None:
        context.load_cert_chain(*own)
    return context


def anybody() -> ssl.SSLContext:
    """A client's context that takes any certificate, to look at it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TlsBackend:
    """A script for `Scripted` that does the TLS of a backend, then follows another script. Keeps what clients said in handshakes."""

    def __init__(self, folder: Path, pair: Pair, then: Callable[[Conversation], None], *, clients: Authority | None = None) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*pair.write(folder, f"backend-{id(self)}"))
        self._context.set_alpn_protocols(["http/1.1"])
        self._context.sni_callback = self._named
        if clients is not None:
            self._context.load_verify_locations(cadata=clients.certificate)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._then = then
        self.names: list[str | None] = []
        """Server names, one a handshake."""
        self.subjects: list[str] = []
        """Common names of client certificates, one a connection."""
        self.plain = 0
        """Connections that did not begin with a TLS record."""

    def _named(self, _: ssl.SSLSocket | ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.names.append(name)

    def __call__(self, conversation: Conversation) -> None:
        if conversation.connection.recv(1, 2) not in (b"", b"\x16"):  # MSG_PEEK
            self.plain += 1
            return
        with self._context.wrap_socket(conversation.connection, server_side=True) as connection:
            certificate: Any = connection.getpeercert()
            self.subjects.append(dict(pair[0] for pair in certificate["subject"])["commonName"] if certificate else "")
            conversation.connection = connection
            self._then(conversation)
