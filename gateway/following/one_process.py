"""A data plane of one process: the runtime applies what the stream brings, and accepts on sockets that are bound here."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from gateway.collector import making_for_good
from gateway.descriptors import Place
from gateway.following.bound_sockets import BoundSockets
from gateway.following.desired import Difference
from gateway.ir.batch import AnyResource, Batch, Rejection
from gateway.ir.value import Identity
from gateway.net.sockets import BindError
from gateway.telemetry.statistics import Statistics


class Runtime(Protocol):
    """What is needed of gateway.runtime.Runtime."""

    async def apply(self, batch: Batch) -> tuple[Rejection, ...]: ...

    def rejections(self) -> tuple[Rejection, ...]: ...

    async def numbers(self) -> Statistics: ...

    async def explain(self, argument: dict[str, Any]) -> msgspec.Raw: ...

    async def drain(self, delay: float, timeout: float) -> None: ...

    def close(self) -> None: ...


class Process(msgspec.Struct, frozen=True):
    """See serving.Standing."""

    name: str
    revision: int


class OneProcess:
    """See serving.Serving. `sockets` are those that the runtime was made with, and owned from now on, as the runtime is."""

    def __init__(self, name: str, runtime: Runtime, sockets: BoundSockets) -> None:
        self._name = name
        self._runtime = runtime
        self._sockets = sockets
        self._outstanding: dict[Identity, AnyResource | None] = {}
        """What is not in place yet, None for what is to go; after a fault it comes with the next change."""
        self._ended = asyncio.Event()
        self.revision = 0

    @property
    def processes(self) -> tuple[Process, ...]:
        return (Process(self._name, self.revision),)

    def open(self, place: Place) -> BindError | None:
        return self._sockets.open(place)

    def close(self, place: Place) -> None:
        self._sockets.close(place)

    async def let_go(self) -> None:
        """The runtime has closed its duplicates when `apply` returns."""

    async def apply(self, difference: Difference) -> None:
        self._outstanding.update(dict.fromkeys(difference.remove))
        self._outstanding.update((resource.identity, resource) for resource in difference.set)
        if not self._outstanding and self.revision:
            return
        wanted = tuple([resource for resource in self._outstanding.values() if resource is not None])
        gone = tuple([identity for identity, resource in self._outstanding.items() if resource is None])
        with making_for_good(len(self._outstanding), first=not self.revision):
            await self._runtime.apply(Batch(self.revision + 1, wanted, gone))
        self._outstanding.clear()
        self.revision += 1

    def rejections(self) -> tuple[Rejection, ...]:
        return self._runtime.rejections()

    async def statistics(self) -> tuple[Statistics, ...]:
        return (await self._runtime.numbers(),)

    async def explain(self, argument: bytes) -> bytes | None:
        try:
            return bytes(await self._runtime.explain(msgspec.json.decode(argument, type=dict[str, Any])))
        except ValueError as error:
            return msgspec.json.encode({"error": str(error)})

    async def run(self) -> None:
        await self._ended.wait()

    async def drain(self, delay: float, timeout: float) -> bool:
        self._sockets.close_all()  # the runtime's own are the last then, and what still queues on them is accepted
        try:
            await self._runtime.drain(delay, timeout)
        finally:
            self._ended.set()
        return True

    def stop(self) -> None:
        self._runtime.close()
        self._sockets.close_all()
        self._ended.set()
