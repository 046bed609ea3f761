"""Has the workloads run that there are to be: starts what is new, replaces what is otherwise, ends what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from controller.store import Key
from tidegate.local_mesh.objects import Workload
from tidegate.local_mesh.workloads import RunningWorkload

Message = Callable[[str], None]
Make = Callable[[Workload], RunningWorkload]
Ended = Callable[[Workload], None]


class Tending:
    """Owner of what runs. `wanted` always shows the present; `make` and `ended` are called before a workload begins and after it has
    ended."""

    def __init__(self, wanted: Mapping[Key, Workload], make: Make, ended: Ended, message: Message) -> None:
        self._wanted = wanted
        self._make = make
        self._ended = ended
        self._message = message
        self._news: dict[Key, asyncio.Event] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._running: dict[Key, RunningWorkload] = {}
        self._leaving = True
        """Nothing is begun before `begin`, or after `leave`."""

    @property
    def running(self) -> Iterable[RunningWorkload]:
        """By name."""
        return [running for _, running in sorted(self._running.items())]

    def begin(self) -> None:
        """From now on, until `leave`."""
        self._leaving = False
        self.reconsider()

    def reconsider(self) -> None:
        """Workloads, or where Services lead, may be others than before."""
        if self._leaving:
            return
        for key in self._wanted:
            if key not in self._tasks:
                self._news[key] = asyncio.Event()
                task = self._tasks[key] = asyncio.get_running_loop().create_task(self._tend(key))
                task.add_done_callback(partial(self._done, key))
        for news in self._news.values():
            news.set()
        for running in self._running.values():
            running.reconsider()

    async def leave(self, at_once: asyncio.Event) -> None:
        """Ends everything; by force as soon as `at_once` is set."""
        self._leaving = True
        for news in self._news.values():
            news.set()
        tasks = tuple(self._tasks.values())
        if not tasks:
            return
        hurry = asyncio.get_running_loop().create_task(at_once.wait())
        everything = asyncio.gather(*tasks, return_exceptions=True)
        try:
            await asyncio.wait((everything, hurry), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, key: Key, task: asyncio.Task[None]) -> None:
        """A Pod may have come back under its name; after a fault it is for the next change to try again."""
        self._tasks.pop(key, None)
        self._news.pop(key, None)
        if self._tell("/".join(key[1:]), task) and key in self._wanted:
            self.reconsider()

    async def _tend(self, key: Key) -> None:
        """One Pod after another under this name."""
        while (wanted := self._wanted.get(key)) is not None and not self._leaving:
            running = self._running[key] = self._make(wanted)
            task = asyncio.get_running_loop().create_task(running.run())
            task.add_done_callback(partial(self._tell, wanted.name))
            try:
                await self._until_otherwise(key, wanted)
                await running.stop()
                await asyncio.wait((task,))
            finally:
                task.cancel()
                await asyncio.wait((task,))
                del self._running[key]
                self._ended(wanted)

    async def _until_otherwise(self, key: Key, wanted: Workload) -> None:
        news = self._news[key]
        while not self._leaving and (now := self._wanted.get(key)) is not None and wanted.runs_as(now):
            news.clear()
            await news.wait()

    def _tell(self, name: str, task: asyncio.Task[None]) -> bool:
        """Whether it ended as it should."""
        if task.cancelled() or (fault := task.exception()) is None:
            return True
        self._message(f"{name} is no longer run, which is a fault of Tidegate; change the Pod to have it started anew: {fault!r}")
        return False
