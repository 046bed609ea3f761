"""A data plane as a process of its own, and a controller beside it: a publisher on a port that stays the same when it comes back."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from controller.publish import Publisher
from gateway.ir.batch import AnyResource
from gateway.ir.filters import RequestRedirect
from gateway.ir.listener import Listener
from gateway.ir.rule import Binding, HttpRule
from gateway.ir.value import Identity, Source
from gateway.subscribe import LINE_LIMIT
from tests.tidegate.program import ROOT, Program

GATEWAY = Source("Gateway", "default", "web")
ROUTE = Source("HTTPRoute", "default", "r")
PLAIN = ("-m", "tests.tidegate.data_plane.plain")


def listener(port: int, name: str = "http", certificate: str = "") -> Listener:
    plain = Listener(key=f"default/web/{name}", source=GATEWAY, gateway="default/web", name=name, address="127.0.0.1", port=port,
                     bind_port=port, location_port=port, protocol="HTTP")  # fmt: skip
    return msgspec.structs.replace(plain, protocol="HTTPS", certificates=(certificate,)) if certificate else plain


def redirecting(host: str, *names: str, route: str = "r") -> HttpRule:
    """To this host, at the listeners with these names."""
    bindings = tuple(Binding(f"default/web/{name}", ("",)) for name in names)
    filters = (RequestRedirect(hostname=host),)
    return HttpRule(key=f"HTTPRoute/default/{route}/0", source=ROUTE, route=f"default/{route}", index=0, bindings=bindings, filters=filters)


class Controller:
    """A publisher that can be reached while it is `up`. A new one starts from nothing, with other revisions, as another replica does."""

    def __init__(self) -> None:
        self._kept = socket.socket()
        """Has the port while nobody listens there: otherwise the system may give it to a connection, one to itself even."""
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._kept.bind(("127.0.0.1", 0))
        self.port: int = self._kept.getsockname()[1]
        self.publisher = Publisher(self._note)
        self.problems: list[str] = []
        self._moved = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    def _move(self) -> None:
        self._moved.set()

    async def up(self) -> None:
        self.publisher = Publisher(self._note, self._move)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=LINE_LIMIT, reuse_port=True)

    async def __aenter__(self) -> Controller:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self.down()
        self._kept.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            await self.publisher.serve(reader, writer)
        finally:
            self._connections.discard(writer)

    async def down(self) -> None:
        """As when it is killed."""
        assert self._server is not None
        self._server.close()
        self._server = None
        for connection in tuple(self._connections):
            connection.transport.abort()
        await self.until(lambda: not self.publisher.subscribers)

    async def until(self, true: Callable[[], bool]) -> None:
        """Waits for what a subscriber's word makes true."""
        while not true():
            self._moved.clear()
            await self._moved.wait()

    async def publish(self, set: Iterable[AnyResource], remove: Iterable[Identity] = ()) -> dict[Identity, tuple[str, ...]]:
        """One change; returns what could not be done once every data plane has it in place."""
        await self.publisher.acknowledged(self.publisher.publish(set, remove))
        assert self.problems == []
        return self.publisher.rejections()


class Pod(Program):
    """The process, and the addresses of its three servers."""

    urls: dict[str, str]

    async def started(self) -> None:
        await self.until("admin at http")
        line = next(line for line in self.lines if "admin at http" in line)
        self.urls = dict(re.findall(r"(\w+) at (http://[^ ,]+)", line))

    async def get(self, server: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(self.urls[server] + path)

    async def ready(self) -> None:
        """Returns when it says so."""
        await self.until("ready: the first configuration is in place")
        assert (await self.get("health", "/healthz/ready")).text == "ready\n"

    async def json(self, path: str) -> Any:
        return msgspec.json.decode((await self.get("admin", path)).content)

    async def metric(self, name: str) -> float:
        text = (await self.get("metrics", "/metrics")).text
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert found is not None, text
        return float(found[1])


@asynccontextmanager
async def pod(
    port: int, *options: str, program: tuple[str, ...] = PLAIN, folder: Path | None = None, gateway: str = "default/web",
    served: tuple[str, ...] = (),
) -> AsyncIterator[Pod]:
    """Ends by SIGTERM and expects a clean drain, unless the test has ended it. `folder` is that of its snapshot; `served` are the options
    that say for whom it serves, if that is no Gateway."""
    kept = () if folder is None else ("--snapshot", str(folder))
    places = ("--admin", "127.0.0.1:0", "--health", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
    command = (sys.executable, "-P", *program, *(served or ("--gateway", gateway)), "--controller", f"localhost:{port}", *places, *kept)
    ours, its_own = os.pipe()
    with os.fdopen(its_own, "w") as output:
        process = await asyncio.create_subprocess_exec(
            *command, "--access-log", "off", "--drain-delay", "0s", "--drain-timeout", "5s", *options, stdin=asyncio.subprocess.DEVNULL,
            stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": ROOT, "POD_NAME": "web-tidegate-1"},
        )  # fmt: skip
    lines = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(ours, "rb"))
    started = Pod(process, lines)
    try:
        await started.started()
        yield started
        if process.returncode is None:
            started.signal(signal.SIGTERM)
            assert await started.ended() == 0, started.lines
    finally:
        if process.returncode is None:
            await started.end()
        transport.close()


async def location(port: int) -> str:
    """Where a request is redirected to, without what does not differ."""
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(f"http://127.0.0.1:{port}/")
        return httpx.URL(response.headers["location"]).host
