"""What of a request chooses its endpoint where balancing goes by hash (BackendPolicy.balancing.hashOn)."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import assert_never

from gateway.http.head import RequestHead
from gateway.ir.backend import HashOn
from gateway.routing.predicates import Parameters

Part = Callable[[RequestHead, bytes], bytes | None]
"""From a head and the client's address (b'' where it is not known) to what counts of them, None where the request lacks it."""

CLIENT_ADDRESS = HashOn("ClientAddress")


class RequestHash:
    """Takes the first part that a request has. The same in every process, so that all workers and proxies agree."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[HashOn, ...]) -> None:
        self._parts = tuple(_part(part) for part in parts or (CLIENT_ADDRESS,))

    def key(self, head: RequestHead, client_address: bytes) -> int | None:
        """64 bits; None where the request has none of the parts."""
        for number, part in enumerate(self._parts):
            value = part(head, client_address)
            if value:
                return _hash(value, number)
        return None


def client_key(client_address: bytes) -> int:
    """The key of a connection or flow that is no request: its client's address is all that there is to choose by."""
    return _hash(client_address, 0)


def _hash(value: bytes, number: int) -> int:
    """`number` tells parts of the same value apart."""
    return int.from_bytes(blake2b(value, digest_size=8, salt=b"%d" % number).digest(), "big")


def _part(part: HashOn) -> Part:
    name = part.name.encode()
    match part.type:
        case "ClientAddress":
            return lambda head, client_address: client_address
        case "Header":
            return lambda head, client_address: head.get(name)
        case "Cookie":
            return lambda head, client_address: _cookie(head.get(b"cookie"), name)
        case "QueryParameter":
            return lambda head, client_address: Parameters(head.query).get(name)
        case "Authority":
            return lambda head, client_address: head.authority.lower()
        case "Path":
            return lambda head, client_address: head.path
        case _:
            assert_never(part.type)


def _cookie(value: bytes | None, name: bytes) -> bytes | None:
    """The first cookie of that name (RFC 6265 4.2.1)."""
    for pair in (value or b"").split(b";"):
        found, equals, content = pair.strip(b" \t").partition(b"=")
        if equals and found == name:
            return content
    return None
