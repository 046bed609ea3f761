"""What the controller has said of the Pod that a sidecar is in, and what the sidecar serves by it (gateway.following.own.Following)."""

from __future__ import annotations

from gateway.following.desired import Difference
from gateway.ir.batch import AnyResource
from gateway.ir.policy import AuthorizationPolicy
from gateway.ir.workload import Workload
from mesh.inbound import inbound


class OwnPod:
    """Owner of the Pod's Workload and of the policies of its namespace. `key` is namespace/Pod.

    A Workload that the controller no longer has stays as it was: a sidecar that runs is the proof that its Pod is there, and one that is
    ending still has callers.
    """

    __slots__ = ("_key", "_policies", "workload")

    def __init__(self, key: str) -> None:
        self._key = key
        self._policies: dict[str, AuthorizationPolicy] = {}
        self.workload: Workload | None = None

    def follow(self, difference: Difference) -> None:
        """See Following."""
        for kind, key in difference.remove:
            if kind == AuthorizationPolicy.__name__:
                self._policies.pop(key, None)
        for resource in difference.set:
            if isinstance(resource, AuthorizationPolicy):
                self._policies[resource.key] = resource
            elif isinstance(resource, Workload) and resource.key == self._key:
                self.workload = resource

    def resources(self, *, identified: bool) -> tuple[AnyResource, ...]:
        """See Following. Nothing comes in before it is known what may, and before there is an identity to prove to those who ask."""
        if self.workload is None or not identified:
            return ()
        return inbound(self.workload, is_selected=self._is_selected(self.workload))

    def _is_selected(self, workload: Workload) -> bool:
        labels = frozenset(workload.labels)
        return any(labels.issuperset(policy.selector) for policy in self._policies.values())
