"""A client's connection as everybody but its codec knows it: who it is, where it came in, how it is counted."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from gateway.net.peer import Origin, peer_of
from gateway.proxy.forwarded import certificate_value, constant_lines
from gateway.telemetry.access_log import client_fragment

if TYPE_CHECKING:
    from gateway.net.accept import Seat
    from gateway.proxy.core import Core
    from gateway.proxy.port import LiveListener, Port


class Client(Protocol):
    """A connection in the set of its port, and an item of the worker's deadlines."""

    core: Core
    port: Port
    listener: LiveListener | None
    """The listener chosen by the server name; None on a plain port, where each request chooses."""
    seat: Seat | None
    """Counts the connection where more than its number is counted."""
    address: bytes
    """The client's: of the connection's other end, or what that end says of its client in a PROXY header."""
    origin: Origin
    fragment: bytes
    """The end of its log lines."""
    forwarded: bytes
    """Fields for backends that are the same for all its requests."""
    requests: int
    """Those begun while a Restraint counted them."""
    deadline: float
    slot: int
    transport: asyncio.Transport

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing has begun."""

    def drain(self) -> None:
        """Closes when nothing is under way any more; takes no more requests than it must."""

    def expire(self, now: float) -> None:
        """Its deadline has passed."""


def arrive(client: Client, transport: asyncio.BaseTransport, server_name: bytes) -> None:
    """A connection that is ready to be read: it counts from here on, and has the time of a head to say something."""
    peer = peer_of(transport, server_name)
    origin = client.origin = Origin(peer.address, client.seat.ends if client.seat is not None else None, server_name, peer.identity)
    client.address = origin.address
    certificate, digest = certificate_value(peer)
    client.fragment = client_fragment(peer.tls_version, digest, peer.identity)
    port = client.port
    scheme = b"http" if port.captured else peer.scheme  # what is inside the TLS of the mesh was sent in plain text
    client.forwarded = constant_lines(scheme, origin.port(port.public_number), certificate)
    client.port.connections.add(client)
    if client.seat is None:
        client.core.clients.connections += 1
    client.core.deadlines.set(client, monotonic() + client.port.header_timeout)


def hand_over(client: Client, successor: Client) -> None:
    """The same connection speaks another protocol from here on, and nothing of it is counted anew."""
    successor.address, successor.origin = client.address, client.origin
    successor.fragment, successor.forwarded = client.fragment, client.forwarded
    successor.seat, client.seat = client.seat, None
    client.port.connections.discard(client)
    client.port.connections.add(successor)
    client.core.deadlines.forget(client)


def depart(client: Client) -> None:
    """The connection is gone."""
    client.port.connections.discard(client)
    client.core.deadlines.forget(client)
    if client.seat is None:
        client.core.clients.connections -= 1
    else:
        client.seat.leave()
