"""A cluster for the tests of this folder: a scripted API server with the kinds that we read, a client of it, and objects to put there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import Any

from controller.api.kinds import VERSIONS
from controller.sources.kube.access import Access
from controller.sources.kube.changes import Change
from controller.sources.kube.client import Client
from controller.sources.kube.resources import RESOURCES, read_as
from controller.sources.kube.source import KubeSource
from controller.sources.kube.timing import Timing
from tests.kubernetes_api import KubernetesApi, Value

SOON = Timing(retry_first=0.001, retry_most=0.004, discovery=0.02, confirmation=0.001, read=5.0, watch_silence=5.0)
"""As production waits, but not for long."""

EVERY = tuple(
    (resource.group, resource.version, resource.plural, kind)
    for kind, versions in VERSIONS.items()
    for resource in [read_as(kind, versions[0])]
)
WRITTEN = tuple((each.group, each.version, each.plural, each.kind) for kind, each in RESOURCES.items() if kind not in VERSIONS)
ROUTE, SERVICE = RESOURCES["HTTPRoute"], RESOURCES["Service"]


def route(name: str, path: str = "/", namespace: str = "shop", **metadata: Any) -> Value:
    """An HTTPRoute with one rule for a path."""
    rules = [{"matches": [{"path": {"type": "PathPrefix", "value": path}}]}]
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", name, namespace, metadata) | {"spec": {"rules": rules}}


def service(name: str, port: int = 80, namespace: str = "shop", **metadata: Any) -> Value:
    """A Service with one port."""
    return _object("v1", "Service", name, namespace, metadata) | {"spec": {"type": "ClusterIP", "ports": [{"port": port}]}}


def secret(name: str, kind: str = "kubernetes.io/tls", namespace: str = "shop") -> Value:
    """A Secret; its entries are no certificate."""
    return _object("v1", "Secret", name, namespace, {}) | {"type": kind, "data": {"tls.crt": "eA==", "tls.key": "eQ=="}}


def config_map(name: str, namespace: str = "shop", **entries: str) -> Value:
    """A ConfigMap; dots of entries are written as underscores."""
    return _object("v1", "ConfigMap", name, namespace, {}) | {"data": {key.replace("_", "."): text for key, text in entries.items()}}


def gateway_class(name: str) -> Value:
    """A GatewayClass of ours."""
    made = _object("gateway.networking.k8s.io/v1", "GatewayClass", name, "", {})
    return made | {"spec": {"controllerName": "tidegate.dev/gateway-controller"}}


def namespace(name: str) -> Value:
    """A Namespace."""
    return _object("v1", "Namespace", name, "", {})


def _object(version: str, kind: str, name: str, namespace: str, metadata: dict[str, Any]) -> Value:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place, **metadata}}


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Runs a test's coroutine; nothing of it may outlive it."""
    asyncio.run(scenario)


@contextlib.asynccontextmanager
async def serving(
    folder: Path, timing: Timing = SOON, kinds: tuple[tuple[str, str, str, str], ...] = (*EVERY, *WRITTEN)
) -> AsyncGenerator[tuple[KubernetesApi, Client]]:
    """The server and a client of it."""
    async with KubernetesApi(kinds) as api, Client(Access(api.kubeconfig(folder)), timing) as client:
        yield api, client


class Follower:
    """A source's changes one at a time, and what its observer was told."""

    def __init__(self, client: Client, namespaces: tuple[str, ...] = (), without: frozenset[str] = frozenset()) -> None:
        self.told: list[str] = []
        self._telling = asyncio.Event()
        self.source = KubeSource(client, namespaces=namespaces, without=without, observer=self._note)
        self.changes = self.source.changes()

    def _note(self, text: str) -> None:
        self.told.append(text)
        self._telling.set()

    async def next(self) -> Change:
        """The next change; fails after ten seconds without one."""
        async with asyncio.timeout(10):
            return await anext(self.changes)

    async def names(self) -> tuple[list[str], list[str]]:
        """The names of the objects put and removed by the next change."""
        change = await self.next()
        return sorted(put.name for put in change.puts), sorted(name for _, _, name in change.removes)

    async def hears(self, words: str) -> str:
        """Waits until the observer has been told something with these words."""
        async with asyncio.timeout(10):
            while not (found := [text for text in self.told if words in text]):
                self._telling.clear()
                await self._telling.wait()
        return found[0]


@contextlib.asynccontextmanager
async def following(
    client: Client, namespaces: tuple[str, ...] = (), without: frozenset[str] = frozenset()
) -> AsyncGenerator[Follower]:
    """A source of this server, not yet asked for anything."""
    follower = Follower(client, namespaces, without)
    async with contextlib.aclosing(follower.changes):
        yield follower


def only(*kinds: str) -> tuple[tuple[str, str, str, str], ...]:
    """Of the kinds that can be missing in a cluster these alone, and all of Kubernetes' own."""
    return tuple(each for each in EVERY if each[3] in kinds or each[0] in ("", "discovery.k8s.io"))
