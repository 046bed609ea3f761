"""Makes a connection to an endpoint: name, TCP, TLS and the check of the backend's names, all within one time limit."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from gateway.net.backend_context import BackendIdentityError
from gateway.proxy.backend_connection import BackendConnection

if TYPE_CHECKING:
    from gateway.proxy.core import Core
    from gateway.upstream.endpoint import Endpoint, Pool


class ConnectFailed(Exception):
    """No connection came about; the text says to what, and why. `hopeless` when another try would end the same way."""

    def __init__(self, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless


async def connect(core: Core, endpoint: Endpoint, pool: Pool, limit: float | None) -> BackendConnection:
    """A new connection, verified where TLS is asked for; nothing was sent on it yet. Raises ConnectFailed."""
    where = endpoint.label.decode()
    if (endpoint.address, endpoint.port) in core.forbidden:
        raise ConnectFailed(f"{where} is an address of this proxy itself")
    try:
        async with asyncio.timeout(limit):
            address = await core.resolver.address(endpoint.address)
            return await _open(core.loop, endpoint, pool, address, limit)
    except TimeoutError:
        raise ConnectFailed(f"no connection to {where} within {limit:g} s") from None
    except (BackendIdentityError, ssl.SSLCertVerificationError) as error:
        raise ConnectFailed(f"{where} is not who it should be: {error}", hopeless=True) from None
    except OSError as error:
        raise ConnectFailed(f"no connection to {where}: {error}") from None


async def _open(loop: asyncio.AbstractEventLoop, endpoint: Endpoint, pool: Pool, address: str, limit: float | None) -> BackendConnection:
    settings = pool.settings
    if settings is None:
        _, connection = await loop.create_connection(lambda: BackendConnection(endpoint, pool), address, endpoint.port)
        return connection
    transport, connection = await loop.create_connection(
        lambda: BackendConnection(endpoint, pool),
        address,
        endpoint.port,
        ssl=settings.context,
        server_hostname=settings.server_hostname,
        ssl_handshake_timeout=limit,
    )
    try:
        settings.check(transport.get_extra_info("ssl_object"))
    except Exception:
        transport.abort()
        raise
    return connection
