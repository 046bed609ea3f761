"""BackendPolicy (tidegate.dev/v1alpha1): options of Services that the Gateway API has no field for."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from controller.api.backend_protection import Ejection, HealthCheck, Limits
from controller.api.balancing import Balancing
from controller.api.base import Integer, Model
from controller.api.durations import Duration
from controller.api.metadata import Object
from controller.api.names import SectionName
from controller.api.references import LocalPolicyTargetReference, check_targets


class BackendPolicyTarget(LocalPolicyTargetReference):
    """A Service of the policy's namespace, or one port of it."""

    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    section_name: SectionName | None = Field(default=None, description="The name of the Service port; all ports when absent.")


class BackendPolicySpec(Model):
    """Options of backends."""

    target_refs: Annotated[tuple[BackendPolicyTarget, ...], AfterValidator(check_targets)] = Field(
        min_length=1, max_length=16, description="The Services or ports it holds for."
    )
    balancing: Balancing = Field(default=Balancing(), description="How an endpoint is chosen.")
    connect_timeout: Duration = Field(default=5_000, description="Time limit of a connect, TLS included; zero disables.")
    send_timeout: Duration = Field(
        default=60_000, description="Without an endpoint taking a byte of a request's body that waits for it; zero disables."
    )
    proxy_protocol: Literal["V1", "V2"] | None = Field(
        default=None, description="The version of the PROXY header that each connection begins with; none when absent."
    )
    ejection: Ejection = Field(default=Ejection(), description="When an endpoint is left out because of how it answered requests.")
    health_check: HealthCheck | None = Field(default=None, description="Active checks of endpoints; none when absent.")
    panic_threshold: Annotated[Integer, Field(ge=0, le=100)] = Field(
        default=50, description="If fewer than this percentage of the ready endpoints is healthy, health is ignored. 0: never."
    )
    limits: Limits = Field(default=Limits(), description="How much one worker asks of all endpoints together.")


class BackendPolicy(Object):
    """Options of a Service or one of its ports."""

    api_version: Literal["tidegate.dev/v1alpha1"]
    kind: Literal["BackendPolicy"]
    spec: BackendPolicySpec
