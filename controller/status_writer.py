"""Writes statuses to the API server: each once, only when it differs, never over somebody else's change.

Whoever leads writes; the others keep what they would write, and compare with what the server holds once they lead. What is
wanted of one object coalesces while it waits: an object whose status changes all the time is written ever less often, at least
four times in three seconds.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from controller.status_merge import merged, withdrawn
from controller.store import Key
from controller.translate.objects import called
from controller.translate.statuses import Status

_AT_ONCE: Final = 16
"""Writes under way of each kind, so that a Gateway does not wait for a thousand of its routes."""
_SLICE: Final = 256
"""Objects compared before others on the loop have their turn."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. After a write to an object the next waits for `apart`, doubled with each that follows within `calm`, up to `longest`.
    What failed is tried again after `backoff`, doubled up to `longest_backoff`. All is compared with the server every `review`."""

    apart: float = 0.05
    longest: float = 0.75
    calm: float = 2.0
    backoff: float = 0.5
    longest_backoff: float = 30.0
    review: float = 60.0


class Held(Protocol):
    """What the server holds of an object."""

    @property
    def uid(self) -> str: ...

    @property
    def resource_version(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def status(self) -> Mapping[str, Any]: ...


class Statuses(Protocol):
    """The server's side (controller.sources.kube)."""

    def held(self, key: Key) -> Held | None:
        """What is known of the object, None if it is not there."""

    async def read(self, key: Key) -> Held | None:
        """What the server holds right now, None if the object is not there. Raises Unwritable and OSError."""

    async def write(self, key: Key, held: Held, status: Mapping[str, Any]) -> Held:
        """Replaces these fields of the status, if the server still holds that version. Raises Outdated, Unwritable and OSError."""


class Outdated(Exception):
    """Somebody else has changed the object meanwhile, or it is gone."""


class Unwritable(Exception):
    """The server refuses this write, and would again; the message says why and what to do."""


