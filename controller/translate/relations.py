"""The listeners of a Gateway, its own and those of its ListenerSets: which stand in another's way, and which cover the same hosts.

The Gateway comes first, then its ListenerSets by age and name, and what comes first stays (ListenerSetSpec.listeners). Inside one
object no winner is chosen: all that conflict are refused. What is refused stands in nobody's way. Rivals are found by port, protocol
and hostname, so that listeners of which one cannot be in the way of the other are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from controller.api.gateway import Gateway
from controller.api.listener_set import ListenerSet
from controller.api.listeners import Listener
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import SHOWN, Problem
from controller.translate.facing import ENCRYPTED, NAMELESS, Conflict, rivals
from controller.translate.listeners import ROUTE_KINDS, protocol_conflict
from controller.translate.objects import Rank, called, rank
from controller.translate.parents import adopted, gateway_of
from controller.translate.precedence import Question, first_standing
from gateway.ir.hostnames import covering

Owner = Gateway | ListenerSet
"""What listeners are written in."""

Spot = tuple[Key, int, str, str | None]
"""A Gateway, a port of it, a protocol, and a hostname ('' for all hosts) or None for whatever hostname."""


class Encrypted(NamedTuple):
    """A listener that takes TLS, in the order in which listeners count."""

    owner: Rank
    place: int
    name: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Relations:
    """What the listeners of one object have of the others: by name the conflicts and the overlaps."""

    conflicts: tuple[tuple[str, Problem], ...] = ()
    overlaps: tuple[tuple[str, Problem], ...] = ()


def spots(obj: Any) -> Iterator[tuple[Spot, Rank]]:
    """Where a Gateway or a ListenerSet has listeners: the listing "listeners at spot"."""
    if not isinstance(obj, Owner) or (gateway := gateway_of(obj)) is None:
        return
    owner = rank(obj)
    for listener in obj.spec.listeners:
        yield (gateway, listener.port, listener.protocol, None), owner
        yield (gateway, listener.port, listener.protocol, listener.hostname or ""), owner


def encrypted(obj: Any) -> Iterator[tuple[tuple[Key, int, str, str], Encrypted]]:
    """Where a Gateway or a ListenerSet takes TLS: the listing "encrypted listeners", by port, under "is" and the hostname, and under
    "below" and each hostname that covers it."""
    if not isinstance(obj, Owner) or (gateway := gateway_of(obj)) is None:
        return
    owner = rank(obj)
    for place, listener in enumerate(obj.spec.listeners):
        if listener.protocol in ENCRYPTED:
            found, hostname = Encrypted(owner, place, listener.name, listener.protocol), listener.hostname or ""
            yield (gateway, listener.port, "is", hostname), found
            yield from (((gateway, listener.port, "below", wider), found) for wider in covering(hostname))


def ports_of_https(obj: Any) -> Iterator[tuple[Key, tuple[int, Key]]]:
    """By Gateway the ports of HTTPS, each with the object that has listeners there: the listing "ports of HTTPS"."""
    if isinstance(obj, Owner) and (gateway := gateway_of(obj)) is not None:
        yield from ((gateway, (listener.port, obj.key)) for listener in obj.spec.listeners if listener.protocol == "HTTPS")


def https_ports(view: View, gateway: Key) -> tuple[int, ...]:
    """The ports on which a Gateway serves HTTPS, its ListenerSets included."""
    return tuple(dict.fromkeys(port for port, owner in view.select("ports of HTTPS", gateway) if _counts(view, owner)))


def translate_relations(key: tuple[Key, Key], view: View) -> Relations:
    """Unit "relations": of the listeners of one object, itself of a Gateway."""
    gateway, owner = key
    obj: Owner | None = view.get(*owner)
    if obj is None:
        return Relations()
    overlaps = ((each.name, _overlap(view, gateway, obj, each)) for each in obj.spec.listeners if each.protocol in ENCRYPTED)
    return Relations(
        tuple(_conflicts(view, gateway, obj).items()),
        tuple((name, problem) for name, problem in overlaps if problem is not None),
    )


def _conflicts(view: View, gateway: Key, owner: Owner) -> dict[str, Problem]:
    """By name those that an object before this one stands in the way of, and of the others those that conflict with each other."""
    served = [listener for listener in owner.spec.listeners if listener.protocol in ROUTE_KINDS]
    lost = {listener.name: problem for listener in served if (problem := _lost(view, gateway, owner, listener)) is not None}
    left = [listener for listener in served if listener.name not in lost]
    return lost | {listener.name: problem for listener in left if (problem := protocol_conflict(listener, left)) is not None}


def _lost(view: View, gateway: Key, owner: Owner, listener: Listener) -> Problem | None:
    """Why an object before its own stands in a listener's way."""
    found: list[tuple[Rank, str, str, Conflict]] = []
    for (protocol, hostname), reason in rivals((listener.protocol, listener.hostname or ""), ROUTE_KINDS):
        spot: Spot = (gateway, listener.port, protocol, hostname)
        standing = first_standing(view, Question(("listeners at spot", spot), "standing listener", spot), owner)
        if standing is not None:
            found.append((*standing, protocol, reason))
    if not found:
        return None
    winner, name, protocol, conflict = min(found)
    told = f"{_named(winner.key, name, owner.key)}, which comes first"
    if conflict == "ProtocolConflict":
        return Problem(conflict, f"port {listener.port} cannot serve {listener.protocol} beside {protocol} of {told}")
    hosts = "" if listener.protocol in NAMELESS else f" for {listener.hostname or 'all hosts'}"
    return Problem(conflict, f"port {listener.port} is taken{hosts} by {told}")


