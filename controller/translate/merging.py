"""All listeners of a Gateway, its own and those of its ListenerSets: which stand in another's way, and which cover the same hosts.

The Gateway comes first, then its ListenerSets by age and name, and what comes first stays (ListenerSetSpec.listeners). Inside one
object no winner is chosen: all that conflict are refused. What is refused stands in nobody's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from controller.api.gateway import Gateway
from controller.api.listener_set import ListenerSet
from controller.api.listeners import Listener
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import SHOWN, Problem
from controller.translate.facing import ENCRYPTED, NAMELESS, Facing, Port, covering
from controller.translate.listeners import ROUTE_KINDS, listener_key, protocol_conflict
from controller.translate.objects import age, called
from controller.translate.parents import Adoption


@dataclass(frozen=True, slots=True)
class Member:
    """A listener, its key, and the Gateway or ListenerSet that it is written in."""

    key: str
    owner: Key
    listener: Listener

    @property
    def facing(self) -> Facing:
        """What it shows to those that share its port."""
        return (self.listener.protocol, self.listener.hostname or "")


@dataclass(frozen=True, slots=True)
class Merged:
    """All listeners in the order in which they count, and by key the problems of those that conflict, or overlap by TLS."""

    members: tuple[Member, ...] = ()
    conflicts: Mapping[str, Problem] = field(default_factory=dict)
    overlaps: Mapping[str, Problem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Relations:
    """What the listeners of one object have of the others: by name the conflicts and the overlaps. Of a Gateway also the ports of HTTPS."""

    conflicts: tuple[tuple[str, Problem], ...] = ()
    overlaps: tuple[tuple[str, Problem], ...] = ()
    https_ports: tuple[int, ...] = ()


def translate_merged(key: Key, view: View) -> Merged:
    """Unit "merged listeners": of a Gateway."""
    gateway: Gateway | None = view.get(*key)
    if gateway is None:
        return Merged()
    owners: list[Gateway | ListenerSet] = [gateway, *sorted(_adopted(view, key), key=age)]
    members: list[Member] = []
    conflicts: dict[str, Problem] = {}
    ports: dict[int, Port[Member]] = {}
    for owner in owners:
        own = [Member(listener_key(key, owner.key, listener.name), owner.key, listener) for listener in owner.spec.listeners]
        members += own
        _refuse(own, ports, conflicts)
    return Merged(tuple(members), conflicts, _overlaps(members))


def _adopted(view: View, gateway: Key) -> Iterator[ListenerSet]:
    sets: tuple[ListenerSet, ...] = view.select("sets of Gateway", gateway)
    for found in sets:
        adoption: Adoption = view.result("adoption", found.key)
        if not adoption.foreign and adoption.refusal is None:
            yield found


def _refuse(own: Sequence[Member], ports: dict[int, Port[Member]], conflicts: dict[str, Problem]) -> None:
    """Finds those of one object that conflict, and adds the others to what stands on their ports."""
    left: list[Member] = []
    for member in own:
        if member.listener.protocol not in ROUTE_KINDS:
            continue
        rival = ports.setdefault(member.listener.port, Port()).rival(member.facing)
        if rival is None:
            left.append(member)
        else:
            conflicts[member.key] = _lost(member, *rival)
    for member in left:
        if (problem := protocol_conflict(member.listener, [other.listener for other in left])) is not None:
            conflicts[member.key] = problem
    for member in left:
        if member.key not in conflicts:
            ports[member.listener.port].add(member.facing, member)


def _lost(member: Member, winner: Member, reason: str) -> Problem:
    listener, owner = member.listener, f"{_named(winner, member.owner)}, which comes first"
    if reason == "ProtocolConflict":
        return Problem(reason, f"port {listener.port} cannot serve {listener.protocol} beside {winner.listener.protocol} of {owner}")
    hosts = "" if listener.protocol in NAMELESS else f" for {listener.hostname or 'all hosts'}"
    return Problem(reason, f"port {listener.port} is taken{hosts} by {owner}")


def _named(member: Member, reader: Key) -> str:
    """A listener in the status of another object. Of a ListenerSet of another namespace no name is told: it may be secret."""
    if member.owner == reader:
        return member.listener.name
    if "Gateway" in (member.owner[0], reader[0]) or member.owner[1] == reader[1]:
        return f"listener {member.listener.name} of {called(*member.owner)}"
    return "a listener of a ListenerSet of another namespace"


def _overlaps(members: Iterable[Member]) -> dict[str, Problem]:
    """OverlappingHostnames of those that cover some of the same hosts by TLS on one port, this one or the other being of HTTPS."""
    at: dict[tuple[int, str], list[Member]] = {}
    below: dict[tuple[int, str], list[Member]] = {}
    encrypted = [member for member in members if member.listener.protocol in ENCRYPTED]
    for member in encrypted:
        at.setdefault((member.listener.port, member.facing[1]), []).append(member)
        for hostname in covering(member.facing[1]):
            below.setdefault((member.listener.port, hostname), []).append(member)
    found: dict[str, Problem] = {}
    for member in encrypted:
        port, (protocol, hostname) = member.listener.port, member.facing
        above = [other for wider in covering(hostname)[1:] for other in at.get((port, wider), ())]
        related = [other for other in (*above, *below[port, hostname]) if other is not member]
        others = [_named(other, member.owner) for other in related if "HTTPS" in (protocol, other.listener.protocol)]
        if others:
            found[member.key] = Problem("OverlappingHostnames", _overlapping(list(dict.fromkeys(others))))
    return found


def _overlapping(others: Sequence[str]) -> str:
    names = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else "")
    return f"hosts of this listener are also covered by {names}; a request on a connection of the wrong one gets 421"


def translate_relations(key: tuple[Key, Key], view: View) -> Relations:
    """Unit "relations": of the listeners of one object, itself of a Gateway. What others have of one another goes no further."""
    gateway, owner = key
    obj: Gateway | ListenerSet | None = view.get(*owner)
    merged: Merged = view.result("merged listeners", gateway)
    keys = [(listener.name, listener_key(gateway, owner, listener.name)) for listener in obj.spec.listeners] if obj is not None else []
    ports = {member.listener.port for member in merged.members if member.listener.protocol == "HTTPS"} if owner == gateway else ()
    return Relations(
        tuple((name, merged.conflicts[key]) for name, key in keys if key in merged.conflicts),
        tuple((name, merged.overlaps[key]) for name, key in keys if key in merged.overlaps),
        tuple(sorted(ports)),
    )
