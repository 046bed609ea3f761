"""The API server as the tests use it: objects are applied one by one or many at once, deleted, waited for, and watched by a bare client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

from measuring.script import CannotMeasure

from controller.sources.kube.client import Client
from controller.sources.kube.resources import RESOURCES

Object = dict[str, Any]
Objects = list[Object]
Item = TypeVar("Item")

AT_ONCE = 8
"""Requests under way where many objects are applied or deleted."""
PATIENCE = 120.0
"""Seconds until what is waited for must be there."""
_WATCH = 3_600


class Api:
    """The API server of the box."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, found: Object) -> None:
        """Server-side apply; returns when the server has answered."""
        kind, space, name = _place(found)
        await self._client.apply(RESOURCES[kind], space, name, found)

    async def apply_all(self, objects: Iterable[Object]) -> None:
        """Some at once, in no order."""
        await _each(objects, self.apply)

    async def delete_all(self, kind: str, space: str) -> None:
        """Every object of a kind in a namespace."""
        names = [item["metadata"]["name"] for item in await self.list(kind, space)]
        await _each(names, lambda name: self._client.delete(RESOURCES[kind], space, name))

    async def clear(self, spaces: Iterable[str]) -> None:
        """Namespaces with all that the tests put there."""
        for space in spaces:
            for kind in ("HTTPRoute", "EndpointSlice", "Service"):
                await self.delete_all(kind, space)
            await self._client.delete(RESOURCES["Namespace"], "", space)

    async def get(self, kind: str, space: str, name: str) -> Object:
        """An object."""
        return await self._client.get(RESOURCES[kind], space, name)

    async def list(self, kind: str, space: str) -> Objects:
        """All objects of a kind in a namespace."""
        items, _ = await self._client.list(RESOURCES[kind], space)
        return items

    async def when(self, kind: str, space: str, name: str, condition: Callable[[Object], bool]) -> Object:
        """The object once the condition holds. Raises CannotMeasure."""
        with self.watching(kind, space) as watched:
            try:
                async with asyncio.timeout(PATIENCE):
                    while True:
                        found = await self._client.get(RESOURCES[kind], space, name)
                        if condition(found):
                            return found
                        await watched.next()
            except TimeoutError:
                raise CannotMeasure(f"{kind} {space}/{name} is not as waited for after {PATIENCE:g} s") from None

    @contextmanager
    def watching(self, kind: str, space: str, told: Callable[[Object], None] = lambda found: None) -> Iterator[Watching]:
        """A bare watch: each object of an event as soon as it is there."""
        watched = Watching(self._client, kind, space, told)
        task = asyncio.get_running_loop().create_task(watched.run())
        try:
            yield watched
        finally:
            task.cancel()


class Watching:
    """A list, then a watch, which does nothing but tell. `begun` is set once the watch has its place."""

    def __init__(self, client: Client, kind: str, space: str, told: Callable[[Object], None]) -> None:
        self._client, self._kind, self._space, self._told = client, kind, space, told
        self._event = asyncio.Event()
        self.begun = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        _, version = await self._client.list(RESOURCES[self._kind], self._space)
        self.begun.set()
        self._event.set()
        events = self._client.watch(RESOURCES[self._kind], self._space, version=version, seconds=_WATCH)
        async with aclosing(events):
            async for kind, found in events:
                if kind != "BOOKMARK":
                    self._told(found)
                    self._event.set()

    async def next(self) -> None:
        """Waits for an event since the last call."""
        await self._event.wait()
        self._event.clear()


def _place(found: Object) -> tuple[str, str, str]:
    metadata = found["metadata"]
    return found["kind"], metadata.get("namespace", ""), metadata["name"]


async def _each(items: Iterable[Item], work: Callable[[Item], Awaitable[object]]) -> None:
    left = iter(items)

    async def some() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(some())
