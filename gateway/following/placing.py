"""Where a proxy serves what it is to serve: at the places that stand in its listeners, unless it has others of its own."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from gateway.following.desired import Difference

CHOOSE: Final = "choose another port for the listener"
"""What helps where nothing better is known."""
_OF_PODS: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.EADDRINUSE: f"stop what holds it in this network namespace (`ss -lntup` shows it), or {CHOOSE}",
        errno.EACCES: f"set the Pod's sysctl net.ipv4.ip_unprivileged_port_start to 0, or {CHOOSE}",
        errno.EPERM: f"set the Pod's sysctl net.ipv4.ip_unprivileged_port_start to 0, or {CHOOSE}",
        errno.EADDRNOTAVAIL: "ask for an address that this host has, or for all",
        errno.EAFNOSUPPORT: "ask for an IPv4 address, 0.0.0.0 for all",
        errno.EMFILE: "raise the limit of open files of the container",
        errno.ENFILE: "raise the limit of open files of the node",
    }
)


class Placing(Protocol):
    """Whoever knows the places."""

    @property
    def remedies(self) -> Mapping[int, str]:
        """What helps where a place cannot be bound, by the number of the system's error."""

    def place(self, difference: Difference) -> Difference:
        """The same, with each listener where it is served; one that is served nowhere is removed."""


class AsMeant:
    """In a Pod: where the controller means it."""

    remedies = _OF_PODS

    def place(self, difference: Difference) -> Difference:
        return difference


AS_MEANT: Final = AsMeant()
