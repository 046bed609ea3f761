"""TLSRoute, TCPRoute and UDPRoute: routes whose one rule chooses a backend for a connection, or a UDP flow, as a whole
(apis/v1/tlsroute_types.go, tcproute_types.go, udproute_types.go; v1alpha2 and v1alpha3 with the same schema)."""

from typing import Annotated, Literal

from pydantic import Field

from controller.api.base import Model
from controller.api.common_route import CommonRouteSpec
from controller.api.metadata import Object
from controller.api.names import Hostname, SectionName
from controller.api.references import BackendRef


class StreamRouteRule(Model):
    """The backends, one at least."""

    name: SectionName | None = None
    backend_refs: Annotated[tuple[BackendRef, ...], Field(min_length=1, max_length=16)]


StreamRouteRules = Annotated[tuple[StreamRouteRule, ...], Field(min_length=1, max_length=1)]


class StreamRouteSpec(CommonRouteSpec):
    """Parents and the rule of a TCPRoute or a UDPRoute."""

    rules: StreamRouteRules


class TLSRouteSpec(CommonRouteSpec):
    """Parents, server names and the rule of a TLSRoute."""

    hostnames: Annotated[tuple[Hostname, ...], Field(min_length=1, max_length=1024)]
    rules: StreamRouteRules


class TLSRoute(Object):
    """Backends of TLS connections by server name."""

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3", "gateway.networking.k8s.io/v1alpha2"]
    kind: Literal["TLSRoute"]
    spec: TLSRouteSpec


class TCPRoute(Object):
    """Backends of all connections of a listener."""

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"]
    kind: Literal["TCPRoute"]
    spec: StreamRouteSpec


class UDPRoute(Object):
    """Backends of all datagrams of a listener."""

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"]
    kind: Literal["UDPRoute"]
    spec: StreamRouteSpec
