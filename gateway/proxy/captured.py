"""A captured listener that serves: the port of its own, and what becomes of a connection that came for it.

    connection -> mutual TLS or not (net.acceptor), and who calls (net.mesh_tls) -> HTTP, TLS or TCP (proxy.detecting)

A Service has no connections as a rule, so this is made for the first one. Everything behind it works as on a port with one listener for
every host.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from gateway.ir.workload import ALPN
from gateway.net import failures
from gateway.net.acceptor import AcceptorOptions, Chosen, TlsAcceptor
from gateway.net.mesh_tls import RELAYED
from gateway.net.peer import address_of
from gateway.proxy.client_connection import ClientConnection
from gateway.proxy.clients import Refusal
from gateway.proxy.detecting import SILENCE, Begun, Detecting, looks
from gateway.proxy.limits import LONGEST_HANDSHAKE
from gateway.proxy.port import Port
from gateway.proxy.rule import Account
from gateway.relay.relay import Relay, log_ended
from gateway.telemetry.counters import NO_LABELS

if TYPE_CHECKING:
    from gateway.descriptors import Place
    from gateway.net.accept import Seat
    from gateway.net.client_hello import ClientHello
    from gateway.net.failures import Failure
    from gateway.net.sockets import Address
    from gateway.proxy.core import Core
    from gateway.proxy.port import LiveListener, PortKind

MESH: Final = ALPN.encode()
_RELAYED: Final = RELAYED.encode()
PLAIN: Final = "plain text, and PeerAuthentication asks for mutual TLS"
FOREIGN: Final = "TLS that is not the mesh's, and PeerAuthentication asks for mutual TLS"
_OWN_DOING: Final = frozenset({failures.CLOSED, failures.ABORTED, failures.OVERLOAD})
"""Ends of a handshake that say nothing that somebody would look for."""


class CapturedListener:
    """Owner of its port, and of the connections that have no protocol yet."""

    __slots__ = ("_acceptor", "_adopted", "_core", "listener", "port")

    def __init__(self, core: Core, place: Place, listener: LiveListener) -> None:
        self._core = core
        self._adopted = 0
        """Connections that are becoming the loop's."""
        self._acceptor: TlsAcceptor[LiveListener] | None = None
        self.port = captured_port(core, place, listener)
        self.listener = listener
        self.follow(listener)

    def is_followed_by(self, newer: LiveListener) -> bool:
        """Whether its connections may go on under this version: the same is spoken, under the same demands."""
        return self.listener.replaced_by(newer) and self.listener.resource.protocol == newer.resource.protocol

    def follow(self, listener: LiveListener) -> None:
        """Takes the version that is live now."""
        self.listener = listener
        self.port.listen({b"": listener})
        if listener.contexts is None:
            return
        options = AcceptorOptions(
            min(self.port.header_timeout, LONGEST_HANDSHAKE), failed=self._failed, plain=self._plain, silence=SILENCE
        )
        if self._acceptor is None:
            self._acceptor = TlsAcceptor(None, self._core.loop, self._choose, self._connected, options)
        else:
            self._acceptor.options = options

    def take(self, connection: socket.socket, address: Address, seat: Seat) -> None:
        """A connection, non-blocking and with nothing of it read, that has its seat."""
        if self._acceptor is not None and self.listener.contexts is not None:  # it may have been asked for before
            self._acceptor.adopt(connection, address, seat)
        else:
            self._adopted += 1
            self._core.start(self._connect(connection, seat))

    async def _connect(self, connection: socket.socket, seat: Seat) -> None:
        try:
            await self._core.loop.connect_accepted_socket(lambda: self._serving(seat), connection)
        except OSError:
            connection.close()
            seat.leave()
        finally:
            self._adopted -= 1

    # what it begins with

    def _choose(self, hello: ClientHello) -> Chosen[LiveListener]:
        """TLS that is not the mesh's is for the application to end. Where only the first bytes inside will tell what is spoken, the caller
        has said whether it passes bytes on: HTTP that it sees as such keeps the cheaper TLS."""
        protocol, contexts = self.listener.resource.protocol, self.listener.contexts
        relayed = protocol == "TCP" or (protocol == "Detect" and _RELAYED in hello.alpn)
        return Chosen(self.listener, contexts if MESH in hello.alpn else None, relayed)

    def _connected(self, listener: LiveListener, hello: ClientHello, seat: Seat | None) -> asyncio.Protocol:
        assert seat is not None
        if MESH in hello.alpn:
            return self._serving(seat)
        return self._turn_away(seat, "NR", FOREIGN) if self._is_strict else self._speaking(seat, Begun(server_name=hello.server_name))

    def _plain(self, seat: Seat | None) -> asyncio.Protocol:
        assert seat is not None
        return self._turn_away(seat, "NR", PLAIN) if self._is_strict else self._serving(seat)

    @property
    def _is_strict(self) -> bool:
        capture = self.listener.resource.capture
        return capture is not None and capture.mutual_tls == "Strict"

    def _turn_away(self, seat: Seat, flag: str, reason: str) -> asyncio.Protocol:
        """Logs a connection that ends now."""
        seat.leave()
        log_ended(self._core, self.listener, (_client(seat), b""), flag, reason)
        return Refusal()

    def _failed(self, failure: Failure) -> None:
        if failure.reason not in _OWN_DOING:
            where = (address_of((failure.address, failure.port)), failure.server_name)
            log_ended(self._core, self.listener, where, *failures.stranger(failure))

    # what is inside

    def _serving(self, seat: Seat) -> asyncio.Protocol:
        """By the listener's protocol."""
        listener = self.listener
        if looks(listener):
            return Detecting(self._core, self.port, listener, seat, partial(self._speaking, seat))
        return self._speaking(seat, Begun(http=listener.resource.protocol == "HTTP"))

    def _speaking(self, seat: Seat, begun: Begun) -> asyncio.Protocol:
        if begun.http:
            connection = ClientConnection(self._core, self.port)
            connection.seat = seat
            return cast(asyncio.Protocol, connection)
        name, listener = begun.server_name, self.listener
        relay = Relay(self._core, self.port, listener, listener.streams.choose(name), name) if name else Relay(self._core, self.port)
        relay.seat = seat
        return relay.client

    # its end

    @property
    def pending(self) -> int:
        """Connections that have no protocol yet."""
        return self._adopted + (self._acceptor.pending if self._acceptor is not None else 0)

    @property
    def busy(self) -> bool:
        return self.port.occupancy > 0 or self.pending > 0

    @property
    def handshake_failures(self) -> dict[str, int]:
        return self._acceptor.failures if self._acceptor is not None else {}

    def abort(self) -> None:
        """Ends everything at once."""
        if self._acceptor is not None:
            self._acceptor.abort()
        for connection in list(self.port.connections):
            connection.transport.abort()
        for other in (*self.port.relays, *self.port.greeters):
            other.drop()


def captured_port(core: Core, place: Place, listener: LiveListener) -> Port:
    """The port of one captured listener, at the place that it shares: the host that a client asks for chooses nothing there."""
    kind: PortKind = "http" if listener.resource.protocol == "HTTP" else "tcp"
    port = Port(place.address, place.port, kind, Account(core.counters_for(NO_LABELS), NO_LABELS))
    port.captured = True
    port.listen({b"": listener})
    return port


def _client(seat: Seat) -> bytes:
    return b"" if seat.ends is None else seat.ends.address
