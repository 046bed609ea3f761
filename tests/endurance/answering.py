"""A backend in this process that answers with its name, and can be told to fall ill."""

from __future__ import annotations

import asyncio
import enum
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from tests.endurance.standing import until
from tests.tidegate.program import free_port

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
BIG = b"z" * (1 << 22)
"""What it answers at /big."""


class Health(enum.Enum):
    """GOOD: answers; REFUSING: takes no connection, and has dropped those there were; RESETTING: reads a request and resets."""

    GOOD = 1
    REFUSING = 2
    RESETTING = 3


class Backend:
    """Owner of a port of 127.0.0.1, which it keeps while it is ill."""

    def __init__(self, name: str, delay: float = 0.0) -> None:
        self.name = name
        self.port = free_port()
        self.delay = delay
        self.health = Health.GOOD
        self.requests = 0
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def become(self, health: Health) -> None:
        """From now on."""
        self.health = health
        if health is Health.REFUSING and self._server is not None:
            self._server.close()
            for connection in tuple(self.connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None
            await until(lambda: not self.connections, "all connections have ended")
        elif health is not Health.REFUSING and self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, reuse_address=True, backlog=4096)


@asynccontextmanager
async def answering(*names: str, delay: float = 0.0) -> AsyncIterator[tuple[Backend, ...]]:
    """Backends that answer until the end of the block."""
    backends = tuple(Backend(name, delay) for name in names)
    for backend in backends:
        await backend.become(Health.GOOD)
    try:
        yield backends
    finally:
        for backend in backends:
            await backend.become(Health.REFUSING)


class _Connection(asyncio.Protocol):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._received = b""
        self._missing = 0
        """Bytes of a request's body that are still to come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._backend.connections.add(self)

    def connection_lost(self, exception: Exception | None) -> None:
        self._backend.connections.discard(self)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            if self._missing:
                taken = min(self._missing, len(self._received))
                self._missing -= taken
                self._received = self._received[taken:]
                if self._missing:
                    return
                self._answer(b"")
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            self._received = rest
            if self._backend.health is Health.RESETTING:
                self.abort()
                return
            length = _LENGTH.search(head)
            self._missing = int(length[1]) if length else 0
            if not self._missing:
                self._answer(head)

    def _answer(self, head: bytes) -> None:
        self._backend.requests += 1
        body = BIG if head.startswith(b"GET /big ") else self._backend.name.encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        if self._backend.delay:
            asyncio.get_running_loop().call_later(self._backend.delay, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)
