"""`tidegate controller` as a process of its own, beside a scripted API server, and proxies that follow it as those in Pods do."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from gateway.ir.batch import AnyResource, Ask, Batch, Rejection, Subscribe
from gateway.ir.value import Identity
from gateway.subscribe import Subscription
from mesh.link import Controller, Link
from tests.kubernetes_api import KubernetesApi, Value
from tests.tidegate.program import ROOT, Program

SYSTEM = "tidegate-system"
GATEWAY = "gateway.networking.k8s.io"
ANYWHERE = tuple(part for server in ("stream", "metrics", "health", "admin", "webhook") for part in (f"--{server}", "127.0.0.1:0"))


class Replica(Program):
    """The process, and the places of its servers."""

    places: dict[str, str]

    async def started(self) -> None:
        await self.until("stream at ")
        line = next(line for line in self.lines if "stream at " in line)
        self.places = dict(re.findall(r"(\w+) at (127\.0\.0\.1:\d+)", line))

    async def get(self, server: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://{self.places[server]}{path}")

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.get("admin", "/status")).json()
        return found


@asynccontextmanager
async def process(*options: str) -> AsyncIterator[Replica]:
    """Ends by SIGTERM, cleanly, unless the test has ended it."""
    ours, its_own = os.pipe()
    with os.fdopen(its_own, "w") as output:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidegate", "controller", *options, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            cwd=ROOT, env={name: value for name, value in os.environ.items() if not name.startswith(("TIDEGATE_", "POD_"))},
        )  # fmt: skip
    lines = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(ours, "rb"))
    found = Replica(started, lines)
    try:
        yield found
        if started.returncode is None:
            found.signal(signal.SIGTERM)
            assert await found.ended() == 0, found.lines
    finally:
        if started.returncode is None:
            await found.end()
        transport.close()


@asynccontextmanager
async def replica(kubeconfig: Path, name: str = "one", *more: str) -> AsyncIterator[Replica]:
    """One that is up, at ports that are free."""
    options = ("--namespace", SYSTEM, "--name", name, "--image", "tidegate:1", "--service", "localhost")
    async with process(*options, "--kubeconfig", str(kubeconfig), *ANYWHERE, *more) as found:
        await found.started()
        yield found


class Proxy:
    """What a Pod of a Gateway is to the controller: it gets an identity, follows, and has everything in place at once; `anywhere` as in
    Subscribe."""

    def __init__(self, place: str, folder: Path, gateway: str, *, anywhere: bool) -> None:
        self._anywhere = anywhere
        self._link = Link(Controller(place.replace("127.0.0.1", "localhost"), folder / "ca.crt", folder / "token"), "pod", gateway)
        self._gateway = gateway
        self._moved = asyncio.Event()
        self.resources: dict[Identity, AnyResource] = {}

    async def follow(self) -> None:
        reader, writer = await self._link.connect()
        await Subscription(reader, writer, self._apply, self._reply).run(Subscribe("pod", self._gateway, anywhere=self._anywhere))

    async def until(self, *wanted: Identity) -> None:
        """Waits until it has these."""
        while not self.resources.keys() >= set(wanted):
            self._moved.clear()
            await self._moved.wait()

    async def _apply(self, batch: Batch) -> tuple[Rejection, ...]:
        self.resources = {} if batch.snapshot else self.resources
        for identity in batch.remove:
            self.resources.pop(identity, None)
        self.resources.update((resource.identity, resource) for resource in batch.set)
        self._moved.set()
        return ()

    async def _reply(self, ask: Ask) -> msgspec.Raw:
        return msgspec.Raw(b"null")


@asynccontextmanager
async def following(
    found: Replica, api: KubernetesApi, folder: Path, gateway: str = "shop/web", *, account: str = "", anywhere: bool = False
) -> AsyncIterator[Proxy]:
    """A proxy of a Gateway, with the token of its Pod and the roots that the controller has deployed."""
    namespace, _, name = gateway.partition("/")
    bound = {"authentication.kubernetes.io/pod-name": ["pod"]}
    user = {"username": f"system:serviceaccount:{namespace}:{account or f'{name}-tidegate'}", "extra": bound}
    api.tokens["a-token"] = {"authenticated": True, "audiences": ["tidegate"], "user": user}
    (folder / "token").write_text("a-token")
    (folder / "ca.crt").write_text(base64.b64decode(api.objects["", "secrets"][SYSTEM, "tidegate-ca"]["data"]["tls.crt"]).decode())
    proxy = Proxy(found.places["stream"], folder, gateway, anywhere=anywhere)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(proxy.follow())
        try:
            yield proxy
        finally:
            task.cancel()


def gateway_class() -> Value:
    spec = {"controllerName": "tidegate.dev/gateway-controller"}
    return {"apiVersion": f"{GATEWAY}/v1", "kind": "GatewayClass", "metadata": {"name": "tidegate"}, "spec": spec}


def web(port: int = 80) -> Value:
    listeners = [{"name": "http", "port": port, "protocol": "HTTP"}]
    spec = {"gatewayClassName": "tidegate", "listeners": listeners}
    return {"apiVersion": f"{GATEWAY}/v1", "kind": "Gateway", "metadata": {"namespace": "shop", "name": "web"}, "spec": spec}


def condition(raw: Value, kind: str) -> str:
    """The status of a condition, '' if it has none."""
    found = (each["status"] for each in raw.get("status", {}).get("conditions", ()) if each["type"] == kind)
    return next(found, "")
