"""XBackendTrafficPolicy (gateway.networking.x-k8s.io/v1alpha1, experimental): retry budget and session persistence of Services.

apisx/v1alpha1/xbackendtrafficpolicy_types.go and shared_types.go of the Gateway API.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from controller.api.base import Integer, Model, refusal
from controller.api.durations import Duration
from controller.api.metadata import Object
from controller.api.references import LocalPolicyTargetReference, check_targets
from controller.api.session_persistence import SessionPersistence

HOUR = 3_600_000
_REMEDY = "Write a time such as 10s."


def _budget_interval(milliseconds: int) -> int:
    if not 1_000 <= milliseconds <= HOUR:
        raise refusal("", "the interval can not be greater than one hour or less than one second", _REMEDY)
    return milliseconds


def _rate_interval(milliseconds: int) -> int:
    if not 0 < milliseconds <= HOUR:
        raise refusal("", "the interval can not be zero or greater than one hour", _REMEDY)
    return milliseconds


class BackendTrafficPolicyTarget(LocalPolicyTargetReference):
    """An object of the policy's namespace as a whole."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.section_name is not None:
            raise refusal("sectionName", "an XBackendTrafficPolicy holds for all ports of a Service", "Remove sectionName.")
        return self


class BudgetDetails(Model):
    """Which part of the requests of an interval, in milliseconds, may be retries."""

    percent: Annotated[Integer, Field(ge=0, le=100)] = 20
    interval: Annotated[Duration, AfterValidator(_budget_interval)] = 10_000


class RequestRate(Model):
    """So many retries in each interval, in milliseconds, are always allowed."""

    count: Annotated[Integer, Field(ge=1, le=1_000_000)] = 10
    interval: Annotated[Duration, AfterValidator(_rate_interval)] = 1_000


class RetryConstraint(Model):
    """The retry budget of a backend, over all routes."""

    budget: BudgetDetails = BudgetDetails()
    min_retry_rate: RequestRate = RequestRate()


class BackendTrafficPolicySpec(Model):
    """The Services it holds for, and what holds for them."""

    target_refs: Annotated[tuple[BackendTrafficPolicyTarget, ...], Field(min_length=1, max_length=16), AfterValidator(check_targets)]
    retry_constraint: RetryConstraint | None = None
    session_persistence: SessionPersistence | None = None


class XBackendTrafficPolicy(Object):
    """Retries and sessions of a Service."""

    api_version: Literal["gateway.networking.x-k8s.io/v1alpha1"]
    kind: Literal["XBackendTrafficPolicy"]
    spec: BackendTrafficPolicySpec
