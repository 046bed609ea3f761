"""Makes a connection to an endpoint: name, TCP, TLS and the check of the backend's names, all within one time limit."""

from __future__ import annotations

import asyncio
import errno
import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from gateway.net.backend_context import BackendIdentityError
from gateway.net.keepalive import notice_vanished_backend
from gateway.net.preface import whereto
from gateway.net.tls_transport import TlsTransport, connect_tls
from gateway.proxy.backend_connection import BackendConnection
from gateway.proxy.http2.backend_connection import Http2BackendConnection

if TYPE_CHECKING:
    from gateway.net.backend_context import TlsSettings
    from gateway.proxy.core import Core
    from gateway.proxy.http2.backend_stream import Http2BackendStream
    from gateway.upstream.connections import Speaking
    from gateway.upstream.endpoint import Endpoint, Pool
    from gateway.upstream.shared import Opening


OUR_OWN: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Errors that say that this host is short of something, and nothing of the endpoint."""


MOST_ADDRESSES: Final = 3
"""Of a name that are tried for one connection, all within its time."""
_NOBODY_THERE: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT})
"""Errors after which another address of the name may do better."""


class ConnectFailed(Exception):
    """No connection came about; the text says to what, and why. `hopeless` when another try would end the same way."""

    def __init__(self, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless


async def connect(core: Core, endpoint: Endpoint, pool: Pool, limit: float | None) -> Speaking:
    """A new connection, verified where TLS is asked for, on which nothing was sent yet; or a stream of one that was being made. Raises
    ConnectFailed."""
    joined = await join(pool)
    if joined is not None:
        return joined
    if not pool.connections.reserve():
        raise ConnectFailed(f"no connection to {endpoint.label.decode()}: all {pool.connections.limit} of its backend are in use")
    return await connect_reserved(core, endpoint, pool, limit, announce(core, pool))


async def join(pool: Pool) -> Http2BackendStream | None:
    """A stream of a connection that is being made for somebody else; None when none is, or none with room. Raises ConnectFailed when it
    does not come about."""
    shared = pool.shared
    while shared is not None and (opening := shared.opening) is not None:
        shared.expect()
        await asyncio.wait((opening,))
        failure = opening.result()
        if failure is not None:
            raise ConnectFailed(str(failure), hopeless=failure.hopeless)
        stream = shared.take()
        if stream is not None:
            return stream
    return None


def announce(core: Core, pool: Pool) -> Opening | None:
    """For `connect_reserved`, in the callback in which the place was reserved: who comes from now on waits for the connection."""
    return pool.shared.begin(core.loop) if pool.shared is not None else None


async def connect_reserved(core: Core, endpoint: Endpoint, pool: Pool, limit: float | None, opening: Opening | None) -> Speaking:
    """As `connect`, with a place among the backend's connections that is reserved already, and given back if none comes about."""
    protocol = Undecided(core, endpoint, pool)
    failure: ConnectFailed | None = None
    try:
        await reach(core, endpoint, pool.settings, protocol, limit, pool.preface)
        assert protocol.stream is not None
        return protocol.stream
    except ConnectFailed as failed:
        failure = ConnectFailed(str(failed), hopeless=failed.hopeless)  # without the frames of this one
        raise
    finally:
        if pool.shared is not None and opening is not None:
            pool.shared.opened(opening, failure)
        if protocol.stream is None:
            pool.connections.release()  # otherwise the end of the connection does it


class Undecided:
    """The protocol of a connection until it is known what is spoken on it: at the end of the TLS handshake, where there is one."""

    __slots__ = ("_core", "endpoint", "made", "pool", "refusal", "stream")

    relayed: Final = False

    def __init__(self, core: Core, endpoint: Endpoint, pool: Pool) -> None:
        self._core, self.endpoint, self.pool = core, endpoint, pool
        self.made: Http2BackendConnection | None = None
        """The connection, if HTTP/2 is spoken on it."""
        self.stream: Speaking | None = None
        """What the exchange that it was made for can be had with."""
        self.refusal: BackendIdentityError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        settings = self.pool.settings
        if settings is not None:
            try:
                settings.check(transport.get_extra_info("ssl_object"))
            except BackendIdentityError as refusal:
                self.refusal = refusal
                cast(asyncio.Transport, transport).abort()
                return
            if settings.inside and self.pool.preface:
                cast(asyncio.Transport, transport).write(self.pool.preface)
        multiplexed = self._speaks_http2(transport)
        if self.pool.shared is not None:
            self.pool.shared.multiplexed = multiplexed
        if multiplexed:
            self.made = Http2BackendConnection(self._core.loop, self.endpoint, self.pool)
            self.stream = self.made.open()
        else:
            self.stream = BackendConnection(self.endpoint, self.pool, self._core.read_buffer)
        made = self.made or self.stream
        transport.set_protocol(cast(asyncio.Protocol, made))
        cast(asyncio.Protocol, made).connection_made(transport)

    def _speaks_http2(self, transport: asyncio.BaseTransport) -> bool:
        """By prior knowledge, or because the endpoint chose it (RFC 7301)."""
        spoken = self.pool.protocol
        tls = transport.get_extra_info("ssl_object")
        return spoken == "h2c" or (spoken == "auto" and tls is not None and tls.selected_alpn_protocol() == "h2")

    def connection_lost(self, exc: Exception | None) -> None:
        """Before it was one: whoever waits for it is told otherwise."""


