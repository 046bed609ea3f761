"""XBackendTrafficPolicy: retry budget and session persistence of a Service, and its status on each Gateway concerned.

A target that concerns no Gateway is its own ancestor. A part of the policy that cannot hold does not, and the policy says so; the
other part holds all the same.
"""

from __future__ import annotations

from controller.api.backend_traffic_policy import BackendTrafficPolicyTarget, RetryConstraint, XBackendTrafficPolicy
from controller.api.core import Service
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem, met
from controller.translate.objects import called, of_group
from controller.translate.persistence import persistence_fault, translate_persistence
from controller.translate.policies import attached, conflict_of, service_missing, told_to
from controller.translate.statuses import AncestorStatus, Emission, PolicyStatus
from gateway.ir.backend import RetryBudget
from gateway.ir.rule import Persistence


def backend_traffic(view: View, service: Service, backend: str) -> tuple[RetryBudget | None, Persistence | None]:
    """What the policy that holds for a Service says of retries and sessions of one of its Backends, `backend` being its key."""
    winner = attached(view, "XBackendTrafficPolicy", service.key).winner("")
    policy: XBackendTrafficPolicy | None = view.get(*winner) if winner is not None else None
    if policy is None:
        return None, None
    constraint, persistence = policy.spec.retry_constraint, policy.spec.session_persistence
    return (
        _budget(constraint) if constraint is not None else None,
        translate_persistence(persistence, backend) if persistence is not None and _bad_persistence(policy, service) is None else None,
    )


def _budget(constraint: RetryConstraint) -> RetryBudget:
    budget, rate = constraint.budget, constraint.min_retry_rate
    return RetryBudget(budget.percent, budget.interval, rate.count, rate.interval)


def _bad_persistence(policy: XBackendTrafficPolicy, service: Service | None) -> Problem | None:
    """A Service with an affinity of its own excludes sessions, as for rules (GEP-1619)."""
    persistence = policy.spec.session_persistence
    if persistence is None:
        return None
    if (fault := persistence_fault(persistence)) is not None:
        return Problem("Invalid", f"spec.{fault}")
    if service is not None and service.spec.session_affinity != "None":
        message = f"spec.sessionPersistence excludes the sessionAffinity of {called(*service.key)}; remove one of the two"
        return Problem("Invalid", message)
    return None


def translate_backend_traffic_policy(key: Key, view: View) -> Emission | None:
    """Unit "backend traffic policy": the status of an XBackendTrafficPolicy."""
    policy: XBackendTrafficPolicy | None = view.get(*key)
    if policy is None:
        return None
    told, untold = told_to(view, policy, [(target, _target_problem(view, policy, target)) for target in policy.spec.target_refs])
    generation = policy.metadata.generation
    ancestors = tuple(AncestorStatus(reference, (met("Accepted", generation, problem),)) for reference, problem in told)
    return Emission(statuses=(PolicyStatus(key, generation, ancestors),), ignored=untold)


def _target_problem(view: View, policy: XBackendTrafficPolicy, target: BackendTrafficPolicyTarget) -> Problem | None:
    if (target.group, target.kind) != ("", "Service"):
        message = f"an XBackendTrafficPolicy targets a Service of the core group, not a {of_group(target.kind, target.group)}"
        return Problem("Invalid", message)
    service: Service | None = view.get("Service", policy.namespace, target.name)
    return service_missing(view, policy.namespace, target) or conflict_of(view, policy, target) or _bad_persistence(policy, service)
