"""Statuses made final: what translation says, joined with what is live in the proxies, and shown as Kubernetes JSON or as a line.

`programmed` is the one function that a composition root calls for each status, `programmed_apart` where each Gateway has proxies of
its own; everything here is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, assert_never

from msgspec.structs import replace

from controller.translate.classes import CONTROLLER_NAME, MESH_CONTROLLER_NAME
from controller.translate.conditions import Condition, Problem, combined, met, warned
from controller.translate.judging import accepted_by_entries, accepted_by_listeners
from controller.translate.objects import called
from controller.translate.statuses import (
    GatewayClassStatus,
    GatewayStatus,
    ListenerSetStatus,
    ListenerStatus,
    ObjectRef,
    ParentStatus,
    PolicyStatus,
    RouteStatus,
    SelectingStatus,
    Status,
)
from gateway.ir.value import Identity
from gateway.ir.workload import mesh_scope

FAULTS_WHEN_TRUE = frozenset({"Conflicted", "PartiallyInvalid"})
"""Conditions that say something is wrong when they are True. Of all others False does."""

NOTES = frozenset({"InsecureFrontendValidationMode", "OverlappingTLSConfig"})
"""Conditions that deserve attention when they are True."""

LONGEST_MESSAGE = 32_768
"""Characters of a condition's message (meta/v1 Condition)."""


@dataclass(frozen=True, slots=True)
class BindFailure:
    """Why a listener's port is not bound; `address` where no port of that address could be (it is not of this machine)."""

    message: str
    address: bool = False


