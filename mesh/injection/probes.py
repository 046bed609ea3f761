"""Probes and HTTP lifecycle hooks of the application, led to the sidecar, which asks the application in the kubelet's place.

The kubelet has no identity in the mesh: under strict mutual TLS its probes of a captured port would fail. Left as they are: commands
(exec), which run inside the container, and what names a host, since that is asked somewhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mesh.injection.names import APP_HEALTH, HEALTH_PORT, REWRITE_PROBES
from mesh.injection.pods import Action, Container
from mesh.injection.settings import Refused

Originals = dict[str, dict[str, Any]]
"""By path at the sidecar: what is to be asked of the application, ports as numbers, `timeoutSeconds` where there is one."""

_DEFAULT_TIMEOUT: Final = 1
"""Seconds (core/v1 Probe.timeoutSeconds)."""
_KINDS: Final = ("httpGet", "tcpSocket", "grpc")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an action stands in a container, and the last word of its path at the sidecar."""

    path: tuple[str, ...]
    attribute: str
    word: str

    @property
    def is_hook(self) -> bool:
        return self.path[0] == "lifecycle"

    def of(self, container: Container) -> Action | None:
        """What the container has there."""
        found: Action | None = getattr(container.lifecycle if self.is_hook else container, self.attribute, None)
        return found


_PLACES: Final = (
    _Place(("livenessProbe",), "liveness_probe", "livez"),
    _Place(("readinessProbe",), "readiness_probe", "readyz"),
    _Place(("startupProbe",), "startup_probe", "startupz"),
    _Place(("lifecycle", "postStart"), "post_start", "poststart"),
    _Place(("lifecycle", "preStop"), "pre_stop", "prestop"),
)


def rewritten(container: Container, raw: Mapping[str, Any]) -> tuple[dict[str, Any], Originals]:
    """The container with what is asked of the sidecar, and what that asks in turn. Raises Refused for a port that has no number."""
    changed, originals = dict(raw), Originals()
    for place, action in _actions(container):
        original = _original(container, place, action)
        if original is None:
            continue
        path = f"{APP_HEALTH}{container.name}/{place.word}"
        originals[path] = original
        asked = {"httpGet": {"path": path, "port": HEALTH_PORT, "scheme": "HTTP"}}
        *outer, last = place.path
        holder = changed
        for step in outer:
            holder[step] = holder = dict(holder[step])
        holder[last] = asked | {field: value for field, value in holder[last].items() if field not in _KINDS}
    return changed, originals


def _actions(container: Container) -> Iterator[tuple[_Place, Action]]:
    for place in _PLACES:
        if (action := place.of(container)) is not None:
            yield place, action


def _original(container: Container, place: _Place, action: Action) -> dict[str, Any] | None:
    """None for what stays as it is."""
    timeout = {} if place.is_hook else {"timeoutSeconds": action.timeout_seconds or _DEFAULT_TIMEOUT}
    if (http := action.http_get) is not None and not http.host:
        if http.port == HEALTH_PORT and (http.path or "").startswith(APP_HEALTH):
            return None
        port = _number(container, place, http.port)
        asked: dict[str, Any] = {"path": http.path or "/", "port": port, "scheme": http.scheme or "HTTP"}
        return {"httpGet": asked | ({"httpHeaders": http.http_headers} if http.http_headers else {}), **timeout}
    if (tcp := action.tcp_socket) is not None and not tcp.host and not place.is_hook:
        return {"tcpSocket": {"port": _number(container, place, tcp.port)}, **timeout}
    if action.grpc is not None:
        return {"grpc": {"port": action.grpc.port, "service": action.grpc.service or ""}, **timeout}
    return None


def _number(container: Container, place: _Place, port: int | str) -> int:
    """As the kubelet finds it: a name among the container's own ports, else a number written as text."""
    if isinstance(port, int):
        return port
    for candidate in container.ports or ():
        if candidate.name == port:
            return candidate.container_port
    if port.isascii() and port.isdecimal():
        return int(port)
    known = ", ".join(candidate.name for candidate in container.ports or () if candidate.name) or "none has a name"
    raise Refused(
        f"container {container.name}: {'.'.join(place.path)} asks port {port!r}, which is no port of the container ({known}): write its "
        f'name or number, or set annotation {REWRITE_PROBES}: "false"'
    )
