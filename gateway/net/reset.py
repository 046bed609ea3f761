"""Ends a connection so that its peer sees a reset and not an end, and the kernel keeps nothing for it."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing resets the connection and drops what was not taken yet."""


def reset_socket(connection: socket.socket) -> None:
    """The same of a connection that has no transport yet."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    except OSError:
        pass  # it has ended by itself
    connection.close()


def reset(transport: asyncio.Transport) -> None:
    """Ends it at once, whatever is still on its way."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        except OSError:
            pass  # it has ended by itself
    transport.abort()
