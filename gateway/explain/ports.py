"""Which bound port a URL leads to, and which listeners share it, in words.

A URL's port is first looked for among the ports that are bound, as a client would, then among those that users wrote and those
that clients see, which differ from the bound ones under --port-offset.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from gateway.descriptors import Place, Transport
from gateway.net.sockets import readable
from gateway.proxy.port import LiveListener, Port

_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - names them, binds nothing


def find_port(ports: Mapping[Place, Port], host: bytes, number: int, transport: Transport = "tcp") -> tuple[Port, str] | None:
    """The port, and why it is that one."""
    there = [port for place, port in ports.items() if place.transport == transport]
    bound = [port for port in there if port.number == number]
    if bound:
        port = min(bound, key=lambda port: _distance(host, port.address))
        return port, f"port {port.number} is bound at {port.address}"
    written = [port for port in there if any(number in _seen_ports(listener) for listener in port.hosts.values())]
    if not written:
        return None
    port = min(written, key=lambda port: _distance(host, port.address))
    return port, f"port {number} is bound at {readable(port.address, port.number)}"


def _seen_ports(listener: LiveListener) -> tuple[int, int]:
    return listener.resource.port, listener.location_port


def _distance(host: bytes, address: str) -> int:
    """How far an address is from being that of the URL's host; what is bound to one address comes before what is bound to all."""
    if address in _WILDCARDS:
        return 1
    name = host.decode("latin-1").strip("[]")
    try:
        return 0 if ipaddress.ip_address(name) == ipaddress.ip_address(address) else 3
    except ValueError:
        return 0 if name == "localhost" and ipaddress.ip_address(address).is_loopback else 2


def open_ports(ports: Mapping[Place, Port]) -> str:
    """The ports there are."""
    if not ports:
        return "no listener is served"
    return "what is bound: " + ", ".join(_shown(place) for place in sorted(ports))


def _shown(place: Place) -> str:
    where = readable(place.address, place.port)
    return where if place.transport == "tcp" else f"{where} ({place.transport.upper()})"


def hostnames(port: Port) -> str:
    """The hostnames that listeners of a port serve."""
    names = sorted(listener.resource.hostname or "every host" for listener in port.hosts.values())
    return f"port {port.number} serves {', '.join(names) or 'none any more'}"


def why_listener(host: bytes, chosen: LiveListener, port: Port) -> str:
    """Why a host has this listener."""
    name = host.decode("ascii")
    hostname = chosen.resource.hostname
    if hostname.startswith("*."):
        return f"{name}: {hostname} is the longest wildcard that covers it"
    if hostname:
        return f"{name}: this listener names it"
    if len(port.hosts.values()) == 1:
        return "the only listener there serves every host"
    return f"{name}: no listener names it, and this one serves every host"
