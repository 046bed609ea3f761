"""The CustomResourceDefinition of each kind of group tidegate.dev."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from controller.api.base import Model
from controller.api.kinds import MODELS
from controller.api.metadata import Object
from controller.definitions.structural import Schema, structural
from controller.sources.kube.resources import RESOURCES

GROUP: Final = "tidegate.dev"

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

_CONDITIONS = ".status.ancestors[0].conditions[?(@.type=='Accepted')]"
_ACCEPTED: Final = [
    {"name": "Accepted", "type": "string", "jsonPath": f"{_CONDITIONS}.status"},
    {"name": "Reason", "type": "string", "jsonPath": f"{_CONDITIONS}.reason"},
]
_AGE: Final = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_REPLICAS: Final = [
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
    {"name": "Service", "type": "string", "jsonPath": ".spec.service.type"},
]


def definitions() -> Mapping[str, dict[str, Any]]:
    """The definition of each of our kinds, by the name of its file."""
    ours = [model for (api_version, _), model in MODELS.items() if api_version.startswith(f"{GROUP}/")]
    found = map(definition, ours)
    return {f"{GROUP}_{each['spec']['names']['plural']}.yaml": each for each in found}


def definition(model: type[Object]) -> dict[str, Any]:
    """The CustomResourceDefinition of a model; a kind that is attached to targets is a policy, and has a status."""
    spec_field = model.model_fields["spec"]
    spec = spec_field.annotation
    assert isinstance(spec, type)
    assert issubclass(spec, Model)
    resource = RESOURCES[model.__name__]
    is_policy = "target_refs" in spec.model_fields
    schema: Schema = {
        "description": (model.__doc__ or "").strip(),
        "type": "object",
        **({"required": ["spec"]} if spec_field.is_required() else {}),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(spec),
            **({"status": POLICY_STATUS} if is_policy else {}),
        },
    }
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [*(_ACCEPTED if is_policy else _REPLICAS), _AGE],
        "schema": {"openAPIV3Schema": schema},
        **({"subresources": {"status": {}}} if is_policy else {}),
    }
    labels = {"app.kubernetes.io/name": "tidegate", **({"gateway.networking.k8s.io/policy": "Direct"} if is_policy else {})}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.title, "labels": labels},
        "spec": {
            "group": resource.group,
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "categories": ["gateway-api"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }
