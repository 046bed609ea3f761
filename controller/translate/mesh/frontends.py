"""Services as frontends: what calls to their cluster addresses meet in the sidecar of the caller.

Each TCP port is a listener of all sidecars. Requests follow the routes that are attached there; while there are none they go to the
endpoints, as without a mesh. Routes of another namespace than the Service's (consumers) make a listener of their own, for callers of
their namespace alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from controller.api.core import Service
from controller.api.references import ParentReference
from controller.api.routes import AnyRoute
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.destinations import Destination, Variant, backend_key
from controller.translate.mesh.namespaces import ALL
from controller.translate.mesh.protocols import PortProtocol, spoken
from controller.translate.objects import called, source_of
from controller.translate.statuses import Emission
from gateway.ir.listener import Capture, Listener
from gateway.ir.mesh_options import OUTBOUND
from gateway.ir.rule import BackendRef, Binding, HttpRule, TcpRule
from gateway.ir.workload import OUTBOUND_PORT, SHARED, mesh_scope

KINDS: Final = ("GRPCRoute", "HTTPRoute", "TCPRoute")
"""The kinds that Services take. One port serves one of them, the first in this order (GEP-1426, "Route types")."""

PRODUCERS: Final = ""
"""In the place of a namespace of consumers: the routes of the Service's own namespace."""

NamedPort = tuple[int, str]
"""What a parentRef says of the port: its number or 0, its name or ''."""


class FrontendPort(NamedTuple):
    """A TCP port of a Service as routes see it."""

    number: int
    name: str
    protocol: PortProtocol
    variant: Variant


@dataclass(frozen=True, slots=True)
class Frontend:
    """A Service as routes see it; with `problem` it cannot have any. `destinations` are the Backends of calls that no route takes."""

    ports: tuple[FrontendPort, ...] = ()
    problem: Problem | None = None
    destinations: tuple[Destination, ...] = ()


def listener_key(service: Key, port: int, consumers: str = PRODUCERS) -> str:
    """The key of the listener of a port, for all callers or for those of the consumers' namespace."""
    return f"{mesh_scope(consumers) if consumers else SHARED}/{service[1]}/{service[2]}:{port}"


def consumers_of(route: AnyRoute, service: Key) -> str:
    """Whose calls a route on a Service is for: those of its own namespace, or PRODUCERS for all."""
    return PRODUCERS if route.namespace == service[1] else route.namespace


def is_service(reference: ParentReference) -> bool:
    """Whether a parent is a Service."""
    return reference.kind == "Service" and reference.group in ("", "core")


def names_port(reference: NamedPort, port: FrontendPort) -> bool:
    """Whether a parentRef means a port."""
    return reference[0] in (0, port.number) and reference[1] in ("", port.name)


def routes_of_frontend(obj: Any) -> Iterator[tuple[tuple[str, Key, str], NamedPort]]:
    """The listing "routes of frontend": by kind of route, Service and consumers which ports are asked for."""
    if isinstance(obj, AnyRoute) and obj.kind in KINDS:
        for reference, service in _services(obj):
            yield (obj.kind, service, consumers_of(obj, service)), (reference.port or 0, reference.section_name or "")


def consumers_of_frontend(obj: Any) -> Iterator[tuple[Key, str]]:
    """The listing "consumers of frontend": the other namespaces that have routes on a Service."""
    if isinstance(obj, AnyRoute):
        found = ((service, consumers_of(obj, service)) for _, service in _services(obj))
        yield from ((service, consumers) for service, consumers in found if consumers != PRODUCERS)


def _services(route: AnyRoute) -> Iterator[tuple[ParentReference, Key]]:
    for reference in route.spec.parent_refs:
        if is_service(reference):
            yield reference, ("Service", reference.namespace or route.namespace, reference.name)


def kind_at(view: View, service: Key, port: FrontendPort, consumers: str) -> str:
    """The kind of routes that a port serves, '' if none that it takes asks for it."""
    for kind in KINDS:
        if takes(port, kind) and any(names_port(named, port) for named in view.select("routes of frontend", (kind, service, consumers))):
            return kind
    return ""


