"""An endpoint of a backend, the connections to it, and its health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.upstream.health import Health
from gateway.upstream.shared import Shared

if TYPE_CHECKING:
    from gateway.net.backend_context import TlsSettings
    from gateway.proxy.backend_connection import BackendConnection
    from gateway.proxy.http2.backend_stream import Http2BackendStream
    from gateway.upstream.connections import Connections
    from gateway.upstream.protection import Protection

MOST_IDLE: Final = 512
"""Idle connections kept for one endpoint by one worker; more are closed when they become idle."""
NONE_RESTS: Final = -1
"""In place of MOST_IDLE while requests wait for a connection of the backend."""


class Pool:
    """Idle connections to one endpoint with the same TLS settings; the one used last is taken first, so that the rest can age.

    `most` is how many may be idle: none once nobody will take one out again, so that what is in flight then ends with its exchange,
    and NONE_RESTS while others wait for one. `connections` counts them all. `shared` holds those that speak HTTP/2, where the endpoint
    may be spoken to in it: by the backend's protocol or, where that leaves it to the client, by `multiplexed`. `preface` is what each
    begins with, before anything else: a PROXY header, which makes them one client's.
    """

    __slots__ = ("connections", "idle", "most", "preface", "protocol", "settings", "shared")

    def __init__(
        self,
        settings: TlsSettings | None,
        connections: Connections,
        most: int = MOST_IDLE,
        preface: bytes = b"",
        *,
        multiplexed: bool = False,
    ) -> None:
        self.settings, self.connections, self.most, self.preface = settings, connections, most, preface
        self.idle: list[BackendConnection] = []
        self.protocol = connections.protocol
        if self.protocol == "client":
            self.protocol = "h2c" if multiplexed else "http/1.1"
        self.shared = Shared() if self.protocol in ("h2c", "auto") else None

    @property
    def holds_any(self) -> bool:
        """Whether there is a connection that somebody may take."""
        return bool(self.idle) or (self.shared is not None and bool(self.shared.connections))

    def take(self) -> BackendConnection | Http2BackendStream | None:
        """A connection that is there already, or a stream on one; None when one has to be made."""
        if self.idle:
            return self.idle.pop()
        return self.shared.take() if self.shared is not None else None

    def age(self, limit: int) -> None:
        """Called at regular intervals: closes what has been idle for more than `limit` of them."""
        for connection in self.idle:
            connection.idle_turns += 1
        while self.idle and self.idle[0].idle_turns > limit:
            self.idle.pop(0).close()
        if self.shared is not None:
            self.shared.age(limit)

    def discard(self, connection: BackendConnection) -> None:
        """A connection that can no longer be used, whether it was idle or not."""
        if connection in self.idle:
            self.idle.remove(connection)

    def turn_away(self, connection: BackendConnection) -> None:
        """A connection that is free and may not rest: it goes to a request that waits for one, or ends."""
        connection.used = True
        if self.most != NONE_RESTS or not self.connections.hand_on(connection):
            connection.transport.close()

    def make_room(self) -> bool:
        """Closes the connection that has been idle longest; whether there was one."""
        if self.idle:
            self.idle.pop(0).close()
            return True
        return self.shared is not None and self.shared.close_one()

    def close(self) -> None:
        """What is idle ends; what carries requests ends with them."""
        while self.idle:
            self.idle.pop().close()
        if self.shared is not None:
            self.shared.retire()

    def retire(self) -> None:
        """Nobody takes connections out of it any more."""
        self.most = 0
        self.close()


class Endpoint:
    """One address of a backend. Kept over changes of the set it stands in, so that its connections live on.

    plain   the pool of connections of a backend without TLS of its own: without TLS, or with that of the mesh (upstream.mesh)
    secure  those by TLS settings of the backend
    prior   those of HTTP/2 by prior knowledge, by TLS settings, of a backend where that is for the client to say
    active  exchanges it has, of those that are counted (upstream.lease)
    health  what this worker knows of it; `protection` is to be told what happens with it
    source  the address of this host that connections come from; '' for any
    resolved  addresses of its name, if it has one, that connections were made to since it was made or renewed
    """

    __slots__ = (
        "active", "address", "connections", "health", "label", "plain", "port", "prior", "protection", "ready", "resolved", "secure",
        "source", "terminating", "weight",
    )  # fmt: skip

    def __init__(
        self, address: str, port: int, connections: Connections, protection: Protection, settings: TlsSettings | None = None
    ) -> None:
        """`settings` are those of the mesh."""
        self.address, self.port, self.connections, self.protection = address, port, connections, protection
        self.active = 0
        self.health = Health()
        self.label = (f"[{address}]:{port}" if ":" in address else f"{address}:{port}").encode("ascii")
        self.ready, self.terminating, self.weight = True, False, 1
        self.plain = Pool(settings, connections)
        self.secure: dict[TlsSettings, Pool] = {}
        self.prior: dict[TlsSettings | None, Pool] | None = None
        self.source = ""
        self.resolved: frozenset[str] = frozenset()

    @property
    def retired(self) -> bool:
        """Whether its backend has it no longer."""
        return not self.plain.most

    @property
    def unused(self) -> bool:
        """Whether nothing is under way to it, and nothing rests. Of one whose exchanges are counted."""
        return not self.active and not any(pool.holds_any for pool in self.pools())

    def pool(self, settings: TlsSettings | None, preface: bytes = b"", *, multiplexed: bool = False) -> Pool:
        """`settings` are the backend's. With a preface one that is for this time alone, and where nothing rests. `multiplexed` asks for
        HTTP/2, of a backend that leaves that to the client."""
        reached = settings or self.plain.settings
        if preface:
            return Pool(reached, self.connections, NONE_RESTS, preface, multiplexed=multiplexed)
        if multiplexed:
            return self._prior(reached)
        if settings is None:
            return self.plain
        pool = self.secure.get(settings)
        if pool is None:
            pool = self.secure[settings] = Pool(settings, self.connections, self.plain.most)
        return pool

    def _prior(self, settings: TlsSettings | None) -> Pool:
        if self.prior is None:
            self.prior = {}
        pool = self.prior.get(settings)
        if pool is None:
            pool = self.prior[settings] = Pool(settings, self.connections, self.plain.most, multiplexed=True)
        return pool

    def pools(self) -> tuple[Pool, ...]:
        return (self.plain, *self.secure.values(), *(self.prior or {}).values())

    def let_rest(self, allowed: bool) -> None:
        """Whether connections may become idle."""
        for pool in self.pools():
            pool.most = MOST_IDLE if allowed else NONE_RESTS

    def close_secure(self) -> None:
        """The TLS settings no longer hold: connections under them are not used again."""
        for pool in self.secure.values():
            pool.retire()
        self.secure.clear()
        for settings in [settings for settings in self.prior or () if settings is not None]:
            self._leave_prior(settings)

    def _leave_prior(self, settings: TlsSettings | None) -> None:
        pool = self.prior.pop(settings, None) if self.prior is not None else None
        if pool is not None:
            pool.retire()

    def renew(self) -> None:
        """Its backend is spoken to in another way from now on: connections there are end with what they carry."""
        self._replace_plain(self.plain.settings)
        self.close_secure()

    def reach_by(self, settings: TlsSettings | None) -> None:
        """Somebody else is at its address from now on, or is to be reached in another way: as `renew`, of what is not the backend's TLS."""
        self._replace_plain(settings)

    def _replace_plain(self, settings: TlsSettings | None) -> None:
        before, most = self.plain, self.plain.most
        before.retire()
        self._leave_prior(before.settings)
        self.plain = Pool(settings, self.connections, most)

    def retire(self) -> None:
        """Its backend no longer has it: what is in flight ends with its exchange."""
        self.plain.retire()
        self._leave_prior(self.plain.settings)
        self.close_secure()

    def age(self, limit: int) -> None:
        self.plain.age(limit)
        for pool in (*self.secure.values(), *(self.prior or {}).values()):
            pool.age(limit)

    def __repr__(self) -> str:
        return f"Endpoint({self.label.decode()})"
