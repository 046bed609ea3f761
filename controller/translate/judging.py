"""The listeners of a Gateway or a ListenerSet, one by one: the resources of those that are served, and the status of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from controller.api.gateway import Gateway
from controller.api.listener_set import ListenerSet
from controller.api.listeners import Listener
from controller.graph import View
from controller.store import Key
from controller.translate import tls
from controller.translate.conditions import Condition, Problem, combined, met, warned
from controller.translate.consent import selected_namespaces
from controller.translate.listener_policies import listener_options
from controller.translate.listeners import listener_key, listener_name, supported_kinds, terminates
from controller.translate.objects import source_of
from controller.translate.options import Options
from controller.translate.places import bind_address, lost, unclaimable
from controller.translate.ports import bind_port
from controller.translate.relations import Relations
from controller.translate.statuses import ListenerStatus
from gateway.ir import listener as resources

Protocol = Literal["HTTP", "HTTPS", "TLS", "TCP", "UDP"]
"""What ROUTE_KINDS knows: a listener of any other protocol is refused."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the listeners of one object are judged by."""

    options: Options
    view: View
    gateway: Gateway
    owner: Gateway | ListenerSet
    """The object that they are written in: the Gateway itself, or one of its ListenerSets."""
    relations: Relations
    accepted: bool
    """Whether the Gateway is well in itself."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The statuses of all listeners of an object, without the numbers of attached routes, and the resources of those that are served."""

    statuses: tuple[ListenerStatus, ...]
    resources: tuple[resources.Listener, ...]


def judge_listeners(scene: Scene) -> Judged:
    """All listeners of an object."""
    judged = [_judge(scene, listener) for listener in scene.owner.spec.listeners]
    return Judged(tuple(status for status, _ in judged), tuple(resource for _, resource in judged if resource is not None))


def _judge(scene: Scene, listener: Listener) -> tuple[ListenerStatus, resources.Listener | None]:
    """One listener. It is served if it and its Gateway are accepted, and if it has a certificate to show where it must."""
    options, view, gateway, owner = scene.options, scene.view, scene.gateway, scene.owner
    key = listener_key(gateway.key, owner.key, listener.name)
    kinds, kinds_problem = supported_kinds(listener)
    secured = tls.listener_tls(view, gateway, owner.key, listener) if terminates(listener) else tls.ListenerTls()
    refusal = unclaimable(options, view, gateway, listener, dict(scene.relations.conflicts).get(listener.name))
    if refusal is None and scene.accepted:
        refusal = lost(view, key, options.bind_port(listener.port))
    refusal = refusal or secured.refused
    conditions = _conditions(scene, listener, refusal, combined(filter(None, (kinds_problem, *secured.unresolved))))
    status = ListenerStatus(listener.name, conditions, kinds)
    if not scene.accepted or refusal is not None or (terminates(listener) and not secured.certificates):
        return status, None
    tls.emit(view, secured.certificates, secured.validation)
    bundles = secured.validation.trust_bundles if secured.validation is not None else ()
    status = msgspec.structs.replace(status, key=key, certificates=secured.certificates, trust_bundles=bundles)
    return status, _resource(scene, listener, secured)


def _conditions(scene: Scene, listener: Listener, refusal: Problem | None, unresolved: Problem | None) -> tuple[Condition, ...]:
    generation = scene.owner.metadata.generation
    conditions = [met("Accepted", generation, refusal), met("ResolvedRefs", generation, unresolved)]
    for name, found in (("Conflicted", scene.relations.conflicts), ("OverlappingTLSConfig", scene.relations.overlaps)):
        if (problem := dict(found).get(listener.name)) is not None:
            conditions.append(warned(name, generation, problem))
    return tuple(conditions)


def _resource(scene: Scene, listener: Listener, secured: tls.ListenerTls) -> resources.Listener:
    options, gateway, owner = scene.options, scene.gateway, scene.owner
    return resources.Listener(
        key=listener_key(gateway.key, owner.key, listener.name),
        source=source_of(owner),
        gateway=f"{gateway.namespace}/{gateway.name}",
        name=listener_name(owner.key, listener.name),
        address=bind_address(options, gateway),
        port=listener.port,
        bind_port=bind_port(options, scene.view, gateway.key, listener.port),
        location_port=options.location_port(listener.port),
        protocol=cast(Protocol, listener.protocol),
        hostname=listener.hostname or "",
        tls_mode=listener.tls.mode if listener.tls is not None else "Terminate",
        certificates=secured.certificates,
        client_validation=secured.validation,
        options=listener_options(scene.view, gateway.key, owner.key, listener.name),
        namespaces=_namespaces(scene, listener),
    )


def _namespaces(scene: Scene, listener: Listener) -> tuple[str, ...] | None:
    """Those whose rules are served there, None where that is decided with the routes."""
    if listener.protocol not in ("HTTP", "HTTPS") or listener.allowed_routes.namespaces.from_ != "Selector":
        return None
    return selected_namespaces(scene.view, (scene.owner.key, listener.name))


def accepted_by_listeners(generation: int, listeners: tuple[ListenerStatus, ...]) -> Condition:
    """Accepted of a Gateway that is well in itself: with reason ListenersNotValid where listeners are refused, False where all are."""
    refused = [each.name for each in listeners if condition_of(each, "Accepted") == "False"]
    return _accepted(generation, listeners, "accepted", refused)


def accepted_by_entries(generation: int, listeners: tuple[ListenerStatus, ...]) -> Condition:
    """Accepted of a ListenerSet that is attached. Unlike a Gateway it is not where no listener can be served, references included."""
    refused = [each.name for each in listeners if not each.key or condition_of(each, "Accepted") == "False"]
    return _accepted(generation, listeners, "served", refused)


def _accepted(generation: int, listeners: tuple[ListenerStatus, ...], wanted: str, refused: list[str]) -> Condition:
    if not refused:
        return met("Accepted", generation)
    summary = Problem("ListenersNotValid", f"listeners that are not {wanted}: {', '.join(refused)}")
    return met("Accepted", generation, summary) if len(refused) == len(listeners) else warned("Accepted", generation, summary)


def condition_of(listener: ListenerStatus, condition: str) -> str:
    """Whether a condition that every listener has is True."""
    return next(found.status for found in listener.conditions if found.type == condition)


def with_attached_routes(view: View, gateway: Key, owner: Key, listeners: tuple[ListenerStatus, ...]) -> tuple[ListenerStatus, ...]:
    """The statuses of an object's listeners with the numbers of routes that are attached, for late units."""
    return tuple(
        msgspec.structs.replace(each, attached_routes=view.tally("attached routes", listener_key(gateway, owner, each.name)))
        for each in listeners
    )
