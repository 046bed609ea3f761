"""What translation takes from the command line: the classes that are ours and where listeners are bound.

From files all Gateways share one machine, so that one listener can stand in another's way. In a cluster each has proxies of its own.

Tidegate's own ports (15000 to 15099) are never bound for a user: such a listener is bound at another port.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OWN_PORTS = range(15000, 15100)
"""Ports of Tidegate itself: administration, capture, the configuration stream, health (design.md section 2)."""

SHIFT = 10_000
"""How far from the user's port a listener on one of our own ports is bound, in a cluster at least."""

HIGHEST_PORT = 65_535

Outbound = Literal["AllowAny", "RegistryOnly"]


@dataclass(frozen=True, slots=True)
class Options:
    """Settings that hold for all objects."""

    class_names: tuple[str, ...] = ("tidegate",)
    """Classes that are ours although no GatewayClass object of that name exists."""
    bind_address: str = "127.0.0.1"
    """Where Gateways without spec.addresses listen; '0.0.0.0' and '::' for all addresses."""
    port_offset: int = 0
    admin: tuple[str, int] | None = ("127.0.0.1", 15000)
    """Address and port of the administration server, where no listener is bound and no backend may lead."""
    root_namespace: str = "istio-system"
    """Policies of Istio's kinds in it hold for all namespaces."""
    cluster: bool = False
    """Whether each Gateway has Pods of its own: use IN_CLUSTER."""
    mesh: bool = False
    """Whether Pods with a sidecar, routes on Services and what else makes a mesh is translated."""
    trust_domain: str = "cluster.local"
    """Of the identities of workloads."""
    outbound: Outbound = "AllowAny"
    """Whether sidecars let pass what goes to a destination that the cluster does not know."""

    def bind_port(self, port: int) -> int:
        """The port at which a listener on `port` is bound, unless it is moved in a cluster. Above 65535 where no such port exists."""
        moved = port + self.port_offset
        return moved + SHIFT if moved in OWN_PORTS else moved

    def location_port(self, port: int) -> int:
        """The port under which clients reach a listener on `port`, for redirects."""
        return port + self.port_offset


IN_CLUSTER = Options(class_names=(), bind_address="::", admin=None, cluster=True)
"""For a cluster: only classes that exist, listeners on all addresses of the Pod ('::' takes IPv4 as well)."""
