"""From a reference of a route to a port of a Service: whether it is valid, and the key of its Backend.

Only what routes must know is read here, so that endpoints and policies wake no routes.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.core import Service, ServicePort
from controller.api.references import BackendObjectReference
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.objects import called, of_group
from controller.translate.references import Target, refused

Destination = tuple[str, str, int]
"""Namespace and name of a Service, number of the port."""

UNSUPPORTED_PROTOCOLS = frozenset({"kubernetes.io/h2c", "kubernetes.io/wss"})
"""Standard values of appProtocol that Tidegate does not speak. Others, known or not, are spoken to as HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What routes must know of a destination: what is wrong with it, and what of the Service concerns their rules."""

    problem: Problem | None = None
    external: bool = False
    """Whether it is a name or address of its own instead of endpoints (ExternalName)."""
    has_affinity: bool = False
    """Whether the Service has a sessionAffinity, which excludes sessionPersistence."""


def backend_key(destination: Destination) -> str:
    """The key of a Backend and its EndpointSet."""
    namespace, service, port = destination
    return f"{namespace}/{service}:{port}"


def judge_destination(key: Destination, view: View) -> Judgement:
    """Unit "destination": whether a port of a Service can be spoken to."""
    namespace, name, number = key
    service: Service | None = view.get("Service", namespace, name)
    if service is None:
        return Judgement(Problem("BackendNotFound", f"{called('Service', namespace, name)} does not exist"))
    if service.spec.type == "ExternalName":
        port = service_port(service, number)
        return Judgement(_protocol_problem(key, port) if port is not None else None, external=True)
    port = service_port(service, number)
    if port is None:
        numbers = ", ".join(str(other.port) for other in service.spec.ports if other.protocol == "TCP") or "none"
        return Judgement(Problem("BackendNotFound", f"{called(*service.key)} has no TCP port {number}; it has {numbers}"))
    return Judgement(_protocol_problem(key, port), has_affinity=service.spec.session_affinity != "None")


def service_port(service: Service, number: int) -> ServicePort | None:
    """The TCP port of that number."""
    return next((port for port in service.spec.ports if (port.port, port.protocol) == (number, "TCP")), None)


def _protocol_problem(key: Destination, port: ServicePort) -> Problem | None:
    if port.app_protocol not in UNSUPPORTED_PROTOCOLS:
        return None
    return Problem("UnsupportedProtocol", f"Service {key[0]}/{key[1]}: appProtocol {port.app_protocol} of port {key[2]} is not supported")


def target_of(namespace: str, reference: BackendObjectReference) -> Target:
    """What a reference names, seen from the namespace of its route."""
    return Target(reference.kind, reference.namespace or namespace, reference.name, reference.group)


def resolve(view: View, route: Key, reference: BackendObjectReference) -> tuple[Destination, Judgement] | Problem:
    """Where a reference leads. The kind is judged first, then the permission, and only then whether the target exists."""
    target = target_of(route[1], reference)
    if (target.group, target.kind) != ("", "Service") or reference.port is None:
        return Problem("InvalidKind", f"a backend is a Service of the core group, not a {of_group(target.kind, target.group)}")
    if (refusal := refused(view, route, target)) is not None:
        return refusal
    destination = (target.namespace, target.name, reference.port)
    judgement: Judgement = view.result("destination", destination)
    return judgement.problem if judgement.problem is not None else (destination, judgement)