@dataclass(frozen=True, slots=True)
class Live:
    """What the proxies say, those of one Gateway or those of all. `applied` is the last revision that all of them have swapped to, 0 as
    long as there has been none; `revision` is the last one published, 1 at least where anything is published."""

    revision: int = 0
    applied: int = 0
    bind_failures: Mapping[str, BindFailure] = field(default_factory=lambda: MappingProxyType({}))
    """By the key of the Listener; whatever is not here is bound once the revision is applied."""
    rejected: Mapping[Identity, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The resources that proxies could not build, with their reasons."""

    @property
    def settled(self) -> bool:
        """Whether all that was published is live."""
        return self.applied >= self.revision

    def rejection(self, kind: str, key: str) -> str:
        """Why a resource was rejected, "" if it was not."""
        return "; ".join(self.rejected.get((kind, key), ()))


LiveOf = Callable[[str], Live]
"""What the proxies of a Gateway say, by the key of its resource."""


def programmed(status: Status, live: Live) -> Status:
    """The status as it is to be shown and written: with Programmed, and with what the proxies refused."""
    return programmed_apart(status, lambda _: live)


def programmed_apart(status: Status, live_of: LiveOf) -> Status:
    """The same where each Gateway has proxies of its own: only those that serve an object, or a parent of a route, have a say in it."""
    match status:
        case GatewayStatus():
            return _gateway(status, live_of("/".join(status.object[1:])))
        case ListenerSetStatus():
            return _listener_set(status, live_of(status.gateway))
        case RouteStatus():
            return _route(status, live_of)
        case SelectingStatus():
            return _selecting(status, live_of)
        case GatewayClassStatus() | PolicyStatus():
            return status
        case _:
            assert_never(status)


def _gateway(status: GatewayStatus, live: Live) -> GatewayStatus:
    generation = status.generation
    listeners, conditions = _with_listeners(status, live, accepted_by_listeners)
    if status.client_certificate is not None and (reason := live.rejection("Certificate", status.client_certificate)):
        message = f"the proxy refused certificate {status.client_certificate}: {reason}"
        _worsen(conditions, "ResolvedRefs", generation, Problem("InvalidClientCertificateRef", message))
    problem = _gateway_problem(status, conditions["Accepted"], listeners, live)
    sets = tuple(keys for keys in status.listener_sets if any(_is_bound(key, live) for key in keys))
    conditions["Programmed"] = met("Programmed", generation, problem)
    return replace(status, conditions=tuple(conditions.values()), listeners=listeners, listener_sets=sets)


_UNBUILT: Final = {"RequestAuthentication": "a proxy has no keys for tokens of an issuer, and believes none of them"}
"""What a proxy makes of a policy that it rejects, where it is something else than to deny everything."""


def _selecting(status: SelectingStatus, live_of: LiveOf) -> SelectingStatus:
    reasons = dict.fromkeys(reason for gateway in status.gateways if (reason := live_of(gateway).rejection(*status.resource)))
    if not reasons:
        return status
    conditions = {condition.type: condition for condition in status.conditions}
    effect = _UNBUILT.get(status.object[0], "a proxy cannot build it, and denies everything")
    message = f"{effect}: {'; '.join(reasons)}"
    _worsen(conditions, "Accepted", status.generation, Problem("Invalid", message))
    return replace(status, conditions=tuple(conditions.values()))


def _with_listeners(
    status: GatewayStatus | ListenerSetStatus, live: Live, accepted: Callable[[int, tuple[ListenerStatus, ...]], Condition]
) -> tuple[tuple[ListenerStatus, ...], dict[str, Condition]]:
    """The listeners with what is live, and the conditions of their object, by type, accepted by what its listeners have become."""
    listeners = tuple(_listener(listener, status.generation, live) for listener in status.listeners)
    conditions = {condition.type: condition for condition in status.conditions}
    if conditions["Accepted"].reason in ("Accepted", "ListenersNotValid"):
        conditions["Accepted"] = accepted(status.generation, listeners)
    return listeners, conditions


def _is_bound(listener: str, live: Live) -> bool:
    """Whether nothing is known that keeps a listener's port from being bound, as far as it goes for being accepted."""
    failure = live.bind_failures.get(listener)
    return failure is None or failure.address


def _gateway_problem(status: GatewayStatus, accepted: Condition, listeners: tuple[ListenerStatus, ...], live: Live) -> Problem | None:
    """Why a Gateway is not programmed. One served listener that works is enough, and so is none to serve at all."""
    if accepted.status == "False":
        return Problem("Invalid", accepted.message)
    served = [listener for listener in listeners if listener.key]
    failures = [live.bind_failures[listener.key] for listener in served if listener.key in live.bind_failures]
    if status.unassigned is not None:
        return status.unassigned
    if failures and len(failures) == len(served) and all(failure.address for failure in failures):
        return Problem("AddressNotUsable", failures[0].message)
    if reason := live.rejection("Gateway", "/".join(status.object[1:])):
        return Problem("Invalid", f"the proxy refused it: {reason}")
    if not live.settled:
        return Problem("Pending", "the proxies have not applied it yet")
    if served and not any(condition.type == "Programmed" and condition.status == "True" for one in served for condition in one.conditions):
        return Problem("Invalid", "none of its listeners is programmed")
    return None


def _listener_set(status: ListenerSetStatus, live: Live) -> ListenerSetStatus:
    listeners, conditions = _with_listeners(status, live, accepted_by_entries)
    problem = _listener_set_problem(status, conditions["Accepted"], listeners, live)
    conditions["Programmed"] = met("Programmed", status.generation, problem)
    return replace(status, conditions=tuple(conditions.values()), listeners=listeners)


def _listener_set_problem(
    status: ListenerSetStatus, accepted: Condition, listeners: tuple[ListenerStatus, ...], live: Live
) -> Problem | None:
    """Why a ListenerSet is not programmed. One listener that works is enough."""
    if accepted.status == "False":
        return Problem("ParentNotProgrammed" if accepted.reason == "ParentNotAccepted" else accepted.reason, accepted.message)
    if reason := live.rejection("Gateway", status.gateway):
        return Problem("ParentNotProgrammed", f"the proxy refused Gateway {status.gateway}: {reason}")
    if not live.settled:
        return Problem("Pending", "the proxies have not applied it yet")
    if not any(condition.type == "Programmed" and condition.status == "True" for one in listeners for condition in one.conditions):
        return Problem("ListenersNotValid", "none of its listeners is programmed")
    return None


def _listener(status: ListenerStatus, generation: int, live: Live) -> ListenerStatus:
    """A listener with Programmed as its last condition."""
    conditions = {condition.type: condition for condition in status.conditions}
    problem = _listener_problem(status, conditions, generation, live)
    return replace(status, conditions=(*conditions.values(), met("Programmed", generation, problem)))


def _listener_problem(status: ListenerStatus, conditions: dict[str, Condition], generation: int, live: Live) -> Problem | None:
    if not status.key:
        reason = conditions["Conflicted"].reason if "Conflicted" in conditions else "Invalid"
        return Problem(reason, next((c.message for c in conditions.values() if c.status == "False"), "its Gateway is not accepted"))
    failure = live.bind_failures.get(status.key)
    if failure is not None:
        if not failure.address:
            _worsen(conditions, "Accepted", generation, Problem("PortUnavailable", failure.message))
        return Problem("Invalid", failure.message)
    certificates = [_refused(live, "Certificate", "certificate", key) for key in status.certificates]
    bundles = [_refused(live, "TrustBundle", "CA certificates", key) for key in status.trust_bundles]
    for reason, refusals in (("InvalidCertificateRef", certificates), ("InvalidCACertificateRef", bundles)):
        if message := "; ".join(filter(None, refusals)):
            _worsen(conditions, "ResolvedRefs", generation, Problem(reason, message))
    if (certificates and all(certificates)) or any(bundles):
        return Problem("Invalid", f"{'; '.join(filter(None, (*certificates, *bundles)))}; what was live before stays")
    if reason := live.rejection("Listener", status.key):
        return Problem("Invalid", f"the proxy refused it: {reason}; what was live before stays")
    return None if live.settled else Problem("Pending", "the proxies have not applied it yet")


def _refused(live: Live, kind: str, name: str, key: str) -> str:
    reason = live.rejection(kind, key)
    return f"the proxy refused {name} {key}: {reason}" if reason else ""


def _worsen(conditions: dict[str, Condition], name: str, generation: int, problem: Problem) -> None:
    """Makes a condition False. One that is already keeps its reason: translation knows the cause better."""
    if conditions[name].status == "True":
        conditions[name] = met(name, generation, problem)


def _route(status: RouteStatus, live_of: LiveOf) -> RouteStatus:
    lives = [live_of(parent.gateway) for parent in status.parents]
    if not any(identity in live.rejected for live in lives for identity in status.resources):
        return status
    parents = (_parent(status, parent, live) for parent, live in zip(status.parents, lives, strict=True))
    return replace(status, parents=tuple(parents))


def _parent(status: RouteStatus, parent: ParentStatus, live: Live) -> ParentStatus:
    """Rules that the proxy refused are answered 500, or their connections closed: the API's word for them is that they are dropped."""
    found = [(key, live.rejection(kind, key)) for kind, key in status.resources]
    refused = [(key.rpartition("/")[2], reason) for key, reason in found if reason]
    conditions = {condition.type: condition for condition in parent.conditions}
    if not refused or conditions["Accepted"].status == "False":
        return parent
    if len(refused) == len(status.rules):
        message = "; ".join(f"spec.rules[{index}]: the proxy refused it: {reason}" for index, reason in refused)
        conditions["Accepted"] = met("Accepted", status.generation, Problem("UnsupportedValue", message))
        conditions.pop("PartiallyInvalid", None)
    else:
        before = conditions.get("PartiallyInvalid")
        problems = [Problem(before.reason, before.message)] if before is not None else []
        problems += [Problem("UnsupportedValue", f"Dropped Rule {index}: the proxy refused it: {reason}") for index, reason in refused]
        problem = combined(problems)
        if problem is not None:
            conditions["PartiallyInvalid"] = warned("PartiallyInvalid", status.generation, problem)
    return replace(parent, conditions=tuple(conditions.values()))


def to_json(status: Status, now: str | None = None) -> dict[str, Any]:
    """The object's `status` as Kubernetes has it. `now` (RFC 3339) becomes lastTransitionTime; without it the field is left out."""
    match status:
        case GatewayClassStatus():
            features = [{"name": name} for name in status.supported_features]
            return {"conditions": _conditions(status.conditions, now), "supportedFeatures": features}
        case GatewayStatus():
            return {
                "addresses": [{"type": address.type, "value": address.value} for address in status.addresses],
                "attachedListenerSets": len(status.listener_sets),
                "conditions": _conditions(status.conditions, now),
                "listeners": [_listener_json(listener, now) for listener in status.listeners],
            }
        case ListenerSetStatus():
            listeners = [_listener_json(listener, now) for listener in status.listeners]
            return {"conditions": _conditions(status.conditions, now), "listeners": listeners}
        case RouteStatus():
            return {"parents": [{"parentRef": _reference(p.parent)} | _judged(p.conditions, now, p.in_mesh) for p in status.parents]}
        case PolicyStatus():
            return {"ancestors": [{"ancestorRef": _reference(a.ancestor)} | _judged(a.conditions, now) for a in status.ancestors]}
        case SelectingStatus():
            written = _conditions(status.conditions, now)
            for condition in written:
                del condition["observedGeneration"]  # which an older API server does not keep in Istio's conditions
            return {"conditions": written, "observedGeneration": status.generation}
        case _:
            assert_never(status)


def _listener_json(listener: ListenerStatus, now: str | None) -> dict[str, Any]:
    return {
        "name": listener.name,
        "supportedKinds": [{"group": kind.group, "kind": kind.kind} for kind in listener.supported_kinds],
        "attachedRoutes": listener.attached_routes,
        "conditions": _conditions(listener.conditions, now),
    }


def _judged(conditions: tuple[Condition, ...], now: str | None, in_mesh: bool = False) -> dict[str, Any]:
    return {"controllerName": MESH_CONTROLLER_NAME if in_mesh else CONTROLLER_NAME, "conditions": _conditions(conditions, now)}


def _reference(reference: ObjectRef) -> dict[str, Any]:
    fields = {
        "group": reference.group,
        "kind": reference.kind,
        "namespace": reference.namespace,
        "name": reference.name,
        "sectionName": reference.section_name,
        "port": reference.port,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _conditions(conditions: tuple[Condition, ...], now: str | None) -> list[dict[str, Any]]:
    written = [
        {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": _fitting(condition.message),
            "observedGeneration": condition.generation,
        }
        for condition in conditions
    ]
    return written if now is None else [condition | {"lastTransitionTime": now} for condition in written]


def _fitting(message: str) -> str:
    """A message as long as the API server takes it: the names of all listeners or hostnames of an object may be longer."""
    return message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 3]}..."


