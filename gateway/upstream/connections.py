"""How many connections a backend has in this worker, and who waits for one when there may be no more (BackendPolicy.limits).

All connections count: busy, idle, and those that are being made. At the limit an idle one to another endpoint makes room; when all
are busy requests wait in line. The next connection that is free goes to the first of them; if it is of no use there it is closed and
makes room for one that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.ir.backend import BackendProtocol
    from gateway.proxy.backend_connection import BackendConnection
    from gateway.proxy.http2.backend_stream import Http2BackendStream
    from gateway.upstream.endpoint import Endpoint


Speaking: TypeAlias = "BackendConnection | Http2BackendStream"
"""What an exchange can be had with: a connection of its own, or a stream of one."""


class Waiting(Protocol):
    """A request in line; it leaves the line before it is told anything."""

    def takes(self, connection: Speaking) -> bool:
        """Whether this connection would do."""

    def given(self, connection: Speaking) -> None:
        """A connection that others have used."""

    def go(self) -> None:
        """There is room for a new connection."""

    def leave(self) -> None:
        """Out of the line."""


class Connections:
    """Owner of the count and of the line.

    limit     connections at most; reached ones stay when it is lowered
    pending   how many may wait
    protocol  what they speak (ir.backend.Backend.protocol)
    """

    __slots__ = ("_endpoints", "_line", "count", "limit", "pending", "protocol")

    def __init__(self, endpoints: Callable[[], Iterable[Endpoint]], limit: int, pending: int) -> None:
        """`endpoints` gives those that the backend has now."""
        self._endpoints = endpoints
        self.limit, self.pending = limit, pending
        self.protocol: BackendProtocol = "http/1.1"
        self.count = 0
        self._line: list[Waiting] = []

    @property
    def waiting(self) -> int:
        return len(self._line)

    def reserve(self) -> bool:
        """Whether a new connection may be made; it counts from now on, until `release`."""
        if self.count >= self.limit and not self._make_room():
            return False
        self.count += 1
        return True

    def _make_room(self) -> bool:
        """Closes one that is idle. It is gone a moment after the new one began to count, which nobody minds."""
        for endpoint in self._endpoints():
            for pool in endpoint.pools():
                if pool.make_room():
                    return True
        return False

    def release(self) -> None:
        """A connection is gone, or did not come about."""
        self.count -= 1
        if self._line and self.count < self.limit:
            self._next().go()

    def wait(self, waiting: Waiting) -> bool:
        """Puts a request in line; False when the line is too long."""
        if len(self._line) >= self.pending:
            return False
        self._line.append(waiting)
        if len(self._line) == 1:
            self._let_rest(False)
        return True

    def leave(self, waiting: Waiting) -> None:
        """A request waits no longer; it need not be in line."""
        if waiting in self._line:
            self._line.remove(waiting)
            if not self._line:
                self._let_rest(True)

    def hand_on(self, connection: Speaking) -> bool:
        """A connection that is free, while others wait. False when the first cannot use it, so that it is to be closed and makes room:
        to pass it on to a later one might let the first wait for ever."""
        if not self._line or not self._line[0].takes(connection):
            return False
        self._next().given(connection)
        return True

    def _next(self) -> Waiting:
        waiting = self._line.pop(0)
        if not self._line:
            self._let_rest(True)
        return waiting

    def _let_rest(self, allowed: bool) -> None:
        """While somebody waits no connection becomes idle, but comes to `hand_on`."""
        for endpoint in self._endpoints():
            endpoint.let_rest(allowed)
