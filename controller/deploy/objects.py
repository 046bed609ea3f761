"""What all deployed objects share: kinds, metadata, and how an object is known as one that we made.

An object is ours, and only then changed or deleted, if it carries our label and its controlling owner is the Gateway. A name
alone proves nothing: whoever may write in the namespace may have had it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from controller.sources.kube.resources import RESOURCES
from controller.translate.infrastructure import Infrastructure
from controller.translate.names import deployed_name, own_labels

Manifest = dict[str, Any]
"""An object as it is applied: only the fields that we state."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OURS: Final = "tidegate"
GATEWAY_GROUP: Final = "gateway.networking.k8s.io"

DEPLOYED: Final = ("ServiceAccount", "ConfigMap", "Service", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget")
"""The kinds that are deployed for a Gateway."""


class ObjectKey(NamedTuple):
    """Kind, namespace and name of a deployed object."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def key_of(manifest: Mapping[str, Any]) -> ObjectKey:
    """The key of a manifest, or of an object that the API server gave with its kind."""
    metadata = manifest["metadata"]
    return ObjectKey(manifest["kind"], metadata["namespace"], metadata["name"])


def selector(infrastructure: Infrastructure) -> dict[str, str]:
    """The labels by which a Gateway's Pods are selected. A Deployment's cannot be changed, so they are those that never do."""
    return own_labels(infrastructure.gateway[2], infrastructure.class_name)


def labels(infrastructure: Infrastructure, *more: tuple[str, str]) -> dict[str, str]:
    """The labels of everything deployed: `more`, over them those of spec.infrastructure, over all ours."""
    return {**dict(more), **dict(infrastructure.labels), **selector(infrastructure)}


def manifest(infrastructure: Infrastructure, kind: str, content: Mapping[str, Any], name: str = "") -> Manifest:
    """An object of a Gateway, owned by it; named as the Deployment is unless another name is given."""
    _, namespace, gateway = infrastructure.gateway
    metadata: dict[str, Any] = {
        "name": name or deployed_name(gateway, infrastructure.class_name),
        "namespace": namespace,
        "labels": labels(infrastructure),
        "ownerReferences": [_owner(infrastructure)],
    }
    if infrastructure.annotations:
        metadata["annotations"] = dict(infrastructure.annotations)
    return {"apiVersion": RESOURCES[kind].api_version, "kind": kind, "metadata": metadata, **content}


def owner_of(live: Mapping[str, Any]) -> str:
    """The name of the Gateway that an object was made for by us; "" for objects that are not ours."""
    metadata = live["metadata"]
    if metadata.get("labels", {}).get(MANAGED_BY) != OURS:
        return ""
    for owner in metadata.get("ownerReferences", ()):
        group = owner["apiVersion"].partition("/")[0]
        if owner.get("controller") and owner["kind"] == "Gateway" and group == GATEWAY_GROUP:
            return str(owner["name"])
    return ""


def holds(live: Any, stated: Any) -> bool:
    """Whether an object still has every field that a manifest states. What others added to a mapping does not count."""
    if isinstance(stated, Mapping):
        return isinstance(live, Mapping) and all(key in live and holds(live[key], value) for key, value in stated.items())
    if isinstance(stated, list):
        return isinstance(live, list) and len(live) == len(stated) and all(map(holds, live, stated))
    return bool(live == stated)


def _owner(infrastructure: Infrastructure) -> dict[str, Any]:
    return {
        "apiVersion": RESOURCES["Gateway"].api_version,
        "kind": "Gateway",
        "name": infrastructure.gateway[2],
        "uid": infrastructure.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
