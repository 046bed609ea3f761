"""Pods (v1), as far as the mesh must know of them: who they are, where they are, what runs them, and which of their ports have names.

Of a Pod most is read by nobody here, so that what is not known of it is ignored.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, model_validator

from controller.api.base import Boolean, Text, TolerantModel
from controller.api.metadata import Object, ObjectMeta
from controller.api.names import PortNumber


class PodOwner(TolerantModel):
    """An object that the Pod belongs to."""

    kind: Text = ""
    name: Text = ""
    controller: Boolean = False


_HASH: Final = "pod-template-hash"
"""The label whose value ends the name of a Deployment's ReplicaSet."""


class PodMeta(ObjectMeta):
    """The part of a Pod's metadata that is read."""

    owner_references: tuple[PodOwner, ...] = ()


class ContainerPort(TolerantModel):
    """A port of a container, by whose name a Service may lead to it."""

    name: Text = ""
    container_port: PortNumber
    protocol: Text = "TCP"


class Container(TolerantModel):
    """A container of a Pod."""

    name: Text = ""
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: Text = ""
    """Always of an init container that goes on running beside the others."""


class OperatingSystem(TolerantModel):
    """What a Pod runs on."""

    name: Text = ""


class PodSpec(TolerantModel):
    """The part of a Pod's spec that is read."""

    service_account_name: Text = "default"
    host_network: Boolean = False
    os: OperatingSystem = OperatingSystem()
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class PodAddress(TolerantModel):
    """One of a Pod's addresses."""

    ip: Text = ""


class PodStatus(TolerantModel):
    """The part of a Pod's status that is read."""

    phase: Text = "Pending"
    addresses: Annotated[tuple[PodAddress, ...], Field(alias="podIPs")] = ()

    @model_validator(mode="before")
    @classmethod
    def _single_address_is_one(cls, data: Any) -> Any:
        """podIP alone, as it is written by hand."""
        if isinstance(data, dict) and not data.get("podIPs") and data.get("podIP"):
            return {**data, "podIPs": [{"ip": data["podIP"]}]}
        return data


class Pod(Object):
    """A Pod; its status says where it is."""

    reads_status: ClassVar[bool] = True

    api_version: Literal["v1"]
    kind: Literal["Pod"]
    metadata: PodMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses of its own: none before it has one, after it has ended, and on the network of its node."""
        if self.spec.host_network or self.status.phase in ("Succeeded", "Failed"):
            return ()
        return tuple(address.ip for address in self.status.addresses if address.ip)

    @property
    def runner(self) -> tuple[str, str]:
        """Kind and name of what runs the Pod: the Deployment of a ReplicaSet, by its name, and otherwise its owner, or itself."""
        owners = self.metadata.owner_references
        owner = next((each for each in owners if each.controller), owners[0] if owners else None)
        if owner is None:
            return "Pod", self.name
        suffix = f"-{self.metadata.labels.get(_HASH, '')}"
        if owner.kind == "ReplicaSet" and len(suffix) > 1 and owner.name.endswith(suffix):
            return "Deployment", owner.name.removesuffix(suffix)
        return owner.kind, owner.name

    def port_named(self, name: str) -> int | None:
        """The TCP port of that name, of the containers that run together."""
        running = (*self.spec.containers, *(each for each in self.spec.init_containers if each.restart_policy == "Always"))
        ports = (port for container in running for port in container.ports)
        return next((port.container_port for port in ports if (port.name, port.protocol) == (name, "TCP")), None)
