"""Statuses as values: what translation says about each object, typed by kind, and what every unit gives.

Whether something is live in the proxies is not known here: `controller.status` adds it. A status therefore also holds the
keys of the resources that stand for the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from controller.graph import Output
from controller.store import Key
from controller.translate.conditions import Condition, Problem
from controller.translate.infrastructure import Infrastructure
from gateway.ir.batch import AnyResource
from gateway.ir.value import Identity

RULES = {"HTTPRoute": "HttpRule", "GRPCRoute": "HttpRule", "TLSRoute": "TlsRule", "TCPRoute": "TcpRule", "UDPRoute": "UdpRule"}
"""The kind of resource that the rules of each kind of route are."""


class RouteKind(msgspec.Struct, frozen=True):
    """RouteGroupKind."""

    group: str
    kind: str


class ObjectRef(msgspec.Struct, frozen=True):
    """ParentReference, as the user wrote it, group and kind filled in; None and "" are fields that are not there."""

    group: str
    kind: str
    name: str
    namespace: str | None = None
    section_name: str | None = None
    port: int | None = None


class GatewayClassStatus(msgspec.Struct, frozen=True):
    """GatewayClassStatus."""

    object: Key
    generation: int
    conditions: tuple[Condition, ...]
    supported_features: tuple[str, ...] = ()


class MeshStatus(GatewayClassStatus, frozen=True):
    """MeshStatus, which has the same fields."""


class ListenerStatus(msgspec.Struct, frozen=True):
    """ListenerStatus, of a ListenerSet ListenerEntryStatus. `key` is that of the Listener resource, "" where it is not served."""

    name: str
    conditions: tuple[Condition, ...]
    supported_kinds: tuple[RouteKind, ...] = ()
    attached_routes: int = 0
    key: str = ""
    certificates: tuple[str, ...] = ()
    trust_bundles: tuple[str, ...] = ()


class GatewayAddress(msgspec.Struct, frozen=True):
    """GatewayStatusAddress."""

    type: Literal["IPAddress", "Hostname"]
    value: str


class GatewayStatus(msgspec.Struct, frozen=True):
    """GatewayStatus. `addresses` is where its listeners are bound, in a cluster what its Services have been assigned."""

    object: Key
    generation: int
    conditions: tuple[Condition, ...]
    listeners: tuple[ListenerStatus, ...] = ()
    addresses: tuple[GatewayAddress, ...] = ()
    client_certificate: str | None = None
    listener_sets: tuple[tuple[str, ...], ...] = ()
    """Of each ListenerSet that is attached the keys of its listeners that are served."""
    unassigned: Problem | None = None
    """Why it has not all addresses that it is to have."""


class ListenerSetStatus(msgspec.Struct, frozen=True):
    """ListenerSetStatus. `gateway` is the key of the Gateway resource that its listeners are added to."""

    object: Key
    generation: int
    conditions: tuple[Condition, ...]
    listeners: tuple[ListenerStatus, ...] = ()
    gateway: str = ""


class ParentStatus(msgspec.Struct, frozen=True):
    """RouteParentStatus. `gateway` is the key of the Gateway resource that the parent is, or adds listeners to."""

    parent: ObjectRef
    conditions: tuple[Condition, ...]
    gateway: str = ""
    in_mesh: bool = False
    """Whether it is we as the controller of the mesh who say so."""


class RouteStatus(msgspec.Struct, frozen=True):
    """RouteStatus, with the keys of the rules that are resources."""

    object: Key
    generation: int
    parents: tuple[ParentStatus, ...]
    rules: tuple[str, ...] = ()

    @property
    def resources(self) -> tuple[Identity, ...]:
        """The rules as resources."""
        return tuple((RULES[self.object[0]], key) for key in self.rules)


class AncestorStatus(msgspec.Struct, frozen=True):
    """PolicyAncestorStatus."""

    ancestor: ObjectRef
    conditions: tuple[Condition, ...]


class PolicyStatus(msgspec.Struct, frozen=True):
    """PolicyStatus."""

    object: Key
    generation: int
    ancestors: tuple[AncestorStatus, ...]


class SelectingStatus(msgspec.Struct, frozen=True):
    """IstioStatus, of a policy that selects whom it holds for: `gateways` by key of the Gateway resource."""

    object: Key
    generation: int
    conditions: tuple[Condition, ...]
    gateways: tuple[str, ...]

    @property
    def resource(self) -> Identity:
        """The policy as a resource."""
        return self.object[0], "/".join(self.object[1:])


Status = GatewayClassStatus | GatewayStatus | ListenerSetStatus | RouteStatus | PolicyStatus | SelectingStatus

Ignored = tuple[Key, str]
"""An object, or a part of it, that gets no status and has no effect, and why."""


@dataclass(frozen=True, slots=True)
class Emission(Output[AnyResource, Status]):
    """What a unit gives: resources, statuses, what it leaves out, and what is to be deployed."""

    ignored: tuple[Ignored, ...] = ()
    infrastructure: tuple[Infrastructure, ...] = ()
