"""A backend on raw sockets: keeps every byte it gets, by connection, and answers with the bytes that a row plans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal

from tests.attacks.reading import Request, read_request

LIMIT: Final = 10.0
"""Seconds to wait for what must come; reached only when it never does."""
MOST_PIECES: Final = 1000
"""A message of more bytes than this is cut into so many pieces instead of into bytes."""
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Delivery = Literal["whole", "byte by byte", "with more behind"]


def pieces_of(data: bytes, delivery: Delivery) -> Iterator[bytes]:
    """The data as it is written, piece after piece."""
    size = -(-len(data) // MOST_PIECES) or 1 if delivery == "byte by byte" else len(data) or 1
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def turn() -> None:
    """Lets the loop poll its sockets: whoever shares it has read what was written before."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is answered to every request but those to `/canary`."""

    answer: bytes = OK
    delivery: Delivery = "whole"
    ends: bool = False
    early: bool = False
    """Whether the answer goes out once the head is there, whatever of the body is still to come."""
    stalled: bytes = b"/stalled"
    """Target after which nothing more is read of a connection."""


class Link(asyncio.Protocol):
    """One connection: all bytes that came on it, and whether the other side is gone."""

    transport: asyncio.Transport

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.received = bytearray()
        self.ended = False
        self.fault = ""
        """Why the bytes are no request."""
        self._pending = b""
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are no subclasses of it
        self._backend.links.append(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._pending += data
        if b" %b " % self._backend.plan.stalled in data:
            self.transport.pause_reading()
        if not self.fault:
            try:
                self._read()
            except ValueError as fault:
                self.fault = str(fault)
                self.transport.close()
        self._backend.changed.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._backend.changed.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._backend.changed.set()

    def _read(self) -> None:
        while self._pending:
            found = read_request(self._pending)
            if self._backend.plan.early and not self._answered and b"\r\n\r\n" in self._pending:
                self._answered = True
                self._backend.answer(self, *self._pending.split(b" ", 2)[:2])
            if found is None:
                return
            request, end = found
            self._pending = self._pending[end:]
            self._backend.requests.append(request)
            if not self._answered:
                self._backend.answer(self, request.method, request.target)
            self._answered = False


class Backend:
    """Owner of the listening socket, the connections and what came on them. Everything happens in the loop that it was made in."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.requests: list[Request] = []
        self.plan = Plan()
        self.changed = asyncio.Event()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Backend]:
        """Listens on a free port of 127.0.0.1."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Link(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for link in self.links:
                link.transport.abort()
            await asyncio.gather(*self._tasks)
            await turn()

    def answer(self, link: Link, method: bytes, target: bytes) -> None:
        """As planned; a HEAD for which nothing is planned gets no body."""
        plan = Plan() if target.startswith(b"/canary") else self.plan
        if method == b"HEAD" and plan.answer == OK:
            plan = Plan(OK.removesuffix(b"ok"))
        if plan.delivery != "byte by byte":
            link.transport.write(plan.answer)
            if plan.ends:
                link.transport.close()
            return
        task = asyncio.get_running_loop().create_task(self._dribble(link, plan))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dribble(self, link: Link, plan: Plan) -> None:
        for piece in pieces_of(plan.answer, plan.delivery):
            if link.transport.is_closing():
                return
            link.transport.write(piece)
            await turn()
        if plan.ends:
            link.transport.close()

    def forget(self) -> None:
        """Begins anew: what came before is no longer asked for."""
        self.plan = Plan()
        self.links = [link for link in self.links if not link.ended]
        self.requests.clear()
        for link in self.links:
            link.received.clear()

    async def wait_until(self, true: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(LIMIT):
                while not true():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"never happened: {what}") from None
