"""Divides what a change sets and removes by Gateway, by difference: a Gateway's proxies get what they need, and nothing else (pure).

A scope is the key of a Gateway. In it are the Gateway, its Listeners, the rules bound to them (with these bindings alone), the policies
that hold for it (with this target alone), and what those name, directly or by way of a Backend. What is named by many is counted for each
scope, so that the cost is that of the change: one Service changed costs its Gateways, not the cluster.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from gateway.ir.backend import Backend, EndpointSet
from gateway.ir.batch import AnyResource, in_order
from gateway.ir.filters import AnyFilter, ExternalAuth, RequestMirror
from gateway.ir.listener import Certificate, Gateway, Listener, TrustBundle
from gateway.ir.policy import AnyPolicy, AuthorizationPolicy
from gateway.ir.rule import AnyRule, BackendRef, HttpRule, TcpRule, TlsRule, UdpRule
from gateway.ir.value import Identity

_GATEWAY = Gateway.__name__


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
    """Owner of all resources, and of who needs which. A scope without a Gateway is kept track of, but shown to nobody."""

    def __init__(self) -> None:
        self._resources: dict[Identity, AnyResource] = {}
        self._owned: defaultdict[str, dict[Identity, None]] = defaultdict(dict)
        """Gateway, Listeners, rules and policies of each scope."""
        self._needs: defaultdict[str, Counter[Identity]] = defaultdict(Counter)
        """How often each identity is named in each scope, whether it is there or not."""
        self._needed_in: defaultdict[Identity, dict[str, None]] = defaultdict(dict)
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
            for identity in (*self._owned.get(scope, ()), *self._needs.get(scope, ())):
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
        }

    def _replace(self, identity: Identity, after: AnyResource | None) -> None:
        before = self._resources.get(identity)
        for resource in (before, after):
            for scope in self._scopes_of(identity, resource):
                self._touch(scope, identity)
        if before is not None:
            for scope in self._scopes_of(identity, before):
                self._owned[scope].pop(identity, None)
                for need in _needs(before):
                    self._let_go(scope, need)
            del self._resources[identity]
        if after is not None:
            self._resources[identity] = after
            for scope in self._scopes_of(identity, after):
                if isinstance(after, _Owned):
                    self._owned[scope][identity] = None
                for need in _needs(after):
                    self._take(scope, need)

    def _scopes_of(self, identity: Identity, resource: AnyResource | None) -> tuple[str, ...]:
        """Where a resource would be if its Gateways were there."""
        if isinstance(resource, _Owned):
            return tuple(_owners(resource))
        return tuple(self._needed_in.get(identity, ()))

    def _take(self, scope: str, identity: Identity) -> None:
        self._touch(scope, identity)
        needs = self._needs[scope]
        needs[identity] += 1
        if needs[identity] == 1:
            self._needed_in[identity][scope] = None
            resource = self._resources.get(identity)
            for need in () if resource is None else _needs(resource):
                self._take(scope, need)

    def _let_go(self, scope: str, identity: Identity) -> None:
        self._touch(scope, identity)
        needs = self._needs[scope]
        needs[identity] -= 1
        if not needs[identity]:
            del needs[identity]
            del self._needed_in[identity][scope]
            if not self._needed_in[identity]:
                del self._needed_in[identity]
            resource = self._resources.get(identity)
            for need in () if resource is None else _needs(resource):
                self._let_go(scope, need)

    def _touch(self, scope: str, identity: Identity) -> None:
        place = (scope, identity)
        if place not in self._before:
            self._before[place] = self._in(scope, identity)

    def _in(self, scope: str, identity: Identity) -> AnyResource | None:
        """A resource as this scope may see it, None if it is not for it."""
        resource = self._resources.get(identity)
        if isinstance(resource, AnyRule):
            return _narrowed(resource, scope)
        if isinstance(resource, AnyPolicy):
            return _aimed(resource, scope)
        if isinstance(resource, _Owned):
            return resource if scope in _owners(resource) else None
        return resource if identity in self._needs.get(scope, ()) else None

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
            gateway = (_GATEWAY, scope)
            is_there = gateway in self._resources
            was_there = is_there if (scope, gateway) not in self._before else self._before[scope, gateway] is not None
            if is_there and not was_there:
                opened[scope] = ScopedChange(in_order(tuple(self.content(scope))), ())
            elif is_there and (scope in set or scope in remove):
                changed[scope] = ScopedChange(in_order(tuple(set[scope])), tuple(sorted(remove[scope])))
            elif was_there and not is_there:
                closed.append(scope)
            self._forget_if_empty(scope)
        return Division(opened, changed, tuple(closed))

    def _forget_if_empty(self, scope: str) -> None:
        for kept in (self._owned, self._needs):
            if not kept[scope]:
                del kept[scope]


_Owned = Gateway | Listener | AnyRule | AnyPolicy


def _owners(resource: _Owned) -> tuple[str, ...]:
    """The keys of the Gateways that a resource is written for, each once."""
    match resource:
        case Gateway():
            return (resource.key,)
        case Listener():
            return (resource.gateway,)
        case AuthorizationPolicy():
            return resource.targets
        case _:
            return tuple(dict.fromkeys(_gateway_of(binding.listener) for binding in resource.bindings))


def _gateway_of(listener: str) -> str:
    """The Gateway's key at the beginning of a Listener's."""
    return "/".join(listener.split("/", 2)[:2])


def _narrowed(rule: AnyRule, scope: str) -> AnyRule | None:
    """The rule as bound in one scope; None where it is not."""
    bindings = tuple(binding for binding in rule.bindings if _gateway_of(binding.listener) == scope)
    if len(bindings) == len(rule.bindings):
        return rule if bindings else None
    return msgspec.structs.replace(rule, bindings=bindings) if bindings else None


def _aimed(policy: AnyPolicy, scope: str) -> AnyPolicy | None:
    """The policy as it holds for one scope; None where it does not."""
    if scope not in policy.targets:
        return None
    return policy if len(policy.targets) == 1 else msgspec.structs.replace(policy, targets=(scope,))


def _needs(resource: AnyResource) -> Iterator[Identity]:
    """What a resource names, and what therefore has to be wherever it is; a name as often as it is named."""
    match resource:
        case Gateway(client_certificate=str(certificate)):
            yield (Certificate.__name__, certificate)
        case Listener():
            yield from ((Certificate.__name__, key) for key in resource.certificates)
            if resource.client_validation is not None:
                yield from ((TrustBundle.__name__, key) for key in resource.client_validation.trust_bundles)
        case HttpRule():
            yield from _backends_of(resource.filters)
            yield from _backends(resource.backends)
        case TlsRule() | TcpRule() | UdpRule():
            yield from _backends(resource.backends)
        case Backend():
            yield (EndpointSet.__name__, resource.key)
            if resource.tls is not None:
                yield from ((TrustBundle.__name__, key) for key in resource.tls.trust_bundles)
        case _:
            pass


def _backends(references: Iterable[BackendRef]) -> Iterator[Identity]:
    for reference in references:
        yield from _backend(reference.backend)
        yield from _backends_of(reference.filters)


def _backends_of(filters: Iterable[AnyFilter]) -> Iterator[Identity]:
    for filter in filters:
        if isinstance(filter, RequestMirror | ExternalAuth):
            yield from _backend(filter.backend)


def _backend(key: str) -> Iterator[Identity]:
    if key:
        yield (Backend.__name__, key)
