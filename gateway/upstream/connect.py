"""Makes a connection to an endpoint: name, TCP, TLS and the check of the backend's names, all within one time limit."""

from __future__ import annotations

import asyncio
import errno
import ssl
from typing import TYPE_CHECKING, Final, cast

from gateway.net.backend_context import BackendIdentityError
from gateway.net.keepalive import notice_vanished_backend
from gateway.proxy.backend_connection import BackendConnection

if TYPE_CHECKING:
    from gateway.proxy.core import Core
    from gateway.upstream.endpoint import Endpoint, Pool


OUR_OWN: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Errors that say that this host is short of something, and nothing of the endpoint."""


class ConnectFailed(Exception):
    """No connection came about; the text says to what, and why. `hopeless` when another try would end the same way."""

    def __init__(self, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless


async def connect(core: Core, endpoint: Endpoint, pool: Pool, limit: float | None) -> BackendConnection:
    """A new connection, verified where TLS is asked for; nothing was sent on it yet. Raises ConnectFailed."""
    if not pool.connections.reserve():
        raise ConnectFailed(f"no connection to {endpoint.label.decode()}: all {pool.connections.limit} of its backend are in use")
    return await connect_reserved(core, endpoint, pool, limit)


async def connect_reserved(core: Core, endpoint: Endpoint, pool: Pool, limit: float | None) -> BackendConnection:
    """As `connect`, with a place among the backend's connections that is reserved already, and given back if none comes about."""
    connection = BackendConnection(endpoint, pool)
    try:
        await _connect(core, connection, limit)
    finally:
        if not hasattr(connection, "transport"):
            pool.connections.release()  # otherwise the end of the connection does it
    return connection


async def _connect(core: Core, connection: BackendConnection, limit: float | None) -> None:
    """Raises ConnectFailed, and tells the endpoint's protection of what is the endpoint's fault."""
    endpoint = connection.endpoint
    where = endpoint.label.decode()
    if (endpoint.address, endpoint.port) in core.forbidden:
        raise ConnectFailed(f"{where} is an address of this proxy itself")
    try:
        async with asyncio.timeout(limit):
            address = await core.resolver.address(endpoint.address)
            if address != endpoint.address and (address, endpoint.port) in core.forbidden:
                raise ConnectFailed(f"{where} is {address}, an address of this proxy itself")
            await _open(core.loop, connection, address, limit)
            notice_vanished_backend(connection.transport.get_extra_info("socket"))
            return
    except TimeoutError:
        reason = f"no connection to {where} within {limit:g} s"
    except (BackendIdentityError, ssl.SSLCertVerificationError) as error:
        raise ConnectFailed(f"{where} is not who it should be: {error}", hopeless=True) from None
    except OSError as error:
        reason = f"no connection to {where}: {error}"
        if error.errno in OUR_OWN:
            raise ConnectFailed(reason) from None
    endpoint.protection.connect_failed(endpoint, reason)
    raise ConnectFailed(reason)


async def _open(loop: asyncio.AbstractEventLoop, connection: BackendConnection, address: str, limit: float | None) -> None:
    settings = connection.pool.settings
    protocol = cast(asyncio.Protocol, connection)
    if settings is None:
        await loop.create_connection(lambda: protocol, address, connection.endpoint.port)
        return
    transport, _ = await loop.create_connection(
        lambda: protocol,
        address,
        connection.endpoint.port,
        ssl=settings.context,
        server_hostname=settings.server_hostname,
        ssl_handshake_timeout=limit,
    )
    try:
        settings.check(transport.get_extra_info("ssl_object"))
    except Exception:
        transport.abort()
        raise
