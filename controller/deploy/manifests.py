"""The objects that stand in the cluster for a Gateway, as plain values for server-side apply.

A pure function: what a Gateway is to be deployed as, and the settings of the controller, to manifests. Only fields that we decide
are stated; what others may write, such as the replicas of an autoscaler or the node ports of a Service, is left out, so that
applying leaves it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller.deploy.objects import Manifest, ObjectKey, key_of, manifest, selector
from controller.deploy.pods import authorities_name, pod_template
from controller.deploy.settings import Settings
from controller.sources.kube.resources import RESOURCES
from controller.translate.infrastructure import Infrastructure
from controller.translate.names import deployed_name, service_name


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to stand for a Gateway: what is applied, in this order, and what stays as it is where it is there."""

    manifests: tuple[Manifest, ...] = ()
    kept: frozenset[ObjectKey] = frozenset()


def plan(infrastructure: Infrastructure, settings: Settings) -> Plan:
    """What stands for a Gateway.

    A Service has one port at least, so a Gateway that serves none has no manifest of a Service. One that is there already is kept
    nevertheless: its address would be lost for a mistake in a listener that is mended a minute later.
    """
    services = _services(infrastructure)
    applied = services if infrastructure.ports else []
    objects = [
        manifest(infrastructure, "ServiceAccount", {"automountServiceAccountToken": False}),
        manifest(infrastructure, "ConfigMap", {"data": {"ca.crt": settings.authorities}}, authorities_name(infrastructure)),
        *applied,
        manifest(infrastructure, "Deployment", {"spec": _deployment(infrastructure, settings)}),
    ]
    if infrastructure.parameters.autoscaling is not None:
        objects.append(manifest(infrastructure, "HorizontalPodAutoscaler", {"spec": _autoscaler(infrastructure)}))
    if infrastructure.parameters.disruption_budget is not None:
        objects.append(manifest(infrastructure, "PodDisruptionBudget", {"spec": _disruption_budget(infrastructure)}))
    return Plan(tuple(objects), frozenset() if applied else frozenset(map(key_of, services)))


def _deployment(infrastructure: Infrastructure, settings: Settings) -> dict[str, Any]:
    """One more Pod is made before one is taken away. Replicas are stated only where nobody else decides on them."""
    parameters = infrastructure.parameters
    spec: dict[str, Any] = {
        "selector": {"matchLabels": selector(infrastructure)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": pod_template(infrastructure, settings),
    }
    if parameters.autoscaling is None and parameters.replicas is not None:
        spec["replicas"] = parameters.replicas
    return spec


def _services(infrastructure: Infrastructure) -> list[Manifest]:
    """One for each static address, or one to which the cluster assigns an address."""
    _, _, gateway = infrastructure.gateway
    found = []
    for address in infrastructure.addresses or ("",):
        service = manifest(
            infrastructure,
            "Service",
            {"spec": _service(infrastructure, address)},
            service_name(gateway, infrastructure.class_name, address),
        )
        if infrastructure.parameters.service_annotations:
            annotations = (*infrastructure.parameters.service_annotations, *infrastructure.annotations)
            service["metadata"]["annotations"] = dict(annotations)
        found.append(service)
    return found


def _service(infrastructure: Infrastructure, address: str) -> dict[str, Any]:
    """Through every node unless the parameters say otherwise.

    externalTrafficPolicy Local would show the proxy who the client is; but then only nodes with a Pod take connections, and in each
    roll-out some are lost until the load balancer has noticed. A PROXY header (ListenerPolicy) tells the client either way.
    """
    parameters = infrastructure.parameters
    spec: dict[str, Any] = {
        "type": parameters.service_type,
        "selector": selector(infrastructure),
        "ports": [
            {"name": port.name, "port": port.port, "targetPort": port.target_port, "protocol": port.protocol}
            for port in infrastructure.ports
        ],
    }
    if parameters.service_type != "ClusterIP":
        spec["externalTrafficPolicy"] = parameters.external_traffic_policy or "Cluster"
    if parameters.service_type == "LoadBalancer":
        if parameters.load_balancer_class is not None:
            spec["loadBalancerClass"] = parameters.load_balancer_class
        if address:
            spec["loadBalancerIP"] = address
    return spec


def _autoscaler(infrastructure: Infrastructure) -> dict[str, Any]:
    bounds = infrastructure.parameters.autoscaling
    assert bounds is not None
    return {
        "scaleTargetRef": {
            "apiVersion": RESOURCES["Deployment"].api_version,
            "kind": "Deployment",
            "name": deployed_name(infrastructure.gateway[2], infrastructure.class_name),
        },
        "minReplicas": bounds.least,
        "maxReplicas": bounds.most,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": bounds.cpu}},
            }
        ],
    }


def _disruption_budget(infrastructure: Infrastructure) -> dict[str, Any]:
    budget = infrastructure.parameters.disruption_budget
    assert budget is not None
    spec: dict[str, Any] = {"selector": {"matchLabels": selector(infrastructure)}}
    if budget.min_available is not None:
        spec["minAvailable"] = budget.min_available
    if budget.max_unavailable is not None:
        spec["maxUnavailable"] = budget.max_unavailable
    return spec
