"""What listeners on one port show to clients, and whether two of them can be told apart (Listener, "Distinct Listeners")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, Literal, TypeVar

Facing = tuple[str, str]
"""Protocol and hostname ("" for all) of a listener: what it shows to those that share its port."""

Conflict = Literal["ProtocolConflict", "HostnameConflict", "ListenerConflict"]
"""Why two listeners on one port cannot be told apart, in the words of the condition Conflicted."""

ENCRYPTED = frozenset({"HTTPS", "TLS"})
"""Protocols that choose a listener by server name, so that they can share a port."""

NAMELESS = frozenset({"TCP", "UDP"})
"""Protocols whose traffic carries no name of a host: a port has one listener of them."""

Item = TypeVar("Item")


def conflict(one: Facing, other: Facing) -> Conflict | None:
    """Why two listeners on one port cannot be told apart. UDP has ports of its own; HTTPS and TLS are told apart by server name."""
    protocols = {one[0], other[0]}
    if len(protocols) == 1:
        return None if one[1] != other[1] else "ListenerConflict" if protocols <= NAMELESS else "HostnameConflict"
    if "UDP" in protocols:
        return None
    return None if protocols == ENCRYPTED and one[1] != other[1] else "ProtocolConflict"


def rivals(facing: Facing, protocols: Iterable[str]) -> Iterator[tuple[tuple[str, str | None], Conflict]]:
    """Which listeners of these protocols cannot be told apart from one, and why: those of its hostname, or (None) of whatever hostname."""
    for protocol in protocols:
        if (reason := conflict(facing, (protocol, "another"))) is not None:
            yield (protocol, None), reason
        elif (reason := conflict(facing, (protocol, facing[1]))) is not None:
            yield (protocol, facing[1]), reason


class Port(Generic[Item]):
    """What stands on one port, none of it in the way of another. Finds a rival whatever the number of those that stand."""

    __slots__ = ("_by_facing", "_by_protocol")

    def __init__(self) -> None:
        self._by_facing: dict[Facing, Item] = {}
        self._by_protocol: dict[str, tuple[Facing, Item]] = {}

    def add(self, facing: Facing, item: Item) -> None:
        """One more that has no rival."""
        self._by_facing[facing] = item
        self._by_protocol.setdefault(facing[0], (facing, item))

    def rival(self, facing: Facing) -> tuple[Item, Conflict] | None:
        """What stands in the way, and why."""
        for other, item in self._candidates(facing):
            if (reason := conflict(facing, other)) is not None:
                return item, reason
        return None

    def _candidates(self, facing: Facing) -> Iterator[tuple[Facing, Item]]:
        """All of the same hostname, then one of each protocol: of other hostnames each is as good as another."""
        for protocol in self._by_protocol:
            if (item := self._by_facing.get((protocol, facing[1]))) is not None:
                yield (protocol, facing[1]), item
        yield from self._by_protocol.values()
