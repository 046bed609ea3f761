"""The CustomResourceDefinition of each kind of group tidegate.dev, and of those kinds of Istio's that we read.

The latter are for clusters without Istio. They keep the fields that our models do not know, since such a field must not get lost without
a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from controller.api.base import Model
from controller.api.kinds import MODELS, VERSIONS
from controller.api.metadata import Object
from controller.definitions.structural import PRESERVED, Schema, structural
from controller.sources.kube.resources import RESOURCES

GROUP: Final = "tidegate.dev"
ISTIO: Final = "istio.io"
"""Of which the groups of Istio's kinds are parts."""

_CONDITION: Final[Schema] = {
    "description": "metav1.Condition.",
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {"type": "string", "maxLength": 316},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
        "message": {"type": "string", "maxLength": 32768},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
    },
}
_ANCESTOR: Final[Schema] = {
    "type": "object",
    "required": ["ancestorRef", "controllerName", "conditions"],
    "properties": {
        "ancestorRef": {
            "description": "What the policy holds for.",
            "type": "object",
            "required": ["name"],
            "properties": {
                "group": {"type": "string", "maxLength": 253},
                "kind": {"type": "string", "minLength": 1, "maxLength": 63},
                "namespace": {"type": "string", "minLength": 1, "maxLength": 63},
                "name": {"type": "string", "minLength": 1, "maxLength": 253},
                "sectionName": {"type": "string", "minLength": 1, "maxLength": 253},
                "port": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 65535},
            },
        },
        "controllerName": {"description": "Who says so.", "type": "string", "minLength": 1, "maxLength": 253},
        "conditions": {
            "type": "array",
            "maxItems": 8,
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}
POLICY_STATUS: Final[Schema] = {
    "description": "What became of the policy, for each of its targets (PolicyStatus of the Gateway API).",
    "type": "object",
    "required": ["ancestors"],
    "properties": {"ancestors": {"type": "array", "maxItems": 16, "items": _ANCESTOR, "x-kubernetes-list-type": "atomic"}},
}

ISTIO_STATUS: Final[Schema] = {
    "description": "What became of it (IstioStatus).",
    "type": "object",
    PRESERVED: True,
}

_CONDITIONS = ".status.ancestors[0].conditions[?(@.type=='Accepted')]"
_ACCEPTED: Final = [
    {"name": "Accepted", "type": "string", "jsonPath": f"{_CONDITIONS}.status"},
    {"name": "Reason", "type": "string", "jsonPath": f"{_CONDITIONS}.reason"},
]
_ACCEPTED_AT_ALL: Final = [each | {"jsonPath": each["jsonPath"].replace(".ancestors[0]", "")} for each in _ACCEPTED]
_AGE: Final = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_REPLICAS: Final = [
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
    {"name": "Service", "type": "string", "jsonPath": ".spec.service.type"},
]


def definitions(group: str = GROUP) -> Mapping[str, dict[str, Any]]:
    """The definition of each kind of a group, or of a part of it, by the name of its file."""
    models = dict.fromkeys(model for (api_version, _), model in MODELS.items() if _is_part(api_version.rpartition("/")[0], group))
    found = map(definition, models)
    return {f"{each['spec']['group']}_{each['spec']['names']['plural']}.yaml": each for each in found}


def _is_part(group: str, whole: str) -> bool:
    return group == whole or group.endswith(f".{whole}")


def definition(model: type[Object]) -> dict[str, Any]:
    """The CustomResourceDefinition of a model; a kind that is attached to targets, or selects workloads, is a policy, and has a status."""
    spec_field = model.model_fields["spec"]
    spec = spec_field.annotation
    assert isinstance(spec, type)
    assert issubclass(spec, Model)
    resource = RESOURCES[model.__name__]
    is_istios = _is_part(resource.group, ISTIO)
    is_policy = is_istios or "target_refs" in spec.model_fields
    status = ISTIO_STATUS if is_istios else POLICY_STATUS
    accepted = _ACCEPTED_AT_ALL if is_istios else _ACCEPTED
    schema: Schema = {
        "description": (model.__doc__ or "").strip(),
        "type": "object",
        **({"required": ["spec"]} if spec_field.is_required() else {}),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(spec),
            **({"status": status} if is_policy else {}),
        },
    }
    versions = [
        {
            "name": api_version.rpartition("/")[2],
            "served": True,
            "storage": api_version == resource.api_version,
            "additionalPrinterColumns": [*(accepted if is_policy else _REPLICAS), _AGE],
            "schema": {"openAPIV3Schema": schema},
            **({"subresources": {"status": {}}} if is_policy else {}),
        }
        for api_version in VERSIONS[resource.kind]
    ]
    attached = {"gateway.networking.k8s.io/policy": "Direct"} if is_policy and not is_istios else {}
    labels = {"app.kubernetes.io/name": "tidegate", **attached}
    kept = {"annotations": {"helm.sh/resource-policy": "keep"}} if is_istios else {}  # with it would go everybody's policies
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.title, "labels": labels, **kept},
        "spec": {
            "group": resource.group,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "categories": ["istio-io" if is_istios else "gateway-api"],
            },
            "scope": "Namespaced",
            "versions": versions,
        },
    }
