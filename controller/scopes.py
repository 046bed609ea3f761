"""Divides what a change sets and removes by Gateway, by difference: a Gateway's proxies get what they need, and nothing else (pure).

A scope is the key of a Gateway. In it are the Gateway, its Listeners, the rules bound to them (with these bindings alone), the policies
that hold for it (with this target alone), and what those name, directly or by way of a Backend. What is named by many is counted for each
scope, so that the cost is that of the change: one Service changed costs its Gateways, not the cluster.

A namespace of the mesh is a scope too, and shows besides its own what all sidecars share; every scope shows the workloads. Such a layer
is kept and counted once, whatever the number of scopes that show it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

import msgspec

from controller.needs import needs
from gateway.ir.batch import AnyResource, in_order
from gateway.ir.listener import Gateway, Listener
from gateway.ir.policy import AnyPolicy, AuthorizationPolicy, RequestAuthentication
from gateway.ir.rule import AnyRule
from gateway.ir.value import Identity
from gateway.ir.workload import SHARED, Workload, mesh_scope

_GATEWAY = Gateway.__name__
_WORKLOADS: Final = ""
"""The layer of the workloads, which all scopes show."""


@dataclass(frozen=True, slots=True)
class ScopedChange:
    """What one change sets, in the order of a batch, and removes in one scope."""

    set: tuple[AnyResource, ...]
    remove: tuple[Identity, ...]


@dataclass(frozen=True, slots=True)
class Division:
    """One change by scope: those that are new with all that is in them, those in which something differs, and those that are gone."""

    opened: Mapping[str, ScopedChange]
    changed: Mapping[str, ScopedChange]
    closed: tuple[str, ...]


class Scopes:
    """Owner of all resources, and of who needs which. A scope without a Gateway is kept track of, but shown to nobody.

    What is owned and needed is kept by layer: a scope's own, SHARED of all sidecars, and that of the workloads.
    """

    def __init__(self) -> None:
        self._resources: dict[Identity, AnyResource] = {}
        self._owned: defaultdict[str, dict[Identity, None]] = defaultdict(dict)
        """Gateway, Listeners, rules and policies of each layer, or the workloads."""
        self._needs: defaultdict[str, Counter[Identity]] = defaultdict(Counter)
        """How often each identity is named in each layer, whether it is there or not."""
        self._needed_in: defaultdict[Identity, dict[str, None]] = defaultdict(dict)
        self._open: dict[str, None] = {}
        """The scopes that had a Gateway before the change under way."""
        self._before: dict[tuple[str, Identity], AnyResource | None] = {}
        """What the change under way has found in the places that it touches."""

    def change(self, set: Iterable[AnyResource], remove: Iterable[Identity]) -> Division:
        """Takes one change: removes, then sets."""
        changes: dict[Identity, AnyResource | None] = dict.fromkeys(remove)
        changes.update((resource.identity, resource) for resource in set)
        self._before = {}
        for identity, resource in changes.items():
            self._replace(identity, resource)
        return self._division()

    def content(self, scope: str) -> Iterator[AnyResource]:
        """All that is in a scope; nothing if there is no such Gateway."""
        if (_GATEWAY, scope) in self._resources:
            held = (kept.get(layer, ()) for layer in _layers(scope) for kept in (self._owned, self._needs))
            for identity in dict.fromkeys(chain.from_iterable(held)):
                resource = self._in(scope, identity)
                if resource is not None:
                    yield resource

    def sizes(self) -> dict[str, int]:
        """How much is held, by sort; all zero when there are no resources."""
        return {
            "resources": len(self._resources),
            "owned": len(self._owned),
            "needs": len(self._needs),
            "needed_in": len(self._needed_in),
            "open": len(self._open),
        }

    def _replace(self, identity: Identity, after: AnyResource | None) -> None:
        before = self._resources.get(identity)
        for resource in (before, after):
            for layer in self._layers_of(identity, resource):
                self._touch(layer, identity)
        if before is not None:
            for layer in self._layers_of(identity, before):
                self._owned[layer].pop(identity, None)
                for need in needs(before):
                    self._let_go(layer, need)
            del self._resources[identity]
        if after is not None:
            self._resources[identity] = after
            for layer in self._layers_of(identity, after):
                if isinstance(after, _Owned):
                    self._owned[layer][identity] = None
                for need in needs(after):
                    self._take(layer, need)

    def _layers_of(self, identity: Identity, resource: AnyResource | None) -> tuple[str, ...]:
        """Where a resource would be if its Gateways were there."""
        if isinstance(resource, _Owned):
            return tuple(_owners(resource))
        return tuple(self._needed_in.get(identity, ()))

    def _take(self, layer: str, identity: Identity) -> None:
        self._touch(layer, identity)
        counts = self._needs[layer]
        counts[identity] += 1
        if counts[identity] == 1:
            self._needed_in[identity][layer] = None
            resource = self._resources.get(identity)
            for need in () if resource is None else needs(resource):
                self._take(layer, need)

    def _let_go(self, layer: str, identity: Identity) -> None:
        self._touch(layer, identity)
        counts = self._needs[layer]
        counts[identity] -= 1
        if not counts[identity]:
            del counts[identity]
            del self._needed_in[identity][layer]
            if not self._needed_in[identity]:
                del self._needed_in[identity]
            resource = self._resources.get(identity)
            for need in () if resource is None else needs(resource):
                self._let_go(layer, need)

    def _touch(self, layer: str, identity: Identity) -> None:
        """A scope that opens or closes in this change is told all or nothing, and needs no more than its own layer."""
        for scope in (layer, *self._showing(layer)):
            place = (scope, identity)
            if place not in self._before:
                self._before[place] = self._in(scope, identity)

    def _showing(self, layer: str) -> Iterable[str]:
        """The open scopes that show a layer which is not their own."""
        if layer == _WORKLOADS:
            return self._open
        return filter(_is_of_mesh, self._open) if layer == SHARED else ()

    def _in(self, scope: str, identity: Identity) -> AnyResource | None:
        """A resource as this scope may see it, None if it is not for it."""
        resource, layers = self._resources.get(identity), _layers(scope)
        if isinstance(resource, AnyRule):
            return _narrowed(resource, layers)
        if isinstance(resource, AnyPolicy):
            return _aimed(resource, scope)
        if isinstance(resource, _Owned):
            return resource if any(owner in layers for owner in _owners(resource)) else None
        return resource if any(identity in self._needs.get(layer, ()) for layer in layers) else None

    def _division(self) -> Division:
        set: defaultdict[str, list[AnyResource]] = defaultdict(list)
        remove: defaultdict[str, list[Identity]] = defaultdict(list)
        touched: dict[str, None] = {}
        for (scope, identity), before in self._before.items():
            touched[scope] = None
            after = self._in(scope, identity)
            if after is None:
                if before is not None:
                    remove[scope].append(identity)
            elif after != before:
                set[scope].append(after)
        opened: dict[str, ScopedChange] = {}
        changed: dict[str, ScopedChange] = {}
        closed = []
        for scope in touched:
            is_there, was_there = (_GATEWAY, scope) in self._resources, scope in self._open
            if is_there and not was_there:
                opened[scope] = ScopedChange(in_order(tuple(self.content(scope))), ())
                self._open[scope] = None
            elif is_there and (scope in set or scope in remove):
                changed[scope] = ScopedChange(in_order(tuple(set[scope])), tuple(sorted(remove[scope])))
            elif was_there and not is_there:
                closed.append(scope)
                del self._open[scope]
            self._forget_if_empty(scope)
        return Division(opened, changed, tuple(closed))

    def _forget_if_empty(self, scope: str) -> None:
        for kept in (self._owned, self._needs):
            if not kept[scope]:
                del kept[scope]


_Owned = Gateway | Listener | AnyRule | AnyPolicy | Workload


def _is_of_mesh(scope: str) -> bool:
    return scope.endswith(mesh_scope(""))


def _layers(scope: str) -> tuple[str, ...]:
    """What a scope shows."""
    return (scope, SHARED, _WORKLOADS) if _is_of_mesh(scope) else (scope, _WORKLOADS)


def _owners(resource: _Owned) -> tuple[str, ...]:
    """The layers that a resource is written for, each once: the keys of its Gateways."""
    match resource:
        case Gateway():
            return (resource.key,)
        case Listener():
            return (resource.gateway,)
        case AuthorizationPolicy() | RequestAuthentication():
            return resource.targets
        case Workload():
            return (_WORKLOADS,)
        case _:
            return tuple(dict.fromkeys(_gateway_of(binding.listener) for binding in resource.bindings))


def _gateway_of(listener: str) -> str:
    """The Gateway's key at the beginning of a Listener's."""
    return "/".join(listener.split("/", 2)[:2])


def _narrowed(rule: AnyRule, layers: tuple[str, ...]) -> AnyRule | None:
    """The rule as bound in what one scope shows; None where it is not."""
    bindings = tuple(binding for binding in rule.bindings if _gateway_of(binding.listener) in layers)
    if len(bindings) == len(rule.bindings):
        return rule if bindings else None
    return msgspec.structs.replace(rule, bindings=bindings) if bindings else None


def _aimed(policy: AnyPolicy, scope: str) -> AnyPolicy | None:
    """The policy as it holds for one scope; None where it does not."""
    if scope not in policy.targets:
        return None
    return policy if len(policy.targets) == 1 else msgspec.structs.replace(policy, targets=(scope,))
