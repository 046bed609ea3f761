"""Which listeners a route is attached to: parentRefs against listeners, allowed namespaces and kinds, hostnames (reference 5.2 and 5.4).

A route in another namespace needs only the listener's consent, no ReferenceGrant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.api.references import GATEWAY_GROUP, ParentReference
from controller.api.routes import AnyRoute, hostnames_of
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.listeners import covers
from controller.translate.mesh.attachment import bind_to_service
from controller.translate.mesh.frontends import is_service
from controller.translate.namespaces import allows
from controller.translate.objects import of_group
from controller.translate.options import Options
from controller.translate.parents import Attachable, Parent
from controller.translate.statuses import ObjectRef, RouteKind
from gateway.ir.rule import Binding
from gateway.ir.workload import mesh_scope

_MESH = mesh_scope("").removeprefix("/")
"""What stands in the place of a Gateway's name for the sidecars of a namespace."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What becomes of one parentRef: bindings, or a problem, or `foreign`, the reason why it is none of ours.

    `lost` says which bindings there are none of although there are others.
    """

    parent: ObjectRef
    named: Key
    """The parent, a Gateway, a ListenerSet or a Service."""
    gateway: Key
    """The Gateway itself, or that of the ListenerSet; of a Service what stands for the sidecars of the route's namespace."""
    bindings: tuple[Binding, ...] = ()
    problem: Problem | None = None
    foreign: str = ""
    lost: str = ""
    in_mesh: bool = False
    """Whether the parent is a Service."""


def attach(options: Options, view: View, route: AnyRoute, reference: ParentReference) -> Attachment:
    """What becomes of one parentRef of a route, whatever other routes ask of a Gateway."""
    namespace = reference.namespace or route.namespace
    parent_ref = ObjectRef(reference.group, reference.kind, reference.name, reference.namespace, reference.section_name, reference.port)
    key = (reference.kind, namespace, reference.name)
    if options.mesh and is_service(reference):
        return _attach_to_service(view, route, reference, Attachment(parent_ref, key, ("Gateway", route.namespace, _MESH)))
    if reference.group != GATEWAY_GROUP or reference.kind not in ("Gateway", "ListenerSet"):
        kind = of_group(reference.kind, reference.group)
        return Attachment(parent_ref, key, key, foreign=f"routes cannot be attached to a {kind}; name a Gateway or a ListenerSet")
    parent: Parent = view.result("parent", key)
    if parent.foreign or parent.refusal is not None:
        return Attachment(parent_ref, key, parent.gateway, problem=parent.refusal, foreign=parent.foreign)
    outcome = _bind(view, route, reference, parent)
    if isinstance(outcome, Problem):
        return Attachment(parent_ref, key, parent.gateway, problem=outcome)
    return Attachment(parent_ref, key, parent.gateway, outcome)


def _attach_to_service(view: View, route: AnyRoute, reference: ParentReference, attachment: Attachment) -> Attachment:
    bindings, problem = bind_to_service(view, route, reference, attachment.named)
    if bindings:
        return replace(attachment, bindings=bindings, lost=problem.message if problem is not None else "", in_mesh=True)
    return replace(attachment, problem=problem, in_mesh=True)


def _bind(view: View, route: AnyRoute, reference: ParentReference, parent: Parent) -> tuple[Binding, ...] | Problem:
    named = [listener for listener in parent.listeners if _is_named(listener, reference)]
    if not named:
        return Problem("NoMatchingParent", f"the {reference.kind} has no listener {_wanted(reference)}; it has {_listed(parent)}")
    kind = RouteKind(GATEWAY_GROUP, route.kind)
    allowing = [listener for listener in named if kind in listener.kinds and allows(view, listener.namespaces, route.namespace)]
    if not allowing:
        refusals = ", ".join(f"{listener.name} ({_refusal(listener, kind)})" for listener in named)
        return Problem("NotAllowedByListeners", f"no listener takes {route.kind}s from namespace {route.namespace}: {refusals}")
    hostnames = hostnames_of(route)
    if hostnames is None:
        return tuple(Binding(listener.key, ("",)) for listener in allowing)
    found = [Binding(listener.key, intersection(listener.hostname, hostnames)) for listener in allowing]
    bindings = tuple(binding for binding in found if binding.hostnames)
    if not bindings:
        offered = ", ".join(f"{listener.name} ({listener.hostname})" for listener in allowing)
        message = f"no hostname of the route ({', '.join(hostnames)}) is among those of the listeners {offered}"
        return Problem("NoMatchingListenerHostname", message)
    return bindings


def _is_named(listener: Attachable, reference: ParentReference) -> bool:
    return reference.section_name in (None, listener.name) and reference.port in (None, listener.port)


def _wanted(reference: ParentReference) -> str:
    wanted = [f"called {reference.section_name}"] if reference.section_name is not None else []
    return " ".join([*wanted, f"on port {reference.port}"] if reference.port is not None else wanted)


def _listed(parent: Parent) -> str:
    return ", ".join(f"{listener.name} on port {listener.port}" for listener in parent.listeners)


def _refusal(listener: Attachable, kind: RouteKind) -> str:
    if kind not in listener.kinds:
        return f"protocol {listener.protocol}, kinds {', '.join(taken.kind for taken in listener.kinds) or 'none'}"
    return f"allowedRoutes.namespaces.from {listener.namespaces.origin}"


def intersection(listener: str, route: tuple[str, ...]) -> tuple[str, ...]:
    """The hostnames that a listener's hostname ('' for all) and a route's (none for all) have in common; '' for all."""
    if not route:
        return (listener,)
    common = dict.fromkeys(found for hostname in route if (found := _narrower(listener, hostname)))
    return tuple(common)


def _narrower(listener: str, route: str) -> str:
    """The one of two hostnames that the other covers, '' if neither does."""
    if not listener or route == listener or covers(listener, route):
        return route
    return listener if covers(route, listener) else ""
