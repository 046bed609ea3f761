"""Clients that are slow on purpose, a thousand at a time: each is cut when its time is over, and nobody else notices."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.endurance.answering import answering
from tests.endurance.asking import Asked, asking
from tests.endurance.objects import OURS, Document, Files, document, endpoints, forwarding, gateway, listener, route, service
from tests.endurance.standing import Sizes, standing, until
from tests.tidegate.program import free_port

HEAD = b"POST /slow HTTP/1.1\r\nHost: steady.example\r\nContent-Length: 1000000\r\n\r\n"
GREAT = b"GET /big HTTP/1.1\r\nHost: steady.example\r\n\r\n"
ESTABLISHED = 1
"""TCP_ESTABLISHED of the kernel."""
LATE = 3.0
"""Seconds that a cut may come after the time of the policy: the sweep goes by in turns, and a machine is busy."""
FILLING = 15.0
"""And before a thousand kernels have taken the megabytes that they take for a client that reads nothing."""


async def slow_head(connection: socket.socket, every: float) -> None:
    """A field that never ends, a byte at a time."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\nHost: steady.example\r\nX-Slow: ")
    while True:
        await asyncio.sleep(every)
        await loop.sock_sendall(connection, b"a")


async def slow_body(connection: socket.socket, every: float) -> None:
    """A body of a megabyte, a byte at a time."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, HEAD)
    while True:
        await asyncio.sleep(every)
        await loop.sock_sendall(connection, b"a")


async def slow_reading(connection: socket.socket, every: float) -> None:
    """Megabytes are asked for, and a few bytes of them taken now and then."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, GREAT)
    while connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED:  # what had come could be read for long after
        await asyncio.sleep(every)
        await loop.sock_recv(connection, 16)


Kind = Callable[[socket.socket, float], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Slow:
    """Slow clients of a kind, each of which comes again when it was cut."""

    port: int
    kind: Kind
    every: float
    times: list[float]
    """Seconds that each connection has lasted."""
    failures: list[str]

    async def insist(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with socket.socket() as connection:
                connection.setblocking(False)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                try:
                    await loop.sock_connect(connection, ("127.0.0.1", self.port))
                except OSError as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    return
                begun = loop.time()
                await self._until_cut(connection)
                self.times.append(loop.time() - begun)

    async def _until_cut(self, connection: socket.socket) -> None:
        if self.kind is slow_reading:
            with suppress(OSError):
                await self.kind(connection, self.every)
            return
        loop = asyncio.get_running_loop()
        sending = loop.create_task(self.kind(connection, self.every))
        try:
            with suppress(OSError):
                while await loop.sock_recv(connection, 65_536):
                    pass
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def hurried() -> Document:
    """Limits that end a slow client within seconds, for the short form."""
    timeouts = {"header": "2s", "body": "2s", "send": "2s"}
    rates = {"body": 240, "send": 240, "grace": "2s"}
    spec = {"targetRefs": [{"name": "web"}], "timeouts": timeouts, "minimumRates": rates}
    return document(OURS, "ListenerPolicy", "hurried", spec)


@pytest.mark.parametrize("kind", [slow_head, slow_body, slow_reading], ids=["head", "body", "reading"])
def test_slow_clients_are_cut_and_nobody_else_notices(
    tmp_path: Path, sizes: Sizes, figure: Callable[[str], None], kind: Kind
) -> None:
    """Issue 4, done when 6: 1,000 slow clients of a kind for 60 s, with the defaults; others get every answer."""

    async def test() -> None:
        port, count, seconds = free_port(), sizes.of(30, 1_000), sizes.of(4.0, 60.0)
        limit = sizes.of(2.0, 30.0 if kind is slow_reading else 10.0)
        late = FILLING if kind is slow_reading else LATE
        files = Files(tmp_path / "site")
        async with answering("one") as (backend,):
            files.put("site.yaml", gateway("web", listener("http", port)), route("steady", "steady.example", forwarding("one")))
            files.put("one.yaml", service("one"), *endpoints("one", [backend.port]), *(() if sizes.whole else (hurried(),)))
            others = [Asked(port, every=0.02)] * 10 + [Asked(port, every=0.1, keeps=False)] * 5
            slow = Slow(port, kind, sizes.of(0.2, 1.0), [], [])
            async with standing(files.folder) as gate, asking(others) as clients:
                await clients.more(5)
                insisting = [asyncio.get_running_loop().create_task(slow.insist()) for _ in range(count)]
                await asyncio.sleep(seconds)
                await until(lambda: len(slow.times) >= count or bool(slow.failures), "each was cut once")
                counted = (await gate.metrics()).get("tidegate_slow_clients_ended_total", 0)
                for task in insisting:
                    task.cancel()
                await asyncio.gather(*insisting, return_exceptions=True)
        times = sorted(slow.times)
        figure(f"{count} clients, cut {len(times)} times, after {times[0]:.1f} to {times[-1]:.1f} s ({counted:.0f} counted as slow); "
               f"{clients.answers} answers for others, {len(clients.failures)} errors")  # fmt: skip
        assert clients.failures == []
        assert slow.failures == []
        assert times[0] > limit / 2
        if sizes.whole:
            assert times[-1] < limit + late

    sizes.run(test)
