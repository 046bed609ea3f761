"""The addresses and ports of this proxy itself, which no backend may be: a listener would ask itself, and the admin server has no
clients but those on this host."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


class OwnPlaces(frozenset[tuple[str, int]]):
    """Address and port pairs. Whatever leads to one of them is in it: 0.0.0.0 and :: lead to this host, an IPv4 address may be written as
    an IPv6 one, and what listens on all addresses listens on every loopback address."""

    __slots__ = ()

    def __contains__(self, place: object) -> bool:
        if not isinstance(place, tuple):
            return False
        address, port = place
        ports = [own for own, own_port in self if own_port == port]
        if not ports:
            return False
        wanted = _canonical(address)
        if wanted is None:
            return address in ports
        return any(own is not None and _leads_to(wanted, own) for own in map(_canonical, ports))


def _canonical(address: str) -> IPv4Address | IPv6Address | None:
    """None for a name."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _leads_to(wanted: IPv4Address | IPv6Address, own: IPv4Address | IPv6Address) -> bool:
    here = wanted.is_unspecified or wanted.is_loopback
    if own.is_unspecified:
        return here or wanted == own
    return wanted == own or (wanted.is_unspecified and own.is_loopback)
