"""Pods as workloads: who they are, what is spoken at their ports and what they demand of callers.

A Service is found by one label of its selector, so that a change of it runs the units of those Pods again that have this label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from controller.api.core import Service
from controller.api.injection import is_meshed
from controller.api.pod import Pod
from controller.graph import View
from controller.store import Key
from controller.translate.mesh.mutual_tls import Demand, demand_of
from controller.translate.mesh.namespaces import ALL
from controller.translate.mesh.protocols import PortProtocol, spoken
from controller.translate.objects import source_of
from controller.translate.options import Options
from controller.translate.statuses import Emission
from gateway.ir.workload import Workload, WorkloadPort

Labels = tuple[tuple[str, str], ...]


class TargetedPort(NamedTuple):
    """A TCP port of a Service: its number and name, what it says of its protocol ('' for nothing), and the number or name in the Pod."""

    number: int
    name: str
    application: str
    target: str


class Selecting(NamedTuple):
    """A Service as Pods see it."""

    name: str
    selector: Labels
    ports: tuple[TargetedPort, ...]


def services_by_label(obj: Any) -> Iterator[tuple[tuple[str, str, str], Selecting]]:
    """The listing "services by label": under its namespace and the first label of its selector."""
    if isinstance(obj, Service) and obj.spec.selector:
        selector = tuple(sorted(obj.spec.selector.items()))
        ports = (port for port in obj.spec.ports if port.protocol == "TCP")
        targeted = (
            TargetedPort(port.port, port.name or "", port.app_protocol or "", str(port.target_port or port.port)) for port in ports
        )
        yield (obj.namespace, *selector[0]), Selecting(obj.name, selector, tuple(targeted))


def translate_workload(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "workload": a Pod that has an address of its own."""
    pod: Pod | None = view.get(*key)
    if pod is None or not pod.addresses:
        return None
    meshed = is_meshed(pod.metadata.labels)
    if meshed:
        view.result("mesh namespace", pod.namespace)
    if not view.result("mesh in use", ALL):
        return None
    labels, account = pod.metadata.labels, pod.spec.service_account_name
    demand = demand_of(options, view, pod.namespace, labels) if meshed else Demand("Permissive")
    workload = Workload(
        key="/".join(key[1:]),
        source=source_of(pod),
        addresses=pod.addresses,
        account=account,
        spiffe_id=f"spiffe://{options.trust_domain}/ns/{pod.namespace}/sa/{account}" if meshed else "",
        mutual_tls=demand.mode,
        ports=_ports(view, pod, demand),
        labels=tuple(sorted(labels.items())),
        owner=pod.runner[1],
    )
    return Emission((workload,))


def _ports(view: View, pod: Pod, demand: Demand) -> tuple[WorkloadPort, ...]:
    """The ports of which something is said. Services that do not agree leave it to each connection what is spoken."""
    protocols: dict[int, set[PortProtocol]] = {number: set() for number, _ in demand.ports}
    names: dict[int, set[str]] = {number: set() for number, _ in demand.ports}
    for label in sorted(pod.metadata.labels.items()):
        services: tuple[Selecting, ...] = view.select("services by label", (pod.namespace, *label))
        for service in services:
            if all(pod.metadata.labels.get(name) == value for name, value in service.selector):
                for port in service.ports:
                    number = int(port.target) if port.target.isdigit() else pod.port_named(port.target)
                    if number is not None:
                        protocols.setdefault(number, set()).add(spoken(port.number, port.name, port.application or None).protocol)
                        names.setdefault(number, set()).add(service.name)
    modes = dict(demand.ports)
    return tuple(
        WorkloadPort(number, _agreed(protocols[number]), modes.get(number), min(names[number], default="")) for number in sorted(protocols)
    )


def _agreed(protocols: set[PortProtocol]) -> PortProtocol:
    return next(iter(protocols)) if len(protocols) == 1 else "Detect"
