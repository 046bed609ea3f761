"""Sockets on their way from the parent, which binds them, to a worker, which accepts on them; and the worker's heartbeats back.

They travel beside the configuration stream: the parent sends a place's socket before the batch that needs it. Both ends hold
the same places: the worker keeps its copy until the parent says that the place is gone, and hands out duplicates, so that a
listener may leave and come back in between. Connections that the parent accepted for a worker that cannot come the same way.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from gateway.descriptor_channel import DescriptorChannel, Parcel
from gateway.ir.listener import Listener

Transport = Literal["tcp", "udp"]


class Place(NamedTuple):
    """Address and port, as in Listener.address and Listener.bind_port; a number has nothing to do with the same one of the other
    transport."""

    address: str
    port: int
    transport: Transport = "tcp"


def place_of(listener: Listener) -> Place:
    """Where a listener is bound."""
    return Place(listener.address, listener.bind_port, "udp" if listener.protocol == "UDP" else "tcp")


Connection = tuple[Place, socket.socket]
"""A connection and the place that it came to."""

Beat = Literal["starting", "serving", "full"]
"""A worker's sign of life: whether it has put its first batch in place, and whether overload keeps it from taking more connections."""

MOST_UNTAKEN: Final = 1_024
"""Connections that a worker keeps for ports that it is about to open."""

_BEATS: Final[dict[bytes, Beat]] = {b"0": "starting", b"1": "serving", b"2": "full"}
_SIGNS: Final = {beat: sign for sign, beat in _BEATS.items()}


class ListeningSockets(Protocol):
    """Where a runtime gets the sockets of its listeners from."""

    def take(self, place: Place) -> socket.socket:
        """A duplicate of the place's bound, non-blocking socket; the caller closes it when it no longer accepts there.

        Raises LookupError if there is no socket for this place.
        """


class Handover(msgspec.Struct, frozen=True):
    """One message, with the descriptor of what it names: a place's socket, or a connection that came there; none with `gone`."""

    what: Literal["socket", "connection", "gone"]
    address: str
    port: int
    transport: Transport = "tcp"

    @property
    def place(self) -> Place:
        return Place(self.address, self.port, self.transport)


_decoder = msgspec.json.Decoder(Handover)


class InheritedSockets:
    """The worker's end. Owns one copy of every socket that it was sent and not told to forget, and the connections nobody took yet."""

    __slots__ = ("_channel", "_held", "_untaken")

    def __init__(self, channel: socket.socket) -> None:
        self._channel = DescriptorChannel(channel)
        self._held: dict[Place, socket.socket] = {}
        self._untaken: deque[Connection] = deque()

    def fileno(self) -> int:
        return self._channel.fileno()

    def beat(self, beat: Beat) -> None:
        """Tells the parent that the loop runs. Those that it has not read are sign enough where there is no room for another."""
        self._channel.send_now(_SIGNS[beat])

    def receive(self) -> bool:
        """Takes in everything that waits; False once the parent has closed its end."""
        for message, received in self._channel.received():
            self._note(_decoder.decode(message), received)
        return not self._channel.ended

    def _note(self, handover: Handover, received: list[socket.socket]) -> None:
        place = handover.place
        if handover.what == "connection":
            self._untaken.extend((place, connection) for connection in received)
            while len(self._untaken) > MOST_UNTAKEN:
                self._untaken.popleft()[1].close()
            return
        known = self._held.pop(place, None)
        if known is not None:
            known.close()
        for listening in received:
            self._held[place] = listening

    def connections(self) -> Iterator[Connection]:
        """Takes out the connections that have come, each its taker's to close; `put_back` keeps one for the next time."""
        for _ in range(len(self._untaken)):
            yield self._untaken.popleft()

    def put_back(self, place: Place, connection: socket.socket) -> None:
        """Keeps a connection whose port is not open yet, or closes it if that port is not to come."""
        if place in self._held:
            self._untaken.append((place, connection))
        else:
            connection.close()

    def take(self, place: Place) -> socket.socket:
        """See ListeningSockets."""
        self.receive()
        held = self._held.get(place)
        if held is None:
            raise LookupError(f"the parent process has sent no socket for {place.address} port {place.port} ({place.transport})")
        return held.dup()

    def close_held(self) -> None:
        """Leaves every place to whoever has taken it: for the end, when the last one that accepts must be the last that holds it."""
        for held in self._held.values():
            held.close()
        self._held.clear()

    def close(self) -> None:
        self.close_held()
        for _, connection in self.connections():
            connection.close()
        self._channel.close()


class DescriptorSender:
    """The parent's end. Nothing is sent any more after `close`."""

    __slots__ = ("_channel",)

    def __init__(self, channel: socket.socket) -> None:
        self._channel = DescriptorChannel(channel)

    @property
    def waiting(self) -> int:
        """Messages that the worker is too busy to take."""
        return self._channel.waiting

    def hand(self, place: Place, bound: socket.socket) -> None:
        """The other end gets a copy of the socket."""
        self._send(Handover("socket", *place), bound)

    def pass_on(self, place: Place, connection: socket.socket) -> None:
        """The other end gets a connection, which is its own from now on: our copy is closed once it is sent."""
        self._send(Handover("connection", *place), connection)

    def forget(self, place: Place) -> None:
        """The other end closes its copy."""
        self._send(Handover("gone", *place), None)

    async def flushed(self) -> None:
        """Returns when everything has been sent, or can no longer be sent because the worker is gone."""
        await self._channel.flushed()

    def beats(self) -> tuple[Beat, ...]:
        """The signs of life that came since the last call."""
        return tuple([_BEATS[message] for message, _ in self._channel.received() if message in _BEATS])

    def close(self) -> tuple[Connection, ...]:
        """Ends it; the connections that could not be sent any more are the caller's again."""
        unsent: list[Connection] = []
        for parcel in self._channel.close():
            handover = _decoder.decode(parcel.message)
            assert parcel.passed is not None
            unsent.append((handover.place, parcel.passed))
        return tuple(unsent)

    def _send(self, handover: Handover, passed: socket.socket | None) -> None:
        if self._channel.fileno() >= 0:
            self._channel.send(Parcel(msgspec.json.encode(handover), passed, given_away=handover.what == "connection"))
