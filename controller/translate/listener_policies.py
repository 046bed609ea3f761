"""ListenerPolicy: the options of listeners, and its own status."""

from __future__ import annotations

from controller.api.listener_policy import ListenerPolicy, Tracing
from controller.api.rate_limits import RateLimit
from controller.graph import View
from controller.store import Key
from controller.translate.objects import called
from controller.translate.parents import Parent
from controller.translate.policies import ancestor, attached, conflict_of, missing
from controller.translate.statuses import AncestorStatus, Emission, Ignored, PolicyStatus
from gateway.ir.listener import ListenerOptions
from gateway.ir.rate_limit import RateLimit as RateLimitResource
from gateway.ir.tracing import Tracing as TracingResource


def listener_options(view: View, gateway: Key, owner: Key, listener: str) -> ListenerOptions:
    """The options of a listener, from the ListenerPolicy that holds for it: for the ListenerSet that it is written in, else the Gateway."""
    winner = attached(view, "ListenerPolicy", owner).winner(listener)
    if winner is None and owner != gateway:
        winner = attached(view, "ListenerPolicy", gateway).winner("")
    policy: ListenerPolicy | None = view.get(*winner) if winner is not None else None
    if policy is None:
        return ListenerOptions()
    return ListenerOptions(
        trusted_hops=policy.spec.trusted_hops or 0,
        trusted_addresses=policy.spec.trusted_addresses,
        header_timeout=policy.spec.timeouts.header,
        idle_timeout=policy.spec.timeouts.idle,
        body_timeout=policy.spec.timeouts.body,
        send_timeout=policy.spec.timeouts.send,
        tunnel_idle_timeout=policy.spec.timeouts.tunnel_idle,
        minimum_body_rate=policy.spec.minimum_rates.body,
        minimum_send_rate=policy.spec.minimum_rates.send,
        rate_grace=policy.spec.minimum_rates.grace,
        most_connections=policy.spec.limits.connections or 0,
        most_connections_per_client=policy.spec.limits.connections_per_client or 0,
        most_requests_per_connection=policy.spec.limits.requests_per_connection or 0,
        most_request_body=policy.spec.limits.request_body or 0,
        rate_limits=tuple(_rate_limit(policy, limit, index) for index, limit in enumerate(policy.spec.rate_limits)),
        escaped_slashes=policy.spec.paths.escaped_slashes,
        merge_slashes=policy.spec.paths.merge_slashes,
        reason_header=policy.spec.reason_header,
        access_log=policy.spec.access_log,
        proxy_protocol=policy.spec.proxy_protocol.mode,
        proxy_protocol_addresses=policy.spec.proxy_protocol.addresses,
        stream_idle_timeout=policy.spec.timeouts.stream_idle,
        flow_idle_timeout=policy.spec.timeouts.flow_idle,
        most_flows=policy.spec.limits.flows,
        most_streams_per_connection=policy.spec.limits.streams_per_connection,
        tracing=_tracing(policy.spec.tracing),
    )


def _tracing(tracing: Tracing | None) -> TracingResource | None:
    return None if tracing is None else TracingResource(tracing.collector or "", tracing.sampling_percent, tracing.disabled)


def _rate_limit(policy: ListenerPolicy, limit: RateLimit, index: int) -> RateLimitResource:
    return RateLimitResource(
        limit.name or str(index),
        limit.requests,
        limit.period,
        limit.burst or limit.requests,
        limit.by,
        limit.header.lower() if limit.header is not None else "",
        limit.ipv6_prefix_length,
        tuple(f"{route.namespace or policy.namespace}/{route.name}" for route in limit.routes),
        limit.announce,
    )


def translate_listener_policy(key: Key, view: View) -> Emission | None:
    """Unit "listener policy": the status of a ListenerPolicy, one ancestor a target."""
    policy: ListenerPolicy | None = view.get(*key)
    if policy is None:
        return None
    ancestors: list[AncestorStatus] = []
    ignored: list[Ignored] = []
    for index, target in enumerate(policy.spec.target_refs):
        found = (target.kind, policy.namespace, target.name)
        exists = view.get(*found) is not None
        parent: Parent = view.result("parent", found)
        if exists and parent.foreign:
            ignored.append((key, f"spec.targetRefs[{index}]: {parent.foreign}"))
            continue
        names = [listener.name for listener in parent.listeners]
        absent = missing(called(*found), exists, target.section_name, names)
        ancestors.append(ancestor(policy, target, absent or conflict_of(view, policy, target)))
    statuses = (PolicyStatus(key, policy.metadata.generation, tuple(ancestors)),) if ancestors else ()
    return Emission(statuses=statuses, ignored=tuple(ignored))
