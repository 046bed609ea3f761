"""Settings of Pods that are deployed (parts of GatewayParameters), in the fields and words of core/v1 PodSpec."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from controller.api.base import Integer, Model, refusal, text
from controller.api.names import QUALIFIED_NAME, AnnotationKey, AnnotationValue, LabelKey, LabelValue

_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS = {None: Decimal(1), "m": Decimal("0.001")} | {unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)}
_FACTORS |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)}


def _quantity(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise refusal("", f"{value!r} is no quantity", 'Write a number, alone or with a unit, such as "500m" or "128Mi".')
    return value


_Written = Annotated[int, Field(ge=0)] | Annotated[str, text(pattern=rf"^({_QUANTITY.pattern})$".replace("(?:", "("))]

Quantity = Annotated[str, BeforeValidator(_quantity, json_schema_input_type=_Written)]
"""A Kubernetes quantity that is not negative, as it was written."""

ResourceName = Annotated[str, text(pattern=QUALIFIED_NAME, shortest=1, longest=253)]
"""cpu, memory, ephemeral-storage, or the name of an extended resource."""


def _amount(quantity: str) -> Decimal:
    matched = _QUANTITY.fullmatch(quantity)
    return Decimal(matched[1]) * _FACTORS[matched[2]] if matched is not None else Decimal(0)


class Resources(Model):
    """What a container asks for and what it may use at most."""

    requests: dict[ResourceName, Quantity] | None = Field(default=None, max_length=16, description="What is set aside for a Pod.")
    limits: dict[ResourceName, Quantity] | None = Field(default=None, max_length=16, description="What a Pod may use at most.")

    @model_validator(mode="after")
    def _requests_within_limits(self) -> Self:
        if (found := excess(self.requests or {}, self.limits or {})) is not None:
            raise refusal(f"requests.{found[0]}", found[1], "Lower the request, or raise the limit.")
        return self


def excess(requests: dict[str, str], limits: dict[str, str]) -> tuple[str, str] | None:
    """The resource of which more is requested than its limit (core/v1 ResourceRequirements), and a message that says so."""
    for name, asked in requests.items():
        if name in limits and _amount(asked) > _amount(limits[name]):
            return name, f"{asked} of {name} is more than its limit, {limits[name]}"
    return None


class Toleration(Model):
    """A taint of nodes that Pods tolerate."""

    key: LabelKey | None = Field(default=None, description="Of the taint; any when absent, which needs operator Exists.")
    operator: Literal["Exists", "Equal"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(default=None, description="All effects when absent.")
    toleration_seconds: Annotated[Integer, Field(ge=0)] | None = Field(
        default=None, description="How long a Pod stays on a node with the taint; for ever when absent."
    )

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.key is None and self.operator != "Exists":
            raise refusal("operator", "without a key the operator must be Exists", "Add the key of a taint, or set operator Exists.")
        if self.operator == "Exists" and self.value:
            raise refusal("value", "operator Exists has no value", "Remove value, or set operator Equal.")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise refusal("tolerationSeconds", "only effect NoExecute has a time", "Remove tolerationSeconds, or set effect NoExecute.")
        return self


class TopologySpreadConstraint(Model):
    """How the Pods of one Gateway are spread; it counts those that are deployed for the Gateway and no others."""

    max_skew: Annotated[Integer, Field(ge=1, le=1000)] = Field(
        default=1, description="How many Pods one domain may have more than another."
    )
    topology_key: LabelKey = Field(description="The label of nodes whose values are the domains, such as topology.kubernetes.io/zone.")
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = "ScheduleAnyway"
    min_domains: Annotated[Integer, Field(ge=1, le=1000)] | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.min_domains is not None and self.when_unsatisfiable != "DoNotSchedule":
            remedy = "Remove minDomains, or set whenUnsatisfiable DoNotSchedule."
            raise refusal("minDomains", "only whenUnsatisfiable DoNotSchedule has a least number of domains", remedy)
        return self


def _distinct(constraints: tuple[TopologySpreadConstraint, ...]) -> tuple[TopologySpreadConstraint, ...]:
    seen: dict[tuple[str, str], int] = {}
    for index, constraint in enumerate(constraints):
        place = (constraint.topology_key, constraint.when_unsatisfiable)
        if place in seen:
            message = f"topologyKey and whenUnsatisfiable are those of topologySpreadConstraints[{seen[place]}]"
            raise refusal(f"[{index}]", message, "Change one of the two fields, or remove one of the two entries.")
        seen[place] = index
    return constraints


class PodSettings(Model):
    """Settings of the Pods."""

    labels: dict[LabelKey, LabelValue] | None = Field(
        default=None, max_length=32, description="Added to those of the Gateway's spec.infrastructure, which win; ours win over both."
    )
    annotations: dict[AnnotationKey, AnnotationValue] | None = Field(
        default=None, max_length=32, description="Added to those of the Gateway's spec.infrastructure, which win."
    )
    node_selector: dict[LabelKey, LabelValue] | None = Field(
        default=None, max_length=32, description="The labels of nodes that may be used."
    )
    tolerations: tuple[Toleration, ...] | None = Field(default=None, max_length=32, description="The taints of nodes that are tolerated.")
    topology_spread_constraints: Annotated[tuple[TopologySpreadConstraint, ...], Field(max_length=8), AfterValidator(_distinct)] | None = (
        Field(default=None, description="How Pods are spread over zones and nodes.")
    )