def faults(status: Status) -> tuple[str, ...]:
    """What is wrong with the object, one text a condition, each with its place inside the object. Nothing if all is well."""
    return tuple(_described(place, condition) for place, condition in placed(status) if is_fault(condition))


def notes(status: Status) -> tuple[str, ...]:
    """What is not wrong but deserves attention."""
    return tuple(
        _described(place, condition)
        for place, condition in placed(status)
        if condition.status == "True" and (condition.type in NOTES or (condition.type == "Accepted" and condition.reason != "Accepted"))
    )


def summary(status: Status) -> str:
    """The object on one line: what it is, and its faults and notes or that all is well."""
    found = (*faults(status), *notes(status))
    return f"{called(*status.object)}: {'; '.join(found) or _well(status)}"


def _well(status: Status) -> str:
    match status:
        case GatewayStatus() | ListenerSetStatus():
            listeners = [f"{listener.name} with {_routes(listener.attached_routes)}" for listener in status.listeners]
            known = any(condition.type == "Programmed" for condition in status.conditions)
            return f"{'programmed' if known else 'accepted'}, {', '.join(listeners)}"
        case RouteStatus():
            return f"attached to {', '.join(_place(parent.parent) for parent in status.parents)}"
        case PolicyStatus():
            return f"holds for {', '.join(_place(ancestor.ancestor) for ancestor in status.ancestors) or 'nothing'}"
        case SelectingStatus():
            return f"holds for {', '.join(map(_scope, status.gateways)) or 'nothing'}"
        case GatewayClassStatus():
            return "accepted"
        case _:
            assert_never(status)


