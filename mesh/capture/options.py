"""What is left out of the capture of a Pod, as its annotations and `tidegate init` say it (pure).

Lists are written with commas. Everything is captured but what is named; where inbound ports to include are named, nothing else inbound is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from mesh.capture.errors import CaptureError

Network = IPv4Network | IPv6Network

PROXY_USER: Final = 1337
"""User and group that a sidecar runs as: what it sends is not captured again."""
ALL: Final = "*"
NONE: Final = "none"
_MOST_USERS: Final = 2**32 - 2
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as an IPv6 socket writes them (RFC 4291 2.5.5.2). On the wire they are IPv4."""


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """Ports are sorted and without repetition, networks without bits behind their prefix."""

    exclude_inbound_ports: tuple[int, ...] = ()
    exclude_outbound_ports: tuple[int, ...] = ()
    exclude_outbound_networks: tuple[Network, ...] = ()
    include_inbound_ports: tuple[int, ...] | None = None
    """None for all."""
    user: int = PROXY_USER
    """Of the proxy; its group has the same number."""


def read_ports(option: str, text: str) -> tuple[int, ...]:
    """The ports of a list; spaces and empty entries do not matter. Raises CaptureError, which names the option."""
    return tuple(sorted({_port(option, entry) for entry in _entries(text)}))


def read_included_ports(option: str, text: str) -> tuple[int, ...] | None:
    """The same; None, for all ports, for '*', and no port for 'none', which is what an empty list of a command line or an annotation says,
    but an empty variable cannot. Raises CaptureError."""
    word = text.strip()
    if word == ALL:
        return None
    return () if word == NONE else read_ports(option, text)


def read_networks(option: str, text: str) -> tuple[Network, ...]:
    """The CIDRs of a list, each once; an address stands for itself alone. Raises CaptureError, which names the option."""
    return tuple(dict.fromkeys(_network(option, entry) for entry in _entries(text)))


def read_user(option: str, text: str) -> int:
    """The number of a user other than root, whose connections could otherwise never be captured. Raises CaptureError."""
    number = _number(text.strip())
    if number is None or not 1 <= number <= _MOST_USERS:
        raise CaptureError(f"{option}: {text!r} is no number of a user other than root; write the one that the proxy runs as, such as 1337")
    return number


def _entries(text: str) -> Sequence[str]:
    return [entry for entry in (entry.strip() for entry in text.split(",")) if entry]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST_USERS)) else None


def _port(option: str, entry: str) -> int:
    number = _number(entry)
    if number is None or not 1 <= number <= 65_535:
        raise CaptureError(f"{option}: {entry!r} is no port; write numbers from 1 to 65535 with commas between, such as 22,8080")
    return number


def _network(option: str, entry: str) -> Network:
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        raise CaptureError(f"{option}: {entry!r} is no network; write CIDRs with commas between, such as 10.0.0.0/8,fd00::/8") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None  # of every address in that network
        return IPv4Network((mapped, network.prefixlen - _MAPPED.prefixlen))
    return network
