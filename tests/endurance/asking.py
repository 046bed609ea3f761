"""Clients that ask again and again, and never anything twice: each failure counts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.endurance.standing import until

PATIENCE = 20.0
"""Seconds after which an answer counts as missing."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without its answer. Times on the loop's clock; `source` is the client's port, 0 if it never had a connection."""

    begun: float
    ended: float
    source: int
    what: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asks for and how. `every` seconds a request is due, none is made up for; 0: without pause."""

    port: int
    host: str = "steady.example"
    path: str = "/"
    keeps: bool = True
    tls: ssl.SSLContext | None = None
    every: float = 0.0
    good: Callable[[int, bytes], bool] = lambda status, body: status == 200


@dataclass(slots=True)
class Client:
    """One that asks until it is stopped."""

    asked: Asked
    answers: int = 0
    connections: int = 0
    failures: list[Failure] = field(default_factory=list)
    seen: dict[bytes, float] = field(default_factory=dict)
    """By body, when it came last."""
    stopped: bool = False
    _source: int = 0
    _begun: float = 0.0
    _due: float = 0.0

    async def ask_on(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time()
        while not self.stopped:
            self._source, self._begun = 0, loop.time()
            try:
                await self._converse()
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self._fail(f"{type(error).__name__}: {error}")
                await asyncio.sleep(max(self.asked.every, 0.01))

    async def _converse(self) -> None:
        """One connection, until it ends between two requests, or at once after its first."""
        asked = self.asked
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", asked.port, ssl=asked.tls, server_hostname=asked.host if asked.tls else None
            )
        self.connections += 1
        self._source = writer.get_extra_info("sockname")[1]
        closing = b"" if asked.keeps else b"Connection: close\r\n"
        request = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (asked.path.encode(), asked.host.encode(), closing)
        try:
            last = False
            while not (self.stopped or last):
                await self._pause()
                if reader.at_eof():
                    return
                self._begun = asyncio.get_running_loop().time()
                writer.write(request)
                async with asyncio.timeout(PATIENCE):
                    last = await self._answer(reader)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _pause(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.asked.every:
            await asyncio.sleep(0)
            return
        self._due = max(self._due + self.asked.every, now - self.asked.every)
        await asyncio.sleep(max(0.0, self._due - now))

    async def _answer(self, reader: asyncio.StreamReader) -> bool:
        """Whether it is the last on this connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        body = await reader.readexactly(int(length)) if length.strip() else b""
        if self.asked.good(status, body):
            self.answers += 1
            self.seen[body] = asyncio.get_running_loop().time()
        else:
            self._fail(f"{status} {head!r} {body[:80]!r}")
        return b"\r\nconnection: close\r\n" in head

    def _fail(self, what: str) -> None:
        self.failures.append(Failure(self._begun, asyncio.get_running_loop().time(), self._source, what))


class Clients(list[Client]):
    """Those at work."""

    @property
    def answers(self) -> int:
        return sum(client.answers for client in self)

    @property
    def failures(self) -> list[Failure]:
        return [failure for client in self for failure in client.failures]

    async def more(self, answers: int) -> None:
        """Returns when each has got so many more, or one has failed."""
        wanted = [(client, client.answers + answers) for client in self]
        await until(lambda: all(client.answers >= count for client, count in wanted) or bool(self.failures), f"{answers} answers each")


@asynccontextmanager
async def asking(asked: Sequence[Asked]) -> AsyncIterator[Clients]:
    """They ask from here to the end of the block, and have finished after it."""
    clients = Clients(map(Client, asked))
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.ask_on())
        try:
            yield clients
        finally:
            for client in clients:
                client.stopped = True


def trusting(certificate: str) -> ssl.SSLContext:
    """A client's context that trusts one authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificate)
    return context
