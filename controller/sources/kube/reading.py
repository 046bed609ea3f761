"""An object of the API server to one of our models, or in words why it cannot be one. Pure.

Fields that our models do not know: the server keeps none that its own schema does not have, so such a field is of a newer API than
ours. In a kind of Kubernetes (Service, Secret, ConfigMap, Namespace, EndpointSlice) it is ignored, since those grow by fields that leave
the meaning of the others as it was. In a kind of the Gateway API or ours it may restrict what the rest allows, so the object is
refused and the field named.
"""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError

from controller.api.injection import INJECT, ISTIO_INJECT, ISTIO_NAMESPACE
from controller.api.kinds import MODELS
from controller.api.metadata import Object
from controller.sources.complaints import complaints
from controller.sources.kube.resources import Resource

AUTHORITIES: Final = "ca.crt"
"""The entry of a ConfigMap that is read (translate/tls.py)."""

_KUBERNETES = frozenset(("", "discovery.k8s.io"))
"""Groups whose unknown fields are ignored."""

_OF_POD: Final = {
    "metadata": frozenset(("name", "namespace", "labels", "ownerReferences", "uid", "creationTimestamp", "deletionTimestamp")),
    "spec": frozenset(("serviceAccountName", "hostNetwork", "os")),
    "status": frozenset(("phase", "podIP", "podIPs")),
}
"""The fields of a Pod that are read, besides its containers' names and ports (controller.api.pod)."""

_MOST_COMPLAINTS = 3
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def reduced(resource: Resource, raw: dict[str, Any]) -> dict[str, Any] | None:
    """The part of an object that can matter to us; None when nothing of it does (a ConfigMap without CA certificates). Of Pods, of
    which there are many, that is little.

    Without status (but where the model reads it), resourceVersion, the copy of itself that kubectl leaves, and managedFields, but for
    those of a namespace that say since when it asks for sidecars.
    Items of lists do not name their kind, so it is written here. `raw` is left as it is.
    """
    found = {"apiVersion": resource.api_version, "kind": resource.kind} | raw
    metadata = {name: value for name, value in raw["metadata"].items() if name not in ("managedFields", "resourceVersion")}
    if _LAST_APPLIED in (annotations := metadata.get("annotations") or {}):
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    found["metadata"] = metadata
    if "status" not in _model(resource).model_fields:
        found.pop("status", None)
    if resource.kind == "Pod":
        return _of_pod(found)
    if resource.kind == "Namespace" and (owners := _owners_of_labels(raw["metadata"].get("managedFields") or ())):
        metadata["managedFields"] = owners
    if resource.kind != "ConfigMap":
        return found
    for part in ("data", "binaryData"):
        entries = found.pop(part, None) or {}
        if AUTHORITIES in entries:
            found[part] = {AUTHORITIES: entries[AUTHORITIES]}
    return found if "data" in found or "binaryData" in found else None


def _of_pod(pod: dict[str, Any]) -> dict[str, Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    containers = {
        part: [{name: each[name] for name in ("name", "ports", "restartPolicy") if name in each} for each in spec[part] or ()]
        for part in ("containers", "initContainers")
        if part in spec
    }
    metadata = {name: value for name, value in pod["metadata"].items() if name in _OF_POD["metadata"]}
    if ISTIO_INJECT in (annotations := pod["metadata"].get("annotations") or {}):
        metadata["annotations"] = {ISTIO_INJECT: annotations[ISTIO_INJECT]}
    return pod | {
        "metadata": metadata,
        "spec": {name: value for name, value in spec.items() if name in _OF_POD["spec"]} | containers,
        "status": {name: value for name, value in status.items() if name in _OF_POD["status"]},
    }


def _owners_of_labels(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of those who have written a label that asks for sidecars, when they did."""
    found = []
    for entry in entries:
        labels = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:labels") or {}
        asking: dict[str, Any] = {name: {} for name in (f"f:{INJECT}", f"f:{ISTIO_NAMESPACE}") if name in labels}
        if asking:
            found.append({"time": entry.get("time"), "fieldsV1": {"f:metadata": {"f:labels": asking}}})
    return found


def read(resource: Resource, found: dict[str, Any]) -> Object | str:
    """The object, or what is wrong with it: field, fault and remedy, on one line."""
    model = _model(resource)
    try:
        return model.model_validate(found, extra="ignore" if resource.group in _KUBERNETES else None)
    except ValidationError as error:
        told = complaints(error, model, show_values=resource.kind != "Secret")
        texts = [": ".join(filter(None, (each.field, f"{each.message}. {each.remedy}"))) for each in told[:_MOST_COMPLAINTS]]
        more = [f"and {len(told) - _MOST_COMPLAINTS} more"] if len(told) > _MOST_COMPLAINTS else []
        return _one_line("; ".join(texts + more))
    except Exception as error:  # a fault of ours must not stop the watch of all others
        return _one_line(f"it cannot be read: {type(error).__name__}. Report this as a fault of Tidegate")


def _model(resource: Resource) -> type[Object]:
    return MODELS[resource.api_version, resource.kind]


def _one_line(text: str) -> str:
    return " ".join(text.split())
