"""A Host, and what it is matched as: refused, or one name in one spelling, for us as for Python's own readers of hosts."""

from __future__ import annotations

import ipaddress
import string
from typing import Final

from gateway.http.refused import Refused
from gateway.http.target import LONGEST_HOST, parse_authority

_NAME: Final = frozenset((string.ascii_letters + string.digits + "-._~").encode())


def run(data: bytes) -> None:
    """`data` is the value."""
    try:
        host, authority = parse_authority(data)
    except Refused as refused:
        assert refused.status == 400
        assert refused.reason.isascii()
        assert refused.reason.isprintable()
        assert expected(data) is None, refused.reason
        return
    assert (host, authority) == expected(data)
    assert parse_authority(data) == (host, authority), "another answer from the cache"
    assert parse_authority(authority) == (host, authority), "another host for what is forwarded"
    assert parse_authority(host) == (host, host), "another host for what is matched"
    assert parse_authority(data.upper())[0] == host


def expected(value: bytes) -> tuple[bytes, bytes] | None:
    """Host and authority as a slow reader finds them, None for what it refuses."""
    if value.startswith(b"["):
        name, bracket, behind = value.partition(b"]")
        host = name + bracket
        if not bracket or not (not behind or behind.startswith(b":")) or not is_ipv6(host[1:-1]):
            return None
        colon, port = behind[:1], behind[1:]
    else:
        host, colon, port = value.partition(b":")
        if not host or not set(host) <= _NAME:
            return None
        host = host[:-1] if host.endswith(b".") else host
        if len(host) > LONGEST_HOST or not all(host.split(b".")):
            return None
    if not set(port) <= frozenset(b"0123456789") or len(port) > 5 or (port and not 1 <= int(port) <= 65535):
        return None
    return host.lower(), value[:-1] if colon and not port else value


def is_ipv6(address: bytes) -> bool:
    try:
        return set(address) <= frozenset(b"0123456789abcdefABCDEF:.") and bool(ipaddress.IPv6Address(address.decode()))
    except ValueError:
        return False