def standing_listener(key: tuple[Key, Spot], view: View) -> str | None:
    """Unit "standing listener": the name of an object's first listener at a spot that is not in conflict, if the object counts at all."""
    owner, (gateway, port, protocol, hostname) = key
    obj: Owner | None = view.get(*owner)
    if obj is None or not _counts(view, owner):
        return None
    relations: Relations = view.result("relations", (gateway, owner))
    refused = dict(relations.conflicts)
    at_spot = (each for each in obj.spec.listeners if (each.port, each.protocol) == (port, protocol) and each.name not in refused)
    return next((each.name for each in at_spot if hostname in (None, each.hostname or "")), None)


def _counts(view: View, owner: Key) -> bool:
    return owner[0] == "Gateway" or adopted(view, owner)


def _named(owner: Key, name: str, reader: Key) -> str:
    """A listener in the status of another object. Of a ListenerSet of another namespace no name is told: it may be secret."""
    if owner == reader:
        return name
    if "Gateway" in (owner[0], reader[0]) or owner[1] == reader[1]:
        return f"listener {name} of {called(*owner)}"
    return "a listener of a ListenerSet of another namespace"


def _overlap(view: View, gateway: Key, owner: Owner, listener: Listener) -> Problem | None:
    """OverlappingHostnames if others cover some of the same hosts by TLS on one port, this one or the other being of HTTPS."""
    own = (owner.key, listener.name)
    found = (each for each in _related(view, gateway, listener.port, listener.hostname or "") if (each.owner.key, each.name) != own)
    counting = (each for each in found if "HTTPS" in (listener.protocol, each.protocol) and _counts(view, each.owner.key))
    others = list(dict.fromkeys(_named(each.owner.key, each.name, owner.key) for each in islice(counting, SHOWN + 1)))
    if not others:
        return None
    names = ", ".join(others[:SHOWN]) + (" and others" if len(others) > SHOWN else "")
    message = f"hosts of this listener are also covered by {names}; a request on a connection of the wrong one gets 421"
    return Problem("OverlappingHostnames", message)


def _related(view: View, gateway: Key, port: int, hostname: str) -> Iterator[Encrypted]:
    """Listeners of the hostnames that cover one, and then those that it covers, the same included."""
    for wider in covering(hostname)[1:]:
        yield from view.select("encrypted listeners", (gateway, port, "is", wider))
    yield from view.select("encrypted listeners", (gateway, port, "below", hostname))
