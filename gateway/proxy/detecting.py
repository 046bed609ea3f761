"""A connection of which it is not known yet whether it speaks HTTP: its first bytes decide, or that none come.

Who speaks first in a protocol is not known either, so a client that says nothing is taken for one that waits for its server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from gateway.http.detection import begins_http
from gateway.net.deadlines import NEVER

if TYPE_CHECKING:
    from gateway.net.accept import Seat
    from gateway.proxy.core import Core
    from gateway.proxy.port import Port

SILENCE: Final = 0.05
"""Seconds without a byte after which a connection is no HTTP: so much later do servers that speak first hear of their client."""


class Detecting(asyncio.Protocol):
    """The protocol of a connection until `decided` makes the one that follows, True for HTTP. An item of the worker's deadlines: what could
    become a request line has as long as a head, and is then passed on as it is."""

    __slots__ = ("_buffer", "_core", "_decided", "_port", "_seat", "_silence", "_transport", "deadline", "slot")

    def __init__(self, core: Core, port: Port, seat: Seat, decided: Callable[[bool], asyncio.Protocol]) -> None:
        self._core, self._port, self._seat, self._decided = core, port, seat, decided
        self._transport: asyncio.Transport | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._buffer = b""
        self.deadline, self.slot = NEVER, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._port.greeters.add(self)
        self._silence = self._core.loop.call_later(SILENCE, self._fall_silent)
        self._core.deadlines.set(self, monotonic() + self._port.header_timeout)

    def data_received(self, data: bytes) -> None:
        self._stop_listening()
        self._buffer += data
        http = begins_http(self._buffer)
        if http is not None:
            self._go(http)

    def eof_received(self) -> bool | None:
        """What has said all it has to say was no request."""
        return self._go(http=False).eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._leave():
            self._seat.leave()

    def expire(self, now: float) -> None:
        self._go(http=False)

    def drop(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _fall_silent(self) -> None:
        self._silence = None
        if self in self._port.greeters:
            self._go(http=False)

    def _go(self, http: bool) -> asyncio.Protocol:
        """The connection is whatever follows."""
        transport = self._transport
        assert transport is not None
        self._leave()
        serving = self._decided(http)
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
