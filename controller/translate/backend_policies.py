"""BackendPolicy: the options of backends, and its own status."""

from __future__ import annotations

from controller.api.backend_policy import BackendPolicy
from controller.graph import View
from controller.store import Key
from controller.translate.policies import ancestor, attached, conflict_of, service_missing
from controller.translate.statuses import Emission, PolicyStatus
from gateway.ir.backend import BackendOptions


def backend_options(view: View, service: Key, section: str) -> BackendOptions:
    """The options of a Service port, from the BackendPolicy that holds for it."""
    winner = attached(view, "BackendPolicy", service).winner(section)
    policy: BackendPolicy | None = view.get(*winner) if winner is not None else None
    if policy is None:
        return BackendOptions()
    return BackendOptions(policy.spec.balancing.type, policy.spec.connect_timeout)


def translate_backend_policy(key: Key, view: View) -> Emission | None:
    """Unit "backend policy": the status of a BackendPolicy, one ancestor a target."""
    policy: BackendPolicy | None = view.get(*key)
    if policy is None:
        return None
    ancestors = [
        ancestor(policy, target, service_missing(view, policy.namespace, target) or conflict_of(view, policy, target))
        for target in policy.spec.target_refs
    ]
    return Emission(statuses=(PolicyStatus(key, policy.metadata.generation, tuple(ancestors)),))
