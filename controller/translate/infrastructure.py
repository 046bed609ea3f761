"""What is to be deployed for a Gateway in a cluster, as plain values: `controller.deploy` makes manifests of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from controller.store import Key

Pairs = tuple[tuple[str, str], ...]
"""A mapping of texts, by name ascending."""


@dataclass(frozen=True, slots=True)
class ExposedPort:
    """A port of the Gateway's Services. `port` is the listener's own, `target_port` where it is bound in the Pod."""

    port: int
    target_port: int
    protocol: Literal["TCP", "UDP"]
    name: str


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """Replicas by load; `cpu` is the average utilization to reach, in percent of what is requested."""

    least: int
    most: int
    cpu: int


@dataclass(frozen=True, slots=True)
class DisruptionBudget:
    """How many Pods must stay, or may be away: a number or a percentage such as "50%". One of the two is None."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """GatewayParameters as they hold for one Gateway: those of its class, over them its own, over nothing what stands here."""

    replicas: int | None = None
    """None where nothing is said, and where `autoscaling` decides."""
    requests: Pairs = ()
    limits: Pairs = ()
    service_type: Literal["LoadBalancer", "ClusterIP", "NodePort"] = "LoadBalancer"
    service_annotations: Pairs = ()
    external_traffic_policy: Literal["Cluster", "Local"] | None = None
    """None for a Service of type ClusterIP, which has none."""
    load_balancer_class: str | None = None
    """None for a Service of another type than LoadBalancer."""
    autoscaling: Autoscaling | None = None
    disruption_budget: DisruptionBudget | None = None
    workers: int = 1
    access_log: Literal["json", "text", "off"] = "json"
    pod_labels: Pairs = ()
    pod_annotations: Pairs = ()
    node_selector: Pairs = ()
    tolerations: tuple[Mapping[str, Any], ...] = ()
    """As core/v1 Toleration has them."""
    topology_spread_constraints: tuple[Mapping[str, Any], ...] = ()
    """As core/v1 TopologySpreadConstraint has them, with a labelSelector for the Gateway's own Pods."""


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """What a Gateway is to have. A Gateway without an accepted specification has none."""

    gateway: Key
    uid: str
    class_name: str
    labels: Pairs
    """Of everything that is deployed: those of spec.infrastructure, over them our own."""
    annotations: Pairs
    addresses: tuple[str, ...]
    """The IP addresses that are requested, each by a Service of its own; "" stands for one that the cluster assigns. () is as ("",)."""
    ports: tuple[ExposedPort, ...]
    """At least one."""
    parameters: Parameters
