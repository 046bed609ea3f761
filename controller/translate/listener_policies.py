"""ListenerPolicy: the options of listeners, and its own status."""

from __future__ import annotations

from controller.api.gateway import Gateway
from controller.api.listener_policy import ListenerPolicy
from controller.graph import View
from controller.store import Key
from controller.translate.listeners import Parent
from controller.translate.objects import called
from controller.translate.policies import ancestor, attached, conflict_of, missing
from controller.translate.statuses import AncestorStatus, Emission, Ignored, PolicyStatus
from gateway.ir.listener import ListenerOptions


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
        absent = missing(called("Gateway", policy.namespace, target.name), gateway is not None, target.section_name, names)
        ancestors.append(ancestor(policy, target, absent or conflict_of(view, policy, target)))
    statuses = (PolicyStatus(key, policy.metadata.generation, tuple(ancestors)),) if ancestors else ()
    return Emission(statuses=statuses, ignored=tuple(ignored))
