"""Listening sockets of a process that serves alone: bound here, and kept until nobody listens at the place any more."""

from __future__ import annotations

import socket

from gateway.descriptors import Place
from gateway.net.sockets import BindError
from gateway.places import Places


class BoundSockets:
    """Owner of the sockets; see ListeningSockets. `open` and `close` are those that gateway.ports.Ports asks for."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places = Places(1)

    def open(self, place: Place) -> BindError | None:
        """Binds a place, or says why it cannot be bound."""
        return self._places.open(place)

    def close(self, place: Place) -> None:
        """Nothing if it is not open. The port is free once its taker has closed the duplicates too."""
        self._places.close(place)

    def take(self, place: Place) -> socket.socket:
        """See ListeningSockets."""
        for bound in self._places.all(place):
            return bound.dup()
        raise LookupError(f"{place.address} port {place.port} ({place.transport}) is not bound")

    def close_all(self) -> None:
        """For the end, when the last one that accepts must be the last that holds a socket."""
        self._places.close_all()
