"""`tidegate run` as a process of its own, as a user starts it, with everything that it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.certificates import Pair

ROOT = str(Path(__file__).resolve().parents[2])
ON_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "os.setsid()\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)
"""Leads a session on the terminal that standard input is, and becomes the program that its arguments name."""
STARTED = "admin at http"
"""What is shown once the first configuration is in place."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def gateway(plain: int, secure: int | None = None) -> str:
    """A Gateway `web` with a plain listener, and one for TLS with the Secret `pair`."""
    listeners: list[dict[str, object]] = [{"name": "http", "port": plain, "protocol": "HTTP"}]
    if secure is not None:
        tls = {"certificateRefs": [{"name": "pair"}]}
        listeners.append({"name": "https", "port": secure, "protocol": "HTTPS", "tls": tls})
    return _document("gateway.networking.k8s.io/v1", "Gateway", "web", spec={"gatewayClassName": "tidegate", "listeners": listeners})


def secret(pair: Pair) -> str:
    """The Secret `pair`."""
    return _document("v1", "Secret", "pair", type="kubernetes.io/tls", stringData={"tls.crt": pair.chain, "tls.key": pair.private_key})


def redirecting(host: str = "one.example") -> str:
    """A route for everything that needs no backend."""
    redirect = {"type": "RequestRedirect", "requestRedirect": {"hostname": host}}
    spec = {"parentRefs": [{"name": "web"}], "rules": [{"filters": [redirect]}]}
    return _document("gateway.networking.k8s.io/v1", "HTTPRoute", "redirecting", spec=spec)


def forwarding(path: str, port: int) -> str:
    """A route to a backend on this machine, with its Service."""
    rule = {"matches": [{"path": {"value": path}}], "backendRefs": [{"name": "backend", "port": 80}]}
    labels = {"kubernetes.io/service-name": "backend"}
    endpoints: dict[str, object] = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "backend-1", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"port": port}],
        "endpoints": [{"addresses": ["127.0.0.1"]}],
    }
    return "\n---\n".join(
        (
            _document("gateway.networking.k8s.io/v1", "HTTPRoute", "forwarding", spec={"parentRefs": [{"name": "web"}], "rules": [rule]}),
            _document("v1", "Service", "backend", spec={"ports": [{"port": 80}]}),
            json.dumps(endpoints),
        )
    )


def _document(version: str, kind: str, name: str, **fields: object) -> str:
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields})


class Program:
    """The process that was started, and the lines that it and its successors have written."""

    def __init__(self, process: asyncio.subprocess.Process, output: asyncio.StreamReader) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = asyncio.Event()
        self._reading = asyncio.get_running_loop().create_task(self._read(output))

    async def _read(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            self.lines.append(line.decode().strip())
            self._changed.set()
            self._changed.clear()
        self._changed.set()

    def count(self, part: str) -> int:
        """How many lines have this text in them."""
        return sum(part in line for line in self.lines)

    async def until(self, part: str, count: int = 1) -> None:
        """Waits for so many lines with this text in them."""
        while self.count(part) < count:
            assert not self._reading.done(), f"it ended without saying {part!r}: {self.lines}"
            await self._changed.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Waits for the end, of everybody who could still write to our pipe, and returns the exit status."""
        status = await self.process.wait()
        await self._reading
        return status

    async def end(self) -> None:
        """By force, with its successors: it passes on what ends it at once."""
        with suppress(ProcessLookupError):
            for _ in range(2):
                self.signal(signal.SIGTERM)
                await asyncio.sleep(0.1)
        try:
            async with asyncio.timeout(10):
                await self.ended()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.kill()
        self._reading.cancel()


@asynccontextmanager
async def program(
    folder: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
    terminal: int | None = None,
    before: tuple[str, ...] = (),
) -> AsyncIterator[Program]:
    """Ends by SIGTERM and expects a clean drain, unless the test has ended it. On `terminal` it leads a session of its own; `before` is
    a program that starts it."""
    ours, its_own = os.pipe()
    command: tuple[str, ...] = (sys.executable, "-m", "tidegate", "run", str(folder), "--admin", "127.0.0.1:0", "--access-log", "off")
    if terminal is not None:
        command = (sys.executable, "-c", ON_TERMINAL, *command)
    with os.fdopen(its_own, "w") as output:
        process = await asyncio.create_subprocess_exec(
            *before, *command, "--drain-timeout", "5s", *options, stdin=asyncio.subprocess.DEVNULL if terminal is None else terminal,
            stdout=output, stderr=output if terminal is None else terminal, cwd=ROOT, env={**os.environ, **(environment or {})},
        )  # fmt: skip
    lines = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(ours, "rb"))
    started = Program(process, lines)
    try:
        yield started
        if process.returncode is None:
            started.signal(signal.SIGTERM)
            assert await started.ended() == 0, started.lines
    finally:
        if process.returncode is None:
            await started.end()
        transport.close()
