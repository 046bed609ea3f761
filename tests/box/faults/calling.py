"""A program that stands for the applications of a mesh: it serves, or it calls, holds connections, and keeps account of every failure.

    python calling.py serve
    python calling.py call HOST RATE HELD FILE

`serve` answers HTTP at port 8080 with the Pod's name as JSON, `/ticks` with a response that does not end, `/websocket` with an echo, and
echoes bytes at port 9000. On SIGTERM it serves what it has, closes what is idle, and ends.

`call` asks port 80 of HOST RATE times a second whatever the answers do, half on connections that are kept, half on fresh ones, and holds
HELD each of WebSockets, responses and TCP connections (port 9000), on which something has to come all the time. It tries nothing twice.
FILE has its account, at any time; after SIGTERM, and the end of what is under way, the last one. Only the standard library.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

PATIENCE: Final = 10.0
"""Seconds for one request, and for the next sign of life on a connection that is held; what takes longer has failed."""
KEPT: Final = 4
TICK: Final = 0.2
WRITTEN: Final = 0.2
"""Seconds between two accounts."""
HTTP, BYTES = 8080, 9000
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Failure = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, LookupError)


class Caller:
    """The calls and their account."""

    def __init__(self, host: str, rate: float, file: Path) -> None:
        self._host = host
        self._pause = 1 / rate
        self._file = file
        self._free: list[Connection | None] = [None] * KEPT
        self._ending = asyncio.Event()
        self.begun = self.answered = 0
        self.failures: list[tuple[float, str]] = []
        self.last: dict[str, tuple[float, float]] = {}
        """Of each Pod the last call that it answered: when that was begun, and when it was answered."""
        self.held: dict[str, int] = {}
        self.slowest = 0.0

    async def run(self, held: int) -> None:
        """Until SIGTERM."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ending.set)
        accounting = loop.create_task(self._account())
        async with asyncio.TaskGroup() as tasks:
            for name, hold in (("websocket", self._websocket), ("response", self._ticks), ("tcp", self._bytes)):
                for _ in range(held):
                    tasks.create_task(self._hold(name, hold))
            due = loop.time()
            while not self._ending.is_set():
                tasks.create_task(self._call(self.begun))
                self.begun += 1
                due += self._pause
                await asyncio.sleep(max(due - loop.time(), 0))
        accounting.cancel()
        self._write(ended=True)

    async def _account(self) -> None:
        while True:
            self._write(ended=False)
            await asyncio.sleep(WRITTEN)

    def _write(self, *, ended: bool) -> None:
        account = {
            "begun": self.begun,
            "answered": self.answered,
            "failures": self.failures,
            "last": self.last,
            "held": self.held,
            "slowest": round(self.slowest, 3),
            "ended": ended,
        }
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(json.dumps(account), encoding="utf-8")
        unfinished.rename(self._file)

    async def _call(self, number: int) -> None:
        keeps = number % 2 == 0 and bool(self._free)
        begun, at = time.monotonic(), time.time()
        try:
            async with asyncio.timeout(PATIENCE):
                pod = await (self._on_kept() if keeps else self._on_fresh())
        except Failure as error:
            took = time.monotonic() - begun
            self.failures.append((at, f"{'kept' if keeps else 'fresh'} after {took:.3f} s: {type(error).__name__}: {error}"))
        else:
            self.answered += 1
            self.last[pod] = max(self.last.get(pod, (0.0, 0.0)), (at, time.time()))
        self.slowest = max(self.slowest, time.monotonic() - begun)

    async def _on_kept(self) -> str:
        connection = self._free.pop()
        if connection is not None and connection[0].at_eof():  # it ended while nobody used it, as any client notices before it asks
            connection[1].close()
            connection = None
        kept: Connection | None = None
        try:
            if connection is None:
                connection = await asyncio.open_connection(self._host, 80)
            pod, keeps = await exchange(connection, b"")
            kept = connection if keeps else None
            return pod
        finally:
            if kept is None and connection is not None:
                connection[1].close()
            self._free.append(kept)

    async def _on_fresh(self) -> str:
        connection = await asyncio.open_connection(self._host, 80)
        try:
            return (await exchange(connection, b"connection: close\r\n"))[0]
        finally:
            connection[1].close()

    async def _hold(self, name: str, hold: Callable[[], AsyncIterator[None]]) -> None:
        """One connection; its end, or silence on it, is a failure, and is not the end of the others."""
        self.held.setdefault(name, 0)
        signs, begun = hold(), time.time()
        try:
            while not self._ending.is_set():
                async with asyncio.timeout(PATIENCE):
                    await anext(signs)
                self.held[name] += 1
        except (*Failure, StopAsyncIteration) as error:
            self.failures.append((time.time(), f"a {name} that was held for {time.time() - begun:.1f} s: {type(error).__name__}: {error}"))

    async def _websocket(self) -> AsyncIterator[None]:
        """Masked messages of four bytes, echoed (RFC 6455 5.2)."""
        reader, writer = await asyncio.open_connection(self._host, 80)
        key = base64.b64encode(os.urandom(16))
        fields = b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: " + key
        writer.write(b"GET /websocket HTTP/1.1\r\nhost: callee\r\n" + fields + b"\r\n\r\n")
        await expect(reader, b"101")
        while True:
            writer.write(b"\x81\x84\0\0\0\0tick")
            if await reader.readexactly(6) != b"\x81\x04tick":
                raise ValueError("another message than was sent")
            yield
            await asyncio.sleep(TICK)

    async def _ticks(self) -> AsyncIterator[None]:
        reader, writer = await asyncio.open_connection(self._host, 80)
        writer.write(b"GET /ticks HTTP/1.1\r\nhost: callee\r\n\r\n")
        await expect(reader, b"200")
        while line := await reader.readline():
            if line == b"tick\n":
                yield
        writer.close()

    async def _bytes(self) -> AsyncIterator[None]:
        reader, writer = await asyncio.open_connection(self._host, BYTES)
        while True:
            writer.write(b"tick\n")
            if await reader.readline() != b"tick\n":
                raise ValueError("other bytes than were sent, or none")
            yield
            await asyncio.sleep(TICK)


