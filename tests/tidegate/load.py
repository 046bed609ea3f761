"""Clients of every kind that ask without pause, never try anything twice, and keep account of each failure."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

THINKING: Final = 0.01
"""Seconds between two requests of a client: a hundred requests a second at most."""


class Client:
    """Asks again and again, on one connection or on a new one for each request."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None, *, keeps: bool = False) -> None:
        self._port, self._context, self._keeps = port, context, keeps
        self.answers = 0
        self.failures: list[str] = []
        self.advanced = asyncio.Event()
        self._stopped = False

    async def ask_on(self) -> None:
        while not self._stopped:
            try:
                await self._converse()
            except (OSError, asyncio.IncompleteReadError) as failure:
                self._fail(f"{type(failure).__name__}: {failure}")
                await asyncio.sleep(THINKING)

    def stop(self) -> None:
        self._stopped = True

    async def more(self, answers: int) -> None:
        """Returns when it has got so many more, or has failed."""
        wanted, failed = self.answers + answers, len(self.failures)
        while self.answers < wanted and len(self.failures) == failed:
            self.advanced.clear()
            await self.advanced.wait()

    def _fail(self, why: str) -> None:
        self.failures.append(f"port {self._port}, request {self.answers + 1}: {why}")
        self.advanced.set()

    async def _converse(self) -> None:
        """One connection, until either side is done with it."""
        name = "localhost" if self._context is not None else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context, server_hostname=name)
        try:
            closes = False
            while not (closes or self._stopped):
                last = b"" if self._keeps else b"Connection: close\r\n"
                writer.write(b"GET /there HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % last)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"http/1.1 302 "):
                    self.answers += 1
                    self.advanced.set()
                else:
                    self._fail(repr(head))
                closes = b"connection: close" in head
                await asyncio.sleep(THINKING)
        finally:
            writer.close()


@asynccontextmanager
async def asking(clients: Sequence[Client]) -> AsyncIterator[None]:
    """Has them at work."""
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.ask_on())
        try:
            yield
        finally:
            for client in clients:
                client.stop()


async def more(clients: Sequence[Client], answers: int) -> None:
    """Returns when each has got so many more answers, or has failed."""
    await asyncio.gather(*(client.more(answers) for client in clients))


def failures(clients: Sequence[Client]) -> list[str]:
    return [failure for client in clients for failure in client.failures]
