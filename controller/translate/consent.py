"""What a listener says of the routes that name it: which hosts, and from which namespaces.

Each answer is a node of its own, which thousands of routes share: a listener whose hostname changes, or a namespace whose labels do,
concerns the routes for which an answer comes out different, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controller.api.gateway import Gateway
from controller.api.grpc_route import GRPCRoute
from controller.api.http_route import HTTPRoute
from controller.api.listener_set import ListenerSet
from controller.api.listeners import Listener
from controller.api.references import GATEWAY_GROUP
from controller.graph import View
from controller.store import Key
from controller.translate.namespaces import allowed_by, allows
from gateway.ir.hostnames import overlaps

Named = tuple[Key, str]
"""A listener: the Gateway or ListenerSet that it is written in, and its name there."""


def namespaces_of_routes(obj: Any) -> Iterator[tuple[Key, str]]:
    """By parent the namespaces of the routes of HTTP that name it: the listing "namespaces of routes"."""
    if isinstance(obj, HTTPRoute | GRPCRoute):
        for parent in obj.spec.parent_refs:
            if parent.group == GATEWAY_GROUP:
                yield (parent.kind, parent.namespace or obj.namespace, parent.name), obj.namespace


def listener_hostname(key: Named, view: View) -> str:
    """Unit "listener hostname": '' for all hosts."""
    listener = _listener(view, key)
    return (listener.hostname or "") if listener is not None else ""


def meets(key: tuple[Named, tuple[str, ...]], view: View) -> bool:
    """Unit "meets": whether a listener has hosts in common with the hostnames of a route."""
    named, hostnames = key
    own: str = view.result("listener hostname", named)
    return any(overlaps(own, hostname) for hostname in hostnames)


def selects(key: tuple[Named, str], view: View) -> bool:
    """Unit "selects": whether the labels of a namespace are those that a listener asks for (allowedRoutes.namespaces.selector)."""
    (owner, name), namespace = key
    listener = _listener(view, (owner, name))
    return listener is not None and allows(view, allowed_by(owner[1], listener.allowed_routes.namespaces), namespace)


def selected_namespaces(view: View, named: Named) -> tuple[str, ...]:
    """Of the namespaces whose routes name a listener those that it selects, in order."""
    return tuple(namespace for namespace in view.select("namespaces of routes", named[0]) if view.result("selects", (named, namespace)))


def _listener(view: View, named: Named) -> Listener | None:
    owner: Gateway | ListenerSet | None = view.get(*named[0])
    return next((listener for listener in owner.spec.listeners if listener.name == named[1]), None) if owner is not None else None
