"""Which listeners a route is attached to: parentRefs against listeners, allowed namespaces and kinds, hostnames (reference 5.2 and 5.4).

A route in another namespace needs only the listener's consent, no ReferenceGrant.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.core import Namespace
from controller.api.references import GATEWAY_GROUP, ParentReference
from controller.api.routes import AnyRoute, hostnames_of
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.listeners import Attachable, Parent, covers
from controller.translate.objects import of_group
from controller.translate.statuses import ObjectRef, RouteKind
from gateway.ir.rule import Binding

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that every Namespace has, its name; a Namespace that no file gives has no other."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What becomes of one parentRef: bindings, or a problem, or `foreign`, the reason why it is none of ours."""

    parent: ObjectRef
    gateway: Key
    bindings: tuple[Binding, ...] = ()
    problem: Problem | None = None
    foreign: str = ""


def namespace_labels(name: str, view: View) -> tuple[tuple[str, str], ...]:
    """Unit "namespace labels": the labels of a namespace, whether there is an object for it or not."""
    namespace: Namespace | None = view.get("Namespace", "", name)
    labels = {NAME_LABEL: name} | (namespace.metadata.labels if namespace is not None else {})
    return tuple(sorted(labels.items()))


def attachments(view: View, route: AnyRoute) -> tuple[Attachment, ...]:
    """What becomes of each parentRef of a route, in their order."""
    return tuple(_attach(view, route, reference) for reference in route.spec.parent_refs)


def _attach(view: View, route: AnyRoute, reference: ParentReference) -> Attachment:
    namespace = reference.namespace or route.namespace
    parent_ref = ObjectRef(reference.group, reference.kind, reference.name, reference.namespace, reference.section_name, reference.port)
    gateway = ("Gateway", namespace, reference.name)
    if (reference.group, reference.kind) != (GATEWAY_GROUP, "Gateway"):
        kind = of_group(reference.kind, reference.group)
        return Attachment(parent_ref, gateway, foreign=f"routes cannot be attached to a {kind}; name a Gateway")
    parent: Parent = view.result("parent", gateway)
    if parent.foreign:
        return Attachment(parent_ref, gateway, foreign=parent.foreign)
    outcome = _bind(view, route, reference, parent)
    if isinstance(outcome, Problem):
        return Attachment(parent_ref, gateway, problem=outcome)
    return Attachment(parent_ref, gateway, outcome)


def _bind(view: View, route: AnyRoute, reference: ParentReference, parent: Parent) -> tuple[Binding, ...] | Problem:
    named = [listener for listener in parent.listeners if _is_named(listener, reference)]
    if not named:
        return Problem("NoMatchingParent", f"the Gateway has no listener {_wanted(reference)}; it has {_listed(parent)}")
    kind = RouteKind(GATEWAY_GROUP, route.kind)
    allowing = [listener for listener in named if kind in listener.kinds and _allows_namespace(view, listener, route.namespace)]
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


def _allows_namespace(view: View, listener: Attachable, namespace: str) -> bool:
    match listener.namespaces:
        case "All":
            return True
        case "Same":
            return namespace == listener.key.split("/")[0]
        case "Selector":
            return listener.selector is not None and listener.selector.selects(dict(view.result("namespace labels", namespace)))


def _wanted(reference: ParentReference) -> str:
    wanted = [f"called {reference.section_name}"] if reference.section_name is not None else []
    return " ".join([*wanted, f"on port {reference.port}"] if reference.port is not None else wanted)


def _listed(parent: Parent) -> str:
    return ", ".join(f"{listener.name} on port {listener.port}" for listener in parent.listeners)


def _refusal(listener: Attachable, kind: RouteKind) -> str:
    if kind not in listener.kinds:
        return f"protocol {listener.protocol}, kinds {', '.join(taken.kind for taken in listener.kinds) or 'none'}"
    return f"allowedRoutes.namespaces.from {listener.namespaces}"


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
