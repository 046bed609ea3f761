"""Which namespaces something may come from: routes to a listener, ListenerSets to a Gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from controller.api.core import Namespace
from controller.api.listeners import ListenerNamespaces, RouteNamespaces
from controller.api.selectors import LabelSelector
from controller.graph import View

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that every Namespace has, its name; a Namespace that no file gives has no other."""


Origin = Literal["All", "Selector", "Same", "None"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """The namespaces that are allowed; `own` is that of the object which allows."""

    origin: Origin
    selector: LabelSelector | None
    own: str


def allowed_by(own: str, namespaces: RouteNamespaces | ListenerNamespaces) -> Allowed:
    """What an object of the namespace `own` allows."""
    return Allowed(namespaces.from_, namespaces.selector, own)


def allows_by_name(origin: Origin, own: str, namespace: str) -> bool | None:
    """Whether a namespace is among those allowed by an object of the namespace `own`; None where its labels tell."""
    match origin:
        case "All":
            return True
        case "Same":
            return namespace == own
        case "Selector":
            return None
        case "None":
            return False


def allows(view: View, allowed: Allowed, namespace: str) -> bool:
    """Whether a namespace is among those allowed. Labels are only read where they matter."""
    found = allows_by_name(allowed.origin, allowed.own, namespace)
    if found is not None:
        return found
    return allowed.selector is not None and allowed.selector.selects(dict(view.result("namespace labels", namespace)))


def namespace_labels(name: str, view: View) -> tuple[tuple[str, str], ...]:
    """Unit "namespace labels": the labels of a namespace, whether there is an object for it or not."""
    namespace: Namespace | None = view.get("Namespace", "", name)
    labels = {NAME_LABEL: name} | (namespace.metadata.labels if namespace is not None else {})
    return tuple(sorted(labels.items()))
