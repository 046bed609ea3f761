"""List and watch of one resource: keeps a shelf as the server has it, whatever happens in between.

* A list takes effect whole or not at all. One that would remove everything is believed once a second one agrees.
* A watch goes on where the last one ended; 410 Gone, or three failures in a row, lead to a new list, which tells the difference alone.
* A watch is dead when it has said nothing for longer than the server's bookmarks allow (timing.py).
* Failures are repeated after growing, jittered pauses, or when the server says (Retry-After). Nothing that failed changes anything.
* resourceVersions of one resource may be compared as integers (Kubernetes API concepts, "Resource versions", 1.35), and events come in
  their order. So an event that is not newer than where the watch stands is late or doubled, and ignored.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, NamedTuple, NoReturn, Protocol, TypeVar

from controller.sources.kube.client import Client, Value
from controller.sources.kube.errors import ApiError, Gone, NotFound
from controller.sources.kube.resources import Resource
from controller.sources.kube.timing import Backoff

_SLICE = 16
"""Objects of a page that are read before others in the loop have their turn."""

_FAILURES_BEFORE_LIST = 3


class Listing(Protocol):
    """A list that is being read. Nothing changes until `finish`."""

    @property
    def empties(self) -> bool:
        """Whether this list would remove every object there is."""

    def add(self, raw: Value) -> None:
        """One object of it."""

    def finish(self) -> None:
        """All have come: what they change takes effect, and what is not among them is gone."""


class Shelf(Protocol):
    """Who is told what the server has, of one resource (controller.sources.kube.shelf.Shelf)."""

    resource: Resource

    def listing(self) -> Listing:
        """A list of all objects, to be filled page by page."""

    def take(self, raw: Value) -> None:
        """An object was added or modified."""

    def drop(self, raw: Value) -> None:
        """An object was deleted."""


@dataclass(slots=True)
class Figures:
    """What a reflector has seen. `heard` is the time on the loop's clock at which the server last said something."""

    heard: float
    lists: int = 0
    relists: int = 0
    watches: int = 0
    failures: int = 0
    events: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """What part of a resource is listed and watched."""

    namespace: str = ""
    fields: str = ""
    labels: str = ""


class Told(NamedTuple):
    """What a reflector tells: that its shelf changed; what keeps it from working, once for each spell; that its resource is not there."""

    changed: Callable[[], None]
    problem: Callable[[ApiError], None]
    gone: Callable[[], None]


AnyShelf = TypeVar("AnyShelf", bound=Shelf)


class Reflector(Generic[AnyShelf]):
    """Keeps `shelf` current; `run` it as a task. `is_listed` once the shelf holds what a complete list said."""

    def __init__(self, client: Client, scope: Scope, shelf: AnyShelf, told: Told) -> None:
        self.scope = scope
        self.shelf = shelf
        self.is_listed = False
        self.figures = Figures(asyncio.get_running_loop().time())
        self._client = client
        self._told = told
        self._timing = client.timing
        self._backoff = Backoff(client.timing.retry_first, client.timing.retry_most)
        self._version = ""
        self._last_status = 0

    @property
    def is_forbidden(self) -> bool:
        """Whether the server's last word was that we may not."""
        return bool(self.figures.problem) and self._last_status == 403

    async def run(self) -> NoReturn:
        """Lists, then watches, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            begun, events = loop.time(), self.figures.events
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                if self.figures.events == events and loop.time() - begun < self._timing.retry_first:
                    # It ended at once without a word: an answer, but not one to repeat without a pause.
                    await asyncio.sleep(self._backoff.next())
                else:
                    self._worked()
            except ApiError as error:
                await self._failed(error)

    async def _failed(self, error: ApiError) -> None:
        self.figures.failures += 1
        pause = self._backoff.next(error.retry_after)
        if isinstance(error, Gone) or self._backoff.failures >= _FAILURES_BEFORE_LIST:
            self._version = ""
        if isinstance(error, NotFound):
            self._told.gone()
        elif not isinstance(error, Gone):
            is_other = not self.figures.problem or error.status != self._last_status
            self.figures.problem, self._last_status = str(error), error.status
            if is_other:
                self._told.problem(error)
        await asyncio.sleep(pause)

    def _worked(self) -> None:
        """The server has said something that makes sense."""
        self.figures.heard = asyncio.get_running_loop().time()
        self.figures.problem = ""
        self._backoff.reset()

    async def _list(self) -> None:
        listing, version = await self._read_list()
        if listing.empties:
            await asyncio.sleep(self._timing.confirmation)
            listing, version = await self._read_list()
        listing.finish()
        self.figures.relists += self.is_listed
        self._version = version
        self.is_listed = True
        self._worked()
        self._told.changed()

    async def _read_list(self) -> tuple[Listing, str]:
        """A complete list. Raises Gone when a page token expired on the way: nothing of it counts then."""
        self.figures.lists += 1
        listing = self.shelf.listing()
        version = ""
        pages = self._client.pages(self.shelf.resource, self.scope.namespace, labels=self.scope.labels, fields=self.scope.fields)
        async with aclosing(pages):
            async for items, found in pages:
                version = found
                for count, item in enumerate(items, 1):
                    listing.add(item)
                    if count % _SLICE == 0:
                        await asyncio.sleep(0)
        return listing, version

    async def _watch(self) -> None:
        """One watch until the server ends it."""
        loop = asyncio.get_running_loop()
        self.figures.watches += 1
        seconds = random.randint(self._timing.watch_shortest, self._timing.watch_longest)
        scope = self.scope
        events = self._client.watch(
            self.shelf.resource, scope.namespace, version=self._version, seconds=seconds, labels=scope.labels, fields=scope.fields
        )
        async with aclosing(events):
            async for kind, found in events:
                self.figures.events += 1
                self.figures.heard = loop.time()
                version = str((found.get("metadata") or {}).get("resourceVersion") or "")
                if kind != "BOOKMARK" and _is_newer(version, self._version):
                    if kind == "DELETED":
                        self.shelf.drop(found)
                    else:
                        self.shelf.take(found)
                    self._told.changed()
                if version and _is_newer(version, self._version):
                    self._version = version
                self._worked()


def _is_newer(version: str, than: str) -> bool:
    """Whether a resourceVersion is after another; what cannot be compared is taken as it comes."""
    if version.isdigit() and than.isdigit():
        return int(version) > int(than)
    return version != than
