"""EndpointSlice (discovery.k8s.io/v1): the endpoints of a Service."""

from typing import Annotated, Literal

from pydantic import Field

from controller.api.base import Boolean, Text, TolerantModel
from controller.api.metadata import Object
from controller.api.names import PortNumber

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""The label that names the Service to which a slice belongs."""


class EndpointConditions(TolerantModel):
    """State of an endpoint; a missing `ready` means ready, a missing `serving` what ready says (discovery/v1)."""

    ready: Boolean | None = None
    serving: Boolean | None = None
    terminating: Boolean | None = None


class TargetReference(TolerantModel):
    """The object behind an endpoint, usually a Pod."""

    kind: Text = ""
    namespace: Text = ""
    name: Text = ""


class Endpoint(TolerantModel):
    """One endpoint; all its addresses reach the same thing, so the first is used."""

    addresses: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)]
    conditions: EndpointConditions = EndpointConditions()
    hostname: Text | None = None
    node_name: Text | None = None
    zone: Text | None = None
    target_ref: TargetReference | None = None


class EndpointPort(TolerantModel):
    """A port of all endpoints of the slice; without a number it stands for all ports."""

    name: Text = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: PortNumber | None = None
    app_protocol: Text | None = None


class EndpointSlice(Object):
    """A part of the endpoints of a Service."""

    api_version: Literal["discovery.k8s.io/v1"]
    kind: Literal["EndpointSlice"]
    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: Annotated[tuple[Endpoint, ...], Field(max_length=1000)] = ()
    ports: Annotated[tuple[EndpointPort, ...], Field(max_length=20000)] = ()

    @property
    def service_name(self) -> str:
        """The Service that the slice belongs to, "" when it names none."""
        return self.metadata.labels.get(SERVICE_NAME_LABEL, "")
