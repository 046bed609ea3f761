"""ServiceEntry (networking.istio.io/v1): hosts that the cluster does not know become known to sidecars
(istio.io/api/networking/v1alpha3/service_entry.proto, and workload_entry.proto for the endpoints).

Only the form is judged here. What values mean is for translate/mesh/entry_reading.py: an entry with something that is not understood opens
nothing, and its condition names the field.
"""

from typing import Literal

from pydantic import Field

from controller.api.base import Integer, Text
from controller.api.istio import OpenModel
from controller.api.metadata import Object

Texts = tuple[Text, ...]
Location = Literal["MESH_EXTERNAL", "MESH_INTERNAL"]
Resolution = Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]


class EntryPort(OpenModel):
    """A port of the hosts (istio.networking.v1alpha3.ServicePort)."""

    number: Integer = Field(ge=1, le=65535, description="At which the hosts are called.")
    name: Text = Field(min_length=1, description="By which endpoints name it.")
    protocol: Text = Field(default="", description="HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, REDIS or MYSQL; detected without.")
    target_port: Integer | None = Field(
        default=None, ge=1, le=65535, description="Of endpoints that do not name the port; the number without."
    )


class EntryEndpoint(OpenModel):
    """Where the hosts are (istio.networking.v1alpha3.WorkloadEntry)."""

    address: Text = Field(default="", description="IP address, with resolution DNS also a host name.")
    ports: dict[Text, Integer] = Field(default_factory=dict, description="Numbers by the name of the port.")
    labels: dict[str, Text] = Field(default_factory=dict, description="Of the workload.")
    network: Text = Field(default="", description="Not supported: endpoints are reached directly.")
    locality: Text = Field(default="", description="REGION/ZONE/SUBZONE.")
    weight: Integer = Field(default=0, ge=0, description="Share of the calls, compared with those of the others; 0 is 1.")
    service_account: Text = Field(
        default="", description="Of the workload, in the entry's namespace: what it must prove to be in the mesh."
    )


class EntrySelector(OpenModel):
    """Workloads by label (istio.networking.v1alpha3.WorkloadSelector)."""

    labels: dict[str, Text] = Field(default_factory=dict, description="All of these must be there.")


class ServiceEntrySpec(OpenModel):
    """What is called, by which names and addresses, and where it is."""

    hosts: Texts = Field(min_length=1, description="Host names, also *.DOMAIN.")
    addresses: Texts = Field(default=(), description="IP addresses and CIDRs at which the hosts are called; any without.")
    ports: tuple[EntryPort, ...] = Field(default=(), description="Of the hosts.")
    location: Location = Field(default="MESH_EXTERNAL", description="Whether workloads there may be in the mesh.")
    resolution: Resolution = Field(
        default="NONE", description="How it is found out where the hosts are: NONE goes where the call was going."
    )
    endpoints: tuple[EntryEndpoint, ...] = Field(default=(), description="Where the hosts are, with resolution STATIC or DNS.")
    workload_selector: EntrySelector | None = Field(default=None, description="Not supported: write endpoints.")
    export_to: Texts = Field(default=(), description="Namespaces whose workloads it holds for: * for all, . for its own, ~ for none.")
    subject_alt_names: Texts = Field(default=(), description="Of which a workload of the mesh must prove one.")


class ServiceEntry(Object):
    """Hosts that sidecars are told of."""

    api_version: Literal["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"]
    kind: Literal["ServiceEntry"]
    spec: ServiceEntrySpec
