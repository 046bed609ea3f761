"""What a listener is by the word of the object that it is written in: the kinds of routes it takes, its conflicts inside the object."""

from __future__ import annotations

from collections.abc import Sequence

from controller.api.listeners import Listener
from controller.api.references import GATEWAY_GROUP
from controller.store import Key
from controller.translate.conditions import Problem
from controller.translate.facing import ENCRYPTED, conflict
from controller.translate.statuses import RouteKind

ROUTE_KINDS: dict[str, tuple[str, ...]] = {
    "HTTP": ("HTTPRoute", "GRPCRoute"),
    "HTTPS": ("HTTPRoute", "GRPCRoute"),
    "TLS": ("TLSRoute",),
    "TCP": ("TCPRoute",),
    "UDP": ("UDPRoute",),
}
"""The kinds of routes that a listener of each served protocol takes. One of TLS that terminates takes TCPRoutes as well."""


def listener_name(owner: Key, name: str) -> str:
    """The name of a listener among all of its Gateway: as it is written there, or after namespace and name of its ListenerSet."""
    return name if owner[0] == "Gateway" else f"{owner[1]}/{owner[2]}/{name}"


def listener_key(gateway: Key, owner: Key, name: str) -> str:
    """The key of a Listener resource, which is written in its Gateway or in a ListenerSet."""
    return f"{gateway[1]}/{gateway[2]}/{listener_name(owner, name)}"


def terminates(listener: Listener) -> bool:
    """Whether TLS ends at a listener."""
    return listener.protocol in ENCRYPTED and listener.tls is not None and listener.tls.mode == "Terminate"


def _kinds(listener: Listener) -> tuple[RouteKind, ...]:
    names = ROUTE_KINDS.get(listener.protocol, ())
    if listener.protocol == "TLS" and terminates(listener):
        names = (*names, "TCPRoute")
    return tuple(RouteKind(GATEWAY_GROUP, name) for name in names)


def supported_kinds(listener: Listener) -> tuple[tuple[RouteKind, ...], Problem | None]:
    """ListenerStatus.supportedKinds, and InvalidRouteKinds if others are asked for."""
    known = _kinds(listener)
    asked = tuple(dict.fromkeys(RouteKind(kind.group, kind.kind) for kind in listener.allowed_routes.kinds))
    if not asked or not known:
        return known, None
    unknown = [f"{kind.group}/{kind.kind}" if kind.group else kind.kind for kind in asked if kind not in known]
    taken = " and ".join(kind.kind for kind in known)
    mode = f" and tls.mode {listener.tls.mode}" if listener.protocol == "TLS" and listener.tls is not None else ""
    message = f"a listener of protocol {listener.protocol}{mode} takes {taken} of {GATEWAY_GROUP}, not {', '.join(unknown)}"
    problem = Problem("InvalidRouteKinds", f"allowedRoutes.kinds: {message}")
    return tuple(kind for kind in asked if kind in known), problem if unknown else None


def protocol_conflict(listener: Listener, siblings: Sequence[Listener]) -> Problem | None:
    """ProtocolConflict if listeners of another served protocol stand in the way on the same port: no winner is chosen, all are refused.

    Hostnames cannot clash inside an object: one with one port, protocol and hostname twice is not readable.
    """
    facing = (listener.protocol, listener.hostname or "")
    others = [
        sibling
        for sibling in siblings
        if sibling.port == listener.port
        and sibling.protocol in ROUTE_KINDS
        and conflict(facing, (sibling.protocol, sibling.hostname or "")) == "ProtocolConflict"
    ]
    if not others:
        return None
    names = ", ".join(sibling.name for sibling in others)
    message = f"port {listener.port} cannot serve {listener.protocol} and the protocol of {names}; use another port for one"
    if all({sibling.protocol, listener.protocol} == ENCRYPTED for sibling in others):
        message += ", or another hostname"
    return Problem("ProtocolConflict", message)


def unsupported_protocol(listener: Listener) -> Problem | None:
    """UnsupportedProtocol for all that is not of the core."""
    if listener.protocol in ROUTE_KINDS:
        return None
    served = " and ".join(", ".join(ROUTE_KINDS).rsplit(", ", 1))
    return Problem("UnsupportedProtocol", f"protocol {listener.protocol} is not served; {served} are")
