"""A connection of which it is not known yet whether it speaks HTTP, or for which server its TLS is: its first bytes decide, or that none
come.

Who speaks first in a protocol is not known either, so a client that says nothing is taken for one that waits for its server; but not where
the listener is patient.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from gateway.http.detection import begins_http
from gateway.net.client_hello import NotTls, least_length, read_client_hello
from gateway.net.deadlines import NEVER

if TYPE_CHECKING:
    from gateway.net.accept import Seat
    from gateway.proxy.core import Core
    from gateway.proxy.port import LiveListener, Port

SILENCE: Final = 0.05
"""Seconds without a byte after which a connection is no HTTP: so much later do servers that speak first hear of their client."""


_HANDSHAKE: Final = b"\x16"
"""The type of the record that TLS begins with (RFC 8446 5.1)."""


class Begun(NamedTuple):
    """What a connection has begun with: a request of HTTP, a ClientHello with this server name, or anything else."""

    http: bool = False
    server_name: bytes = b""


STREAM: Final = Begun()


def looks(listener: LiveListener) -> bool:
    """Whether a listener must see how its connections begin."""
    return listener.resource.protocol == "Detect" or listener.streams.names_servers


class Detecting(asyncio.Protocol):
    """The protocol of a connection until `decided` makes the one that follows. An item of the worker's deadlines: what could become a
    request line or a ClientHello has as long as a head, and is then passed on as it is."""

    __slots__ = ("_buffer", "_core", "_decided", "_enough", "_listener", "_port", "_seat", "_silence", "_transport", "deadline", "slot")

    def __init__(self, core: Core, port: Port, listener: LiveListener, seat: Seat, decided: Callable[[Begun], asyncio.Protocol]) -> None:
        self._core, self._port, self._listener, self._seat, self._decided = core, port, listener, seat, decided
        self._transport: asyncio.Transport | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._buffer = b""
        self._enough = 0
        """Bytes of a ClientHello without which there is nothing new to be read of it."""
        self.deadline, self.slot = NEVER, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._port.greeters.add(self)
        capture = self._listener.resource.capture
        if capture is None or not capture.patient:
            self._silence = self._core.loop.call_later(SILENCE, self._fall_silent)
        self._core.deadlines.set(self, monotonic() + self._port.header_timeout)

    def data_received(self, data: bytes) -> None:
        self._stop_listening()
        self._buffer += data
        begun = self._begun()
        if begun is not None:
            self._go(begun)

    def _begun(self) -> Begun | None:
        """What it has begun with; None while more bytes could tell."""
        data = self._buffer
        if self._listener.streams.names_servers and data.startswith(_HANDSHAKE):
            if len(data) < self._enough:
                return None
            try:
                hello = read_client_hello(data)
                if hello is None:
                    self._enough = least_length(data)
                    return None
            except NotTls:
                return STREAM
            return Begun(server_name=hello.server_name)
        if self._listener.resource.protocol != "Detect":
            return STREAM if data else None
        http = begins_http(data)
        return None if http is None else Begun(http)

    def eof_received(self) -> bool | None:
        """What has said all it has to say was no request."""
        return self._go(STREAM).eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._leave():
            self._seat.leave()

    def expire(self, now: float) -> None:
        self._go(STREAM)

    def drop(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _fall_silent(self) -> None:
        self._silence = None
        if self in self._port.greeters:
            self._go(STREAM)

    def _go(self, begun: Begun) -> asyncio.Protocol:
        """The connection is whatever follows."""
        transport = self._transport
        assert transport is not None
        self._leave()
        serving = self._decided(begun)
        transport.set_protocol(serving)
        serving.connection_made(transport)
        if self._buffer and not transport.is_closing():
            serving.data_received(self._buffer)
        return serving

    def _stop_listening(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _leave(self) -> bool:
        """Whether it was here: from now on others count it, or nobody."""
        self._stop_listening()
        here = self in self._port.greeters
        if here:
            self._port.greeters.discard(self)
            self._core.deadlines.forget(self)
        return here
