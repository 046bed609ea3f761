"""BackendPolicy: the options of backends, those of XBackendTrafficPolicy among them, and its own status."""

from __future__ import annotations

from typing import Literal

from controller.api.backend_policy import BackendPolicy, BackendPolicySpec
from controller.api.core import Service
from controller.graph import View
from controller.store import Key
from controller.translate.backend_traffic_policies import backend_traffic
from controller.translate.policies import ancestor, attached, conflict_of, service_missing
from controller.translate.statuses import Emission, PolicyStatus
from gateway.ir.backend import NO_POLICY, BackendOptions, Balancing, Ejection, GrpcCheck, HashOn, HealthCheck, HttpCheck, Limits

PROXY_VERSIONS: dict[str | None, Literal["", "v1", "v2"]] = {None: "", "V1": "v1", "V2": "v2"}
"""BackendPolicy.proxyProtocol in the contract's words."""


def backend_options(view: View, service: Service, section: str, backend: str) -> BackendOptions:
    """The options of a Service port, from the BackendPolicy and the XBackendTrafficPolicy that hold for it; `backend` is its key."""
    winner = attached(view, "BackendPolicy", service.key).winner(section)
    policy: BackendPolicy | None = view.get(*winner) if winner is not None else None
    budget, persistence = backend_traffic(view, service, backend)
    if policy is None:
        return NO_POLICY if budget is None and persistence is None else BackendOptions(retry_budget=budget, persistence=persistence)
    spec = policy.spec
    return BackendOptions(
        balancing=_balancing(spec),
        connect_timeout=spec.connect_timeout,
        send_timeout=spec.send_timeout,
        ejection=_ejection(spec),
        health_check=_health_check(spec),
        panic_threshold=spec.panic_threshold,
        limits=Limits(spec.limits.connections, spec.limits.pending_requests, spec.limits.requests or 0),
        retry_budget=budget,
        persistence=persistence,
        proxy_protocol=PROXY_VERSIONS[spec.proxy_protocol],
    )


def _ejection(spec: BackendPolicySpec) -> Ejection:
    options = spec.ejection
    return Ejection(options.consecutive_errors, options.base_time, options.max_time, options.connect_failures)


def _balancing(spec: BackendPolicySpec) -> Balancing:
    entries = (HashOn(entry.type, entry.name or "") for entry in spec.balancing.hash_on)
    parts = tuple(HashOn(part.type, part.name.lower()) if part.type == "Header" else part for part in entries)
    return Balancing(spec.balancing.type, parts, spec.balancing.table_size or 0)


def _health_check(spec: BackendPolicySpec) -> HealthCheck | None:
    check = spec.health_check
    if check is None:
        return None
    http = None
    if check.http is not None:
        http = HttpCheck(check.http.path, check.http.host or "", check.http.statuses)
    elif check.type == "HTTP":
        http = HttpCheck()
    grpc = GrpcCheck(check.grpc.service if check.grpc is not None else "") if check.type == "GRPC" else None
    return HealthCheck(http, check.interval, check.timeout, check.healthy_threshold, check.unhealthy_threshold, check.jitter, grpc)


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
