"""One connection of a relay: what comes from it goes to the other one's transport, with nothing in between.

Until both are there, and the backend has shown who it is, what comes early is held and the connection is not read. A side whose peer
takes no more stops the other one from being read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from gateway.net.backend_context import BackendIdentityError

if TYPE_CHECKING:
    from gateway.net.backend_context import TlsSettings
    from gateway.relay.relay import Relay
    from gateway.upstream.connections import Connections


class Side(asyncio.Protocol):
    """The client's side as it is.

    blocked  whether its peer takes no more
    ended    whether its peer has ended its direction
    gone     whether the connection is no more
    fault    why it broke, None for an orderly end
    passed   bytes that came from its peer
    """

    __slots__ = ("_early", "_paused", "_relay", "blocked", "ended", "fault", "gone", "other", "passed", "transport", "write")

    transport: asyncio.Transport

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.other: Side | None = None
        self.write: Callable[[bytes], None] = self._hold
        """Where to what comes: held, then the other transport, then nowhere."""
        self._early: list[bytes] = []
        self.passed = 0
        self.blocked = self.ended = self.gone = self._paused = False
        self.fault: Exception | None = None

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses of it
        self._relay.client_made()

    def data_received(self, data: bytes) -> None:
        self.passed += len(data)
        self.write(data)

    def pause_writing(self) -> None:
        self.blocked = True
        if self.other is not None:
            self.other.pause()

    def resume_writing(self) -> None:
        self.blocked = False
        if self.other is not None:
            self.other.resume()

    def eof_received(self) -> bool:
        self.ended = True
        if self.other is not None:
            self._relay.ended(self, self.other)
        return not self.transport.is_closing() and self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone, self.fault = True, exc
        self.write = _nowhere
        self._early.clear()
        self._relay.lost(self)

    # what the relay calls

    def link(self, other: Side) -> None:
        """From now on everything goes to the other side, what came early first."""
        if other.gone:
            self.unlink()
        elif not self.gone:
            self.write = other.transport.write
            if self._early:
                other.transport.write(b"".join(self._early))
                self._early.clear()
            if not other.blocked:
                self.resume()

    def unlink(self) -> None:
        """Nobody takes what comes any more."""
        self.write = _nowhere
        self._early.clear()
        self.resume()

    def pause(self) -> None:
        if not self._paused and not self.gone and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self.gone and not self.transport.is_closing():
                self.transport.resume_reading()

    def _hold(self, data: bytes) -> None:
        self._early.append(data)
        self.pause()


class BackendSide(Side):
    """The backend's side of one attempt, which counts among the backend's connections from before it is made to its end."""

    __slots__ = ("_connections", "preface", "refusal", "settings")

    relayed: Final = True

    def __init__(self, relay: Relay, connections: Connections, settings: TlsSettings | None, preface: bytes = b"") -> None:
        """`preface` is what goes out first."""
        super().__init__(relay)
        self._connections, self.settings, self.preface = connections, settings, preface
        self.refusal: BackendIdentityError | None = None
        """Why nothing may be said to whoever answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.settings is not None:
            try:
                self.settings.check(transport.get_extra_info("ssl_object"))
            except BackendIdentityError as refusal:
                self.refusal = refusal
                self.transport.abort()
                return
            if self.settings.inside and self.preface:
                self.transport.write(self.preface)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.release()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """It is not to be used."""
        if hasattr(self, "transport"):
            self.transport.abort()
        else:
            self._connections.release()


def _nowhere(data: bytes) -> None:
    """For what comes on a connection whose other side is gone."""
