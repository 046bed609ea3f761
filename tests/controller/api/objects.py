"""Smallest valid objects for the tests of the models, and what a model says against an object."""

from typing import Any

from pydantic import ValidationError

from controller.api.kinds import MODELS
from controller.api.metadata import Object
from controller.sources.complaints import complaints

GATEWAY_API = "gateway.networking.k8s.io/v1"


def object_of(kind: str, version: str = GATEWAY_API, **fields: Any) -> dict[str, Any]:
    """An object of this kind named `x`, with these fields."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **fields}


def route(**spec: Any) -> dict[str, Any]:
    """An HTTPRoute with this spec."""
    return object_of("HTTPRoute", spec=spec)


def rule(**fields: Any) -> dict[str, Any]:
    """An HTTPRoute with one rule."""
    return route(rules=[fields])


def filtered(**fields: Any) -> dict[str, Any]:
    """An HTTPRoute with one rule with one filter."""
    return rule(filters=[fields])


def gateway(*listeners: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A Gateway with these listeners, or one of protocol HTTP."""
    return object_of("Gateway", spec={"gatewayClassName": "tidegate", "listeners": listeners or (listener(),), **spec})


def listener(**fields: Any) -> dict[str, Any]:
    """A listener, of protocol HTTP on port 80 unless the fields say otherwise."""
    return {"name": "web", "port": 80, "protocol": "HTTP", **fields}


def read(data: dict[str, Any]) -> Object:
    """The object that the model of its kind reads."""
    return MODELS[data["apiVersion"], data["kind"]].model_validate(_lists(data))


def refused(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Field and message of each refusal."""
    model = MODELS[data["apiVersion"], data["kind"]]
    try:
        model.model_validate(_lists(data))
    except ValidationError as error:
        found = complaints(error, model, show_values=True)
        assert all(complaint.remedy.endswith((".", "?")) for complaint in found)
        return [(complaint.field, complaint.message) for complaint in found]
    return []


def refused_fields(data: dict[str, Any]) -> list[str]:
    """The field of each refusal."""
    return [field for field, _ in refused(data)]


def _lists(value: Any) -> Any:
    # As YAML gives them: lists, never tuples.
    if isinstance(value, dict):
        return {field: _lists(inner) for field, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list | tuple) else value