def takes(port: FrontendPort, kind: str) -> bool:
    """Whether what is spoken at a port can be routed by this kind."""
    return port.protocol != "HTTP" if kind == "TCPRoute" else port.protocol != "TCP" and kind in KINDS


def judge_frontend(key: Key, view: View) -> Frontend | None:
    """Unit "frontend": a Service as routes see it, None where there is none."""
    service: Service | None = view.get(*key)
    if service is None:
        return None
    if not _addresses(service):
        what = f"is of type {service.spec.type}" if service.spec.type == "ExternalName" else "has no cluster address"
        message = f"{called(*key)} {what}, so that no call to it is known by its destination; name a Service of type ClusterIP"
        return Frontend(problem=Problem("NoMatchingParent", message))
    ports = []
    for port in service.spec.ports:
        if port.protocol == "TCP":
            name = port.name or ""
            application: str | None = view.result("application protocol", (*key[1:], port.port))
            ports.append(FrontendPort(port.port, name, *spoken(port.port, name, application)))
    if not view.result("mesh in use", ALL):
        return Frontend(tuple(ports))
    return Frontend(tuple(ports), destinations=tuple(_destination(key, port) for port in ports))


def _addresses(service: Service) -> tuple[str, ...]:
    spec = service.spec
    if spec.type == "ExternalName":
        return ()
    found = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    return tuple(address for address in found if address != "None")


def _destination(service: Key, port: FrontendPort) -> Destination:
    return Destination(service[1], service[2], port.number, port.variant)


def translate_frontend(key: Key, view: View) -> Emission | None:
    """Unit "frontend listeners": the listeners of a Service, and the rules of its ports where no routes stand in their place."""
    service: Service | None = view.get(*key)
    frontend: Frontend | None = view.result("frontend", key)
    if service is None or frontend is None or not frontend.destinations:
        return None
    consumers: tuple[str, ...] = view.select("consumers of frontend", key)
    resources = [found for port in frontend.ports for found in _PortOfService(view, service, port).resources(consumers)]
    return Emission(tuple(resources))


class _PortOfService:
    """One port, collecting which of its listeners are left to the Service itself."""

    __slots__ = ("_port", "_requests", "_service", "_streams", "_view")

    def __init__(self, view: View, service: Service, port: FrontendPort) -> None:
        self._view, self._service, self._port = view, service, port
        self._requests: list[Binding] = []
        self._streams: list[Binding] = []

    def resources(self, consumers: tuple[str, ...]) -> Iterator[Listener | HttpRule | TcpRule]:
        """The listener of all callers, those of consumers that have routes here, and the Service's own rules."""
        for group in (PRODUCERS, *consumers):
            key = listener_key(self._service.key, self._port.number, group)
            bound = kind_at(self._view, self._service.key, self._port, group) if self._view.tallied("attached routes", key) else ""
            if bound or group == PRODUCERS:
                yield self._listener(key, group, bound)
        service, source = self._service, source_of(self._service)
        key, route = f"Service/{service.namespace}/{service.name}:{self._port.number}/0", f"{service.namespace}/{service.name}"
        backends = (BackendRef(backend_key(_destination(service.key, self._port))),)
        if self._requests:
            yield HttpRule(key, source, route, 0, tuple(self._requests), backends=backends)
        if self._streams:
            yield TcpRule(key, source, route, 0, tuple(self._streams), backends=backends)

    def _listener(self, key: str, consumers: str, bound: str) -> Listener:
        """What TCPRoutes are attached to is not looked into."""
        protocol = "TCP" if bound == "TCPRoute" else self._port.protocol
        if protocol != "TCP" and not bound:
            self._requests.append(Binding(key, ("",)))
        if protocol != "HTTP" and bound != "TCPRoute":
            self._streams.append(Binding(key, ("",)))
        return Listener(
            key=key,
            source=source_of(self._service),
            gateway=mesh_scope(consumers) if consumers else SHARED,
            name=f"{self._service.namespace}/{self._service.name}:{self._port.number}",
            address="::",
            port=self._port.number,
            bind_port=OUTBOUND_PORT,
            location_port=self._port.number,
            protocol=protocol,
            options=OUTBOUND,
            capture=Capture("Outbound", _addresses(self._service), consumer=bool(consumers)),
        )
