"""GatewayParameters: whether a reference to them can be used, and what holds for a Gateway: its class's, over them its own.

From files nothing is deployed: a reference of the right kind is accepted there and has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from controller.api.base import Model
from controller.api.gateway import Gateway
from controller.api.gateway_class import GatewayClass, ParametersReference
from controller.api.gateway_parameters import GatewayParameters, GatewayParametersSpec, ServiceSettings
from controller.api.pod_settings import PodSettings, Resources, excess
from controller.api.references import LocalObjectReference
from controller.graph import View
from controller.translate.infrastructure import Autoscaling, DisruptionBudget, Pairs, Parameters
from controller.translate.names import GATEWAY_CLASS_NAME_LABEL, GATEWAY_NAME_LABEL, own_labels
from controller.translate.objects import called, of_group
from controller.translate.options import Options

GROUP, KIND = "tidegate.dev", "GatewayParameters"

NOT_DEPLOYED = "parameters of what is deployed have no effect here; they do in a cluster"
"""Why a reference is ignored where nothing is deployed."""

_Part = TypeVar("_Part", bound=Model)
_PARTS = (ServiceSettings, PodSettings, Resources)
"""Fields that are overlaid field by field. All others are replaced whole."""


def parameters_fault(options: Options, view: View, reference: ParametersReference | LocalObjectReference, namespace: str | None) -> str:
    """Why a reference cannot be used, "" if it can."""
    if (reference.group, reference.kind) != (GROUP, KIND):
        return f"a {of_group(reference.kind, reference.group)} holds no parameters; name a {KIND} of group {GROUP}, or remove the field"
    if not options.cluster:
        return ""
    if namespace is None:
        return f"a {KIND} is in a namespace; add namespace"
    if view.get(KIND, namespace, reference.name) is None:
        return f"{called(KIND, namespace, reference.name)} does not exist, or could never be read"
    return ""


def misfit(view: View, gateway: Gateway) -> str:
    """Why what class and Gateway say cannot hold together, "" if it can."""
    found = _spec_of(view, gateway).resources
    message = excess(found.requests or {}, found.limits or {}) if found is not None else None
    return f"with those of its class: {message[1]}" if message is not None else ""


def parameters_of(view: View, gateway: Gateway) -> Parameters:
    """What holds for a Gateway whose references can be used."""
    spec = _spec_of(view, gateway)
    service, resources, pod = spec.service or ServiceSettings(), spec.resources or Resources(), spec.pod or PodSettings()
    kind = service.type or "LoadBalancer"
    scaling, budget = spec.autoscaling, spec.disruption_budget
    return Parameters(
        replicas=spec.replicas,
        requests=pairs(resources.requests),
        limits=pairs(resources.limits),
        service_type=kind,
        service_annotations=pairs(service.annotations),
        external_traffic_policy=service.external_traffic_policy if kind != "ClusterIP" else None,
        load_balancer_class=service.load_balancer_class if kind == "LoadBalancer" else None,
        autoscaling=Autoscaling(scaling.min, scaling.max, scaling.target_cpu_utilization_percentage) if scaling is not None else None,
        disruption_budget=DisruptionBudget(budget.min_available, budget.max_unavailable) if budget is not None else None,
        workers=spec.workers or 1,
        access_log=spec.access_log or "json",
        pod_labels=pairs(pod.labels),
        pod_annotations=pairs(pod.annotations),
        node_selector=pairs(pod.node_selector),
        tolerations=tuple(_written(each) for each in pod.tolerations or ()),
        topology_spread_constraints=tuple(
            _written(each) | {"labelSelector": {"matchLabels": _of_pods(gateway)}} for each in pod.topology_spread_constraints or ()
        ),
    )


def pairs(mapping: Mapping[str, str] | None) -> Pairs:
    """A mapping in one order."""
    return tuple(sorted((mapping or {}).items()))


def _of_pods(gateway: Gateway) -> dict[str, str]:
    labels = own_labels(gateway.name, gateway.spec.gateway_class_name)
    return {name: labels[name] for name in (GATEWAY_CLASS_NAME_LABEL, GATEWAY_NAME_LABEL)}


def _written(part: Model) -> dict[str, Any]:
    """A part as Kubernetes has it, without what is not said."""
    return part.model_dump(by_alias=True, exclude_none=True)


def _spec_of(view: View, gateway: Gateway) -> GatewayParametersSpec:
    gateway_class: GatewayClass | None = view.get("GatewayClass", "", gateway.spec.gateway_class_name)
    of_class = gateway_class.spec.parameters_ref if gateway_class is not None else None
    own = gateway.spec.infrastructure.parameters_ref if gateway.spec.infrastructure is not None else None
    under = _spec_at(view, of_class.namespace, of_class.name) if of_class is not None else GatewayParametersSpec()
    return overlaid(under, _spec_at(view, gateway.namespace, own.name)) if own is not None else under


def _spec_at(view: View, namespace: str | None, name: str) -> GatewayParametersSpec:
    found: GatewayParameters | None = view.get(KIND, namespace or "", name)
    return found.spec if found is not None else GatewayParametersSpec()


def overlaid(under: GatewayParametersSpec, over: GatewayParametersSpec) -> GatewayParametersSpec:
    """What one object says, and of the rest what the other does. Replicas and autoscaling are two answers to one question."""
    spec = _overlaid(under, over)
    if over.replicas is not None:
        return spec.model_copy(update={"autoscaling": None})
    return spec.model_copy(update={"replicas": None}) if over.autoscaling is not None else spec


def _overlaid(under: _Part, over: _Part) -> _Part:
    said = {name: value for name, value in over if value is not None}
    for name, value in said.items():
        below = getattr(under, name)
        if isinstance(value, _PARTS) and below is not None:
            said[name] = _overlaid(below, value)
    return under.model_copy(update=said)
