"""A program that runs in a box and asks a gateway all the time: half of the requests on connections that are kept, half on fresh ones.

    python asking.py HOST PORT NAME RATE

It asks RATE times a second whatever the answers do, tries nothing twice and keeps account of every failure. Its standard input takes
commands, each answered by one line of JSON: `more N` once N further requests that were begun after it are answered, `end` (or the end
of input) with the account. Only the standard library: it is run by whatever interpreter the tests have.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Final

KEPT: Final = 8
"""Connections that are kept."""
PATIENCE: Final = 10.0
"""Seconds for one request; what takes longer has failed."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Asking:
    """The clients and their account: answers by status, backend and mark, failures with the time of each."""

    def __init__(self, host: str, port: int, name: str, rate: float) -> None:
        self._place = host, port
        self._name = name
        self._pause = 1 / rate
        self._free: list[Connection | None] = [None] * KEPT
        self._advanced = asyncio.Event()
        self.begun = 0
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest = 0.0

    async def run(self) -> None:
        """Asks until cancelled, then waits for what is under way."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    tasks.create_task(self._ask(self.begun))
                    self.begun += 1
                    due += self._pause
                    await asyncio.sleep(due - loop.time())
            except asyncio.CancelledError:
                pass

    async def more(self, count: int) -> dict[str, object]:
        """Returns when so many requests that begin from now on are answered or have failed."""
        wanted = self.begun + count
        while sum(self.answered.values()) + len(self.failures) < wanted:
            self._advanced.clear()
            await self._advanced.wait()
        return self.account()

    def account(self) -> dict[str, object]:
        return {"begun": self.begun, "answered": dict(self.answered), "failures": self.failures, "slowest": round(self.slowest, 3)}

    async def _ask(self, number: int) -> None:
        keeps = number % 2 == 0 and bool(self._free)
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                seen = await (self._on_kept() if keeps else self._on_fresh())
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            how = "kept" if keeps else "fresh"
            when = time.time()
            self.failures.append(f"{when:.3f} {how} after {time.monotonic() - begun:.3f} s: {type(error).__name__}: {error}")
        else:
            if not seen.startswith("200 "):
                self.failures.append(f"{time.time():.3f} {seen}")
            self.answered[seen] += seen.startswith("200 ")
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self._advanced.set()

    async def _on_kept(self) -> str:
        connection = self._free.pop()
        if connection is not None and connection[0].at_eof():  # it ended while nobody used it, as any client notices before it asks
            connection[1].close()
            connection = None
        kept: Connection | None = None
        try:
            if connection is None:
                connection = await asyncio.open_connection(*self._place)
            seen, keeps = await self._exchange(connection, b"")
            if keeps:
                kept = connection
            return seen
        finally:
            if kept is None and connection is not None:
                connection[1].close()
            self._free.append(kept)

    async def _on_fresh(self) -> str:
        connection = await asyncio.open_connection(*self._place)
        try:
            return (await self._exchange(connection, b"connection: close\r\n"))[0]
        finally:
            connection[1].close()

    async def _exchange(self, connection: Connection, field: bytes) -> tuple[str, bool]:
        """What was answered (status, the backend's Deployment, the response field `mark`), and whether the connection stays."""
        reader, writer = connection
        writer.write(b"GET / HTTP/1.1\r\nhost: " + self._name.encode() + b"\r\n" + field + b"\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(fields["content-length"]))
        status = head[0].split(" ")[1]
        pod = str(json.loads(body)["pod"]).rsplit("-", 2)[0] if status == "200" else body.decode("latin-1")[:200]
        return f"{status} {pod} {fields.get('mark', '')}".rstrip(), fields.get("connection", "") != "close"


async def main(host: str, port: str, name: str, rate: str) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    asking = Asking(host, int(port), name, float(rate))
    running = asyncio.create_task(asking.run())
    while (command := (await reader.readline()).decode().split()) and command[0] == "more":
        print(json.dumps(await asking.more(int(command[1]))), flush=True)
    running.cancel()
    await running
    print(json.dumps(asking.account()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
