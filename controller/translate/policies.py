"""Policies attached to a target: who wins, and ListenerPolicy and BackendPolicy themselves.

Of several policies on one target the oldest wins, then the first by name; the others are Conflicted. A policy on a section
(a listener, a Service port) holds there in place of one on the whole, which is no conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.api.backend_tls_policy import BackendTLSPolicy
from controller.api.core import Service
from controller.api.gateway import Gateway
from controller.api.policies import BackendPolicy, ListenerPolicy
from controller.api.references import GATEWAY_GROUP, LocalPolicyTargetReference
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem, met
from controller.translate.listeners import Parent
from controller.translate.objects import age, called
from controller.translate.statuses import AncestorStatus, Emission, Ignored, ObjectRef, PolicyStatus
from gateway.ir.backend import BackendOptions
from gateway.ir.listener import ListenerOptions

AnyPolicy = BackendTLSPolicy | BackendPolicy | ListenerPolicy

TargetKey = tuple[str, str, str, str, str]
"""Kind of the policy; group, kind, namespace and name of the target: a value of the index "target of policy"."""

GROUPS = {"Gateway": GATEWAY_GROUP, "Service": ""}
"""The group of each kind that policies are attached to."""


@dataclass(frozen=True, slots=True)
class Attached:
    """The policies of one kind on one target: the winner of each section ("" for the whole), and of each loser's sections the winner."""

    winners: tuple[tuple[str, Key], ...] = ()
    losers: tuple[tuple[tuple[Key, str], Key], ...] = ()

    def winner(self, section: str) -> Key | None:
        """The policy that holds for a section: its own before that of the whole."""
        winners = dict(self.winners)
        return winners.get(section, winners.get(""))

    def rival(self, policy: Key, section: str) -> Key | None:
        """The policy that has the section instead of this one."""
        return dict(self.losers).get((policy, section))


def policy_targets(policy: AnyPolicy) -> frozenset[TargetKey]:
    """The targets of a policy: the index "target of policy"."""
    return frozenset((policy.kind, target.group, target.kind, policy.namespace, target.name) for target in policy.spec.target_refs)


def translate_attached(key: TargetKey, view: View) -> Attached:
    """Unit "attached policies": who wins on one target."""
    policies: Sequence[AnyPolicy] = sorted(view.select("target of policy", key), key=age)
    winners: dict[str, Key] = {}
    losers: list[tuple[tuple[Key, str], Key]] = []
    for policy in policies:
        for target in policy.spec.target_refs:
            if (target.group, target.kind, target.name) != (key[1], key[2], key[4]):
                continue
            section = target.section_name or ""
            winner = winners.setdefault(section, policy.key)
            if winner != policy.key:
                losers.append(((policy.key, section), winner))
    return Attached(tuple(winners.items()), tuple(losers))


def attached(view: View, policy_kind: str, target: Key) -> Attached:
    """The policies of a kind on a target."""
    value: Attached = view.result("attached policies", (policy_kind, GROUPS[target[0]], *target))
    return value


def conflict_of(view: View, policy: AnyPolicy, target: LocalPolicyTargetReference) -> Problem | None:
    """Conflicted if an older policy of the kind has this target."""
    key = (target.kind, policy.namespace, target.name)
    rival = attached(view, policy.kind, key).rival(policy.key, target.section_name or "")
    if rival is None:
        return None
    place = f"section {target.section_name} of {called(*key)}" if target.section_name is not None else called(*key)
    return Problem("Conflicted", f"{called(*rival)}, which is older or else first by name, has {place} as its target already")


def listener_options(view: View, gateway: Key, listener: str) -> ListenerOptions:
    """The options of a listener, from the ListenerPolicy that holds for it."""
    winner = attached(view, "ListenerPolicy", gateway).winner(listener)
    policy: ListenerPolicy | None = view.get(*winner) if winner is not None else None
    if policy is None:
        return ListenerOptions()
    return ListenerOptions(
        trusted_hops=policy.spec.trusted_hops or 0,
        trusted_addresses=policy.spec.trusted_addresses,
        header_timeout=policy.spec.timeouts.header,
        idle_timeout=policy.spec.timeouts.idle,
        escaped_slashes=policy.spec.paths.escaped_slashes,
        merge_slashes=policy.spec.paths.merge_slashes,
        reason_header=policy.spec.reason_header,
        access_log=policy.spec.access_log,
    )


def backend_options(view: View, service: Key, section: str) -> BackendOptions:
    """The options of a Service port, from the BackendPolicy that holds for it."""
    winner = attached(view, "BackendPolicy", service).winner(section)
    policy: BackendPolicy | None = view.get(*winner) if winner is not None else None
    if policy is None:
        return BackendOptions()
    return BackendOptions(policy.spec.balancing.type, policy.spec.connect_timeout)


def translate_listener_policy(key: Key, view: View) -> Emission | None:
    """Unit "listener policy": the status of a ListenerPolicy, one ancestor a target."""
    policy: ListenerPolicy | None = view.get(*key)
    if policy is None:
        return None
    ancestors: list[AncestorStatus] = []
    ignored: list[Ignored] = []
    for index, target in enumerate(policy.spec.target_refs):
        gateway: Gateway | None = view.get("Gateway", policy.namespace, target.name)
        parent: Parent = view.result("parent", ("Gateway", policy.namespace, target.name))
        if gateway is not None and parent.foreign:
            ignored.append((key, f"spec.targetRefs[{index}]: {parent.foreign}"))
            continue
        names = [listener.name for listener in parent.listeners]
        missing = _missing(called("Gateway", policy.namespace, target.name), gateway is not None, target.section_name, names)
        ancestors.append(_ancestor(policy, target, missing or conflict_of(view, policy, target)))
    statuses = (PolicyStatus(key, policy.metadata.generation, tuple(ancestors)),) if ancestors else ()
    return Emission(statuses=statuses, ignored=tuple(ignored))


def translate_backend_policy(key: Key, view: View) -> Emission | None:
    """Unit "backend policy": the status of a BackendPolicy, one ancestor a target."""
    policy: BackendPolicy | None = view.get(*key)
    if policy is None:
        return None
    ancestors = [
        _ancestor(policy, target, service_missing(view, policy.namespace, target) or conflict_of(view, policy, target))
        for target in policy.spec.target_refs
    ]
    return Emission(statuses=(PolicyStatus(key, policy.metadata.generation, tuple(ancestors)),))


def service_missing(view: View, namespace: str, target: LocalPolicyTargetReference) -> Problem | None:
    """TargetNotFound if the Service, or its port of that name, does not exist."""
    service: Service | None = view.get("Service", namespace, target.name)
    names = [port.name for port in service.spec.ports if port.name is not None] if service is not None else []
    return _missing(called("Service", namespace, target.name), service is not None, target.section_name, names)


def _missing(target: str, exists: bool, section: str | None, sections: Sequence[str]) -> Problem | None:
    if not exists:
        return Problem("TargetNotFound", f"{target} does not exist")
    if section is not None and section not in sections:
        return Problem("TargetNotFound", f"{target} has no section {section}; it has {', '.join(sections) or 'none'}")
    return None


def _ancestor(policy: AnyPolicy, target: LocalPolicyTargetReference, problem: Problem | None) -> AncestorStatus:
    return AncestorStatus(target_ref(target), (met("Accepted", policy.metadata.generation, problem),))


def target_ref(target: LocalPolicyTargetReference) -> ObjectRef:
    """The target of a policy as its ancestor."""
    return ObjectRef(target.group, target.kind, target.name, section_name=target.section_name)
