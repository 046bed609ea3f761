"""EndpointSlices of Services by their selectors, as the cluster's controller makes them (discovery/v1) (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from controller.api.core import Service, ServicePort
from controller.api.endpoint_slice import SERVICE_NAME_LABEL, EndpointSlice
from controller.api.pod import Pod

Placed = tuple[Pod, str, frozenset[int]]
"""A Pod, its address, and the ports at which its application accepts."""
Targets = tuple[int | None, ...]
"""Of each TCP port of a Service the number in a Pod; None where the Pod has no port of that name."""


def selects(service: Service, pod: Pod) -> bool:
    """Whether a Service leads to a Pod."""
    selector = service.spec.selector
    is_selecting = bool(selector) and service.spec.type != "ExternalName" and service.namespace == pod.namespace
    return is_selecting and selector.items() <= pod.metadata.labels.items()


def targets_of(service: Service, pod: Pod) -> Targets:
    """Where the TCP ports of a Service lead in a Pod."""
    return tuple(_target(port, pod) for port in _ports(service))


def slices_of(service: Service, pods: Iterable[Placed]) -> Iterator[EndpointSlice]:
    """One for each way in which the Service's ports lead into Pods: one alone, unless named ports differ."""
    ways: dict[Targets, list[dict[str, Any]]] = {}
    for pod, address, accepting in sorted(pods, key=lambda placed: placed[0].key):
        if not selects(service, pod):
            continue
        targets = targets_of(service, pod)
        ready = service.spec.publish_not_ready_addresses or accepting.issuperset(target for target in targets if target is not None)
        ways.setdefault(targets, []).append(
            {
                "addresses": [address],
                "conditions": {"ready": ready, "serving": ready, "terminating": False},
                "targetRef": {"kind": "Pod", "namespace": pod.namespace, "name": pod.name},
            }
        )
    for number, (targets, endpoints) in enumerate(ways.items()):
        ports = [_port(port, target) for port, target in zip(_ports(service), targets, strict=True) if target is not None]
        labels = {SERVICE_NAME_LABEL: service.name, "endpointslice.kubernetes.io/managed-by": "tidegate"}
        yield EndpointSlice.model_validate(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"namespace": service.namespace, "name": f"{service.name}-of-pods-{number}", "labels": labels},
                "addressType": "IPv4",
                "ports": ports,
                "endpoints": endpoints,
            }
        )


def _ports(service: Service) -> tuple[ServicePort, ...]:
    """Those that a mesh serves."""
    return tuple(port for port in service.spec.ports if port.protocol == "TCP")


def _target(port: ServicePort, pod: Pod) -> int | None:
    target = port.target_port
    return pod.port_named(target) if isinstance(target, str) else target or port.port


def _port(port: ServicePort, target: int) -> dict[str, Any]:
    spoken = {} if port.app_protocol is None else {"appProtocol": port.app_protocol}
    return {"name": port.name or "", "protocol": "TCP", "port": target, **spoken}
