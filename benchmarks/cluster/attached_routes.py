"""Test A: how soon does the number of attached routes settle, and how often is it written?"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from cluster import objects
from cluster.found import Attached
from cluster.site import Site

SPACE = "attached"
LIMIT = 60.0
"""Seconds after which the count is wrong."""


class _Counts:
    """Each change of the number, with its time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.samples: list[tuple[float, int]] = []

    def take(self, gateway: dict[str, Any]) -> None:
        """An event."""
        listeners = gateway.get("status", {}).get("listeners") or [{}]
        number = listeners[0].get("attachedRoutes", 0)
        if not self.samples or self.samples[-1][1] != number:
            self.samples.append((perf_counter(), number))
            self._event.set()

    async def until(self, number: int) -> bool:
        """Whether the number is reached in time."""
        try:
            async with asyncio.timeout(LIMIT):
                while not self.samples or self.samples[-1][1] != number:
                    self._event.clear()
                    await self._event.wait()
        except TimeoutError:
            return False
        return True


async def measure(site: Site, routes: int) -> Attached:
    """Applies so many applications, waits for their count, and deletes them."""
    api, clock = site.api, perf_counter
    await api.apply(objects.namespace(SPACE))
    counts = _Counts()
    wrong = []
    with api.watching("Gateway", objects.SYSTEM, counts.take) as watching:
        await watching.begun.wait()
        await api.apply_all(each for number in range(routes) for each in objects.application(SPACE, f"app-{number}"))
        applied = clock()
        if not await counts.until(routes):
            wrong.append(f"A: {routes} routes are applied, {counts.samples[-1:]} counted after {LIMIT:g} s")
        settled, writes = _last(counts) - applied, len(counts.samples)
        counts.samples = counts.samples[-1:]
        deleting = clock()
        await api.delete_all("HTTPRoute", SPACE)
        if not await counts.until(0):
            wrong.append(f"A: all routes are deleted, {counts.samples[-1:]} counted after {LIMIT:g} s")
        gone, writes_gone = _last(counts) - deleting, len(counts.samples) - 1
    await api.clear([SPACE])
    return Attached(routes, settled, writes, gone, writes_gone, tuple(wrong))


def _last(counts: _Counts) -> float:
    return counts.samples[-1][0] if counts.samples else float("nan")
