"""An endpoint of a backend and the idle connections to it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.net.backend_context import BackendTlsSettings
    from gateway.proxy.backend_connection import BackendConnection

MOST_IDLE: Final = 512
"""Idle connections kept for one endpoint by one worker; more are closed when they become idle."""


class Pool:
    """Idle connections to one endpoint with the same TLS settings; the one used last is taken first, so that the rest can age.

    `most` is how many may be idle: none once nobody will take one out again, so that what is in flight then ends with its exchange.
    """

    __slots__ = ("idle", "most", "settings")

    def __init__(self, settings: BackendTlsSettings | None, most: int = MOST_IDLE) -> None:
        self.settings, self.most = settings, most
        self.idle: deque[BackendConnection] = deque()

    def age(self, limit: int) -> None:
        """Called at regular intervals: closes what has been idle for more than `limit` of them."""
        for connection in self.idle:
            connection.idle_turns += 1
        while self.idle and self.idle[0].idle_turns > limit:
            self.idle.popleft().close()

    def discard(self, connection: BackendConnection) -> None:
        """A connection that can no longer be used, whether it was idle or not."""
        if connection in self.idle:
            self.idle.remove(connection)

    def close(self) -> None:
        while self.idle:
            self.idle.pop().close()

    def retire(self) -> None:
        """Nobody takes connections out of it any more."""
        self.most = 0
        self.close()


class Endpoint:
    """One address of a backend. Kept over changes of the set it stands in, so that its connections live on.

    `plain` is the pool of connections without TLS, `secure` those by TLS settings.
    """

    __slots__ = ("address", "label", "plain", "port", "ready", "secure", "terminating", "weight")

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port = address, port
        self.label = (f"[{address}]:{port}" if ":" in address else f"{address}:{port}").encode("ascii")
        self.ready, self.terminating, self.weight = True, False, 1
        self.plain = Pool(None)
        self.secure: dict[BackendTlsSettings, Pool] = {}

    def pool(self, settings: BackendTlsSettings | None) -> Pool:
        if settings is None:
            return self.plain
        pool = self.secure.get(settings)
        if pool is None:
            pool = self.secure[settings] = Pool(settings, self.plain.most)
        return pool

    def close_secure(self) -> None:
        """The TLS settings no longer hold: connections under them are not used again."""
        for pool in self.secure.values():
            pool.retire()
        self.secure.clear()

    def close_idle(self) -> None:
        self.plain.close()
        self.close_secure()

    def retire(self) -> None:
        """Its backend no longer has it: what is in flight ends with its exchange."""
        self.plain.retire()
        self.close_secure()

    def age(self, limit: int) -> None:
        self.plain.age(limit)
        for pool in self.secure.values():
            pool.age(limit)

    def __repr__(self) -> str:
        return f"Endpoint({self.label.decode()})"
