"""The clients of a worker as numbers: how many are connected, how many may be, who has which seat, and what was denied to them.

A seat is the place of a connection among those of its client's address. It is only taken where a limit for each client is
set, and on TLS ports, where it counts the connection from accept to the end of the handshake.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.net.peer import address_of
from gateway.net.proxy_protocol import Ends

if TYPE_CHECKING:
    from gateway.proxy.port import Port

TOO_MANY: Final = "connections of the port"
TOO_MANY_OF_CLIENT: Final = "connections of the client"
TOO_MANY_IN_ALL: Final = "connections of the worker"
"""Why a connection was closed at accept."""


class Clients:
    """One per worker. `most` follows from the limit of descriptors; the counts by reason only grow."""

    __slots__ = ("connections", "most", "refused", "shed", "slow")

    def __init__(self, most: float = inf) -> None:
        self.connections = 0
        """Of all ports, handshakes under way included."""
        self.most = most
        self.refused: dict[str, int] = {}
        """Connections closed at accept."""
        self.shed: dict[str, int] = {}
        """Requests turned away because of overload, by what ran short."""
        self.slow: dict[str, int] = {}
        """Connections ended because the client did not keep up."""

    def count_refused(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def count_shed(self, reason: str) -> None:
        self.shed[reason] = self.shed.get(reason, 0) + 1

    def count_slow(self, reason: str) -> None:
        self.slow[reason] = self.slow.get(reason, 0) + 1


class Seat:
    """Counts a connection, in all and for its client, until it leaves."""

    __slots__ = ("_client", "_clients", "_seats", "ends")

    def __init__(self, clients: Clients, seats: dict[bytes, int], client: bytes) -> None:
        self.ends: Ends | None = None
        """What a PROXY header says of it."""
        self._clients, self._client = clients, client
        self._seats: dict[bytes, int] | None = seats
        clients.connections += 1
        if client:
            seats[client] = seats.get(client, 0) + 1

    def leave(self) -> None:
        """Once; whoever notices the end first."""
        seats, self._seats = self._seats, None
        if seats is None:
            return
        self._clients.connections -= 1
        if self._client:
            left = seats[self._client] - 1
            if left:
                seats[self._client] = left
            else:
                del seats[self._client]


class Refusal(asyncio.Protocol):
    """What becomes of a connection that nobody may have: it ends before anything is made for it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.abort()  # type: ignore[attr-defined]  # a Transport: only those are accepted


class Arrival(asyncio.Protocol):
    """A new connection on a plain port where each client has a limit: its address is known only now."""

    def __init__(self, clients: Clients, port: Port, connected: Callable[[Seat], asyncio.Protocol]) -> None:
        self._clients, self._port, self._connected = clients, port, connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        seat = take_seat(self._clients, self._port, address_of(transport.get_extra_info("peername")))
        if seat is None:
            transport.abort()  # type: ignore[attr-defined]  # a Transport: only those are accepted
            return
        connection = self._connected(seat)
        transport.set_protocol(connection)
        connection.connection_made(transport)


def refusal(clients: Clients, port: Port, pending: int = 0) -> str:
    """Why the port may have no further connection, '' when it may; `pending` are those whose handshake is under way."""
    if clients.connections >= clients.most:
        return TOO_MANY_IN_ALL
    if port.occupancy + pending >= port.limits.connections:
        return TOO_MANY
    return ""


def take_seat(clients: Clients, port: Port, address: bytes) -> Seat | None:
    """A seat for a connection from this address; None, counted, when its client has as many as it may."""
    client = b"" if port.limits.per_client == inf or port.believes(address) else network_of(address)
    if client and port.seats.get(client, 0) >= port.limits.per_client:
        clients.count_refused(TOO_MANY_OF_CLIENT)
        return None
    return Seat(clients, port.seats, client)


def network_of(address: bytes) -> bytes:
    """What stands for one client: an IPv4 address, or the /64 of an IPv6 address, which one customer has as a whole."""
    return socket.inet_pton(socket.AF_INET6, address.decode("ascii"))[:8] if b":" in address else address
