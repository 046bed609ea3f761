"""The one spelling of an IP address, by which what is known of it is found."""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import Final

_MAPPED: Final = "::ffff:"
_MAPPED_LENGTH: Final = 96
"""Bits before an IPv4 address in the form of IPv6 (RFC 4291 2.5.5.2)."""


@lru_cache(maxsize=4096)
def canonical(address: str) -> str:
    """As the kernel writes it (RFC 5952), an IPv4 address in its own form, without a scope. Raises ValueError for what is no IP address."""
    unscoped = address.partition("%")[0]
    family = socket.AF_INET6 if ":" in unscoped else socket.AF_INET
    try:
        return of_kernel(socket.inet_ntop(family, socket.inet_pton(family, unscoped)))
    except OSError:
        raise ValueError(f"{address!r} is no IP address") from None


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        canonical(text)
    except ValueError:
        return False
    return True


def canonical_block(text: str) -> str:
    """The same of an address or a CIDR, whose host bits do not count; one of a single address is that. Raises ValueError."""
    if "/" not in text:
        return canonical(text)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no CIDR") from None
    first = network.network_address
    if isinstance(first, IPv6Address) and first.ipv4_mapped is not None and network.prefixlen >= _MAPPED_LENGTH:
        network = ip_network((first.ipv4_mapped, network.prefixlen - _MAPPED_LENGTH))
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def of_kernel(address: str) -> str:
    """The same of what the kernel wrote itself. What came as IPv4 over a socket of IPv6 has its dots already."""
    unscoped = address.partition("%")[0]
    return unscoped.removeprefix(_MAPPED) if "." in unscoped else unscoped


def address_key(address: str) -> str:
    """As `canonical`; anything else, such as a DNS name, is nobody's and stays as it is."""
    if ":" not in address:
        return address
    try:
        return canonical(address)
    except ValueError:
        return address
