"""A port while it is open: accepts, and makes a client connection of what comes."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from gateway.net.acceptor import AcceptorOptions, Chosen, TlsAcceptor
from gateway.net.client_hello import ClientHello
from gateway.proxy.client_connection import ClientConnection
from gateway.proxy.port import LiveListener, Port
from gateway.proxy.rule import Account
from gateway.telemetry.counters import CounterLabels

if TYPE_CHECKING:
    from gateway.live import Place
    from gateway.proxy.core import Core

BACKLOG = 4096
LONGEST_HANDSHAKE = 3600.0
"""Seconds, where the listeners set no limit: a handshake that is never finished must end some day."""


class OpenPort:
    """Owns the listening socket from `serve` to `close`."""

    __slots__ = ("_acceptor", "_core", "_server", "_socket", "port")

    def __init__(self, core: Core, place: Place, listening: socket.socket, tls: bool) -> None:
        self._core, self._socket = core, listening
        self.port = Port(*place, tls, Account(core.counters_for(CounterLabels("", ""))))
        self._server: asyncio.Server | None = None
        self._acceptor: TlsAcceptor[LiveListener] | None = None

    async def serve(self) -> None:
        """Begins to accept; nothing when it does already."""
        if self._server is not None or self._acceptor is not None:
            return
        loop, port, core = self._core.loop, self.port, self._core
        if port.tls:
            self._socket.listen(BACKLOG)
            self._acceptor = TlsAcceptor(self._socket, loop, self._choose, self._connected, self._options())
        else:
            self._server = await loop.create_server(lambda: ClientConnection(core, port), sock=self._socket, backlog=BACKLOG)

    def listen(self, listeners: dict[bytes, LiveListener]) -> None:
        """Takes the listeners by hostname, and what they say of handshakes yet to come."""
        self.port.listen(listeners)
        if self._acceptor is not None:
            self._acceptor.options = self._options()

    def _options(self) -> AcceptorOptions:
        return AcceptorOptions(handshake_timeout=min(self.port.header_timeout, LONGEST_HANDSHAKE))

    def _connected(self, listener: LiveListener, hello: ClientHello) -> ClientConnection:
        return ClientConnection(self._core, self.port, listener, hello.server_name)

    def _choose(self, hello: ClientHello) -> Chosen[LiveListener] | None:
        """By server name, before the handshake: exact, wildcard, then the listener without a hostname."""
        listener = self.port.hosts.choose(hello.server_name)
        return Chosen(listener, listener.contexts) if listener is not None and listener.contexts is not None else None

    @property
    def handshake_failures(self) -> dict[str, int]:
        return self._acceptor.failures if self._acceptor is not None else {}

    @property
    def busy(self) -> bool:
        return bool(self.port.connections) or (self._acceptor is not None and self._acceptor.pending > 0)

    def close(self) -> None:
        """Accepts no more; connections go on."""
        if self._acceptor is not None:
            self._acceptor.close()
        elif self._server is not None:
            self._server.close()
        else:
            self._socket.close()

    def abort(self) -> None:
        """Ends everything at once."""
        self.close()
        if self._acceptor is not None:
            self._acceptor.abort()
        for connection in list(self.port.connections):
            connection.transport.abort()
