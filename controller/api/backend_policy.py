"""BackendPolicy (tidegate.dev/v1alpha1): options of Services that the Gateway API has no field for."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controller.api.base import Model
from controller.api.durations import Duration
from controller.api.metadata import Object
from controller.api.names import SectionName
from controller.api.references import LocalPolicyTargetReference, check_targets


class BackendPolicyTarget(LocalPolicyTargetReference):
    """A Service of the policy's namespace, or one port of it."""

    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    section_name: SectionName | None = Field(default=None, description="The name of the Service port; all ports when absent.")


class Balancing(Model):
    """How an endpoint is chosen among those that are ready."""

    type: Literal["RoundRobin"] = Field(default="RoundRobin", description="RoundRobin: each in turn.")


class BackendPolicySpec(Model):
    """Options of backends."""

    target_refs: Annotated[tuple[BackendPolicyTarget, ...], AfterValidator(check_targets)] = Field(
        min_length=1, max_length=16, description="The Services or ports it holds for."
    )
    balancing: Balancing = Field(default=Balancing(), description="How an endpoint is chosen.")
    connect_timeout: Duration = Field(default=5_000, description="Time limit of a connect, TLS included; zero disables.")


class BackendPolicy(Object):
    """Options of a Service or one of its ports."""

    api_version: Literal["tidegate.dev/v1alpha1"]
    kind: Literal["BackendPolicy"]
    spec: BackendPolicySpec
