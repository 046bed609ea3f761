"""Where listeners are bound, and who wins where two Gateways want the same: the older Gateway, then the first by name.

In standalone all Gateways share one address, so that one listener can stand in another's way. Inside a Gateway no winner
is chosen (`listeners.protocol_conflict`). Also: what no backend may lead to, since it would lead back to us.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from controller.api.gateway import Gateway
from controller.api.listeners import Listener
from controller.graph import View
from controller.store import Key
from controller.translate.classes import ClassVerdict
from controller.translate.conditions import Problem
from controller.translate.listeners import conflict, listener_key, protocol_conflict, unsupported_protocol
from controller.translate.objects import Age, age
from controller.translate.options import HIGHEST_PORT, Options

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - names them, binds nothing


@dataclass(frozen=True, slots=True)
class Place:
    """What one listener claims: `port` is the user's."""

    listener: str
    address: str
    bind_port: int
    port: int
    protocol: str
    hostname: str


@dataclass(frozen=True, slots=True)
class Places:
    """What a Gateway claims."""

    age: Age
    places: tuple[Place, ...]


def bind_ports(options: Options, gateway: Gateway) -> frozenset[int]:
    """The ports at which listeners of a Gateway would be bound: the index "bind port"."""
    return frozenset(options.bind_port(listener.port) for listener in gateway.spec.listeners)


def bind_address(options: Options, gateway: Gateway) -> str:
    """The address at which a Gateway listens."""
    return next((plain(address.value) for address in gateway.spec.addresses if address.value), options.bind_address)


def gateway_problem(view: View, gateway: Gateway) -> Problem | None:
    """Why a Gateway as a whole is not accepted, whatever its listeners are."""
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    if verdict.problem is not None:
        return Problem("Pending", f"GatewayClass {gateway.spec.gateway_class_name} is not accepted: {verdict.problem.message}")
    if gateway.spec.infrastructure is not None and (parameters := gateway.spec.infrastructure.parameters_ref) is not None:
        return Problem("InvalidParameters", f"spec.infrastructure.parametersRef: kind {parameters.kind} is not known; remove the field")
    return _unsupported_address(gateway)


def _unsupported_address(gateway: Gateway) -> Problem | None:
    for index, address in enumerate(gateway.spec.addresses):
        if address.type != "IPAddress":
            return Problem("UnsupportedAddress", f"spec.addresses[{index}]: type {address.type} is not supported; use IPAddress")
    if len(gateway.spec.addresses) > 1:
        return Problem("UnsupportedAddress", "spec.addresses: a Gateway listens on one address; keep one entry, or none for the default")
    return None


