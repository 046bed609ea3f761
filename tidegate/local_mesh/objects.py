"""The objects of files as a cluster would have them: Pods with addresses, Services with cluster addresses, EndpointSlices made of both.

What is read goes through `take` on its way to translation. It decides nothing about processes; it says which workloads there are to be
(`workloads`), and is told at which ports their applications accept (`accept`). No event loop, no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.api.core import ConfigMap, Secret, Service
from controller.api.endpoint_slice import EndpointSlice
from controller.api.injection import MESH, SIDECAR, pod_asks
from controller.api.local_pod import LocalPod
from controller.api.metadata import Key, Object
from controller.api.pod import PodStatus
from controller.translate.objects import called
from mesh.loopback import FIRST_SERVICE, LAST, WorkloadBlock
from tidegate.local_mesh.numbers import CLUSTER, FIRST_WORKLOAD, MeshBlock, Numbers
from tidegate.local_mesh.slices import selects, slices_of, targets_of
from tidegate.local_mesh.variables import ServiceAddress, Surroundings

NOWHERE: Final = "None"
"""Of a headless Service, as spec.clusterIP."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an object, or a part of it, is left out; as in controller.sources.problems.Problem."""

    key: Key
    field: tuple[str | int, ...]
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Workload:
    """A Pod that is to run, and its addresses. `meshed`: with a sidecar."""

    pod: LocalPod
    block: WorkloadBlock
    meshed: bool

    @property
    def name(self) -> str:
        return f"{self.pod.namespace}/{self.pod.name}"

    @property
    def application(self) -> str:
        """Where its containers listen: without a sidecar there is nothing before them."""
        return self.block.application if self.meshed else self.block.pod

    def runs_as(self, other: Workload) -> bool:
        """Whether the other's processes are this one's: labels and annotations may differ."""
        return (self.pod.spec, self.block, self.meshed) == (other.pod.spec, other.block, other.meshed)


@dataclass(slots=True)
class Changes:
    """What translation is given."""

    puts: list[Object] = field(default_factory=list)
    removes: list[Key] = field(default_factory=list)