class Reaching(Protocol):
    """An asyncio.Protocol for a connection to a backend. It looks at who has answered, before a byte is exchanged."""

    @property
    def relayed(self) -> bool:
        """Whether bytes are passed on as they are, so that each direction has an end of its own."""

    refusal: BackendIdentityError | None
    """Why nothing may be said to whoever answered, whose connection is aborted then."""


async def reach(
    core: Core,
    endpoint: Endpoint,
    settings: TlsSettings | None,
    protocol: Reaching,
    limit: float | None,
    preface: bytes = b"",
) -> None:
    """Connects a protocol to an endpoint; `preface` goes out first, before the TLS handshake, unless the settings have it inside, where
    it is the protocol's to write. Raises ConnectFailed, and tells the endpoint's protection of what is the endpoint's fault."""
    where = endpoint.label.decode()
    if is_own(endpoint.address, endpoint.port, endpoint.source, core.forbidden):
        raise ConnectFailed(f"{where} is an address of this proxy itself")
    try:
        async with asyncio.timeout(limit):
            transport = await _open(core, endpoint, settings, protocol, limit, preface)
            notice_vanished_backend(transport.get_extra_info("socket"))
            if isinstance(protocol, Undecided) and protocol.made is not None:
                await greeted(protocol.made)
            return
    except TimeoutError:
        reason = f"no connection to {where} within {limit:g} s"
    except (BackendIdentityError, ssl.SSLCertVerificationError) as error:
        reason = f"{where} is not who it should be: {error}"
        if settings is None or not settings.inside:
            raise ConnectFailed(reason, hopeless=True) from None
        # of the mesh: another Pod may have come to this address, and other endpoints are who they should be
    except OSError as error:
        reason = f"no connection to {where}: {error}"
        if error.errno in OUR_OWN:
            raise ConnectFailed(reason) from None
    endpoint.protection.connect_failed(endpoint, reason)
    raise ConnectFailed(reason)


async def _open(
    core: Core, endpoint: Endpoint, settings: TlsSettings | None, protocol: Reaching, limit: float | None, preface: bytes
) -> asyncio.Transport:
    """At the next address of its name, or where nobody is there at one that follows. Raises ConnectFailed, OSError and
    BackendIdentityError."""
    addresses = await core.resolver.addresses(endpoint.address)
    others = list(addresses[1:MOST_ADDRESSES])
    address = addresses[0]
    while True:
        if address != endpoint.address and (address, endpoint.port) in core.forbidden:
            raise ConnectFailed(f"{endpoint.label.decode()} is {address}, an address of this proxy itself")
        try:
            reached = await whereto(core.loop, address, endpoint.port, outside(preface, settings), _source(core, endpoint, address))
            transport = await open_connection(core.loop, protocol, reached, settings, limit)
            break
        except OSError as error:
            if not others or isinstance(error, ssl.SSLError) or error.errno not in _NOBODY_THERE:
                raise
        address = others.pop(0)
    if address != endpoint.address and address not in endpoint.resolved:
        endpoint.resolved |= {address}
    return transport


def _source(core: Core, endpoint: Endpoint, address: str) -> str:
    """The endpoint's, else our own where we have one, on this host."""
    return endpoint.source or (core.source if address.startswith("127.") else "")


def is_own(address: str, port: int, source: str, forbidden: frozenset[tuple[str, int]]) -> bool:
    """Whether it is an address of this proxy itself. What comes from a source of ours stays on this host, whatever the address."""
    return (address, port) in forbidden or (source != "" and ("0.0.0.0", port) in forbidden)  # noqa: S104  # a comparison


def outside(preface: bytes, settings: TlsSettings | None) -> bytes:
    """What of a preface goes out before TLS."""
    return b"" if settings is not None and settings.inside else preface


async def greeted(connection: Http2BackendConnection) -> None:
    """Until the endpoint has said what it takes (RFC 9113 3.4). Raises OSError when it does not speak HTTP/2."""
    try:
        await connection.greeting
    except BaseException:
        connection.transport.abort()
        raise
    if connection.ended:
        raise OSError("it ended the connection, or does not speak HTTP/2")


async def open_connection(
    loop: asyncio.AbstractEventLoop,
    protocol: Reaching,
    where: dict[str, Any],
    settings: TlsSettings | None,
    limit: float | None,
) -> asyncio.Transport:
    """`where` are the arguments of the loop that say where to. Raises OSError and BackendIdentityError."""
    made = cast(asyncio.Protocol, protocol)
    if settings is None:
        transport, _ = await loop.create_connection(lambda: made, **where)
        return transport
    if protocol.relayed:
        relaying = TlsTransport(
            settings.relaying,
            made,
            server_side=False,
            server_hostname=settings.server_hostname,
            announces_end=settings.announces_end,
        )
        await connect_tls(relaying, where, limit)
        if protocol.refusal is not None:
            raise protocol.refusal
        return relaying
    transport, _ = await loop.create_connection(
        lambda: made,
        **where,
        ssl=settings.context,
        server_hostname=settings.server_hostname,
        ssl_handshake_timeout=limit,
    )
    if protocol.refusal is not None:
        raise protocol.refusal
    return transport
