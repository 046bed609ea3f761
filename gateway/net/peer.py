"""What may be asked of a connection about its other end, whichever TLS library serves it."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.net.mesh_tls import proven_caller
from gateway.net.proxy_protocol import Ends

if TYPE_CHECKING:
    from gateway.policies.caller import Caller


class Peer(NamedTuple):
    address: bytes
    """IP address, without a scope; an IPv4 address that came over an IPv6 socket in its own form. b'' for a Unix socket."""
    port: int
    tls_version: bytes = b""
    """b'TLSv1.2', b'TLSv1.3', or b'' without TLS."""
    server_name: bytes = b""
    certificate: str | None = None
    """The client's certificate, PEM, if it was asked for, presented and verified; nothing else counts as identity."""
    identity: str = ""
    """SPIFFE ID that a caller of the mesh has proven; '' for anybody else."""
    own: str = ""
    """The one that it was shown."""

    @property
    def scheme(self) -> bytes:
        """Mutual TLS of the mesh is around a connection, which is what it would be without."""
        return b"https" if self.tls_version and not self.identity else b"http"


class Origin:
    """Who is at the other end of a connection, and whom that end says it speaks for in a PROXY header, if it says so; of a captured
    connection who that is, and where it was going."""

    __slots__ = ("caller", "identity", "named", "peer", "server_name")

    def __init__(self, peer: bytes, named: Ends | None = None, server_name: bytes = b"", identity: str = "") -> None:
        self.peer, self.named, self.server_name, self.identity = peer, named, server_name, identity
        """All but `named` as of a Peer."""
        self.caller: Caller | None = None
        """The same for policies, once one has asked."""

    @property
    def address(self) -> bytes:
        """The client's."""
        return self.peer if self.named is None else self.named.address

    def port(self, listener: int) -> int:
        """The port that the connection came to: the listener's, as the user wrote it, or that of the connection itself where a listener
        serves every port (0)."""
        return listener or (0 if self.named is None else self.named.destination_port)

    def ends(self, transport: asyncio.BaseTransport) -> Ends:
        """Both ends as the client sees them."""
        if self.named is not None:
            return self.named
        return Ends(*_address(transport.get_extra_info("peername")), *_address(transport.get_extra_info("sockname")))


NOBODY: Final = Origin(b"")
"""Of a connection that is not there yet."""


def peer_of(transport: asyncio.BaseTransport, server_name: bytes = b"") -> Peer:
    """Of a transport whose handshake is over; `server_name` is that of its ClientHello, which the libraries do not keep."""
    address, port = _address(transport.get_extra_info("peername"))
    ssl_object = transport.get_extra_info("ssl_object")
    if ssl_object is not None:
        verified = ssl_object.context.verify_mode == ssl.CERT_REQUIRED
        der = ssl_object.getpeercert(True) if verified else None
        peer = Peer(address, port, ssl_object.version().encode(), server_name, _pem(der))
        proven = proven_caller(ssl_object)
        return peer if proven is None else peer._replace(identity=str(proven.caller), own=str(proven.own))
    version = transport.get_extra_info("tls_version")
    if version is not None:  # a transport of a listener with AllowInsecureFallback
        der = transport.get_extra_info("peer_certificate") if transport.get_extra_info("verified") else None
        return Peer(address, port, version, server_name, _pem(der))
    return Peer(address, port)


def uris_of(transport: asyncio.BaseTransport) -> tuple[str, ...]:
    """The URIs among the names of the client's certificate, which had to verify for there to be a connection; () without one."""
    ssl_object = transport.get_extra_info("ssl_object")
    if ssl_object is None or ssl_object.context.verify_mode != ssl.CERT_REQUIRED:
        return ()
    names = (ssl_object.getpeercert() or {}).get("subjectAltName", ())
    return tuple(str(name) for kind, name in names if kind == "URI")


def identity_of(transport: asyncio.BaseTransport) -> str:
    """The name in the client's verified certificate: a URI, else a DNS name, else the subject, '' without any."""
    ssl_object = transport.get_extra_info("ssl_object")
    if ssl_object is None or ssl_object.context.verify_mode != ssl.CERT_REQUIRED:
        return ""
    certificate = ssl_object.getpeercert() or {}
    names = certificate.get("subjectAltName", ())
    for kind in ("URI", "DNS"):
        for found, name in names:
            if found == kind:
                return str(name)
    return ",".join(f"{_SHORT.get(name, name)}={value}" for part in reversed(certificate.get("subject", ())) for name, value in part)


_SHORT: Final = {
    "commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C", "localityName": "L",
    "stateOrProvinceName": "ST",
}  # fmt: skip
"""Names of RFC 4514 3."""


def ends_of(peer: object, destination: tuple[str, int] | None) -> Ends:
    """Of a captured connection from what a socket calls its peer."""
    address, port = ("", 0) if destination is None else destination
    return Ends(*_address(peer), address.encode("ascii"), port)


def address_of(name: object) -> bytes:
    """Peer.address of what a socket calls its peer."""
    return _address(name)[0]


def _address(name: object) -> tuple[bytes, int]:
    if not isinstance(name, tuple):
        return b"", 0
    host, port = name[:2]
    return host.partition("%")[0].removeprefix("::ffff:").encode(), port


def _pem(der: bytes | None) -> str | None:
    return ssl.DER_cert_to_PEM_cert(der) if der else None
