"""Connections that begin with something that event loops do not do: with bytes of ours before TLS, a PROXY header, or from an address that
is chosen."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

_BIND_ADDRESS_NO_PORT: Final[int] = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # Python has the name since 3.12
"""Leaves the choice of the port to `connect`: there may then be as many connections to each destination as there are ports."""


async def whereto(loop: asyncio.AbstractEventLoop, address: str, port: int, preface: bytes, source: str = "") -> dict[str, Any]:
    """Arguments of `create_connection` for an IP address and port: with a preface those of a connection on which it was sent, with a source
    address those of one that comes from there. Raises OSError."""
    if not preface and not source:
        return {"host": address, "port": port}
    family, kind, protocol, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        if source:
            _bind(connection, source)
        await loop.sock_connect(connection, where)
        if preface:
            await loop.sock_sendall(connection, preface)
    except BaseException:
        connection.close()
        raise
    return {"sock": connection}


def _bind(connection: socket.socket, source: str) -> None:
    connection.setsockopt(socket.SOL_IP, _BIND_ADDRESS_NO_PORT, 1)
    try:
        connection.bind((source, 0))
    except OSError as error:
        remedy = "it must be an address of the loopback interface, where tidegate init puts it"
        raise OSError(error.errno, f"nothing can be sent from {source}: {error.strerror}; {remedy}") from None