async def expect(reader: asyncio.StreamReader, status: bytes) -> None:
    """The head of a response. Raises ValueError for another status."""
    head = await reader.readuntil(b"\r\n\r\n")
    if head.split(b" ", 2)[1] != status:
        raise ValueError(f"answered {head.decode('latin-1')!r}")


async def exchange(connection: Connection, field: bytes) -> tuple[str, bool]:
    """Which Pod answered, and whether the connection stays. Raises ValueError for another status than 200."""
    reader, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nhost: callee\r\n" + field + b"\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = (await reader.readexactly(int(fields["content-length"]))).decode("latin-1")
    if head[0].split(" ")[1] != "200":
        raise ValueError(f"{head[0]} {fields.get('x-tidegate-reason', '')} {body[:200]}")
    return str(json.loads(body)["pod"]), fields.get("connection", "") != "close"


class Serving:
    """The servers."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        """Until SIGTERM, and then until everything is answered, for some seconds at most."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ending.set)
        http = await asyncio.start_server(self._counted(self._http), port=HTTP)
        relayed = await asyncio.start_server(self._counted(self._echo), port=BYTES)
        await self._ending.wait()
        http.close()
        relayed.close()
        for writer in self._idle:
            writer.close()
        if self._open:
            await asyncio.wait(self._open, timeout=5)

    def _counted(self, serve: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open.add(task)
            try:
                await serve(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass  # the client's end
            finally:
                self._open.discard(task)
                self._idle.discard(writer)
                writer.close()

        return served

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._ending.is_set():
            self._idle.add(writer)
            head = await reader.readuntil(b"\r\n\r\n")
            self._idle.discard(writer)
            path = head.split(b" ", 2)[1]
            if path == b"/ticks":
                await self._tick(writer)
            elif path == b"/websocket":
                await self._messages(head, reader, writer)
            else:
                self._answer(head, writer)

    def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"pod": os.environ["POD_NAME"]}).encode()
        if closes := self._ending.is_set() or b"connection: close" in head.lower():
            self._idle.discard(writer)
        length = f"content-length: {len(body)}\r\n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"connection: close\r\n" * closes + b"\r\n" + body)
        if closes:
            writer.close()

    async def _tick(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not self._ending.is_set():
            writer.write(b"5\r\ntick\n\r\n")
            await writer.drain()
            await asyncio.sleep(TICK)
        writer.write(b"0\r\n\r\n")

    async def _messages(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))}
        key = fields[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = base64.b64encode(hashlib.sha1(key).digest())  # RFC 6455 4.2.2 has it so
        upgraded = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: "
        writer.write(upgraded + accepted + b"\r\n\r\n")
        while True:
            message = await reader.readexactly(10)
            writer.write(b"\x81\x04" + message[6:])

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)


async def main(command: str, *arguments: str) -> None:
    if command == "serve":
        await Serving().run()
    else:
        host, rate, held, file = arguments
        await Caller(host, float(rate), Path(file)).run(int(held))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
