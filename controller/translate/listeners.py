"""What a listener is by its own Gateway's word: the kinds of routes it takes, its conflicts inside the Gateway, overlapping TLS.

`Parent` is what routes read of a Gateway. It holds nothing that a certificate, a policy or another Gateway can change, so
that those wake no routes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from controller.api.gateway import Gateway
from controller.api.listeners import Listener
from controller.api.references import GATEWAY_GROUP
from controller.api.selectors import LabelSelector
from controller.graph import View
from controller.store import Key
from controller.translate.classes import ClassVerdict
from controller.translate.conditions import Problem
from controller.translate.objects import called
from controller.translate.statuses import RouteKind

ROUTE_KINDS: dict[str, tuple[str, ...]] = {
    "HTTP": ("HTTPRoute", "GRPCRoute"),
    "HTTPS": ("HTTPRoute", "GRPCRoute"),
    "TLS": ("TLSRoute",),
    "TCP": ("TCPRoute",),
    "UDP": ("UDPRoute",),
}
"""The kinds of routes that a listener of each served protocol takes. One of TLS that terminates takes TCPRoutes as well."""

ENCRYPTED = frozenset({"HTTPS", "TLS"})
"""Protocols that choose a listener by server name, so that they can share a port."""


@dataclass(frozen=True, slots=True)
class Attachable:
    """A listener as routes see it."""

    key: str
    name: str
    port: int
    protocol: str
    hostname: str
    kinds: tuple[RouteKind, ...]
    namespaces: Literal["All", "Selector", "Same"]
    selector: LabelSelector | None


@dataclass(frozen=True, slots=True)
class Parent:
    """A Gateway as routes see it. With `foreign`, the reason, it is none of ours."""

    listeners: tuple[Attachable, ...] = ()
    foreign: str = ""


def listener_key(gateway: Key, name: str) -> str:
    """The key of a Listener resource."""
    return f"{gateway[1]}/{gateway[2]}/{name}"


def translate_parent(key: Key, view: View) -> Parent:
    """Unit "parent": a Gateway as routes see it."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return Parent(foreign=f"{called(*key)} does not exist")
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    if verdict.foreign:
        return Parent(foreign=f"{called(*key)} is not ours: {verdict.foreign}")
    return Parent(tuple(_attachable(key, listener) for listener in gateway.spec.listeners))


def _attachable(gateway: Key, listener: Listener) -> Attachable:
    kinds, _ = supported_kinds(listener)
    allowed = listener.allowed_routes.namespaces
    return Attachable(
        listener_key(gateway, listener.name), listener.name, listener.port, listener.protocol, listener.hostname or "", kinds,
        allowed.from_, allowed.selector,
    )  # fmt: skip


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


Facing = tuple[str, str]
"""Protocol and hostname of a listener: what it shows to those that share its port."""


def conflict(one: Facing, other: Facing) -> Literal["ProtocolConflict", "HostnameConflict"] | None:
    """Why two listeners on one port cannot be told apart. UDP has ports of its own; HTTPS and TLS are told apart by server name."""
    protocols = {one[0], other[0]}
    if len(protocols) == 1:
        return "HostnameConflict" if one[1] == other[1] else None
    if "UDP" in protocols:
        return None
    return None if protocols == ENCRYPTED and one[1] != other[1] else "ProtocolConflict"


def protocol_conflict(listener: Listener, siblings: Sequence[Listener]) -> Problem | None:
    """ProtocolConflict if listeners of another served protocol stand in the way on the same port: no winner is chosen, all are refused.

    Hostnames cannot clash inside a Gateway: an object with one port, protocol and hostname twice is not readable.
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


def overlapping_tls(listener: Listener, siblings: Sequence[Listener]) -> Problem | None:
    """OverlappingHostnames if listeners of the port cover some of the same hosts by TLS, this one or the other being of HTTPS."""
    others = [
        sibling.name
        for sibling in siblings
        if sibling is not listener
        and sibling.port == listener.port
        and "HTTPS" in (protocols := {sibling.protocol, listener.protocol})
        and protocols <= ENCRYPTED
        and overlaps(sibling.hostname or "", listener.hostname or "")
    ]
    if not others:
        return None
    message = f"hosts of this listener are also covered by {', '.join(others)}; a request on a connection of the wrong one gets 421"
    return Problem("OverlappingHostnames", message)


def overlaps(one: str, other: str) -> bool:
    """Whether some host is covered by both hostnames; '' covers all."""
    return not one or not other or one == other or covers(one, other) or covers(other, one)


def covers(wildcard: str, hostname: str) -> bool:
    """Whether `*.` and a suffix covers a hostname, itself exact or a narrower wildcard: one or more labels before the suffix."""
    return wildcard.startswith("*.") and hostname.removeprefix("*").endswith(wildcard[1:]) and hostname.removeprefix("*") != wildcard[1:]


def unsupported_protocol(listener: Listener) -> Problem | None:
    """UnsupportedProtocol for all that is not of the core."""
    if listener.protocol in ROUTE_KINDS:
        return None
    served = " and ".join(", ".join(ROUTE_KINDS).rsplit(", ", 1))
    return Problem("UnsupportedProtocol", f"protocol {listener.protocol} is not served; {served} are")
