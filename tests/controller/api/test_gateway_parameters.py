"""GatewayParameters of tidegate.dev/v1alpha1."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.gateway_parameters import GatewayParameters
from tests.controller.api.objects import object_of, read, refused, refused_fields


def parameters(**spec: Any) -> dict[str, Any]:
    """A GatewayParameters with this spec."""
    return object_of("GatewayParameters", "tidegate.dev/v1alpha1", spec=spec)


def test_every_field_may_be_absent() -> None:
    """What is absent is None at every level, so that what a Gateway says can be told from what it leaves to its class."""
    found = read(parameters(service={}, pod={}, resources={}))
    assert isinstance(found, GatewayParameters)
    spec = found.spec
    assert {value for name, value in spec if name not in ("service", "pod", "resources")} == {None}
    assert spec.service is not None
    assert spec.pod is not None
    assert spec.resources is not None
    assert {value for part in (spec.service, spec.pod, spec.resources) for _, value in part} == {None}


def test_autoscaling_has_a_target() -> None:
    """Between one Pod and what is named, at 80 percent of the CPU that is requested."""
    found = read(parameters(autoscaling={"max": 4}))
    assert isinstance(found, GatewayParameters)
    assert found.spec.autoscaling is not None
    scaling = found.spec.autoscaling
    assert (scaling.min, scaling.max, scaling.target_cpu_utilization_percentage) == (1, 4, 80)


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"replicas": 0, "workers": 64, "accessLog": "off"}, []),
        ({"replicas": -1}, ["replicas"]),
        ({"replicas": True}, ["replicas"]),
        ({"replicas": 2, "autoscaling": {"max": 2}}, ["replicas"]),
        ({"autoscaling": {"min": 3, "max": 2}}, ["autoscaling.min"]),
        ({"autoscaling": {"min": 1}}, ["autoscaling.max"]),
        ({"autoscaling": {"max": 2, "targetCPUUtilizationPercentage": 0}}, ["autoscaling.targetCPUUtilizationPercentage"]),
        ({"disruptionBudget": {"minAvailable": 1}}, []),
        ({"disruptionBudget": {"maxUnavailable": "50%"}}, []),
        ({"disruptionBudget": {"maxUnavailable": "101%"}}, ["disruptionBudget.maxUnavailable"]),
        ({"disruptionBudget": {"maxUnavailable": 1, "minAvailable": 1}}, ["disruptionBudget"]),
        ({"disruptionBudget": {}}, ["disruptionBudget"]),
        ({"resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": 1, "memory": "0.5Gi"}}}, []),
        ({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}}, ["resources.requests.cpu"]),
        ({"resources": {"requests": {"memory": "64 MB"}}}, ["resources.requests.memory"]),
        ({"resources": {"limits": {"memory": "-1"}}}, ["resources.limits.memory"]),
        ({"service": {"type": "ExternalName"}}, ["service.type"]),
        ({"service": {"type": "NodePort", "externalTrafficPolicy": "Local"}}, []),
        ({"service": {"type": "ClusterIP", "externalTrafficPolicy": "Local"}}, ["service.externalTrafficPolicy"]),
        ({"service": {"type": "NodePort", "loadBalancerClass": "metallb.test/one"}}, ["service.loadBalancerClass"]),
        ({"service": {"annotations": {"a/b/c": "d"}}}, ["service.annotations.a/b/c.[key]"]),
        ({"workers": 0}, ["workers"]),
        ({"accessLog": "none"}, ["accessLog"]),
        ({"pod": {"nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"operator": "Exists"}]}}, []),
        ({"pod": {"tolerations": [{"value": "a"}]}}, ["pod.tolerations[0].operator"]),
        ({"pod": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}}, ["pod.tolerations[0].value"]),
        ({"pod": {"tolerations": [{"key": "a", "tolerationSeconds": 5}]}}, ["pod.tolerations[0].tolerationSeconds"]),
        ({"pod": {"topologySpreadConstraints": [{"topologyKey": "zone"}, {"topologyKey": "host"}]}}, []),
        ({"pod": {"topologySpreadConstraints": [{"topologyKey": "zone"}] * 2}}, ["pod.topologySpreadConstraints[1]"]),
        ({"pod": {"topologySpreadConstraints": [{"topologyKey": "a", "minDomains": 2}]}}, ["pod.topologySpreadConstraints[0].minDomains"]),
        ({"replica": 1}, ["replica"]),
    ],
)
def test_what_is_refused(spec: dict[str, Any], fields: list[str]) -> None:
    """What could not be deployed is refused with the field at fault."""
    assert refused_fields(parameters(**spec)) == [f"spec.{field}" for field in fields]


def test_a_refusal_says_what_is_wrong() -> None:
    """The two values that do not fit together stand in the message."""
    spec = {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}}
    assert refused(parameters(**spec)) == [("spec.resources.requests.cpu", "2 of cpu is more than its limit, 1500m")]
