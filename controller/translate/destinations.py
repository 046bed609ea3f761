"""From a reference of a route to a port of a Service: whether it is valid, and the key of its Backend.

Only what routes must know is read here, so that endpoints and policies wake no routes as long as they change nothing of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from controller.api.core import Service, ServicePort
from controller.api.endpoint_slice import EndpointSlice
from controller.api.references import BackendObjectReference
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.objects import called, of_group
from controller.translate.policies import attached
from controller.translate.references import Target, refused

H2C, WS, WSS = "kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"
"""The values of appProtocol that Kubernetes defines (KEP-3726). Any other is as good as none."""

Use = Literal["HTTP", "GRPC", "MESH", "TCP", "UDP"]
"""What a route does with a port. A TLSRoute uses it as a TCPRoute does: bytes are relayed as they are. MESH: an HTTPRoute on Services."""

Variant = Literal["", "client", "h2c", "udp"]

_HTTP2 = frozenset({"http2", "grpc", "h2c"})
"""What ports that speak HTTP/2 are called in a mesh, before a hyphen."""

USES: dict[str, Use] = {"HTTPRoute": "HTTP", "GRPCRoute": "GRPC", "TLSRoute": "TCP", "TCPRoute": "TCP", "UDPRoute": "UDP"}

UseKey = tuple[str, str, int, Use]
"""Namespace and name of a Service, number of the port, and what it is used for."""


class Destination(NamedTuple):
    """A port of a Service in one of the ways in which it is spoken to, each a Backend of its own.

    `variant` is "udp" for a UDP port, and "h2c" for one that a GRPCRoute uses and that does not say itself that it speaks HTTP/2:
    others may speak HTTP/1.1 to it. "client" for one to which sidecars speak as their callers do. All else is "".
    """

    namespace: str
    service: str
    port: int
    variant: Variant = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What routes must know of a destination: what is wrong with it, and what of the Service concerns their rules."""

    problem: Problem | None = None
    variant: Variant = ""
    external: bool = False
    """Whether it is a name or address of its own instead of endpoints (ExternalName)."""
    has_affinity: bool = False
    """Whether the Service has a sessionAffinity, which excludes sessionPersistence."""


def backend_key(destination: Destination) -> str:
    """The key of a Backend and its EndpointSet."""
    namespace, service, port, variant = destination
    return f"{namespace}/{service}:{port}/{variant}" if variant else f"{namespace}/{service}:{port}"


def judge_destination(key: UseKey, view: View) -> Judgement:
    """Unit "destination": whether a port of a Service can be spoken to as its use demands."""
    namespace, name, number, use = key
    service: Service | None = view.get("Service", namespace, name)
    if service is None:
        return Judgement(Problem("BackendNotFound", f"{called('Service', namespace, name)} does not exist"))
    protocol: Literal["TCP", "UDP"] = "UDP" if use == "UDP" else "TCP"
    external = service.spec.type == "ExternalName"
    port = service_port(service, number, protocol)
    if port is None and not external:
        numbers = ", ".join(str(other.port) for other in service.spec.ports if other.protocol == protocol) or "none"
        return Judgement(Problem("BackendNotFound", f"{called(*service.key)} has no {protocol} port {number}; it has {numbers}"))
    affinity = not external and service.spec.session_affinity != "None"
    if use in ("TCP", "UDP"):
        return Judgement(None, "udp" if use == "UDP" else "", external, affinity)
    application: str | None = view.result("application protocol", key[:3])
    name = port.name or "" if port is not None else ""
    return Judgement(_protocol_problem(view, key, application, name), _variant(use, name, application, external), external, affinity)


def _variant(use: Use, name: str, application: str | None, external: bool) -> Variant:
    if use == "GRPC":
        return "h2c" if application != H2C else ""
    if use != "MESH" or external or application in (H2C, WS, WSS):
        return ""
    return "h2c" if speaks_http2(name, application) else "client"


def speaks_http2(name: str, application: str | None) -> bool:
    """Whether a port in a mesh says by its appProtocol, or else its name, that it speaks HTTP/2 and nothing else."""
    word = (application or name).lower()
    return word.partition("-")[0] in _HTTP2 and not word.startswith("grpc-web")


def service_port(service: Service, number: int, protocol: Literal["TCP", "UDP"]) -> ServicePort | None:
    """The port of that number and transport."""
    return next((port for port in service.spec.ports if (port.port, port.protocol) == (number, protocol)), None)


def application_protocol(key: tuple[str, str, int], view: View) -> str | None:
    """Unit "application protocol": the appProtocol of a Service's TCP port, or that of its EndpointSlices where it has none."""
    namespace, name, number = key
    service: Service | None = view.get("Service", namespace, name)
    port = service_port(service, number, "TCP") if service is not None else None
    if port is None or port.app_protocol is not None:
        return port.app_protocol if port is not None else None
    slices: tuple[EndpointSlice, ...] = view.select("slices of service", (namespace, name))
    ports = (found for each in slices for found in each.ports if (found.name, found.protocol) == (port.name or "", "TCP"))
    return next((found.app_protocol for found in ports if found.app_protocol is not None), None)


def _protocol_problem(view: View, key: UseKey, application: str | None, section: str) -> Problem | None:
    """UnsupportedProtocol where the port says that it speaks something else than its use or its BackendTLSPolicy demands."""
    if application not in (H2C, WS, WSS):
        return None
    told = f"Service {key[0]}/{key[1]}: appProtocol {application} of port {key[2]}"
    if key[3] == "GRPC" and application != H2C:
        return Problem("UnsupportedProtocol", f"{told} is not what gRPC is spoken over; use {H2C}, or an HTTPRoute")
    secured = attached(view, "BackendTLSPolicy", ("Service", key[0], key[1])).winner(section) is not None
    if application == WSS and not secured:
        return Problem("UnsupportedProtocol", f"{told} is spoken over TLS, which needs a BackendTLSPolicy; attach one, or use {WS}")
    if application != WSS and secured:
        return Problem("UnsupportedProtocol", f"{told} is spoken without TLS, which its BackendTLSPolicy demands; remove one of the two")
    return None


def target_of(namespace: str, reference: BackendObjectReference) -> Target:
    """What a reference names, seen from the namespace of its route."""
    return Target(reference.kind, reference.namespace or namespace, reference.name, reference.group)


def resolve(
    view: View, route: Key, reference: BackendObjectReference, use: Use, in_mesh: bool
) -> tuple[Destination, Judgement] | Problem:
    """Where a reference leads. The kind is judged first, then the permission, and only then whether the target exists.

    In a mesh no permission is needed: a route exposes nothing there that its callers could not reach (GEP-1426, "Namespace boundaries").
    """
    target = target_of(route[1], reference)
    if (target.group, target.kind) != ("", "Service") or reference.port is None:
        return Problem("InvalidKind", f"a backend is a Service of the core group, not a {of_group(target.kind, target.group)}")
    if not in_mesh and (refusal := refused(view, route, target)) is not None:
        return refusal
    judgement: Judgement = view.result("destination", (target.namespace, target.name, reference.port, use))
    if judgement.problem is not None:
        return judgement.problem
    return Destination(target.namespace, target.name, reference.port, judgement.variant), judgement
