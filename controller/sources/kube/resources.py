"""Where the API server keeps each kind: group, version, plural and scope, and the path of its objects.

Kinds of `controller.api.kinds` stand here in the version that is preferred; which one a cluster serves is for discovery.py to find.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from controller.api.kinds import MODELS, VERSIONS


class Resource(NamedTuple):
    """A kind in one version (Kubernetes API concepts, "Resource URIs"). The core group is ""."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """Group and version as objects write them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def title(self) -> str:
        """The resource as RBAC and kubectl name it: httproutes.gateway.networking.k8s.io."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of an object, or without a name of all of a namespace ("" for all of the cluster)."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)


_IRREGULAR = {"GatewayClass": "gatewayclasses", "GatewayParameters": "gatewayparameters", "XMesh": "xmeshes"}


def plural_of(kind: str) -> str:
    """The plural under which a kind that we read is served."""
    if kind in _IRREGULAR:
        return _IRREGULAR[kind]
    lower = kind.lower()
    return lower[:-1] + "ies" if lower.endswith(("cy", "ry")) else lower + "s"


def read_as(kind: str, api_version: str) -> Resource:
    """The resource of a kind that we read, in one of the versions in which we read it."""
    group, _, version = api_version.rpartition("/")
    return Resource(group, version, plural_of(kind), kind, MODELS[api_version, kind].namespaced)


_WRITTEN = (
    Resource("apps", "v1", "deployments", "Deployment", True),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True),
    Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", True),
    Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False),
    Resource("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False),
)

RESOURCES: Mapping[str, Resource] = MappingProxyType(
    {kind: read_as(kind, versions[0]) for kind, versions in VERSIONS.items()} | {resource.kind: resource for resource in _WRITTEN}
)
"""The resource of each kind that we read or write."""
