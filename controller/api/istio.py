"""What the models of Istio's kinds share (istio.io/api): how workloads are selected, and fields that we do not know.

These kinds say what is allowed, so that nothing of them may get lost: an object with a field that is newer than ours is read all the
same, and translation makes it allow less, never more, and says so in a condition.
"""

from collections.abc import Iterator

from pydantic import ConfigDict, Field

from controller.api.base import Model, Text

GROUP = "security.istio.io"


class OpenModel(Model):
    """A value that keeps the fields which it does not know."""

    model_config = ConfigDict(extra="allow")

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names of these fields."""
        return tuple(sorted(self.model_extra or ()))


class WorkloadSelector(OpenModel):
    """Workloads by the labels of their Pods (istio.type.v1beta1.WorkloadSelector)."""

    match_labels: dict[str, Text] = Field(default_factory=dict, description="All of these labels must be there; none selects all.")


class PolicyTargetReference(OpenModel):
    """What a policy is attached to (istio.type.v1beta1.PolicyTargetReference)."""

    group: Text = Field(default="", description="Of a Gateway gateway.networking.k8s.io.")
    kind: Text = Field(min_length=1, description="Gateway.")
    name: Text = Field(min_length=1, description="Of an object in the policy's namespace.")
    namespace: Text = Field(default="", description="That of the policy, or absent.")


class SelectingSpec(OpenModel):
    """The part of a spec that says whom it holds for: everything of its namespace where it says nothing."""

    selector: WorkloadSelector | None = Field(default=None, description="The workloads it holds for, by label.")
    target_ref: PolicyTargetReference | None = Field(default=None, description="The one Gateway it holds for. Prefer targetRefs.")
    target_refs: tuple[PolicyTargetReference, ...] = Field(default=(), max_length=16, description="The Gateways it holds for.")

    def references(self) -> Iterator[tuple[str, PolicyTargetReference]]:
        """Each reference with the field in which it stands."""
        if self.target_ref is not None:
            yield "spec.targetRef", self.target_ref
        yield from ((f"spec.targetRefs[{index}]", reference) for index, reference in enumerate(self.target_refs))
