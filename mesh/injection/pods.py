"""The part of a Pod that injection looks at (core/v1 Pod). Whatever else a Pod has is left as it is.

Fields may be null, as in YAML that a person writes. What is of another type than core/v1 says is refused with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mesh.injection.settings import Refused


class ContainerPort(msgspec.Struct, frozen=True, rename="camel"):
    container_port: int = 0
    name: str | None = None


class HttpGet(msgspec.Struct, frozen=True, rename="camel"):
    port: int | str
    host: str | None = None
    path: str | None = None
    scheme: str | None = None
    http_headers: list[dict[str, Any]] | None = None


class TcpSocket(msgspec.Struct, frozen=True, rename="camel"):
    port: int | str
    host: str | None = None


class Grpc(msgspec.Struct, frozen=True, rename="camel"):
    port: int
    service: str | None = None


class Action(msgspec.Struct, frozen=True, rename="camel"):
    """A probe, or a lifecycle hook (which has no grpc and no timeout)."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: Grpc | None = None
    timeout_seconds: int | None = None


class Lifecycle(msgspec.Struct, frozen=True, rename="camel"):
    post_start: Action | None = None
    pre_stop: Action | None = None


class SecurityContext(msgspec.Struct, frozen=True, rename="camel"):
    run_as_user: int | None = None
    run_as_group: int | None = None


class Container(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    ports: list[ContainerPort] | None = None
    liveness_probe: Action | None = None
    readiness_probe: Action | None = None
    startup_probe: Action | None = None
    lifecycle: Lifecycle | None = None
    security_context: SecurityContext | None = None


class Volume(msgspec.Struct, frozen=True):
    name: str


class OperatingSystem(msgspec.Struct, frozen=True):
    name: str = ""


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    containers: list[Container]
    init_containers: list[Container] | None = None
    volumes: list[Volume] | None = None
    host_network: bool | None = None
    os: OperatingSystem | None = None
    security_context: SecurityContext | None = None

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers before the others, as they are started."""
        return (*(self.init_containers or ()), *self.containers)


class Metadata(msgspec.Struct, frozen=True):
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Pod(msgspec.Struct, frozen=True):
    """A Pod, or the template of one."""

    spec: PodSpec
    metadata: Metadata | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        return (self.metadata and self.metadata.labels) or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        return (self.metadata and self.metadata.annotations) or {}


def read_pod(raw: Any) -> Pod:
    """Raises Refused for what is no Pod, with the place of the first thing that is wrong."""
    try:
        return msgspec.convert(raw, Pod)
    except msgspec.ValidationError as error:
        raise Refused(f"this is no Pod that the API server would take: {error}. Correct this field ($ is the Pod)") from None
