"""A port while it is open: accepts, and makes a client connection of what comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, cast

from gateway.net.accept import Seat, accept_queued
from gateway.net.acceptor import AcceptorOptions, Chosen, TlsAcceptor
from gateway.net.client_hello import ClientHello
from gateway.net.failures import PROXY_HEADER, UNRECOGNIZED_NAME, Failure, stranger
from gateway.net.peer import address_of
from gateway.net.proxy_protocol import Ends
from gateway.net.sockets import Address
from gateway.proxy.client_connection import ClientConnection
from gateway.proxy.clients import Arrival, Refusal, refusal, take_seat
from gateway.proxy.greeting import Greeter, name_seat
from gateway.proxy.http2.client_connection import Http2ClientConnection
from gateway.proxy.limits import LONGEST_HANDSHAKE
from gateway.proxy.port import LiveListener, Port, PortKind, by_hostname, is_of_mesh
from gateway.proxy.rule import Account
from gateway.relay.relay import Relay, log_ended
from gateway.relay.rule import NO_ROUTE
from gateway.telemetry.counters import NO_LABELS

if TYPE_CHECKING:
    from gateway.descriptors import Place
    from gateway.proxy.core import Core

BACKLOG = 4096
HTTP_2 = b"h2"


class OpenPort:
    """Owns the listening socket from `serve` to `close`."""

    __slots__ = ("_acceptor", "_adopted", "_core", "_paused", "_queue", "_server", "_socket", "port")

    def __init__(self, core: Core, place: Place, listening: socket.socket, kind: PortKind) -> None:
        self._core, self._socket = core, listening
        self._queue: socket.socket | None = None
        """A duplicate of the socket that a plain port accepts on, for what is queued when it closes, and to accept again after a pause."""
        self._paused = False
        self.port = Port(place.address, place.port, kind, Account(core.counters_for(NO_LABELS), NO_LABELS))
        self._adopted = 0
        """Connections of others that have no protocol yet."""
        self._server: asyncio.Server | None = None
        self._acceptor: TlsAcceptor[LiveListener] | None = None

    async def serve(self) -> None:
        """Begins to accept; nothing when it does already."""
        if self._queue is not None or self._acceptor is not None:
            return
        if self.port.tls:
            self._socket.listen(BACKLOG)
            self._acceptor = TlsAcceptor(self._socket, self._core.loop, self._choose, self._connected, self._options())
            if self._paused:
                self._acceptor.pause()
        else:
            queue = self._socket.dup()
            await self._listen(self._socket)
            self._queue = queue

    async def _listen(self, listening: socket.socket) -> None:
        self._server = await self._core.loop.create_server(self._arrive, sock=listening, backlog=BACKLOG)
        if self._paused:
            self._server.close()

    def _arrive(self) -> asyncio.Protocol:
        """The protocol of a new connection on a plain port."""
        core, port = self._core, self.port
        reason = refusal(core.clients, port)
        if reason:
            core.clients.count_refused(reason)
            return Refusal()
        if port.greeting is not None:
            return Greeter(core, port, self._serving, self._turn_away)
        if port.limits.per_client == inf:
            return self._serving()
        return Arrival(core.clients, port, self._serving)

    def _serving(self, seat: Seat | None = None) -> asyncio.Protocol:
        """What serves a connection on a plain port."""
        if self.port.kind == "tcp":
            relay = Relay(self._core, self.port)
            relay.seat = seat
            return relay.client
        connection = ClientConnection(self._core, self.port)
        connection.seat = seat
        return cast(asyncio.Protocol, connection)

    def _admit(self, address: Address) -> Seat | None:
        """A seat for a new connection on a TLS port, which counts from here on; None, counted, when it may not come in."""
        clients, port, acceptor = self._core.clients, self.port, self._acceptor
        reason = refusal(clients, port, 0 if acceptor is None else acceptor.pending)
        if reason:
            clients.count_refused(reason)
            return None
        return take_seat(clients, port, address_of(address) if port.greeting is None else b"")  # whose it is its header says

    def _named(self, address: Address, ends: Ends | None) -> Seat | None:
        return name_seat(self._core, self.port, address_of(address), ends)

    def _turn_away(self, address: bytes, reason: str, server_name: bytes = b"") -> None:
        """Counts and logs a connection without the PROXY header that it should have."""
        self._core.clients.count_refused("PROXY header")
        log_ended(self._core, self.port.sole, (address, server_name), "DPE", reason)

    def pause(self) -> None:
        """Accepts nothing until `resume`; who connects meanwhile waits in the system's queue."""
        self._paused = True
        if self._acceptor is not None:
            self._acceptor.pause()
        elif self._server is not None:
            self._server.close()

    def resume(self) -> None:
        self._paused = False
        if self._acceptor is not None:
            self._acceptor.resume()

    def tend(self) -> None:
        """Has a plain port accept that ought to and does not: after a pause, and after a failure to accept, which ends uvloop's server.

        To be called from time to time: without a descriptor to spare nothing comes of it.
        """
        if self._queue is not None and not self._paused and (self._server is None or not self._server.sockets):
            self._server = None
            try:
                listening = self._queue.dup()
            except OSError:
                return
            self._core.start(self._listen(listening))

    def listen(self, listeners: Iterable[LiveListener]) -> None:
        """Takes the listeners that there are now, and what they say of handshakes yet to come."""
        self.port.listen(by_hostname(listeners))
        if self._acceptor is not None:
            self._acceptor.options = self._options()

    def _options(self) -> AcceptorOptions:
        longest = min(self.port.header_timeout, LONGEST_HANDSHAKE)
        greeting = self.port.greeting
        named = (greeting.read, self._named) if greeting is not None else (None, None)
        # Where TLS may be the backend's, a client that is for none of them is not to hear TLS from us (TLSRouteHostnameIntersection).
        strangers = not any(listener.resource.protocol == "TLS" for listener in self.port.hosts.values())
        return AcceptorOptions(
            longest, admit=self._admit, failed=self._failed, greeting=named[0], named=named[1], answers_strangers=strangers
        )

    def _connected(self, listener: LiveListener, hello: ClientHello, seat: Seat | None) -> asyncio.Protocol:
        """The protocol that the handshake will agree on: of those that both speak the one that we prefer (RFC 7301 3.2)."""
        if listener.resource.protocol == "TLS":
            relay = Relay(self._core, self.port, listener, listener.streams.choose(hello.server_name), hello.server_name)
            relay.seat = seat
            return relay.client
        both = listener.contexts is not None and HTTP_2 in hello.alpn and HTTP_2 in listener.contexts.alpn
        speaking = Http2ClientConnection if both else ClientConnection
        connection = speaking(self._core, self.port, listener, hello.server_name)
        connection.seat = seat
        return cast(asyncio.Protocol, connection)

    def _choose(self, hello: ClientHello) -> Chosen[LiveListener] | None:
        """By server name, before the handshake: exact, wildcard, then the listener without a hostname. One of protocol TLS must have a rule
        for the name, too."""
        listener = self.port.hosts.choose(hello.server_name)
        if listener is None or (listener.resource.protocol == "TLS" and listener.streams.choose(hello.server_name) is None):
            return None
        return Chosen(listener, listener.contexts, relayed=listener.resource.protocol == "TLS")

    def _failed(self, failure: Failure) -> None:
        """Logs what a listener of protocol TLS has no rule for, what has no PROXY header, and who is nobody in the mesh."""
        where = (address_of((failure.address, failure.port)), failure.server_name)
        if failure.reason == PROXY_HEADER:
            self._turn_away(where[0], failure.detail)
            return
        listener = self.port.hosts.choose(failure.server_name)
        if listener is None:
            return
        if failure.reason == UNRECOGNIZED_NAME:
            log_ended(self._core, listener, where, "NR", NO_ROUTE)
        elif is_of_mesh(listener.resource):
            log_ended(self._core, listener, where, *stranger(failure))

    def adopt(self, connection: socket.socket) -> None:
        """Serves a connection that was accepted elsewhere, non-blocking, nothing of it read."""
        if self._acceptor is None:
            self._adopted += 1
            self._core.start(self._connect(connection))
            return
        try:
            self._acceptor.adopt(connection, connection.getpeername())
        except OSError:
            connection.close()  # the client has left meanwhile

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._core.loop.connect_accepted_socket(self._arrive, connection)
        except OSError:
            connection.close()
        finally:
            self._adopted -= 1

    @property
    def kind(self) -> PortKind:
        return self.port.kind

    @property
    def ports(self) -> tuple[Port, ...]:
        return (self.port,)

    @property
    def handshake_failures(self) -> dict[str, int]:
        return self._acceptor.failures if self._acceptor is not None else {}

    @property
    def busy(self) -> bool:
        return self.port.occupancy > 0 or self._adopted > 0 or (self._acceptor is not None and self._acceptor.pending > 0)

    def close(self) -> None:
        """Accepts what is queued, then no more; connections go on."""
        if self._acceptor is not None:
            self._acceptor.close()
            return
        if self._server is not None:
            self._server.close()
        else:
            self._socket.close()
        queue, self._queue = self._queue, None
        if queue is not None:
            for connection, _ in accept_queued(queue):
                self.adopt(connection)
            queue.close()

    def close_kept(self) -> None:
        """Every response ends its connection from now on."""
        self.port.close_kept()

    def drain(self) -> None:
        """Accepts no more; what runs goes on."""
        self.close()
        self.port.drain()

    def abort(self) -> None:
        """Ends everything at once."""
        self.close()
        if self._acceptor is not None:
            self._acceptor.abort()
        for connection in list(self.port.connections):
            connection.transport.abort()
        for other in (*self.port.relays, *self.port.greeters):
            other.drop()
