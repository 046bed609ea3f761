"""What kubelet would ask the application beside a sidecar, as the Pod was written (Probe, LifecycleHandler; pure).

The injector leads kubelet to the sidecar instead, which is not captured, at /app-health/<container>/<what>, and hands over what stood
there.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

PREFIX: Final = "/app-health/"
_HOOKS: Final = ("prestop", "poststart")
_WHATS: Final = ("livez", "readyz", "startupz", *_HOOKS)
_DEFAULT_TIMEOUT: Final = 1.0
"""Seconds (Probe.timeoutSeconds)."""


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """Of a Pod's specification; fields that mean nothing here may stand beside those that do."""


Port = Annotated[int, Meta(ge=1, le=65_535)]


class Header(_Part, frozen=True):
    """HTTPHeader."""

    name: str
    value: str = ""


class HttpGet(_Part, frozen=True):
    """HTTPGetAction; the port is a number by now."""

    port: Port
    path: str = "/"
    host: str = ""
    """'' for the Pod."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: tuple[Header, ...] = ()


class TcpSocket(_Part, frozen=True):
    """TCPSocketAction."""

    port: Port
    host: str = ""


class Grpc(_Part, frozen=True):
    """GRPCAction."""

    port: Port
    service: str | None = None


class Probe(_Part, frozen=True):
    """One of the three."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: Grpc | None = None
    timeout_seconds: Annotated[float, Meta(ge=0)] = 0
    """0 for the default."""


Probes = tuple[tuple[str, Probe], ...]
"""With the path by which each is asked for."""

_decoder = msgspec.json.Decoder(dict[str, Probe])


def read_probes(text: str) -> Probes:
    """Of the JSON by path; '' for none. Raises ValueError, whose message says where."""
    try:
        found = _decoder.decode(text) if text else {}
    except msgspec.MsgspecError as error:
        raise ValueError(f"is not a JSON object of probes by path: {error}") from None
    for path, probe in found.items():
        container, _, what = path.removeprefix(PREFIX).partition("/")
        if not path.startswith(PREFIX) or not container or what not in _WHATS:
            raise ValueError(f"has the path {path!r}; write {PREFIX}CONTAINER/ and one of {', '.join(_WHATS)}")
        if sum(action is not None for action in (probe.http_get, probe.tcp_socket, probe.grpc)) != 1:
            raise ValueError(f"has not just one of httpGet, tcpSocket and grpc at {path!r}")
        if probe.http_get is not None and not probe.http_get.path.startswith("/"):
            slashed = msgspec.structs.replace(probe.http_get, path="/" + probe.http_get.path)  # as kubelet does
            found[path] = msgspec.structs.replace(probe, http_get=slashed)
    return tuple(found.items())


def timeout_of(path: str, probe: Probe) -> float | None:
    """Seconds; None for a hook, which may take as long as its Pod has to end."""
    if probe.timeout_seconds:
        return probe.timeout_seconds
    return None if path.endswith(tuple(f"/{hook}" for hook in _HOOKS)) else _DEFAULT_TIMEOUT
