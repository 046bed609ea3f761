"""Reads little at once of the answer to a request of HTTP/2: 100 of them on one connection may wait for their client.

The loop reads up to 256 KiB for whoever is told of data as it came; only a buffer of ours is smaller. It costs two calls more for each
read, which a client of HTTP/1.1, with a connection for itself, need not pay.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.proxy.backend_connection import BackendConnection

LITTLE: Final = 64 * 1024
"""Bytes."""


class LittleReader(asyncio.BufferedProtocol):
    """The protocol of a connection in its stead; `buffer` serves all connections of a worker, one read after another."""

    __slots__ = ("_buffer", "_connection")

    def __init__(self, connection: BackendConnection, buffer: memoryview) -> None:
        self._connection, self._buffer = connection, buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.data_received(bytes(self._buffer[:nbytes]))

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)