def translate_places(options: Options, key: Key, view: View) -> Places | None:
    """Unit "places": what a Gateway of ours claims, without the listeners that are refused whatever others claim."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return None
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    if verdict.foreign or gateway_problem(view, gateway) is not None:
        return None
    address = bind_address(options, gateway)
    places = tuple(
        Place(
            listener_key(key, listener.name), address, options.bind_port(listener.port), listener.port, listener.protocol,
            listener.hostname or "",
        )
        for listener in gateway.spec.listeners
        if unclaimable(options, gateway, listener) is None
    )  # fmt: skip
    return Places(age(gateway), places)


def unclaimable(options: Options, gateway: Gateway, listener: Listener) -> Problem | None:
    """Why a listener of an accepted Gateway is refused whatever other Gateways claim."""
    problem = unsupported_protocol(listener) or protocol_conflict(listener, gateway.spec.listeners)
    if problem is not None:
        return problem
    bind_port = options.bind_port(listener.port)
    if bind_port > HIGHEST_PORT:
        message = f"port {listener.port} would be bound at {bind_port}, which is no port; lower --port-offset, or the port"
        return Problem("PortUnavailable", message)
    if listener.protocol != "UDP" and is_admin(options, bind_address(options, gateway), bind_port):
        return Problem("PortUnavailable", f"port {bind_port} is that of the administration server; change the port, or --admin")
    return None


def translate_claims(bind_port: int, view: View) -> tuple[tuple[str, Place], ...]:
    """Unit "claims": the listeners that lose a bound port, each with the place that stands in its way."""
    found = [view.result("places", gateway.key) for gateway in view.select("bind port", bind_port)]
    ranked = sorted((places for places in found if places is not None), key=lambda places: places.age)
    winners: list[Place] = []
    losers: list[tuple[str, Place]] = []
    for place in (place for places in ranked for place in places.places if place.bind_port == bind_port):
        winner = next((winner for winner in winners if _clash(winner, place)), None)
        if winner is None:
            winners.append(place)
        else:
            losers.append((place.listener, winner))
    return tuple(losers)


def _clash(one: Place, other: Place) -> bool:
    """UDP has sockets of its own, and those of different addresses may be of different ports and protocols."""
    if (one.protocol == "UDP") != (other.protocol == "UDP"):
        return False
    if one.address != other.address:
        return _covers(one.address, other.address) or _covers(other.address, one.address)
    return one.port != other.port or conflict((one.protocol, one.hostname), (other.protocol, other.hostname)) is not None


def _covers(wildcard: str, address: str) -> bool:
    """Whether binding all addresses takes this one too; '::' stands for IPv4 as well."""
    return wildcard == "::" or (wildcard == "0.0.0.0" and ":" not in address)  # noqa: S104 - compares, binds nothing


def lost(view: View, listener: str, bind_port: int) -> Problem | None:
    """PortUnavailable if an older Gateway's listener stands in this one's way."""
    losers: tuple[tuple[str, Place], ...] = view.result("claims", bind_port)
    winner = dict(losers).get(listener)
    if winner is None:
        return None
    namespace, gateway, name = winner.listener.split("/")
    hosts = f"hostname {winner.hostname}" if winner.hostname else "all hostnames"
    traffic = winner.protocol if winner.protocol in ("TCP", "UDP") else f"{winner.protocol} for {hosts}"
    owner = f"listener {name} of Gateway {namespace}/{gateway}"
    message = f"port {bind_port} of {winner.address} is taken by {owner}: {traffic}"
    return Problem("PortUnavailable", message)


def translate_bound(key: tuple[int, bool], view: View) -> tuple[str, ...]:
    """Unit "bound": the addresses on which Gateways of ours listen at a port, for UDP or for all else."""
    bind_port, udp = key
    found = [view.result("places", gateway.key) for gateway in view.select("bind port", bind_port)]
    places = [place for gateway_places in found if gateway_places is not None for place in gateway_places.places]
    return tuple(sorted({place.address for place in places if place.bind_port == bind_port and (place.protocol == "UDP") is udp}))


def leads_back(options: Options, view: View, address: str, port: int, udp: bool) -> str:
    """Why no endpoint may have this address and port, "" if it may: it would lead to a listener of ours or to administration."""
    if not udp and is_admin(options, address, port):
        return f"{address} port {port} is the administration server"
    if not is_loopback(address) and plain(address) != options.bind_address and not view.select("address of Gateway", plain(address)):
        return ""
    bound: tuple[str, ...] = view.result("bound", (port, udp))
    if any(_reaches(address, place) for place in bound):
        return f"{address} port {port} is a listener of this proxy"
    return ""


def is_admin(options: Options, address: str, port: int) -> bool:
    """Whether a connection to this address and port would reach the administration server."""
    return options.admin is not None and port == options.admin[1] and (address in WILDCARDS or _reaches(address, options.admin[0]))


def _reaches(address: str, place: str) -> bool:
    if place in WILDCARDS:
        return is_loopback(address)
    return plain(address) == plain(place) or (plain(address) in (*WILDCARDS, "localhost") and is_loopback(place))


def is_loopback(address: str) -> bool:
    """Whether an address, or the name localhost, means this machine; the unspecified address does, as a destination."""
    if plain(address) in (*WILDCARDS, "localhost"):
        return True
    try:
        return ipaddress.ip_address(plain(address)).is_loopback
    except ValueError:
        return False


def plain(address: str) -> str:
    """An address in one form, an IPv4-mapped one as IPv4, a name in lower case without its final dot."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.lower().removesuffix(".")
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
