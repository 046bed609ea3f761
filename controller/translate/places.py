"""Where listeners are bound, and who wins where two Gateways want the same: the older Gateway, then the first by name.

In standalone all Gateways share one address, so that one listener can stand in another's way; in a cluster none can, and nothing is
claimed. What stands in another's way inside a Gateway and its ListenerSets is found before (`relations`). Also: what no backend may
lead to, since it would lead back to us.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from controller.api.gateway import Gateway
from controller.api.listener_set import ListenerSet
from controller.api.listeners import Listener
from controller.graph import View
from controller.store import Key
from controller.translate.acceptance import gateway_problem
from controller.translate.classes import ClassVerdict
from controller.translate.conditions import Problem
from controller.translate.facing import Port
from controller.translate.listeners import listener_key, unsupported_protocol
from controller.translate.objects import Age, age
from controller.translate.options import HIGHEST_PORT, Options
from controller.translate.parents import gateway_of
from controller.translate.ports import bind_port, owners
from controller.translate.relations import Relations

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - names them, binds nothing


Claim = tuple[Key, int]
"""A Gateway that has listeners of its own or of ListenerSets on a port, and that port as the user knows it."""


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


def claims_of_port(options: Options, obj: Any) -> Iterator[tuple[int, Claim]]:
    """By the port at which its listeners would be bound who claims it: the listing "claims of port"."""
    if options.cluster or not isinstance(obj, Gateway | ListenerSet) or (gateway := gateway_of(obj)) is None:
        return
    yield from ((options.bind_port(listener.port), (gateway, listener.port)) for listener in obj.spec.listeners)


def bind_address(options: Options, gateway: Gateway) -> str:
    """The address at which a Gateway listens. In a cluster its addresses are those of its Services, and no matter of its Pods."""
    if options.cluster:
        return options.bind_address
    return next((plain(address.value) for address in gateway.spec.addresses if address.value), options.bind_address)


def translate_places(options: Options, key: Key, view: View) -> Places | None:
    """Unit "places": what a Gateway of ours claims, for its ListenerSets too, without what is refused whatever others claim."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return None
    verdict: ClassVerdict = view.result("class", gateway.spec.gateway_class_name)
    if verdict.foreign or gateway_problem(view, gateway) is not None:
        return None
    places = tuple(place for owner in owners(view, gateway) for place in _places(options, view, gateway, owner))
    return Places(age(gateway), places)


def _places(options: Options, view: View, gateway: Gateway, owner: Gateway | ListenerSet) -> Iterator[Place]:
    relations: Relations = view.result("relations", (gateway.key, owner.key))
    conflicts = dict(relations.conflicts)
    address = bind_address(options, gateway)
    for listener in owner.spec.listeners:
        if unclaimable(options, view, gateway, listener, conflicts.get(listener.name)) is None:
            key = listener_key(gateway.key, owner.key, listener.name)
            yield Place(key, address, options.bind_port(listener.port), listener.port, listener.protocol, listener.hostname or "")


def unclaimable(options: Options, view: View, gateway: Gateway, listener: Listener, conflict: Problem | None) -> Problem | None:
    """Why a listener of an accepted Gateway is refused whatever other Gateways claim; `conflict` is that with others of its own."""
    if (problem := unsupported_protocol(listener) or conflict) is not None:
        return problem
    place = bind_port(options, view, gateway.key, listener.port)
    if place > HIGHEST_PORT and options.cluster:
        message = f"port {listener.port} is one of Tidegate's own, and there is no other to bind it at; change the port"
        return Problem("PortUnavailable", message)
    if place > HIGHEST_PORT:
        message = f"port {listener.port} would be bound at {place}, which is no port; lower --port-offset, or the port"
        return Problem("PortUnavailable", message)
    if listener.protocol != "UDP" and is_admin(options, bind_address(options, gateway), place):
        return Problem("PortUnavailable", f"port {place} is that of the administration server; change the port, or --admin")
    return None


def translate_claims(bind_port: int, view: View) -> tuple[tuple[str, Place], ...]:
    """Unit "claims": the listeners that lose a bound port, each with the place that stands in its way."""
    standing = Standing()
    losers: list[tuple[str, Place]] = []
    for place in _claimed(view, bind_port):
        winner = standing.rival(place)
        if winner is None:
            standing.add(place)
        else:
            losers.append((place.listener, winner))
    return tuple(losers)


def _claimed(view: View, bind_port: int) -> list[Place]:
    """What Gateways claim at a bound port, those of the oldest first."""
    claims: tuple[Claim, ...] = view.select("claims of port", bind_port)
    gateways = dict.fromkeys(gateway for gateway, _ in claims)
    found: list[Places | None] = [view.result("places", gateway) for gateway in gateways]
    ranked = sorted((places for places in found if places is not None), key=lambda places: places.age)
    return [place for places in ranked for place in places.places if place.bind_port == bind_port]


class Standing:
    """The places at one bound port that are taken: of each address its port and what stands on it. UDP has sockets of its own."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: dict[tuple[bool, str], tuple[Place, Port[Place]]] = {}

    def add(self, place: Place) -> None:
        """One more that has no rival."""
        _, port = self._taken.setdefault((place.protocol == "UDP", place.address), (place, Port()))
        port.add((place.protocol, place.hostname), place)

    def rival(self, place: Place) -> Place | None:
        """What stands in the way. Different addresses may have different ports and protocols, unless one of them is all addresses."""
        for (udp, address), (first, port) in self._taken.items():
            if udp != (place.protocol == "UDP"):
                continue
            if address != place.address:
                if _covers(address, place.address) or _covers(place.address, address):
                    return first
            elif first.port != place.port:
                return first
            elif (found := port.rival((place.protocol, place.hostname))) is not None:
                return found[0]
        return None


def _covers(wildcard: str, address: str) -> bool:
    """Whether binding all addresses takes this one too; '::' stands for IPv4 as well."""
    return wildcard == "::" or (wildcard == "0.0.0.0" and ":" not in address)  # noqa: S104 - compares, binds nothing


def lost(view: View, listener: str, bind_port: int) -> Problem | None:
    """PortUnavailable if an older Gateway's listener stands in this one's way. Of one Gateway alone that is not asked."""
    if len(view.select("claims of port", bind_port)) < 2:
        return None
    losers: tuple[tuple[str, Place], ...] = view.result("claims", bind_port)
    winner = dict(losers).get(listener)
    if winner is None:
        return None
    namespace, gateway, name = winner.listener.split("/", 2)
    hosts = f"hostname {winner.hostname}" if winner.hostname else "all hostnames"
    traffic = winner.protocol if winner.protocol in ("TCP", "UDP") else f"{winner.protocol} for {hosts}"
    owner = f"listener {name} of Gateway {namespace}/{gateway}"
    message = f"port {bind_port} of {winner.address} is taken by {owner}: {traffic}"
    return Problem("PortUnavailable", message)


def translate_bound(key: tuple[int, bool], view: View) -> tuple[str, ...]:
    """Unit "bound": the addresses on which Gateways of ours listen at a port, for UDP or for all else."""
    bind_port, udp = key
    return tuple(sorted({place.address for place in _claimed(view, bind_port) if (place.protocol == "UDP") is udp}))


def leads_back(options: Options, view: View, address: str, port: int, udp: bool) -> str:
    """Why no endpoint may have this address and port, "" if it may: it would lead to a listener of ours or to administration."""
    if not udp and is_admin(options, address, port):
        return f"{address} port {port} is the administration server"
    if options.cluster:
        return f"{address} is the proxy itself" if is_loopback(address) else ""
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