def _scope(key: str) -> str:
    """A Gateway, or a namespace of the mesh, by the key of its resource."""
    namespace = key.removesuffix(mesh_scope(""))
    return f"Gateway {key}" if namespace == key else f"the workloads of namespace {namespace}"


def _routes(number: int) -> str:
    return f"{number} route" if number == 1 else f"{number} routes"


def is_fault(condition: Condition) -> bool:
    """Whether the condition says that something is wrong."""
    return condition.status == "True" if condition.type in FAULTS_WHEN_TRUE else condition.status == "False" and condition.type not in NOTES


def _described(place: str, condition: Condition) -> str:
    text = f"{condition.type} {condition.status} ({condition.reason})"
    return f"{place}{text}: {condition.message}" if condition.message else f"{place}{text}"


def placed(status: Status) -> Iterator[tuple[str, Condition]]:
    """Every condition with its place: "" for the object itself, the listener, the parent or the ancestor."""
    match status:
        case GatewayClassStatus() | SelectingStatus():
            yield from (("", condition) for condition in status.conditions)
        case GatewayStatus() | ListenerSetStatus():
            yield from (("", condition) for condition in status.conditions)
            for listener in status.listeners:
                yield from ((f"listener {listener.name}: ", condition) for condition in listener.conditions)
        case RouteStatus():
            for parent in status.parents:
                yield from ((f"{_place(parent.parent)}: ", condition) for condition in parent.conditions)
        case PolicyStatus():
            for ancestor in status.ancestors:
                yield from ((f"{_place(ancestor.ancestor)}: ", condition) for condition in ancestor.conditions)
        case _:
            assert_never(status)


def _place(reference: ObjectRef) -> str:
    place = called(reference.kind, reference.namespace or "", reference.name)
    return f"{place}, {reference.section_name}" if reference.section_name else place
