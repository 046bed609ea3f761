"""The fields that tell a backend where a request came from, and whom we believe when they are there already.

By default nobody is believed: x-forwarded-for is appended to, every other identity field is ours. Behind a trusted proxy
(ListenerPolicy trustedHops or trustedAddresses) what it says is kept.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.http.head import RequestHead
from gateway.ir.listener import ListenerOptions

if TYPE_CHECKING:
    from gateway.net.peer import Peer

_request_id = re.compile(rb"[!#-\[\]-~]{1,128}").fullmatch
_KEPT_UNPROVEN: Final = (b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded", b"x-real-ip")
_KEPT: Final = (*_KEPT_UNPROVEN, b"x-forwarded-client-cert")
_LONGEST_CACHED: Final = 512
"""Bytes of what a peer says that are looked up rather than read."""
_MOST_CACHED: Final = 1024
_Told = tuple[bytes, tuple[tuple[bytes, bytes], ...], tuple[bytes, ...]]
_BELIEVED: Final[dict[_Told, bytes]] = {}
"""Lines that were made before of what peers said: proxies say the same of most requests."""


class Trust:
    """Whom a listener believes. Only made for a ListenerPolicy that trusts somebody. One that is `silent` says nothing of its own: the
    backend gets what the client said."""

    __slots__ = ("_clients", "hops", "kept", "networks", "silent")

    def __init__(
        self, hops: int, networks: Sequence[IPv4Network | IPv6Network], kept: tuple[bytes, ...] = _KEPT, silent: bool = False
    ) -> None:
        self.hops, self.networks, self.kept, self.silent = hops, tuple(networks), kept, silent
        self._clients: dict[tuple[bytes, bytes], bytes] = {}
        """Of peers and what they said, those that are asked for again and again."""

    @classmethod
    def of(cls, options: ListenerOptions, *, proven: bool = False, silent: bool = False) -> Trust | None:
        """`proven` where identities are proven on each connection, and so none that is only told is kept. Raises ValueError for what is no
        CIDR."""
        if not options.trusted_hops and not options.trusted_addresses:
            return None
        networks = [ip_network(cidr, strict=False) for cidr in options.trusted_addresses]
        return cls(options.trusted_hops, networks, _KEPT_UNPROVEN if proven else _KEPT, silent)

    def believes(self, peer: bytes) -> bool:
        """Whether the peer is a proxy of ours: with trusted hops whoever connects is one."""
        return self.hops > 0 or self._inside(peer)

    def _inside(self, address: bytes) -> bool:
        return _is_in(address, self.networks)

    def client(self, peer: bytes, forwarded_for: bytes | None) -> bytes:
        """The nearest address that no proxy of ours has; where something else stands in its place, whoever passed that on."""
        if not forwarded_for:
            return peer
        found = self._clients.get((peer, forwarded_for)) if len(forwarded_for) <= _LONGEST_CACHED else None
        if found is None:
            found = self._client(peer, forwarded_for)
            if len(forwarded_for) <= _LONGEST_CACHED:
                if len(self._clients) >= _MOST_CACHED:
                    self._clients.clear()
                self._clients[peer, forwarded_for] = found
        return found

    def _client(self, peer: bytes, forwarded_for: bytes) -> bytes:
        chain = [part.strip(b" \t") for part in forwarded_for.split(b",")] + [peer]
        place = len(chain) - 1
        if self.hops:
            place = max(place - self.hops, 0)
        else:
            while place and self._inside(chain[place]):
                place -= 1
        return next(filter(_is_address, chain[place:]), peer)


@lru_cache(maxsize=4096)
def _is_address(text: bytes) -> bool:
    """Whether it may stand for a client in logs and policies. A scope could hold any bytes, and means nothing to others."""
    try:
        ip_address(text.decode("ascii"))
    except ValueError:
        return False
    return b"%" not in text


@lru_cache(maxsize=4096)
def _is_in(address: bytes, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        parsed = ip_address(address.decode("ascii"))
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def forwarded_lines(prefix: bytes, head: RequestHead, peer: bytes, request_id: bytes) -> bytes:
    """Lines for a request whose peer is not believed. `prefix` is `constant_lines` of the connection."""
    if head.forwarded_for is None:
        return b"%bx-forwarded-for: %b\r\nx-forwarded-host: %b\r\nx-request-id: %b\r\n" % (prefix, peer, head.authority, request_id)
    return b"%bx-forwarded-for: %b, %b\r\nx-forwarded-host: %b\r\nx-request-id: %b\r\n" % (
        prefix, head.forwarded_for, peer, head.authority, request_id,
    )  # fmt: skip


def certificate_value(peer: Peer) -> tuple[bytes | None, bytes]:
    """x-forwarded-client-cert, None for a client without a verified certificate, and the certificate's hash alone.

    Envoy's form: Hash and Cert elements; of a caller of the mesh By, Hash, Subject and URI, that is what each side has proven.
    """
    if peer.certificate is None:
        return None, b""
    digest = sha256(ssl.PEM_cert_to_DER_cert(peer.certificate)).hexdigest()
    if peer.identity:
        value = f'By={peer.own};Hash={digest};Subject="";URI={peer.identity}'
    else:
        value = f'Hash={digest};Cert="{quote(peer.certificate, safe="")}"'
    return value.encode("ascii"), digest.encode("ascii")


def constant_lines(scheme: bytes, port: int, client_certificate: bytes | None) -> bytes:
    """What is the same for every request of a connection."""
    lines = _constant_lines(scheme, port)
    return lines if client_certificate is None else b"%bx-forwarded-client-cert: %b\r\n" % (lines, client_certificate)


@lru_cache(maxsize=256)
def _constant_lines(scheme: bytes, port: int) -> bytes:
    """Nearly the same for every connection of a port."""
    return b"x-forwarded-proto: %b\r\nx-forwarded-port: %d\r\n" % (scheme, port)


def believed_lines(
    constant: bytes, head: RequestHead, peer: bytes, drawn: bytes, kept: tuple[bytes, ...] = _KEPT
) -> tuple[bytes, bytes]:
    """Lines for a request whose peer is believed, and the request's id: what the peer says in fields of these names is kept, what it does
    not say is ours."""
    if head.identity is None:
        return forwarded_lines(constant, head, peer, drawn), drawn
    told, request_id, size = [(b"x-forwarded-host", head.authority)], b"", len(head.authority)
    for pair in head.identity:
        if pair[0] == b"x-request-id" or pair[0].lower() == b"x-request-id":
            request_id = pair[1]
        else:
            told.append(pair)
            size += len(pair[1])
    if not _request_id(request_id):
        request_id = drawn
    if size > _LONGEST_CACHED:
        before = _believed(constant, told, kept)
    else:
        key = constant, tuple(told), kept
        found = _BELIEVED.get(key)
        before = _believed(constant, told, kept) if found is None else found
        if found is None:
            if len(_BELIEVED) >= _MOST_CACHED:
                _BELIEVED.clear()
            _BELIEVED[key] = before
    if head.forwarded_for is not None:
        peer = b"%b, %b" % (head.forwarded_for, peer)
    return b"%bx-forwarded-for: %b\r\nx-request-id: %b\r\n" % (before, peer, request_id), request_id


def _believed(constant: bytes, told: list[tuple[bytes, bytes]], kept: tuple[bytes, ...]) -> bytes:
    """All lines but those that differ from one request to the next. `told` begins with what we say of the host."""
    said = {name.lower(): value for name, value in told[1:]}
    lines = {name: value for line in constant.split(b"\r\n") if line for name, value in [line.split(b": ", 1)]}
    lines.update([told[0]])
    lines.update({name: said[name] for name in kept if name in said})
    return b"".join([b"%b: %b\r\n" % line for line in lines.items()])


def told_lines(head: RequestHead, drawn: bytes, kept: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """What the client itself says in such fields, for a host that is to learn nothing of us, and the request's id for our own use."""
    told = {name.lower(): value for name, value in head.identity or ()}
    lines = {name: told[name] for name in (*kept, b"x-request-id") if name in told}
    if head.forwarded_for is not None:
        lines[b"x-forwarded-for"] = head.forwarded_for
    request_id = told.get(b"x-request-id", b"")
    return b"".join([b"%b: %b\r\n" % line for line in lines.items()]), request_id if _request_id(request_id) else drawn
