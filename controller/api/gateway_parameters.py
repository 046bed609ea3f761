"""GatewayParameters (tidegate.dev/v1alpha1): what is deployed for Gateways in a cluster.

A GatewayClass refers to it for all its Gateways (spec.parametersRef), a Gateway for itself (spec.infrastructure.parametersRef). Every
field may be absent: what the Gateway's own object does not say, that of its class does.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from controller.api.base import Integer, Model, expressions, refusal, text
from controller.api.metadata import Object
from controller.api.names import QUALIFIED_NAME, AnnotationKey, AnnotationValue
from controller.api.pod_settings import PodSettings, Resources

_PERCENTAGE = re.compile(r"(100|[1-9]?[0-9])%")


def _number_or_percentage(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1000:
        return value
    if isinstance(value, str) and _PERCENTAGE.fullmatch(value):
        return value
    raise refusal("", f"{value!r} is neither a number of Pods nor a percentage", 'Write a number from 0 to 1000, or one such as "50%".')


_Written = Annotated[int, Field(ge=0, le=1000)] | Annotated[str, text(pattern=r"^(100|[1-9]?[0-9])%$")]

Share = Annotated[int | str, BeforeValidator(_number_or_percentage, json_schema_input_type=_Written)]
"""A number of Pods, or a percentage of them."""


class ServiceSettings(Model):
    """The Services in front of the Pods."""

    model_config = expressions(
        (
            "!has(self.externalTrafficPolicy) || !has(self.type) || self.type != 'ClusterIP'",
            "type ClusterIP takes no traffic from outside: externalTrafficPolicy has no use",
        ),
        (
            "!has(self.loadBalancerClass) || !has(self.type) || self.type == 'LoadBalancer'",
            "loadBalancerClass needs type LoadBalancer",
        ),
    )

    type: Literal["LoadBalancer", "ClusterIP", "NodePort"] | None = Field(
        default=None, description="LoadBalancer when absent. With the others the Gateway's addresses are those inside the cluster."
    )
    annotations: dict[AnnotationKey, AnnotationValue] | None = Field(
        default=None, max_length=32, description="Added to those of the Gateway's spec.infrastructure, which win."
    )
    external_traffic_policy: Literal["Cluster", "Local"] | None = Field(
        default=None, description="Local keeps clients' addresses and sends nothing from node to node; Cluster when absent."
    )
    load_balancer_class: Annotated[str, text(pattern=QUALIFIED_NAME, shortest=1, longest=253)] | None = Field(
        default=None, description="Which load balancer of the cluster takes the Services; its default one when absent."
    )

    @model_validator(mode="after")
    def _fields_fit_type(self) -> Self:
        if self.type == "ClusterIP" and self.external_traffic_policy is not None:
            remedy = "Remove externalTrafficPolicy, or set type LoadBalancer or NodePort."
            raise refusal("externalTrafficPolicy", "type ClusterIP takes no traffic from outside", remedy)
        if self.type not in (None, "LoadBalancer") and self.load_balancer_class is not None:
            raise refusal(
                "loadBalancerClass", f"type {self.type} has no load balancer", "Remove loadBalancerClass, or set type LoadBalancer."
            )
        return self


class Autoscaling(Model):
    """Replicas by load (autoscaling/v2 HorizontalPodAutoscaler)."""

    model_config = expressions(("!has(self.min) || self.min <= self.max", "min must be at most max"))

    min: Annotated[Integer, Field(ge=1, le=1000)] = Field(default=1, description="Pods at least.")
    max: Annotated[Integer, Field(ge=1, le=1000)] = Field(description="Pods at most.")
    target_cpu_utilization_percentage: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        default=80, alias="targetCPUUtilizationPercentage", description="Of the CPU that is requested, averaged over the Pods."
    )

    @model_validator(mode="after")
    def _least_is_least(self) -> Self:
        if self.min > self.max:
            raise refusal("min", f"{self.min} Pods at least are more than {self.max} at most", "Lower min, or raise max.")
        return self


class DisruptionBudget(Model):
    """How many Pods a drain of nodes may take away at once (policy/v1 PodDisruptionBudget)."""

    model_config = expressions(
        ("has(self.minAvailable) != has(self.maxUnavailable)", "one of minAvailable and maxUnavailable must be given"),
    )

    min_available: Share | None = Field(default=None, description="Pods that must stay, or a percentage of them.")
    max_unavailable: Share | None = Field(default=None, description="Pods that may be away, or a percentage of them.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.min_available is None) is (self.max_unavailable is None):
            raise refusal("", "one of minAvailable and maxUnavailable must be given", "Write one of the two fields.")
        return self


class GatewayParametersSpec(Model):
    """What is deployed for a Gateway."""

    model_config = expressions(
        ("!has(self.replicas) || !has(self.autoscaling)", "autoscaling decides how many Pods there are, not replicas")
    )

    replicas: Annotated[Integer, Field(ge=0, le=1000)] | None = Field(default=None, description="Pods of each Gateway.")
    autoscaling: Autoscaling | None = Field(default=None, description="Pods by load, in place of replicas.")
    disruption_budget: DisruptionBudget | None = Field(default=None, description="Pods that a drain of nodes leaves in place.")
    resources: Resources | None = Field(default=None, description="What each Pod asks for and what it may use.")
    service: ServiceSettings | None = Field(default=None, description="The Services in front of the Pods.")
    workers: Annotated[Integer, Field(ge=1, le=64)] | None = Field(
        default=None, description="Processes that serve traffic in each Pod; 1 when absent."
    )
    access_log: Literal["json", "text", "off"] | None = Field(default=None, description="The form of the access log; json when absent.")
    pod: PodSettings | None = Field(default=None, description="Settings of the Pods.")

    @model_validator(mode="after")
    def _replicas_or_autoscaling(self) -> Self:
        if self.replicas is not None and self.autoscaling is not None:
            raise refusal("replicas", "autoscaling decides how many Pods there are", "Remove replicas or autoscaling.")
        return self


class GatewayParameters(Object):
    """What is deployed for the Gateways that refer to it, or whose class does."""

    api_version: Literal["tidegate.dev/v1alpha1"]
    kind: Literal["GatewayParameters"]
    spec: GatewayParametersSpec = GatewayParametersSpec()
