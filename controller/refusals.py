"""Statuses of objects that the API server took and our models refuse: each says so at its own generation.

The last version that could be read goes on being served. What the server holds may have any shape: all that is read of it here is
whom the object concerns. These statuses are final; nothing that is live in the proxies changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from controller.api.kinds import kind_of
from controller.api.references import GATEWAY_GROUP
from controller.api.routes import ROUTES
from controller.store import Key
from controller.translate.classes import CONTROLLER_NAME
from controller.translate.conditions import Condition, Problem, met
from controller.translate.policies import MOST_ANCESTORS
from controller.translate.statuses import (
    AncestorStatus,
    GatewayClassStatus,
    GatewayStatus,
    ListenerSetStatus,
    ObjectRef,
    ParentStatus,
    PolicyStatus,
    RouteStatus,
    Status,
)

MOST_PARENTS = 32
"""RouteStatus.parents holds no more, and CommonRouteSpec.parentRefs neither."""

_ROUTES = frozenset(kind_of(model) for model in ROUTES)
_POLICIES = frozenset(("ListenerPolicy", "BackendPolicy", "BackendTLSPolicy", "XBackendTrafficPolicy"))
_GATEWAYS = ("Gateway", "ListenerSet")

Ours = Callable[[Key], bool]
"""Whether a GatewayClass, a Gateway or a ListenerSet is served by us, and in a mesh a Service."""


class Refusal(Protocol):
    """An object that the server holds and our model refuses."""

    @property
    def key(self) -> Key:
        """Kind, namespace, name."""

    @property
    def generation(self) -> int:
        """Of the version that is refused."""

    @property
    def problem(self) -> str:
        """Field, what is wrong and what to do, on one line."""

    @property
    def raw(self) -> Mapping[str, Any]:
        """The object as the server has it, of whatever shape."""


def refused_status(refusal: Refusal, ours: Ours, last: Status | None) -> Status | None:
    """The status of a refused object; `last` is that of the version that goes on being served, None if there is none.

    None for an object that is not ours, and for a kind that has no status of ours.
    """
    kind = refusal.key[0]
    spec = _mapping(_mapping(refusal.raw).get("spec"))
    if kind == "GatewayClass":
        return _class_status(refusal, spec, last)
    if kind == "Gateway":
        return _gateway_status(refusal, last) if last is not None or _names(spec, "gatewayClassName", ours) else None
    if kind == "ListenerSet":
        return _listener_set_status(refusal, spec, ours, last)
    if kind in _ROUTES:
        return _route_status(refusal, spec, ours, last)
    return _policy_status(refusal, spec, ours, last) if kind in _POLICIES else None


def _class_status(refusal: Refusal, spec: Mapping[Any, Any], last: Status | None) -> GatewayClassStatus | None:
    if spec.get("controllerName") != CONTROLLER_NAME:
        return None
    features = last.supported_features if isinstance(last, GatewayClassStatus) else ()
    return GatewayClassStatus(refusal.key, refusal.generation, _conditions(refusal, last, "Unsupported", "Accepted"), features)


def _gateway_status(refusal: Refusal, last: Status | None) -> GatewayStatus:
    """Addresses stay in it as long as they serve: names of hosts may be kept by them."""
    known = last if isinstance(last, GatewayStatus) else GatewayStatus(refusal.key, refusal.generation, ())
    conditions = _conditions(refusal, last, "Invalid", "Accepted", "Programmed")
    return GatewayStatus(refusal.key, refusal.generation, conditions, addresses=known.addresses, listener_sets=known.listener_sets)


def _listener_set_status(refusal: Refusal, spec: Mapping[Any, Any], ours: Ours, last: Status | None) -> ListenerSetStatus | None:
    parent = _reference(_mapping(spec.get("parentRef")), GATEWAY_GROUP, "Gateway")
    if parent is None or parent.kind != "Gateway" or not _is_ours(parent, refusal.key[1], ours):
        return None
    gateway = f"{parent.namespace or refusal.key[1]}/{parent.name}"
    conditions = _conditions(refusal, last, "Invalid", "Accepted", "Programmed")
    return ListenerSetStatus(refusal.key, refusal.generation, conditions, gateway=gateway)


def _route_status(refusal: Refusal, spec: Mapping[Any, Any], ours: Ours, last: Status | None) -> RouteStatus | None:
    conditions = _conditions(refusal, last, "UnsupportedValue", "Accepted")
    references = (_reference(each, GATEWAY_GROUP, "Gateway") for each in _mappings(spec.get("parentRefs")))
    namespace = refusal.key[1]
    named = {each: _in_mesh(each, namespace, ours) for each in references if each is not None}
    judged = ((each, in_mesh) for each, in_mesh in named.items() if in_mesh or _is_ours(each, namespace, ours))
    parents = tuple(ParentStatus(each, conditions, in_mesh=in_mesh) for each, in_mesh in judged)[:MOST_PARENTS]
    return RouteStatus(refusal.key, refusal.generation, parents) if parents else None


def _policy_status(refusal: Refusal, spec: Mapping[Any, Any], ours: Ours, last: Status | None) -> PolicyStatus | None:
    """Its ancestors are those that are known of the last version, where there is one, else the targets that can be read."""
    if isinstance(last, PolicyStatus):
        named = {each.ancestor: None for each in last.ancestors}
    else:
        group, kind = (GATEWAY_GROUP, "Gateway") if refusal.key[0] == "ListenerPolicy" else ("", "Service")
        targets = (_reference(each, group, kind) for each in _mappings(spec.get("targetRefs")))
        named = {each: None for each in targets if each is not None and _is_target(refusal.key, each, ours)}
    conditions = _conditions(refusal, last, "Invalid", "Accepted")
    ancestors = tuple(AncestorStatus(each, conditions) for each in named)[:MOST_ANCESTORS]
    return PolicyStatus(refusal.key, refusal.generation, ancestors) if ancestors else None


def _conditions(refusal: Refusal, last: Status | None, reason: str, *names: str) -> tuple[Condition, ...]:
    """These conditions, False; the message says what goes on being served."""
    served = (
        "nothing of it is served" if last is None else f"generation {last.generation}, the last that could be read, goes on being served"
    )
    return tuple(met(name, refusal.generation, Problem(reason, f"{refusal.problem} ({served})")) for name in names)


def _is_ours(reference: ObjectRef, namespace: str, ours: Ours) -> bool:
    found = (reference.group, reference.kind) in ((GATEWAY_GROUP, kind) for kind in _GATEWAYS)
    return found and ours((reference.kind, reference.namespace or namespace, reference.name))


def _in_mesh(reference: ObjectRef, namespace: str, ours: Ours) -> bool:
    return (reference.group, reference.kind) == ("", "Service") and ours(("Service", reference.namespace or namespace, reference.name))


def _is_target(policy: Key, target: ObjectRef, ours: Ours) -> bool:
    """Of a ListenerPolicy a Gateway or ListenerSet of ours; Services, which others may serve too, have no owner."""
    return policy[0] != "ListenerPolicy" or _is_ours(target, policy[1], ours)


def _names(spec: Mapping[Any, Any], field: str, ours: Ours) -> bool:
    name = _text(spec.get(field))
    return bool(name) and ours(("GatewayClass", "", name))


def _reference(raw: Mapping[Any, Any], group: str, kind: str) -> ObjectRef | None:
    """A reference as far as it can be read, None without a name. Group and kind are filled in."""
    name, port = _text(raw.get("name")), raw.get("port")
    if not name:
        return None
    return ObjectRef(
        raw["group"] if isinstance(raw.get("group"), str) else group,
        _text(raw.get("kind")) or kind,
        name,
        _text(raw.get("namespace")) or None,
        _text(raw.get("sectionName")) or None,
        port if isinstance(port, int) and not isinstance(port, bool) else None,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> Iterator[Mapping[Any, Any]]:
    """The mappings among the items of a list."""
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, Mapping))
