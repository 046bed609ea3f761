"""The part of a preparation that is about policies: see gateway/preparation.py. What runs is not judged again; the next request is.

A policy for a Gateway holds at all of its listeners. One for a namespace of the mesh holds in the sidecars whose workload it selects, at
what comes in, and never at what goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gateway.ir.batch import Batch
from gateway.ir.listener import Listener
from gateway.ir.policy import AnyPolicy, AuthorizationPolicy, RequestAuthentication
from gateway.ir.value import Identity
from gateway.ir.workload import Workload, mesh_namespace
from gateway.policies.authorization import closed, fault_of
from gateway.policies.request_authentication import KeysAtHand
from gateway.policies.selection import demands_in_words, selected, selection_in_words
from gateway.proxy.guard import Guard

if TYPE_CHECKING:
    from gateway.live import Live
    from gateway.proxy.port import LiveListener

KINDS: tuple[type[AnyPolicy], ...] = (AuthorizationPolicy, RequestAuthentication)


class PolicyPreparation:
    """Used once: `change` for each policy that differs, `select` if the workload beside us does, `merge`, `unlike`, then `commit`.
    `rejections` are the preparation's."""

    def __init__(self, live: Live, rejections: dict[Identity, str]) -> None:
        self._live, self._rejections = live, rejections
        self._policies = live.policies
        self._guards = live.guards
        self._affected: set[str] = set()
        self._workload = live.workloads.get(live.workload)

    def change(self, identity: Identity, policy: AnyPolicy | None) -> None:
        """A policy that is new, differs, or is gone. An AuthorizationPolicy that cannot be built denies everything; of a
        RequestAuthentication the rules whose keys cannot be used refuse every token."""
        if self._policies is self._live.policies:
            self._policies = dict(self._live.policies)
        before = self._policies.pop(identity, None)
        if policy is not None:
            fault = _keys_fault(policy) if isinstance(policy, RequestAuthentication) else fault_of(policy)
            if fault:
                self._rejections[identity] = fault
                policy = closed(policy) if isinstance(policy, AuthorizationPolicy) else policy
            self._policies[identity] = policy
        for each in (before, policy):
            self._affected.update(each.targets if each is not None else ())

    def select(self, workload: Workload | None) -> None:
        """The workload beside us, by whose labels policies hold; None while it is not known."""
        if self._workload is None or workload is None or self._workload.labels != workload.labels:
            self._affected.update(target for policy in self._policies.values() for target in policy.targets if mesh_namespace(target))
        self._workload = workload

    def merge(self) -> Iterator[None]:
        """Makes the Guards of the Gateways for which something changed."""
        if not self._affected:
            return
        held: dict[str, list[AnyPolicy]] = {gateway: [] for gateway in self._affected}
        for policy in self._policies.values():
            for gateway in policy.targets:
                if gateway in held:
                    held[gateway].append(policy)
        self._guards = dict(self._live.guards)
        for gateway, policies in held.items():
            holding = selected(policies, self._workload) if mesh_namespace(gateway) else policies
            if holding:
                self._guards[gateway] = Guard(holding, self._live.core.issuer_keys.of)
            else:
                self._guards.pop(gateway, None)
            yield

    def unlike(self, listeners: Iterable[LiveListener]) -> Iterator[tuple[LiveListener, Guard | None]]:
        """The listeners that are to have another Guard than they have."""
        for listener in listeners:
            guard = self._guards.get(listener.resource.gateway) if _is_guarded(listener.resource) else None
            if listener.guard is not guard:
                yield listener, guard

    def commit(self) -> None:
        self._live.policies, self._live.guards = self._policies, self._guards


def selections(live: Live, listener: LiveListener) -> tuple[str, ...]:
    """Which policies hold at what comes in to the workload beside us, and which do not, each with the reason."""
    scope = listener.resource.gateway
    namespace = mesh_namespace(scope)
    if namespace is None or not _is_guarded(listener.resource):
        return ()
    workload, gateway = live.workloads.get(live.workload), live.gateways.get(scope)
    policies = [policy for policy in live.policies.values() if scope in policy.targets]
    demands = gateway.peer_authentications if gateway is not None else ()
    return (*demands_in_words(demands, namespace, workload), *selection_in_words(policies, workload))


def has_tokens(batch: Batch) -> bool:
    """Whether something of it is about tokens."""
    return any(isinstance(resource, RequestAuthentication) for resource in batch.set)


def load_token_keys() -> None:
    """Loads what reads keys, which is not loaded where no policy is about tokens."""
    import gateway.policies.token_keys  # noqa: F401, PLC0415  # see there


def missing_keys(live: Live) -> Iterator[tuple[Identity, str]]:
    """The policies about tokens with keys that could not be fetched, and none from before."""
    for identity, policy in live.policies.items():
        if isinstance(policy, RequestAuthentication):
            faults = [(index, live.core.issuer_keys.fault_of(rule)) for index, rule in enumerate(policy.rules) if rule.url]
            reason = "; ".join(f"jwtRules[{index}]: {fault}" for index, fault in faults if fault)
            if reason:
                yield identity, reason


def _keys_fault(policy: RequestAuthentication) -> str:
    """What is wrong with keys that stand in it, '' for nothing."""
    faults = [
        f"jwtRules[{index}].jwks: {fault}"
        for index, rule in enumerate(policy.rules)
        if not rule.url and not rule.error and (fault := KeysAtHand(rule.keys).fault)
    ]
    return "; ".join(faults)


def _is_guarded(listener: Listener) -> bool:
    return listener.capture is None or listener.capture.direction == "Inbound"
