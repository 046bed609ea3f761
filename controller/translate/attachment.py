"""Which listeners a route is attached to: parentRefs against listeners, allowed namespaces and kinds, hostnames (reference 5.2 and 5.4).

A route in another namespace needs only the listener's consent, no ReferenceGrant.

Rules of HTTP are bound wherever names, kinds and hosts let them, also at a listener that does not take their namespace for its labels:
the listener tells the proxies which namespaces it takes, and they serve no other. So a label changes a listener and no rule, however
many there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.api.references import GATEWAY_GROUP, ParentReference
from controller.api.routes import AnyRoute, hostnames_of
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.mesh.attachment import bind_to_service
from controller.translate.mesh.frontends import is_service
from controller.translate.namespaces import allows_by_name
from controller.translate.objects import of_group
from controller.translate.options import Options
from controller.translate.parents import Attachable, Parent
from controller.translate.statuses import ObjectRef, RouteKind
from gateway.ir.hostnames import shared
from gateway.ir.rule import Binding
from gateway.ir.workload import mesh_scope

HTTP = ("HTTPRoute", "GRPCRoute")
"""The kinds of routes whose rules the proxies judge by what their listener says of hosts and namespaces."""

_MESH = mesh_scope("").removeprefix("/")
"""What stands in the place of a Gateway's name for the sidecars of a namespace."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What becomes of one parentRef: where it is attached, or a problem, or `foreign`, the reason why it is none of ours.

    `lost` says where it is not attached although it is elsewhere.
    """

    parent: ObjectRef
    named: Key
    """The parent, a Gateway, a ListenerSet or a Service."""
    gateway: Key
    """The Gateway itself, or that of the ListenerSet; of a Service what stands for the sidecars of the route's namespace."""
    bindings: tuple[Binding, ...] = ()
    """Those of its rules."""
    attached: tuple[Binding, ...] = ()
    """Those of them at listeners which take routes of its namespace."""
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
    return _bind(view, route, reference, parent, Attachment(parent_ref, key, parent.gateway))


def _attach_to_service(view: View, route: AnyRoute, reference: ParentReference, attachment: Attachment) -> Attachment:
    bindings, problem = bind_to_service(view, route, reference, attachment.named)
    if bindings:
        return replace(attachment, bindings=bindings, attached=bindings, lost=problem.message if problem is not None else "", in_mesh=True)
    return replace(attachment, problem=problem, in_mesh=True)


def _bind(view: View, route: AnyRoute, reference: ParentReference, parent: Parent, attachment: Attachment) -> Attachment:
    named = [listener for listener in parent.listeners if _is_named(listener, reference)]
    if not named:
        message = f"the {reference.kind} has no listener {_wanted(reference)}; it has {_listed(parent)}"
        return replace(attachment, problem=Problem("NoMatchingParent", message))
    kind = RouteKind(GATEWAY_GROUP, route.kind)
    taking = [listener for listener in named if kind in listener.kinds]
    allowing = {listener.key for listener in taking if _allows(view, attachment.named, listener, route.namespace)}
    binding = [listener for listener in taking if listener.key in allowing or (listener.origin == "Selector" and route.kind in HTTP)]
    bindings = tuple(found for listener in binding if (found := _binding(view, attachment.named, listener, route)) is not None)
    attached = tuple(binding for binding in bindings if binding.listener in allowing)
    if attached:
        return replace(attachment, bindings=bindings, attached=attached)
    if allowing:
        problem = _no_hostname(view, attachment.named, route, [listener for listener in taking if listener.key in allowing])
    else:
        refusals = ", ".join(f"{listener.name} ({_refusal(listener, kind)})" for listener in named)
        problem = Problem("NotAllowedByListeners", f"no listener takes {route.kind}s from namespace {route.namespace}: {refusals}")
    return replace(attachment, bindings=bindings, problem=problem)


def _allows(view: View, owner: Key, listener: Attachable, namespace: str) -> bool:
    found = allows_by_name(listener.origin, owner[1], namespace)
    return bool(view.result("selects", ((owner, listener.name), namespace))) if found is None else found


def _binding(view: View, owner: Key, listener: Attachable, route: AnyRoute) -> Binding | None:
    """None where the two have no hosts in common. Of HTTP the proxy knows what it has to serve of the route's own hostnames, which thus
    stay what they are when the listener's changes."""
    hostnames = hostnames_of(route)
    if not hostnames and (hostnames is None or route.kind in HTTP):
        return Binding(listener.key, ("",))
    named = (owner, listener.name)
    if route.kind in HTTP:
        return Binding(listener.key, tuple(dict.fromkeys(hostnames))) if view.result("meets", (named, hostnames)) else None
    common = shared(view.result("listener hostname", named), hostnames or ("",))
    return Binding(listener.key, common) if common else None


def _no_hostname(view: View, owner: Key, route: AnyRoute, allowing: list[Attachable]) -> Problem:
    offered = ", ".join(f"{listener.name} ({view.result('listener hostname', (owner, listener.name))})" for listener in allowing)
    hostnames = ", ".join(hostnames_of(route) or ())
    return Problem("NoMatchingListenerHostname", f"no hostname of the route ({hostnames}) is among those of the listeners {offered}")


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
    return f"allowedRoutes.namespaces.from {listener.origin}"
