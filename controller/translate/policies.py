"""Policies attached to a target: who wins, and ListenerPolicy and BackendPolicy themselves.

Of several policies on one target the oldest wins, then the first by name; the others are Conflicted. A policy on a section
(a listener, a Service port) holds there in place of one on the whole, which is no conflict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.api.backend_policy import BackendPolicy
from controller.api.backend_tls_policy import BackendTLSPolicy
from controller.api.backend_traffic_policy import XBackendTrafficPolicy
from controller.api.core import Service
from controller.api.gateway import Gateway
from controller.api.listener_policy import ListenerPolicy
from controller.api.references import GATEWAY_GROUP, LocalPolicyTargetReference
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem, combined, met
from controller.translate.objects import Age, age, called
from controller.translate.statuses import AncestorStatus, Ignored, ObjectRef

AnyPolicy = BackendTLSPolicy | BackendPolicy | ListenerPolicy | XBackendTrafficPolicy

TargetKey = tuple[str, str, str, str, str]
"""Kind of the policy; group, kind, namespace and name of the target: a value of the index "target of policy"."""

GROUPS = {"Gateway": GATEWAY_GROUP, "ListenerSet": GATEWAY_GROUP, "Service": ""}
"""The group of each kind that policies are attached to."""

MOST_ANCESTORS = 16
"""PolicyStatus.ancestors holds no more."""


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


def service_missing(view: View, namespace: str, target: LocalPolicyTargetReference) -> Problem | None:
    """TargetNotFound if the Service, or its port of that name, does not exist."""
    service: Service | None = view.get("Service", namespace, target.name)
    names = [port.name for port in service.spec.ports if port.name is not None] if service is not None else []
    return missing(called("Service", namespace, target.name), service is not None, target.section_name, names)


def told_to(
    view: View, policy: AnyPolicy, judged: Iterable[tuple[LocalPolicyTargetReference, Problem | None]]
) -> tuple[list[tuple[ObjectRef, Problem | None]], tuple[Ignored, ...]]:
    """The ancestors of a policy for Services, each with what is wrong there: the Gateways with routes to a target, the oldest first,
    then the targets that concern no Gateway. Of those that find no room in the status nothing can be told; the policy holds there too.
    """
    problems: dict[Age, list[Problem]] = {}
    alone: list[tuple[ObjectRef, Problem | None]] = []
    for target, problem in judged:
        concerned = _gateways_of(view, policy.namespace, target)
        for gateway in concerned:
            problems.setdefault(gateway, []).extend([problem] if problem is not None else [])
        if not concerned:
            alone.append((target_ref(target), problem))
    gateways = [(ObjectRef(GATEWAY_GROUP, "Gateway", found[2], found[1]), combined(problems[found])) for found in sorted(problems)]
    told = [*gateways, *alone]
    rest = (reference for reference, _ in told[MOST_ANCESTORS:])
    untold = ", ".join(called(reference.kind, reference.namespace or policy.namespace, reference.name) for reference in rest)
    message = f"status.ancestors holds {MOST_ANCESTORS} entries at most, so that it does not name {untold}, where the policy holds too"
    return told[:MOST_ANCESTORS], ((policy.key, message),) if untold else ()


def _gateways_of(view: View, namespace: str, target: LocalPolicyTargetReference) -> list[Age]:
    """The Gateways with routes that refer to a target: found by tally, whatever the number of routes."""
    if (target.group, target.kind) != ("", "Service"):
        return []
    gateways: tuple[Gateway, ...] = view.select("kind", "Gateway")
    return [age(gateway) for gateway in gateways if view.tallied("routes of gateway to service", (gateway.key, (namespace, target.name)))]


def missing(target: str, exists: bool, section: str | None, sections: Sequence[str]) -> Problem | None:
    if not exists:
        return Problem("TargetNotFound", f"{target} does not exist")
    if section is not None and section not in sections:
        return Problem("TargetNotFound", f"{target} has no section {section}; it has {', '.join(sections) or 'none'}")
    return None


def ancestor(policy: AnyPolicy, target: LocalPolicyTargetReference, problem: Problem | None) -> AncestorStatus:
    return AncestorStatus(target_ref(target), (met("Accepted", policy.metadata.generation, problem),))


def target_ref(target: LocalPolicyTargetReference) -> ObjectRef:
    """The target of a policy as its ancestor."""
    return ObjectRef(target.group, target.kind, target.name, section_name=target.section_name)