class StatusWriter:
    """Owner of what statuses are to be. `now` gives the time as RFC 3339, `problem` is told what cannot be written."""

    def __init__(self, server: Statuses, now: Callable[[], str], problem: Callable[[str], None], pace: Pace = Pace()) -> None:
        self._server = server
        self._now = now
        self._problem = problem
        self._pace = pace
        self._wanted: dict[Key, Status | None] = {}
        self._dirty: dict[Key, None] = {}
        self._busy: set[Key] = set()
        self._written: dict[Key, _Written] = {}
        self._news = asyncio.Event()
        self.writes = 0
        """How many statuses were written."""
        self.conflicts = 0
        """How many writes came too late."""

    def want(self, statuses: Iterable[Status], gone: Iterable[Key] = ()) -> None:
        """These objects are to have these statuses; those in `gone` none of ours."""
        for key in gone:
            self._wanted[key] = None
            self._dirty[key] = None
        for status in statuses:
            self._wanted[status.object] = status
            self._dirty[status.object] = None
        self._news.set()

    def look(self, keys: Iterable[Key]) -> None:
        """These objects have changed: one that was made anew has lost its status, although what it is to be is what it was."""
        self._dirty |= {key: None for key in keys if key in self._wanted}
        self._news.set()

    @property
    def pending(self) -> int:
        """Objects whose status may differ from what the server holds."""
        return len(self._dirty) + len(self._busy)

    async def run(self) -> None:
        """Writes until it is cancelled, beginning with a comparison of everything: for whoever leads, as long as it leads."""
        self._dirty = dict.fromkeys(self._wanted)
        self._busy.clear()
        self._written.clear()
        self._news.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._review())
            places: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
            while True:
                await self._news.wait()
                self._news.clear()
                for count, key in enumerate([key for key in self._dirty if key not in self._busy], 1):
                    del self._dirty[key]
                    if self._differs(key):
                        self._busy.add(key)
                        tasks.create_task(self._write(key, places[key[0]]))
                    if count % _SLICE == 0:
                        await asyncio.sleep(0)

    async def _review(self) -> None:
        """What others did to our statuses is noticed here; an event that changes only a status tells nobody."""
        while True:
            await asyncio.sleep(self._pace.review)
            self._dirty |= dict.fromkeys(self._wanted)
            self._news.set()

    def _differs(self, key: Key) -> bool:
        held = self._known(key)
        if held is None:
            self._forget(key)
            return False
        return self._missing(key, held) is not None

    def _missing(self, key: Key, held: Held) -> dict[str, Any] | None:
        """What is to be written. A status about another generation than the server's is out of date, or will be in a moment."""
        status = self._wanted.get(key)
        if status is None:
            return withdrawn(key[0], held.status)
        return merged(status, held.status, self._now()) if status.generation == held.generation else None

    def _known(self, key: Key) -> Held | None:
        """What the server holds as far as we know: what our last write gave, until the watch has shown anything else."""
        held, written = self._server.held(key), self._written.get(key)
        if held is None or written is None or held.uid != written.after.uid or held.resource_version != written.before:
            return held
        return written.after

    def _forget(self, key: Key) -> None:
        """The object is not there, or not yet: its status is wanted anew when it comes."""
        self._written.pop(key, None)
        if self._wanted.get(key) is None:
            self._wanted.pop(key, None)

    async def _write(self, key: Key, places: asyncio.Semaphore) -> None:
        """One task an object, until it is as it should be."""
        loop = asyncio.get_running_loop()
        backoff = self._pace.backoff
        held = self._known(key)
        try:
            while held is not None and (status := self._missing(key, held)) is not None:
                written = self._written.setdefault(key, _Written(held, held.resource_version))
                await asyncio.sleep(written.delay(loop.time(), self._pace))
                try:
                    async with places:
                        held = await self._attempt(key, status, loop.time())
                except Unwritable as error:
                    self._problem(f"the status of {called(*key)} cannot be written: {error}")
                    return
                except OSError as error:
                    self._problem(f"the status of {called(*key)} could not be written, and is tried again: {error}")
                    await asyncio.sleep(backoff * random.uniform(0.5, 1))
                    backoff = min(backoff * 2, self._pace.longest_backoff)
                    held = self._known(key)
        finally:
            self._busy.discard(key)
            if key in self._dirty:
                self._news.set()

    async def _attempt(self, key: Key, status: Mapping[str, Any], time: float) -> Held | None:
        """Writes what is missing by now; returns what the server holds afterwards."""
        self._dirty.pop(key, None)
        held = self._known(key)
        missing = None if held is None else self._missing(key, held)
        if held is None or missing is None:
            return held
        seen = self._server.held(key)
        try:
            after = await self._server.write(key, held, missing)
        except Outdated:
            self.conflicts += 1
            after_all = await self._server.read(key)
            if after_all is not None:
                self._note(key, seen, after_all, time)
            return after_all
        self.writes += 1
        self._note(key, seen, after, time)
        return after

    def _note(self, key: Key, seen: Held | None, after: Held, time: float) -> None:
        written = self._written.setdefault(key, _Written(after, ""))
        written.after = after
        written.before = "" if seen is None else seen.resource_version
        written.at(time, self._pace)


class _Written:
    """The last write to one object: `before` is the version that the watch had shown by then."""

    __slots__ = ("after", "before", "spacing", "time")

    def __init__(self, after: Held, before: str) -> None:
        self.after = after
        self.before = before
        self.time: float | None = None
        self.spacing = 0.0

    def at(self, time: float, pace: Pace) -> None:
        """There was a write."""
        recent = self.time is not None and time - self.time < pace.calm
        self.spacing = min(max(self.spacing * 2, pace.apart), pace.longest) if recent else pace.apart
        self.time = time

    def delay(self, time: float, pace: Pace) -> float:
        """Seconds to wait before the next."""
        if self.time is None or time - self.time >= pace.calm:
            return 0.0
        return max(0.0, self.time + self.spacing - time)
