"""Whom a captured listener lets in over the mesh's mutual TLS: asked once for each connection, at the end of its handshake, before a byte
of what is inside is looked at.

The handshake has verified the certificate against the mesh's authorities; what is decided here is what its names say.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from gateway.proxy.port import LiveListener


class PeerRefused(Exception):
    """The peer may not come in; the text says why, for the log."""


def admit_peer(tls: ssl.SSLObject, listener: LiveListener) -> None:
    """A workload has exactly one URI among its names (X509-SVID 2), which is its SPIFFE ID. Raises PeerRefused."""
    names: Any = (tls.getpeercert() or {}).get("subjectAltName", ())
    uris = [str(name) for kind, name in names if kind == "URI"]
    if len(uris) != 1 or not uris[0].startswith("spiffe://"):
        said = ", ".join(uris) or "none"
        raise PeerRefused(f"listener {listener.key}: the peer's certificate must have one SPIFFE ID as its only URI, and has {said}")


class MeshConnection(asyncio.Protocol):
    """The protocol of a connection while its handshake runs: what follows is made once the peer is known."""

    __slots__ = ("_listener", "_refused", "_serving")

    def __init__(
        self, listener: LiveListener, serving: Callable[[], asyncio.Protocol], refused: Callable[[str], asyncio.Protocol]
    ) -> None:
        """`serving` makes the protocol of what is inside, `refused` that of a connection that ends here, told why."""
        self._listener, self._serving, self._refused = listener, serving, refused

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        try:
            admit_peer(transport.get_extra_info("ssl_object"), self._listener)
        except PeerRefused as refused:
            following = self._refused(str(refused))
        else:
            following = self._serving()
        cast(asyncio.Transport, transport).set_protocol(following)
        following.connection_made(transport)
