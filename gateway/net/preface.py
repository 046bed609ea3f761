"""Connections that begin with something of ours before TLS, which event loops would put first: a PROXY header."""

from __future__ import annotations

import asyncio
import socket
from typing import Any


async def whereto(loop: asyncio.AbstractEventLoop, address: str, port: int, preface: bytes) -> dict[str, Any]:
    """Arguments of `create_connection` for an IP address and port: with a preface those of a connection on which it was sent. Raises
    OSError."""
    if not preface:
        return {"host": address, "port": port}
    family, kind, protocol, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        await loop.sock_connect(connection, where)
        await loop.sock_sendall(connection, preface)
    except BaseException:
        connection.close()
        raise
    return {"sock": connection}
