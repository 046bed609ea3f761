"""Who is at the other end of a connection, as policies know it, wherever the identity comes from; and what is asked over it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.http.head import RequestHead

NO_REQUEST: Final = RequestHead(b"", b"", None, b"", b"")

_SPIFFE: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+)").fullmatch
_WORKLOAD: Final = re.compile(r"[a-z0-9._-]+/ns/([A-Za-z0-9._-]+)/sa/[A-Za-z0-9._-]+").fullmatch
_LONGEST: Final = 2048
"""Bytes of a SPIFFE ID (SPIFFE-ID 2.4)."""


class Caller(NamedTuple):
    """What is the same for everything that comes over a connection.

    principal    trust domain/ns/namespace/sa/account of the verified identity, or what else follows spiffe://; b'' without one
    namespace    that of the principal, b'' where it names none
    address      of the connection's other end
    destination  the address that it came to
    server_name  that of its ClientHello, b'' where it named none
    """

    principal: bytes = b""
    namespace: bytes = b""
    address: bytes = b""
    destination: bytes = b""
    server_name: bytes = b""


class Asked(NamedTuple):
    """A request, or a connection or flow that is passed on: then there is no head that says anything.

    remote   the client as trusted proxies name it
    port     that of the listener, as the user wrote it
    claims   of the request's verified token, None without one
    """

    caller: Caller
    remote: bytes
    port: int
    head: RequestHead = NO_REQUEST
    claims: Mapping[str, Any] | None = None


def principal_of(uris: Sequence[str]) -> tuple[bytes, bytes]:
    """Principal and namespace of a verified certificate with these URIs among its names: of none unless there is exactly one, and it is a
    SPIFFE ID (X509-SVID 2)."""
    found = _SPIFFE(uris[0]) if len(uris) == 1 and len(uris[0]) <= _LONGEST else None
    if found is None:
        return b"", b""
    workload = _WORKLOAD(found[1])
    return found[1].encode("ascii"), workload[1].encode("ascii") if workload is not None else b""
