"""`tidegate run` as a process of its own beside the test, looked at from outside: by its admin pages and by the kernel."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from tests.tidegate.program import ROOT, free_port

LIMIT = 40.0
"""Seconds that a short form may take, unless it hangs; also for one event that is waited for."""
POLL = 0.01
Size = TypeVar("Size")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Short or whole."""

    whole: bool

    def of(self, short: Size, whole: Size) -> Size:
        return whole if self.whole else short

    def run(self, test: Callable[[], Awaitable[None]]) -> None:
        """On a loop of its own."""

        async def limited() -> None:
            async with asyncio.timeout(None if self.whole else LIMIT):
                await test()

        uvloop.run(limited())


async def until(done: Callable[[], bool], what: str, seconds: float = LIMIT) -> float:
    """Waits for something that can only be looked at; returns how long it took. Raises AssertionError."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while not done():
        assert loop.time() - begun < seconds, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(POLL)
    return loop.time() - begun


class Standing:
    """One that runs."""

    def __init__(self, process: asyncio.subprocess.Process, admin: int, messages: Path) -> None:
        self.process = process
        self._admin = admin
        self._messages = messages

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        """Everything it has said."""
        return self._messages.read_text(encoding="utf-8", errors="replace")

    def count(self, text: str) -> int:
        return self.said().count(text)

    async def page(self, path: str) -> tuple[int, bytes]:
        """A page of the admin server. Raises OSError."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._admin)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        return int(head.split(b" ", 2)[1]), body

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.page("/status"))[1])
        return found

    async def metrics(self) -> dict[str, float]:
        """Sums over all labels, by name."""
        found: dict[str, float] = {}
        for line in (await self.page("/metrics"))[1].decode().splitlines():
            if read := re.fullmatch(r"([a-z_]+)(?:\{.*\})? (\S+)(?: \S+)?", line):
                found[read[1]] = found.get(read[1], 0) + float(read[2])
        return found

    async def ready(self) -> None:
        while True:
            assert self.process.returncode is None, self.said()
            try:
                if (await self.page("/healthz/ready"))[0] == 200:
                    return
            except OSError:
                pass  # the admin server is not there yet
            await asyncio.sleep(POLL)

    async def acknowledged(self) -> None:
        """Returns when every worker has the last revision."""
        while True:
            status = await self.status()
            if status["workers"] and all(worker["revision"] == status["revision"] for worker in status["workers"]):
                return
            await asyncio.sleep(POLL)

    def workers(self) -> tuple[int, ...]:
        """Process ids of the workers that are there."""
        return tuple(pid for pid in descendants(self.pid) if b"gateway.worker" in command(pid))

    def below(self) -> tuple[int, ...]:
        return descendants(self.pid)


@asynccontextmanager
async def standing(folder: Path, *options: str, workers: int = 2, access_log: bool = False) -> AsyncIterator[Standing]:
    """Ready when given. Ends by SIGTERM, and a clean drain is expected. An access log goes nowhere."""
    admin, messages = free_port(), folder.parent / f"{folder.name}.messages"
    arguments: tuple[str, ...] = ("run", str(folder), "--admin", f"127.0.0.1:{admin}", "--workers", str(workers), "--drain-timeout", "5s")
    arguments += ("--access-log", "json" if access_log else "off", *options)
    with messages.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tidegate", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL if access_log else said,
            stderr=said,
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")},
        )
    started = Standing(process, admin, messages)
    try:
        await started.ready()
        yield started
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0, started.said()
    finally:
        if process.returncode is None:
            left = started.below()
            process.kill()
            await process.wait()
            for pid in left:
                if command(pid):
                    os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> tuple[int, ...]:
    """The processes below one, zombies left out."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue  # it has ended since
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry))
    found = [pid]
    for each in found:
        found += children.get(each, ())
    return tuple(found[1:])


def command(pid: int) -> bytes:
    """Of a process; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def resident(pid: int) -> int:
    """Bytes in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def peers_of(pid: int, port: int) -> frozenset[int]:
    """Ports of the clients of 127.0.0.1 whose connections to a port the process holds."""
    peers = {}
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port:
            peers[f"socket:[{fields[9]}]"] = int(fields[2].partition(":")[2], 16)
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            found.add(peers.get(os.readlink(entry.path)))
        except FileNotFoundError:
            continue  # closed since
    return frozenset(found - {None})  # type: ignore[arg-type]  # None is taken out
