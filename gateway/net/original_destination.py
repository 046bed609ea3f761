"""Where a connection was going before the capture rules of its Pod brought it here (REDIRECT of nftables or iptables).

The kernel's connection tracking keeps it, and tells it by a socket option of the accepted connection: SO_ORIGINAL_DST of
linux/netfilter_ipv4.h, and IP6T_SO_ORIGINAL_DST of linux/netfilter_ipv6/ip6_tables.h.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

from gateway.net.addresses import of_kernel

_ORIGINAL_DST: Final = 80
"""SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST have the same number, each at its own level."""
_IPV4: Final = struct.Struct("!2xH4s8x")
"""struct sockaddr_in: family, port, address."""
_IPV6: Final = struct.Struct("!2xH4x16s4x")
"""struct sockaddr_in6: family, port, flow, address, scope."""


class Destination(NamedTuple):
    """An IP address in its one spelling (gateway.net.addresses), and a port."""

    address: str
    port: int


def original_destination(connection: socket.socket) -> Destination | None:
    """Of an accepted connection; None for one that was not redirected: it was meant for us. Raises OSError for one that is gone."""
    address, port = connection.getsockname()[:2]
    here = Destination(of_kernel(address), port)
    version = 6 if ":" in here.address else 4
    try:
        found = _read(connection, version)
    except OSError:
        connection.getpeername()  # which fails for one that is gone
        return None  # the kernel tracks no connections, or not this one
    return None if found == here else found


def _read(connection: socket.socket, version: int) -> Destination:
    """A connection of IPv4 is asked at the level of IPv4, also when it came over a socket of IPv6. Raises OSError."""
    if version == 4:
        port, packed = _IPV4.unpack(connection.getsockopt(socket.SOL_IP, _ORIGINAL_DST, _IPV4.size))
        return Destination(socket.inet_ntop(socket.AF_INET, packed), port)
    port, packed = _IPV6.unpack(connection.getsockopt(socket.IPPROTO_IPV6, _ORIGINAL_DST, _IPV6.size))
    return Destination(of_kernel(socket.inet_ntop(socket.AF_INET6, packed)), port)
