"""Which of the kinds that we read a cluster serves, and in which version: the first of those we read that it has.

Asked every few seconds instead of watching CRDs, which would need a right to read those of everybody. Kinds of Kubernetes itself are not
asked for: every cluster has them. A kind counts as gone when it is missing twice in a row, since an API server that starts may
not know its CRDs yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.api.kinds import VERSIONS
from controller.sources.kube.client import Client
from controller.sources.kube.resources import RESOURCES, Resource, read_as

Served = Mapping[tuple[str, str], frozenset[str] | None]
"""The plurals that each version of a group holds, None where it is not served."""

_ALWAYS = frozenset(kind for kind in VERSIONS if RESOURCES[kind].group in ("", "discovery.k8s.io"))
_TIMES_MISSED = 2


def chosen(kind: str, served: Served) -> Resource | None:
    """The resource to read a kind from, None while it is not served in a version that we read."""
    if kind in _ALWAYS:
        return RESOURCES[kind]
    for api_version in VERSIONS[kind]:
        resource = read_as(kind, api_version)
        if resource.plural in (served.get((resource.group, resource.version)) or ()):
            return resource
    return None


def to_ask(without: frozenset[str] = frozenset()) -> tuple[tuple[str, str], ...]:
    """The groups and versions to ask for, but for those of some kinds alone."""
    asked = ((kind, versions) for kind, versions in VERSIONS.items() if kind not in _ALWAYS | without)
    resources = (read_as(kind, version) for kind, versions in asked for version in versions)
    return tuple(dict.fromkeys((resource.group, resource.version) for resource in resources))


@dataclass(slots=True)
class Discovery:
    """What is known of the cluster. `resources` holds the kinds that are served, of those that are read: all but `without`."""

    without: frozenset[str] = frozenset()
    resources: dict[str, Resource] = field(default_factory=dict)
    _missed: dict[str, int] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    async def ask(self, client: Client) -> None:
        """Asks for everything, and only then believes any of it. Raises ApiError."""
        served = {(group, version): await client.served(group, version) for group, version in to_ask(self.without)}
        self.note(served)

    def note(self, served: Served) -> None:
        """Takes an answer."""
        for kind in VERSIONS.keys() - self.without:
            resource = chosen(kind, served)
            if resource is not None:
                self.resources[kind] = resource
                self._missed.pop(kind, None)
                self._told.discard(kind)
                continue
            self._missed[kind] = self._missed.get(kind, 0) + 1
            if self._missed[kind] >= _TIMES_MISSED:
                self.resources.pop(kind, None)

    def untold(self) -> str:
        """What to say of kinds that are not served and were not told yet, "" for nothing."""
        missing = [kind for kind in VERSIONS if kind not in self.resources and kind not in self._told | self.without]
        self._told.update(missing)
        if not missing:
            return ""
        names = ", ".join(f"{kind} ({', '.join(VERSIONS[kind])})" for kind in missing)
        return (
            f"this cluster does not serve {names}: not read until it does. Install the CRDs: those of the Gateway API "
            "(gateway.networking.k8s.io, experimental channel for the x-k8s.io kinds), those of tidegate.dev with the chart, "
            "those of security.istio.io and networking.istio.io with Istio, or else with the chart's istioKinds.install"
        )
