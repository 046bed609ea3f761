"""The listening sockets of a parent: of every place one for each worker (SO_REUSEPORT), bound here and kept here.

So what has queued on a socket survives the worker that accepts on it. A place that an earlier program has left us is taken as it
is; sockets of TCP that it had beyond our number of workers stay too, since connections go on coming to them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

from gateway.descriptors import Place
from gateway.net.sockets import BindError, bind, bind_again, bind_datagrams

Claim = Callable[[Place], list[socket.socket]]
"""The listening sockets of a place that somebody else has bound before; empty for none. They are the caller's from then on."""


def nothing(_: Place) -> list[socket.socket]:
    """The claim of a program that nobody left anything."""
    return []


class Places:
    """Owner of the sockets. `claim` is asked before a place is bound anew."""

    __slots__ = ("_claim", "_count", "_sockets")

    def __init__(self, count: int, claim: Claim = nothing) -> None:
        self._count = count
        self._claim = claim
        self._sockets: dict[Place, list[socket.socket]] = {}

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._sockets))

    def of(self, number: int) -> Iterator[tuple[Place, socket.socket]]:
        """The sockets of a worker, by number."""
        for place, bound in self._sockets.items():
            yield place, bound[number]

    def all(self, place: Place) -> tuple[socket.socket, ...]:
        """Those of every worker in turn, and what is beyond."""
        return tuple(self._sockets.get(place, ()))

    def surplus(self) -> Iterator[tuple[Place, socket.socket]]:
        """Those that belong to no worker."""
        for place, bound in self._sockets.items():
            for listening in bound[self._count :]:
                yield place, listening

    def open(self, place: Place) -> BindError | None:
        """Binds a place for every worker, or says why it cannot be bound."""
        bound = self._claim(place)
        if place.transport == "udp":
            for surplus in bound[self._count :]:
                surplus.close()  # datagrams go to whoever has a socket, and nobody would read these
            del bound[self._count :]
        try:
            if not bound:
                bound.append(bind(place.address, place.port) if place.transport == "tcp" else bind_datagrams(place.address, place.port))
            while len(bound) < self._count:
                bound.append(bind_again(bound[0]))
        except BindError as error:
            for opened in bound:
                opened.close()
            return error
        self._sockets[place] = bound
        return None

    def close(self, place: Place) -> None:
        """Nothing if it is not open."""
        for bound in self._sockets.pop(place, ()):
            bound.close()

    def close_all(self) -> None:
        for place in self:
            self.close(place)
