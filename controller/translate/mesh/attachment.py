"""Routes on Services (GAMMA, GEP-1426): which ports one is attached to. Hostnames do not count: a call is known by where it goes."""

from __future__ import annotations

from controller.api.references import ParentReference
from controller.api.routes import AnyRoute
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.mesh.frontends import (
    KINDS,
    Frontend,
    FrontendPort,
    consumers_of,
    kind_at,
    listener_key,
    names_port,
    takes,
)
from controller.translate.objects import called
from gateway.ir.rule import Binding


def bind_to_service(view: View, route: AnyRoute, reference: ParentReference, service: Key) -> tuple[tuple[Binding, ...], Problem | None]:
    """Where a route is attached to a Service, and why it is not attached to all ports that it asks for."""
    frontend: Frontend | None = view.result("frontend", service)
    if frontend is None:
        return (), Problem("NoMatchingParent", f"{called(*service)} does not exist")
    if frontend.problem is not None:
        return (), frontend.problem
    named = [port for port in frontend.ports if names_port((reference.port or 0, reference.section_name or ""), port)]
    if not named:
        told = ", ".join(_called(port) for port in frontend.ports) or "none"
        return (), Problem("NoMatchingParent", f"{called(*service)} has no such TCP port; it has {told}")
    taking = [port for port in named if takes(port, route.kind)]
    consumers = consumers_of(route, service)
    won = [port for port in taking if kind_at(view, service, port, consumers) == route.kind]
    bindings = tuple(Binding(listener_key(service, port.number, consumers), ("",)) for port in won)
    if len(taking) > len(won):
        return bindings, _conflict(route, service, [port for port in taking if port not in won])
    return bindings, _mismatch(route, service, [port for port in named if port not in taking])


def _conflict(route: AnyRoute, service: Key, lost: list[FrontendPort]) -> Problem:
    ports = ", ".join(_called(port) for port in lost)
    message = f"{called(*service)} has routes of another kind at {ports}; a port serves one kind, of {', '.join(KINDS)} the first"
    return Problem("Conflicted", message)


def _mismatch(route: AnyRoute, service: Key, other: list[FrontendPort]) -> Problem | None:
    if not other:
        return None
    if route.kind not in KINDS:
        return Problem("NotAllowedByListeners", f"a Service takes {', '.join(KINDS)}, no {route.kind}")
    ports = ", ".join(f"{_called(port)} ({port.protocol})" for port in other)
    remedy = "say in appProtocol, or by the name of the port, what it speaks"
    return Problem("NotAllowedByListeners", f"no {route.kind} can route what is spoken at {ports} of {called(*service)}; {remedy}")


def _called(port: FrontendPort) -> str:
    return f"{port.name} on port {port.number}" if port.name else f"port {port.number}"
