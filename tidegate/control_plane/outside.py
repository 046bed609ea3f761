"""Pods that are not in the mesh although they could be thought to be, each with the reason and what to do about it.

Told are Pods of namespaces whose label asks for sidecars, Pods that ask by their own label, and Pods whose label says that they have one.
Of a namespace without a label that has Pods of the mesh besides others, the others are counted. A namespace that has nothing to do with the
mesh is not spoken of, nor are Pods that have ended or are ending, nor the proxies of Gateways.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from controller.api.core import Namespace
from controller.api.injection import (
    INJECT,
    MESH,
    NEVER,
    SIDECAR_CONTAINER,
    Traits,
    asking_label,
    is_meshed,
    is_of_gateway,
    namespace_asks,
    pod_asks,
    reason_against,
)
from controller.api.pod import Pod
from controller.store import Key


class Outside(NamedTuple):
    """A Pod, or a namespace: why it is not in the mesh, and what to do; the latter is "" where somebody wanted it so."""

    object: Key
    reason: str
    remedy: str = ""


def outside(
    namespaces: Iterable[Namespace], pods: Iterable[Pod], own_namespace: str, connected: Collection[str] | None
) -> Iterator[Outside]:
    """In the order of namespaces and Pods. `connected` are the workloads (namespace/name) whose sidecars are connected, None where that is
    not known."""
    by_namespace: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.status.phase not in ("Succeeded", "Failed") and pod.metadata.deletion_timestamp is None:
            by_namespace.setdefault(pod.namespace, []).append(pod)
    for namespace in sorted(namespaces, key=lambda each: each.name):
        present = sorted(by_namespace.get(namespace.name, ()), key=lambda each: each.name)
        yield from _of_namespace(namespace, present, own_namespace, connected)


def _of_namespace(namespace: Namespace, pods: list[Pod], own_namespace: str, connected: Collection[str] | None) -> Iterator[Outside]:
    name, labels = namespace.name, namespace.metadata.labels
    asks = namespace_asks(labels)
    if name in NEVER or name == own_namespace:
        if asks:
            label = asking_label(labels)
            yield Outside(namespace.key, f"nothing is injected in it, whatever its label {label} says", f"remove label {label}")
        return
    unspoken, is_mixed = 0, False
    for pod in pods:
        if is_of_gateway(pod.metadata.labels):
            continue
        if is_meshed(pod.metadata.labels):
            is_mixed = True
            found = _of_sidecar(pod, connected)
        else:
            found = _without(pod, namespace)
            unspoken += asks is None and found is None
        if found is not None:
            yield found
    if is_mixed and unspoken:
        those = "1 of its Pods has" if unspoken == 1 else f"{unspoken} of its Pods have"
        remedy = f"where they are to have one: kubectl label namespace {name} {INJECT}=enabled, and restart them"
        yield Outside(namespace.key, f"it has no label {INJECT}, so {those} no sidecar", remedy)


def _of_sidecar(pod: Pod, connected: Collection[str] | None) -> Outside | None:
    """Of a Pod whose label says that it has one."""
    if connected is None or f"{pod.namespace}/{pod.name}" in connected:
        return None
    if SIDECAR_CONTAINER not in _containers(pod):
        reason = f"its label {MESH} says that it has a sidecar, but it has no container {SIDECAR_CONTAINER}, and no other is connected"
        return Outside(pod.key, reason, "remove the label: whoever calls it asks for mutual TLS in vain")
    if pod.status.phase == "Running":
        look = f"kubectl -n {pod.namespace} logs {pod.name} -c {SIDECAR_CONTAINER}"
        return Outside(pod.key, "its sidecar is not connected to the controller", f"see why: {look}")
    look = f"kubectl -n {pod.namespace} describe pod {pod.name}"
    return Outside(pod.key, f"its sidecar is not connected, since the Pod does not run yet ({pod.status.phase})", f"see why: {look}")


def _without(pod: Pod, namespace: Namespace) -> Outside | None:
    """Of a Pod without a sidecar; None where nobody has asked for one."""
    labels = namespace.metadata.labels
    of_namespace = namespace_asks(labels)
    try:
        of_pod = pod_asks(pod.metadata.labels, pod.metadata.annotations)
        reason = reason_against(_traits(pod), "", "")
    except ValueError as error:
        return Outside(pod.key, str(error), _restart(pod)) if of_namespace else None
    if of_namespace is None and not of_pod:
        return None
    if of_namespace is False:
        label = asking_label(labels)
        stands_over = f"label {label}: {labels[label]} of its namespace says no, whatever its own says"
        return Outside(pod.key, stands_over, f"set the label of the namespace to enabled, or remove the Pod's {INJECT}") if of_pod else None
    if reason:
        return Outside(pod.key, reason)
    if of_namespace is None:
        return Outside(pod.key, "its own label asks for a sidecar, but did not, or met no controller, when it was created", _restart(pod))
    return Outside(pod.key, _late(pod.metadata.creation_timestamp, namespace), _restart(pod))


def _late(created: datetime | None, namespace: Namespace) -> str:
    """Why a Pod of a namespace that asks has none although nothing speaks against it."""
    label = asking_label(namespace.metadata.labels)
    written = namespace.metadata.label_written(label)
    if written is None or created is None:
        return f"it is older than label {label} of its namespace, or no controller answered when it was created"
    if created <= written:
        return f"it is older than label {label} of its namespace, which was last written at {_moment(written)}"
    return f"no controller answered when it was created, at {_moment(created)}"


def _restart(pod: Pod) -> str:
    """How a Pod is made anew: by whatever runs it, if anything does."""
    kind, name = pod.runner
    if kind in ("Deployment", "StatefulSet", "DaemonSet"):
        return f"restart it: kubectl -n {pod.namespace} rollout restart {kind.lower()}/{name}"
    if kind == "Pod":
        return "delete it and create it anew"
    return f"delete it, so that its {kind} {name} makes another"


def _traits(pod: Pod) -> Traits:
    return Traits(pod.metadata.labels, pod.metadata.annotations, pod.spec.host_network, pod.spec.os.name, _containers(pod))


def _containers(pod: Pod) -> frozenset[str]:
    return frozenset(container.name for container in (*pod.spec.init_containers, *pod.spec.containers))


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
