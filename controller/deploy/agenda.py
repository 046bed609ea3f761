"""Which Gateways are to be worked on: each by one task at a time, few at once, again later where the work says so.

The agenda outlives a run: what was added while nobody worked is done when the next run begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from controller.api.metadata import Key

CONCURRENCY: Final = 8
"""Gateways that are worked on at once, which is about as many requests: a start with thousands shall not crowd out others."""

Work = Callable[[Key], Awaitable[float | None]]
"""Works on a Gateway; the seconds after which it wants to do so again, or None when all is done."""


class Agenda:
    """Owner of what is due, and of the timers of what is due later. Whatever `work` raises ends the run."""

    def __init__(self, work: Work, concurrency: int = CONCURRENCY) -> None:
        self._work = work
        self._concurrency = concurrency
        self._due: dict[Key, None] = {}
        self._busy: set[Key] = set()
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    def add(self, gateway: Key) -> None:
        """The Gateway is due now; once more if it is being worked on."""
        if (timer := self._later.pop(gateway, None)) is not None:
            timer.cancel()
        self._due[gateway] = None
        self._wake.set()

    async def run(self) -> None:
        """Works until it is cancelled."""
        self._wake.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    for gateway in self._next():
                        tasks.create_task(self._do(gateway))
        finally:
            for timer in self._later.values():
                timer.cancel()
            self._later.clear()

    def _next(self) -> list[Key]:
        free = self._concurrency - len(self._busy)
        chosen = [gateway for gateway in self._due if gateway not in self._busy][:free]
        for gateway in chosen:
            del self._due[gateway]
            self._busy.add(gateway)
        return chosen

    async def _do(self, gateway: Key) -> None:
        try:
            pause = await self._work(gateway)
        finally:
            self._busy.discard(gateway)
            self._wake.set()
        if pause is not None and gateway not in self._due:
            self._later[gateway] = asyncio.get_running_loop().call_later(pause, self.add, gateway)
