"""Kinds of the core group (v1): Service, Secret, ConfigMap, Namespace.

The fields of real Services, of which we read some, are all known, so that a misspelt one is refused and a valid one is not.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from controller.api.base import Boolean, Integer, Model, Text, TolerantModel, refusal, text
from controller.api.metadata import Object, ObjectMeta
from controller.api.names import PortNumber

_PORT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

PortName = Annotated[str, text(pattern=_PORT_NAME, shortest=1, longest=63)]
"""Name of a Service port: a DNS label (RFC 1123)."""


def _number_or_name(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    if isinstance(value, str) and len(value) <= 15 and re.fullmatch(_PORT_NAME, value) and not value.isdigit():
        return value
    raise refusal("", f"{value!r} is neither a port nor the name of one", "Write a number from 1 to 65535 without quotes, or a name.")


TargetPort = Annotated[int | str, BeforeValidator(_number_or_name)]
"""Number of a port, or its name in the Pod (IANA service name, at most 15 characters)."""


class ServicePort(Model):
    """A port of a Service; without `target_port` endpoints use the same number."""

    name: PortName | None = None
    port: PortNumber
    target_port: TargetPort | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: Text | None = None
    node_port: Integer | None = None


def _check_ports(ports: tuple[ServicePort, ...]) -> tuple[ServicePort, ...]:
    names: dict[str | None, int] = {}
    numbers: dict[tuple[int, str], int] = {}
    for index, port in enumerate(ports):
        if port.name is None and len(ports) > 1:
            raise refusal(f"[{index}].name", "each port must have a name when there are several", "Add a name.")
        if port.name in names:
            first = names[port.name]
            raise refusal(f"[{index}].name", f"the name {port.name!r} is already that of ports[{first}]", "Change one of the names.")
        place = (port.port, port.protocol)
        if place in numbers:
            raise refusal(f"[{index}].port", f"port {port.port} is already that of ports[{numbers[place]}]", "Remove one of the two.")
        names[port.name] = numbers[place] = index
    return ports


class ServiceSpec(Model):
    """Ports of a Service and where its endpoints come from: slices, or for ExternalName a name or address."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    ports: Annotated[tuple[ServicePort, ...], AfterValidator(_check_ports)] = ()
    external_name: Text | None = None
    selector: dict[Text, Text] = Field(default_factory=dict)
    cluster_ip: Text | None = Field(default=None, alias="clusterIP")
    cluster_ips: tuple[Text, ...] = Field(default=(), alias="clusterIPs")
    session_affinity: Literal["None", "ClientIP"] = "None"
    publish_not_ready_addresses: Boolean = False

    allocate_load_balancer_node_ports: Boolean | None = None
    external_ips: tuple[Text, ...] = Field(default=(), alias="externalIPs")
    external_traffic_policy: Text | None = None
    health_check_node_port: Integer | None = None
    internal_traffic_policy: Text | None = None
    ip_families: tuple[Text, ...] = ()
    ip_family_policy: Text | None = None
    load_balancer_class: Text | None = None
    load_balancer_ip: Text | None = Field(default=None, alias="loadBalancerIP")
    load_balancer_source_ranges: tuple[Text, ...] = ()
    session_affinity_config: Mapping[str, Any] | None = None
    traffic_distribution: Text | None = None

    @model_validator(mode="after")
    def _fields_fit_type(self) -> Self:
        if self.type == "ExternalName" and not self.external_name:
            raise refusal("externalName", "type ExternalName needs externalName", "Add the name or address to forward to.")
        if self.type != "ExternalName" and not self.ports and self.cluster_ip != "None":
            raise refusal("ports", f"type {self.type} needs at least one port", "Add a port, for example `ports: [{port: 80}]`.")
        return self


class LoadBalancerIngress(TolerantModel):
    """An address at which a load balancer takes traffic: one of the two."""

    ip: Text | None = None
    hostname: Text | None = None


class LoadBalancerStatus(TolerantModel):
    """Where the load balancer of a Service takes traffic."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(TolerantModel):
    """What is read of a Service's status."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class OwnerReference(TolerantModel):
    """An object that another belongs to."""

    uid: Text


class ServiceMeta(ObjectMeta):
    """The part of a Service's metadata that is read."""

    owner_references: tuple[OwnerReference, ...] = ()


class Service(Object):
    """A named set of endpoints. Its status says where its load balancer takes traffic, its owner whether it is one of ours."""

    reads_status: ClassVar[bool] = True

    api_version: Literal["v1"]
    kind: Literal["Service"]
    metadata: ServiceMeta
    spec: ServiceSpec
    status: ServiceStatus = ServiceStatus()

    @property
    def assigned(self) -> tuple[LoadBalancerIngress, ...]:
        """Where it takes traffic: what its load balancer says, or its addresses inside the cluster where it has none."""
        if self.spec.type == "LoadBalancer":
            return self.status.load_balancer.ingress
        addresses = self.spec.cluster_ips or ((self.spec.cluster_ip,) if self.spec.cluster_ip else ())
        return tuple(LoadBalancerIngress(ip=address) for address in addresses if address != "None")


_NOT_BASE64 = "Encode the value with base64, or move it to the plain form of the field."


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        raise refusal("", "the value must be text in base64", _NOT_BASE64)
    try:
        return base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise refusal("", "the value is not valid base64", _NOT_BASE64) from None


Base64 = Annotated[bytes, BeforeValidator(_decoded)]
"""Bytes written in base64."""


class Secret(Object):
    """Keys and certificates. Never shown: its repr holds the names of the entries only."""

    api_version: Literal["v1"]
    kind: Literal["Secret"]
    type: Text = "Opaque"
    data: dict[Text, Base64] = Field(default_factory=dict, repr=False)
    string_data: dict[Text, Text] = Field(default_factory=dict, repr=False)
    immutable: Boolean = False

    @property
    def entries(self) -> dict[str, bytes]:
        """The entries of data, over them those of stringData as the API server merges them."""
        return self.data | {name: value.encode() for name, value in self.string_data.items()}


class ConfigMap(Object):
    """Texts and bytes by name, for example CA certificates under ca.crt."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    data: dict[Text, Text] = Field(default_factory=dict)
    binary_data: dict[Text, Base64] = Field(default_factory=dict)
    immutable: Boolean = False


class FieldsOwner(TolerantModel):
    """Who wrote fields, as far as when and which (metav1.ManagedFieldsEntry)."""

    time: AwareDatetime | None = None
    fields: Mapping[str, Any] = Field(default_factory=dict, alias="fieldsV1")

    def owns_label(self, name: str) -> bool:
        """Whether a label is among them."""
        labels = (self.fields.get("f:metadata") or {}).get("f:labels") or {}
        return f"f:{name}" in labels


class NamespaceMeta(ObjectMeta):
    """The part of a namespace's metadata that is read."""

    managed_fields: tuple[FieldsOwner, ...] = ()

    def label_written(self, name: str) -> datetime | None:
        """When whoever owns a label last wrote anything: the label was there from then on. None where nothing is known."""
        return max((each.time for each in self.managed_fields if each.time is not None and each.owns_label(name)), default=None)


class Namespace(Object):
    """A namespace; its labels decide which routes selectors allow."""

    namespaced: ClassVar[bool] = False

    api_version: Literal["v1"]
    kind: Literal["Namespace"]
    metadata: NamespaceMeta
    spec: Mapping[str, Any] = Field(default_factory=dict)
