"""Labels by which namespaces and Pods ask for a sidecar, and which Pods get one: one answer for webhook, translation and status.

The selectors of the webhook (charts/tidegate/templates/webhook.yaml) say the same of labels; a test holds the two together. Ours stands
over Istio's at a namespace, which says one thing of all its Pods. At a Pod "false" wins over "true", whichever spelling has it: who asks to
be left alone is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

INJECT: Final = "tidegate.dev/inject"
"""Label of a namespace (ENABLED or anything else) and of a Pod ("true" or "false")."""
ISTIO_NAMESPACE: Final = "istio-injection"
"""The label of a namespace as Istio has it."""
ISTIO_INJECT: Final = "sidecar.istio.io/inject"
"""That of a Pod, a label or, formerly, an annotation."""
ENABLED: Final = "enabled"

MESH: Final = "tidegate.dev/mesh"
"""Label of an injected Pod, by which the controller knows it."""
SIDECAR: Final = "sidecar"
"""The value of MESH."""
SIDECAR_CONTAINER: Final = "tidegate-sidecar"
ISTIO_CONTAINER: Final = "istio-proxy"

NEVER: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces of the cluster itself: what they run must start without us."""
_OWN: Final = {"app.kubernetes.io/managed-by": "tidegate", "app.kubernetes.io/name": "tidegate-gateway"}
"""The labels of the proxies that the controller deploys for Gateways."""


class Traits(NamedTuple):
    """What of a Pod counts. `containers` are the names of all of them."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    host_network: bool
    system: str
    """Its operating system, "" where it says nothing."""
    containers: frozenset[str]


def asking_label(labels: Mapping[str, str]) -> str:
    """The label of a namespace that counts, "" where it has neither."""
    return next((name for name in (INJECT, ISTIO_NAMESPACE) if name in labels), "")


def namespace_asks(labels: Mapping[str, str]) -> bool | None:
    """Whether a namespace says that its Pods get sidecars; None where it leaves that to each."""
    label = asking_label(labels)
    return labels[label] == ENABLED if label else None


def is_injected(namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether the Pods of a namespace get sidecars unless they say otherwise."""
    return namespace not in NEVER and namespace_asks(labels) is True


def pod_asks(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool | None:
    """What a Pod says of itself; None where it says nothing. Raises ValueError for another value than "true" or "false"."""
    said = [(f"label {name}", labels[name]) for name in (INJECT, ISTIO_INJECT) if name in labels]
    if ISTIO_INJECT in annotations and ISTIO_INJECT not in labels:
        said.append((f"annotation {ISTIO_INJECT}", annotations[ISTIO_INJECT]))
    for where, value in said:
        if value not in {"true", "false"}:
            raise ValueError(f'{where} is {value!r}: write "true" or "false", or remove it')
    values = {value for _, value in said}
    return None if not values else "false" not in values


def is_meshed(labels: Mapping[str, str]) -> bool:
    """Whether a Pod is known to have a sidecar."""
    return labels.get(MESH) == SIDECAR


def is_of_gateway(labels: Mapping[str, str]) -> bool:
    """Whether a Pod is a proxy that the controller deploys for a Gateway."""
    return _OWN.items() <= labels.items()


def reason_against(pod: Traits, namespace: str, own_namespace: str) -> str:
    """Why a Pod gets no sidecar, "" if it does; either namespace is "" where it is not known. Raises ValueError as pod_asks does."""
    if namespace and namespace in {*NEVER, own_namespace}:
        return f"nothing is injected in namespace {namespace}"
    if pod_asks(pod.labels, pod.annotations) is False:
        return "its label says so"
    if pod.host_network:
        return "it has hostNetwork: its traffic is that of the node, and cannot be captured for one Pod alone"
    if pod.system == "windows":
        return "it is for Windows: capture needs Linux"
    if is_of_gateway(pod.labels):
        return "it is a proxy of a Gateway"
    if ISTIO_CONTAINER in pod.containers:
        return f"it has a sidecar of Istio ({ISTIO_CONTAINER}) already; set label {ISTIO_INJECT}: \"false\" on one that is to have ours"
    return ""
