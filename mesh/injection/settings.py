"""What is the same for every Pod that gets a sidecar: the controller's settings, and how a Pod is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AccessLog = Literal["json", "text", "off"]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]


class Refused(ValueError):
    """A Pod that cannot get the sidecar that it asks for: what is wrong, with its value, and the remedy."""


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """Of all sidecars; annotations of a Pod stand over the resources, the access log and the share of traces.

    Quantities are Kubernetes' own, "" for none. `namespace` is the controller's, where nothing is injected.
    """

    image: str
    controller: str
    """HOST:PORT of the configuration stream."""
    namespace: str
    image_pull_policy: PullPolicy = "IfNotPresent"
    trust_domain: str = "cluster.local"
    cpu: str = "100m"
    memory: str = "128Mi"
    cpu_limit: str = ""
    memory_limit: str = ""
    access_log: AccessLog = "json"
    otlp_endpoint: str = ""
    """A collector of traces; "" for none."""
    trace_sampling: str = ""
    """In percent, as it is written; "" for what a sidecar does unasked."""
