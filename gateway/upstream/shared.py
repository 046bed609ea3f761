"""The HTTP/2 connections of a pool that have room for another request, and who waits for one that is being made.

Requests that come while the first connection is being made wait for it, and share its fate: each would otherwise make one of its
own, to be used by nobody afterwards.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from gateway.proxy.http2.backend_connection import Http2BackendConnection
    from gateway.proxy.http2.backend_stream import Http2BackendStream
    from gateway.upstream.connect import ConnectFailed

MOST_EXPECTED: Final = 100
"""Requests that wait for one connection that is being made; the next one makes another."""

Opening: TypeAlias = "asyncio.Future[ConnectFailed | None]"
"""Done when a connection may be used, with None, or when none came about, with the reason."""


class Shared:
    """Of one pool. `connections` holds all that are alive, those with room at the front of `_roomy`."""

    __slots__ = ("_expected", "_opening", "_roomy", "connections", "multiplexed")

    def __init__(self) -> None:
        self.connections: dict[Http2BackendConnection, None] = {}
        self._roomy: dict[Http2BackendConnection, None] = {}
        self._opening: Opening | None = None
        self._expected = 0
        self.multiplexed = True
        """Whether the connection made last can carry more than one request: by ALPN an endpoint may choose HTTP/1.1 (RFC 7301)."""

    def take(self) -> Http2BackendStream | None:
        """A stream on the oldest connection with room, so that the newest can age; None while there is none."""
        for connection in self._roomy:
            return connection.open()
        return None

    def note(self, connection: Http2BackendConnection, room: bool) -> None:
        """A connection has room, or none any more."""
        if connection.ended:
            self.connections.pop(connection, None)
            self._roomy.pop(connection, None)
        elif room:
            self.connections[connection] = self._roomy[connection] = None
        else:
            self.connections[connection] = None
            self._roomy.pop(connection, None)

    # a connection that is being made

    @property
    def opening(self) -> Opening | None:
        """The connection that is being made; None when none is, or enough wait for it."""
        return self._opening if self._expected < MOST_EXPECTED else None

    def expect(self) -> None:
        """Another request waits for it."""
        self._expected += 1

    def begin(self, loop: asyncio.AbstractEventLoop) -> Opening | None:
        """A connection is being made from now on, for whoever comes; None when nobody but the first could use it."""
        if not self.multiplexed:
            return None
        self._opening, self._expected = loop.create_future(), 1
        return self._opening

    def opened(self, opening: Opening, failure: ConnectFailed | None) -> None:
        """It is there, or is not to be had."""
        if self._opening is opening:
            self._opening = None
        opening.set_result(failure)

    # the pool's care

    def age(self, limit: int) -> None:
        """Called at regular intervals: closes what has carried nothing for more than `limit` of them."""
        for connection in list(self.connections):
            if not connection.carries_nothing:
                connection.idle_turns = 0
                continue
            connection.idle_turns += 1
            if connection.idle_turns > limit:
                connection.close()

    def retire(self) -> None:
        """Nobody opens streams any more: each ends with its last."""
        for connection in list(self.connections):
            if connection.carries_nothing:
                connection.close()
        self._roomy.clear()

    def close_one(self) -> bool:
        """Closes one that carries nothing, to make room for another; whether there was one."""
        for connection in self.connections:
            if connection.carries_nothing:
                connection.close()
                return True
        return False