class LocalObjects:
    """Owner of addresses, of which applications accept, and of the EndpointSlices that follow."""

    def __init__(self, block: MeshBlock) -> None:
        self._block = block
        self._pod_numbers = Numbers(FIRST_WORKLOAD)
        self._service_numbers = Numbers(FIRST_SERVICE)
        self._workloads: dict[Key, Workload] = {}
        self._services: dict[Key, Service] = {}
        self._entries: dict[Key, Mapping[str, str]] = {}
        self._accepting: dict[Key, frozenset[int]] = {}
        self._slices: dict[Key, dict[Key, EndpointSlice]] = {}
        """By Service."""
        self._faults: dict[Key, Fault] = {}

    @property
    def workloads(self) -> Mapping[Key, Workload]:
        """By Pod."""
        return self._workloads

    @property
    def faults(self) -> Iterable[Fault]:
        """What cannot be used, each object's first."""
        return self._faults.values()

    def take(self, puts: Iterable[Object], removes: Iterable[Key]) -> Changes:
        """A change of the files as a change of the cluster."""
        changes = Changes()
        for key in removes:
            self._forget(key)
            changes.removes.append(key)
        for obj in sorted(puts, key=lambda obj: obj.key):
            self._faults.pop(obj.key, None)
            placed = self._placed(obj)
            if placed is not None:
                changes.puts.append(placed)
        self._slice(changes)
        return changes

    def accept(self, pod: Key, ports: frozenset[int]) -> Changes:
        """The application of a Pod accepts at these of the ports that Services lead to, and at no other."""
        changes = Changes()
        if pod in self._workloads and self._accepting.get(pod, frozenset()) != ports:
            self._accepting[pod] = ports
            self._slice(changes)
        return changes

    def targets(self, pod: Key) -> frozenset[int]:
        """The TCP ports of a Pod that Services lead to."""
        workload = self._workloads.get(pod)
        found = () if workload is None else (targets_of(service, workload.pod) for service in self._selecting(workload.pod))
        return frozenset(number for targets in found for number in targets if number is not None)

    def is_ready(self, pod: Key) -> bool:
        """Whether its application accepts wherever Services lead."""
        return self.targets(pod) <= self._accepting.get(pod, frozenset())

    def surroundings(self, workload: Workload) -> Surroundings:
        """What its containers may ask for, as things are now: Services of their namespace that exist when they start."""
        namespace = workload.pod.namespace
        services = tuple(self._reached(workload, namespace)) if workload.meshed else ()
        entries = self._entries

        def found(kind: str, name: str) -> Mapping[str, str] | None:
            return entries.get((kind, namespace, name))

        return Surroundings(workload.pod, workload.application, services, found)

    def services(self) -> Iterator[tuple[Service, str]]:
        """Those that have an address of the cluster, by name, each with it."""
        for _, service in sorted(self._services.items()):
            address = service.spec.cluster_ip
            if service.spec.type != "ExternalName" and address is not None and address != NOWHERE:
                yield service, address

    # what is read

    def _placed(self, obj: Object) -> Object | None:
        """The object as the cluster has it; None for one that it does not have."""
        match obj:
            case LocalPod():
                return self._place_pod(obj)
            case Service():
                return self._place_service(obj)
            case ConfigMap():
                self._entries[obj.key] = obj.data
            case Secret():
                self._entries[obj.key] = {name: value.decode(errors="replace") for name, value in obj.entries.items()}
            case _:
                pass
        return obj

    def _forget(self, key: Key) -> None:
        self._faults.pop(key, None)
        self._entries.pop(key, None)
        if self._workloads.pop(key, None) is not None:
            self._pod_numbers.give_back(key)
            self._accepting.pop(key, None)
        if self._services.pop(key, None) is not None:
            self._service_numbers.give_back(key)

    def _place_pod(self, pod: LocalPod) -> LocalPod | None:
        """A Pod that cannot be run stays as it was, if it was there."""
        if (fault := fault_of(pod)) is not None:
            self._faults[pod.key] = fault
            return None
        said = next((address.ip for address in pod.status.addresses), "")
        wanted = self._block.number_of_pod(said)
        number = self._pod_numbers.take(pod.key, wanted)
        if not number:
            self._faults[pod.key] = Fault(pod.key, (), f"a mesh on one machine has at most {LAST} Pods", "Remove others.")
            return None
        if said and number != wanted:
            self._faults[pod.key] = self._misplaced(pod, ("status", "podIP"), said, self._pod_numbers.holder(wanted))
        labels, meshed = pod.metadata.labels, is_meshed(pod)
        workload = Workload(pod, self._block.workload(number), meshed)
        self._workloads[pod.key] = workload
        marked = {**labels, MESH: SIDECAR} if meshed else {name: value for name, value in labels.items() if name != MESH}
        metadata = pod.metadata.model_copy(update={"labels": marked})
        status = PodStatus.model_validate({"phase": "Running", "podIP": workload.block.pod})
        return pod.model_copy(update={"metadata": metadata, "status": status})

    def _place_service(self, service: Service) -> Service | None:
        said = service.spec.cluster_ip or ""
        if service.spec.type == "ExternalName" or said == NOWHERE:
            self._service_numbers.give_back(service.key)
            self._services[service.key] = service
            return service
        wanted = self._block.number_of_service(said)
        number = self._service_numbers.take(service.key, wanted)
        if not number:
            most = LAST - FIRST_SERVICE + 1
            self._faults[service.key] = Fault(service.key, (), f"a mesh on one machine has at most {most} Services", "Remove others.")
            return None
        if wanted and number != wanted:
            self._faults[service.key] = self._misplaced(service, ("spec", "clusterIP"), said, self._service_numbers.holder(wanted))
        address = self._block.workload(CLUSTER).address(number)
        spec = service.spec.model_copy(update={"cluster_ip": address, "cluster_ips": (address,)})
        placed = service.model_copy(update={"spec": spec})
        self._services[service.key] = placed
        return placed

    def _misplaced(self, obj: Object, where: tuple[str, ...], said: str, holder: Key | None) -> Fault:
        taken = f"{said} is the address of {called(*holder)}" if holder is not None else f"{said} is no address of a Pod of {self._block}"
        return Fault(obj.key, where, f"{taken}; another is used", "Write one that is free, or leave it out.")

    # what follows

    def _selecting(self, pod: LocalPod) -> Iterator[Service]:
        return (service for _, service in sorted(self._services.items()) if selects(service, pod))

    def _reached(self, workload: Workload, namespace: str) -> Iterator[ServiceAddress]:
        for service, cluster_address in self.services():
            address = workload.block.of_service(cluster_address)
            if service.namespace == namespace and address is not None:
                ports = tuple(port for port in service.spec.ports if port.protocol == "TCP")
                yield ServiceAddress(service.name, address, ports)

    def _slice(self, changes: Changes) -> None:
        """Makes all slices and gives on those that differ: a mesh on one machine has few."""
        placed = [(workload.pod, workload.block.pod, self._accepting.get(key, frozenset())) for key, workload in self._workloads.items()]
        for key in self._slices.keys() | self._services.keys():
            service = self._services.get(key)
            before = self._slices.get(key, {})
            after = {} if service is None else {found.key: found for found in slices_of(service, placed)}
            changes.puts += [found for name, found in after.items() if before.get(name) != found]
            changes.removes += [name for name in before if name not in after]
            if after:
                self._slices[key] = after
            else:
                self._slices.pop(key, None)


def is_meshed(pod: LocalPod) -> bool:
    """Whether it gets a sidecar: unless its label, or Istio's, says that it does not. Raises ValueError as pod_asks does."""
    return pod_asks(pod.metadata.labels, pod.metadata.annotations) is not False


def fault_of(pod: LocalPod) -> Fault | None:
    """Why a Pod cannot be run on this machine."""
    try:
        is_meshed(pod)
    except ValueError as fault:
        return Fault(pod.key, ("metadata",), str(fault), "Without any of them it gets a sidecar.")
    if pod.spec.host_network:
        message = "the network of the node is this machine's, where every Pod needs addresses of its own"
        return Fault(pod.key, ("spec", "hostNetwork"), message, "Leave it out.")
    if not pod.spec.containers:
        return Fault(pod.key, ("spec", "containers"), "there is no container", "Add one, with a command.")
    for part in ("initContainers", "containers"):
        containers = pod.spec.init_containers if part == "initContainers" else pod.spec.containers
        for index, container in enumerate(containers):
            if not container.command:
                message = "no command is given, and images are not run here"
                return Fault(pod.key, ("spec", part, index), message, "Write the program in command, its arguments in args.")
    return None
