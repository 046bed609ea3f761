"""What routes see of a Gateway or a ListenerSet, and whether a ListenerSet belongs to its Gateway.

Neither holds anything that a certificate, a policy or another object's listeners can change, so that those wake no routes; hostnames
and labels neither, of which routes ask for themselves (`consent`).
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.gateway import Gateway
from controller.api.listener_set import ListenerSet
from controller.api.listeners import AllowedListeners, Listener
from controller.api.references import GATEWAY_GROUP
from controller.graph import View
from controller.store import Key
from controller.translate.classes import ClassVerdict
from controller.translate.conditions import Problem
from controller.translate.listeners import listener_key, supported_kinds
from controller.translate.namespaces import Origin, allowed_by, allows
from controller.translate.objects import called, of_group
from controller.translate.statuses import RouteKind


@dataclass(frozen=True, slots=True)
class Attachable:
    """A listener as routes see it."""

    key: str
    name: str
    port: int
    protocol: str
    kinds: tuple[RouteKind, ...]
    origin: Origin
    """The namespaces from which it takes routes (allowedRoutes.namespaces.from)."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A Gateway, or a ListenerSet of `gateway`, as routes see it: with `foreign`, the reason, none of ours, with `refusal` not attached."""

    gateway: Key
    listeners: tuple[Attachable, ...] = ()
    foreign: str = ""
    refusal: Problem | None = None


@dataclass(frozen=True, slots=True)
class Adoption:
    """Whether a ListenerSet belongs to its Gateway: `foreign` says why none of ours, `refusal` why it is not allowed to."""

    gateway: Key
    foreign: str = ""
    refusal: Problem | None = None


def translate_parent(key: Key, view: View) -> Parent:
    """Unit "parent": a Gateway or a ListenerSet as routes see it."""
    return _set_as_parent(key, view) if key[0] == "ListenerSet" else _gateway_as_parent(key, view)


def _gateway_as_parent(key: Key, view: View) -> Parent:
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return Parent(key, foreign=f"{called(*key)} does not exist")
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    if verdict.foreign:
        return Parent(key, foreign=f"{called(*key)} is not ours: {verdict.foreign}")
    return Parent(key, tuple(_attachable(key, key, listener) for listener in gateway.spec.listeners))


def _set_as_parent(key: Key, view: View) -> Parent:
    found: ListenerSet | None = view.get(*key)
    adoption: Adoption = view.result("adoption", key)
    if found is None or adoption.foreign:
        return Parent(adoption.gateway, foreign=adoption.foreign if found is None else f"the parent of {called(*key)}: {adoption.foreign}")
    refusal = None
    if adoption.refusal is not None:
        refusal = Problem("NoMatchingParent", f"{called(*key)} is not attached to its Gateway: {adoption.refusal.message}")
    listeners = tuple(_attachable(adoption.gateway, key, listener) for listener in found.spec.listeners)
    return Parent(adoption.gateway, listeners, refusal=refusal)


def _attachable(gateway: Key, owner: Key, listener: Listener) -> Attachable:
    kinds, _ = supported_kinds(listener)
    key, origin = listener_key(gateway, owner, listener.name), listener.allowed_routes.namespaces.from_
    return Attachable(key, listener.name, listener.port, listener.protocol, kinds, origin)


def gateway_of(owner: Gateway | ListenerSet) -> Key | None:
    """The Gateway of which an object's listeners are, itself if it is one; None if a ListenerSet names something else."""
    if isinstance(owner, Gateway):
        return owner.key
    reference = owner.spec.parent_ref
    if (reference.group, reference.kind) != (GATEWAY_GROUP, "Gateway"):
        return None
    return ("Gateway", reference.namespace or owner.namespace, reference.name)


def translate_adoption(key: Key, view: View) -> Adoption:
    """Unit "adoption": whether a ListenerSet belongs to its Gateway."""
    found: ListenerSet | None = view.get(*key)
    if found is None:
        return Adoption(key, foreign=f"{called(*key)} does not exist")
    gateway = gateway_of(found)
    if gateway is None:
        reference = found.spec.parent_ref
        kind = of_group(reference.kind, reference.group)
        return Adoption(key, foreign=f"a ListenerSet cannot belong to a {kind}; name a Gateway")
    parent: Parent = view.result("parent", gateway)
    obj: Gateway | None = view.get(*gateway)
    if parent.foreign or obj is None:
        return Adoption(gateway, foreign=parent.foreign)
    allowed = allowed_by(gateway[1], (obj.spec.allowed_listeners or AllowedListeners()).namespaces)
    if allows(view, allowed, found.namespace):
        return Adoption(gateway)
    message = f"{called(*gateway)} allows no ListenerSets of namespace {found.namespace}: allowedListeners.namespaces.from {allowed.origin}"
    return Adoption(gateway, refusal=Problem("NotAllowed", message))


def adopted(view: View, listener_set: Key) -> bool:
    """Whether a ListenerSet belongs to its Gateway."""
    adoption: Adoption = view.result("adoption", listener_set)
    return not adoption.foreign and adoption.refusal is None
