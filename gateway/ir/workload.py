"""Who is in the mesh: what a proxy must know of the other ends of its connections."""

from __future__ import annotations

from typing import Final, Literal

from gateway.ir.value import Resource, Value

MutualTls = Literal["Disable", "Permissive", "Strict"]

ALPN: Final = "tidegate"
"""What proxies of the mesh offer each other (RFC 7301), so that their TLS is told from that of applications."""
IDENTITY: Final = "@mesh/identity"
"""Key of the Certificate that a proxy has of its own, and puts in place itself."""
ROOTS: Final = "@mesh/roots"
"""Key of the TrustBundle by which peers are judged, put in place likewise."""
SHARED: Final = "@mesh/@mesh"
"""What stands in the place of a Gateway in the keys of listeners that all sidecars have."""
OUTBOUND_PORT: Final = 15001
INBOUND_PORT: Final = 15006


def mesh_scope(namespace: str) -> str:
    """The key of the Gateway resource of a namespace's sidecars, which is what they subscribe to. No object has such a name."""
    return f"{namespace}/@mesh"


def mesh_namespace(scope: str) -> str | None:
    """The namespace whose sidecars subscribe to a scope; None if it is a Gateway's."""
    namespace, _, name = scope.partition("/")
    return namespace if name == "@mesh" else None


def called(scope: str) -> str:
    """Whose configuration a scope is, in messages."""
    namespace = mesh_namespace(scope)
    return f"Gateway {scope}" if namespace is None else f"the mesh in namespace {namespace}"


class PeerAuthentication(Value, frozen=True):
    """One that is for a namespace of the mesh, for `explain`: what all of them come to stands in each Workload."""

    name: str
    """namespace/name"""
    mode: MutualTls | None = None
    """At all ports; None where it inherits."""
    selector: tuple[tuple[str, str], ...] = ()
    """Labels that workloads must have; all workloads where none is given."""


class WorkloadPort(Value, frozen=True):
    """A port of a workload of which something is said: by a Service that leads there, or by a PeerAuthentication."""

    number: int
    protocol: Literal["HTTP", "TCP", "Detect"] = "Detect"
    mutual_tls: MutualTls | None = None
    """None for the workload's own."""
    service: str = ""
    """Name of the Service that leads there, the first by name, in the workload's namespace: the destination in its metrics."""


class Workload(Resource, frozen=True, tag="Workload"):
    """Key namespace/Pod. A running Pod, with a sidecar or without."""

    addresses: tuple[str, ...]
    account: str
    """Name of its ServiceAccount."""
    spiffe_id: str = ""
    """What its sidecar proves to be; '' for one without."""
    mutual_tls: MutualTls = "Permissive"
    """What its sidecar demands of callers."""
    ports: tuple[WorkloadPort, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    """Of the Pod, sorted: policies select by them."""
    owner: str = ""
    """Name of what runs it, such as its Deployment: the workload in metrics."""
