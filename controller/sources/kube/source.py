"""The objects of a cluster as changes: lists and watches every kind of `controller.api.kinds` that the cluster serves.

Kinds of which nobody here has a use are left out. Secrets are read of type kubernetes.io/tls alone; nothing of another ever reaches this
process. Of ConfigMaps stays the entry ca.crt, and of those without it nothing. Given namespaces, objects of other namespaces are never
asked for; GatewayClasses and Namespaces are read of the whole cluster, and where that is not permitted the rest goes on without them.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from controller.api.metadata import Key
from controller.sources.kube.changes import Change, Waiting
from controller.sources.kube.client import Client
from controller.sources.kube.discovery import Discovery
from controller.sources.kube.errors import ApiError, Unreachable
from controller.sources.kube.reflector import Figures, Reflector, Scope, Told
from controller.sources.kube.resources import Resource
from controller.sources.kube.shelf import Held, Shelf
from controller.sources.kube.timing import Backoff

SELECTED: Final = {"Secret": "type=kubernetes.io/tls"}
"""The field selector with which a kind is read; the role of the controller permits Secrets for this."""

Observer = Callable[[str], None]
"""Told in one line what keeps objects from being read, and when that is over."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one list and watch is doing, for metrics. `silent` are the seconds since the server last said something."""

    kind: str
    namespace: str
    silent: float
    objects: int
    refused: int
    figures: Figures


class KubeSource:
    """The objects of a cluster, or of some namespaces of it. One reader at a time: `changes` is iterated by one task."""

    def __init__(
        self, client: Client, *, namespaces: tuple[str, ...] = (), without: frozenset[str] = frozenset(), observer: Observer
    ) -> None:
        """`without` are kinds that are not read."""
        self._client = client
        self._namespaces = tuple(dict.fromkeys(namespaces))
        self._observer = observer
        self._waiting = Waiting()
        self._discovery = Discovery(without)
        self._is_discovered = False
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._reflectors: dict[tuple[str, str], Reflector[Shelf]] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._came: float | None = None
        """When the first event came that nobody has been told of yet."""
        self._look_again = asyncio.Event()
        self._is_away = False

    async def changes(self) -> AsyncGenerator[Change, None]:
        """Yields everything once all kinds that are served are listed, then each difference at once. Close it to end the watches."""
        overseeing = self._start(("", ""), self._oversee())
        try:
            while not self._is_complete():
                await self._told()
            self._came = None
            yield self._waiting.take()
            while True:
                await self._told()
                came, self._came = self._came, None
                if self._waiting:
                    yield self._waiting.take(came)
        finally:
            tasks = [overseeing, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.clear()
            self._reflectors.clear()
            self._is_discovered = False

    def held(self, key: Key) -> Held | None:
        """What the server holds of an object whose status we write, as of its last event."""
        kind, namespace, _ = key
        shelf = self._shelves.get((kind, namespace if self._namespaces else ""))
        return shelf.held(key) if shelf is not None else None

    def readings(self) -> tuple[Reading, ...]:
        """How each list and watch is doing."""
        now = asyncio.get_running_loop().time()
        return tuple(
            Reading(kind, namespace, now - each.figures.heard, len(each.shelf), each.shelf.refused, each.figures)
            for (kind, namespace), each in self._reflectors.items()
        )

    async def _told(self) -> None:
        """Waits for news; raises what ended one of the tasks, which none does but by a fault of ours."""
        await self._news.wait()
        self._news.clear()
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _start(self, place: tuple[str, str], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._news.set())
        self._tasks[place] = task
        return task

    def _is_complete(self) -> bool:
        return self._is_discovered and all(each.is_listed or self._may_miss(each) for each in self._reflectors.values())

    def _may_miss(self, reflector: Reflector[Shelf]) -> bool:
        """Kinds of the whole cluster, for a controller that is meant to see some namespaces alone."""
        return bool(self._namespaces) and not reflector.shelf.resource.namespaced and reflector.is_forbidden

    async def _oversee(self) -> None:
        """Keeps a reflector running for each kind that is served."""
        timing = self._client.timing
        backoff = Backoff(timing.retry_first, timing.retry_most)
        while True:
            self._look_again.clear()
            try:
                await self._discovery.ask(self._client)
            except ApiError as error:
                self._problem(error)
                await asyncio.sleep(backoff.next(error.retry_after))
                continue
            backoff.reset()
            await self._follow()
            if text := self._discovery.untold():
                self._observer(text)
            self._is_discovered = True
            self._reached()
            await asyncio.sleep(timing.discovery / 10)
            try:
                async with asyncio.timeout(timing.discovery):
                    await self._look_again.wait()
            except TimeoutError:
                continue

    async def _follow(self) -> None:
        """Starts what is served now, ends what is not any more, and moves to another version where that is preferred."""
        wanted = {
            (kind, namespace): resource
            for kind, resource in self._discovery.resources.items()
            for namespace in (self._namespaces if resource.namespaced and self._namespaces else ("",))
        }
        for place, reflector in list(self._reflectors.items()):
            if wanted.get(place) == reflector.shelf.resource:
                continue
            await self._end(place)
            if place not in wanted:
                self._shelves.pop(place).clear()
                self._news.set()
        for place, resource in wanted.items():
            if place not in self._reflectors:
                self._begin(place, resource)

    async def _end(self, place: tuple[str, str]) -> None:
        del self._reflectors[place]
        task = self._tasks.pop(place)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _begin(self, place: tuple[str, str], resource: Resource) -> None:
        shelf = self._shelves.setdefault(place, Shelf(resource, self._waiting))
        shelf.resource = resource
        told = Told(partial(self._changed, place), self._problem, self._look_again.set)
        reflector = Reflector(self._client, Scope(place[1], SELECTED.get(resource.kind, "")), shelf, told)
        self._reflectors[place] = reflector
        self._start(place, reflector.run())

    def _changed(self, place: tuple[str, str]) -> None:
        if self._came is None:
            self._came = self._reflectors[place].figures.heard
        self._reached()

    def _reached(self) -> None:
        self._news.set()
        if self._is_away:
            self._is_away = False
            self._observer("the API server answers again")

    def _problem(self, error: ApiError) -> None:
        """Told once while nobody reaches the server, and once for what each reflector is refused."""
        self._news.set()
        if isinstance(error, Unreachable):
            if self._is_away:
                return
            self._is_away = True
        self._observer(f"{error}; what was read stays in place, and it is tried again")
