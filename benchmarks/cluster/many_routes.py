"""Test D: thousands of routes, of which one changes every second and one's endpoint every two; then test B in the midst of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cluster import objects, route_by_route
from cluster.found import Many
from cluster.programs import since, usages
from cluster.site import Site, say

NAMESPACES = 50
LIMIT = 120.0
"""Seconds for the count of attached routes to settle."""


async def measure(site: Site, routes: int, churn: float, numbers: range) -> Many:
    """Loads so many routes, lets them churn alone for some seconds, and applies the probed ones besides."""
    loop, api, wrong = asyncio.get_running_loop(), site.api, []
    names = [(f"many-{number % NAMESPACES}", f"app-{number}") for number in range(routes)]
    spaces = sorted({space for space, _ in names})
    before, begun = usages(), loop.time()
    await api.apply_all(map(objects.namespace, spaces))
    await api.apply_all(each for place in names for each in objects.application(*place))
    wrong += await _settle(site, routes)
    loaded, loading = loop.time() - begun, since(before)
    say(f"D: {routes} routes after {loaded:.0f} s")
    async with _churning(site, names):
        before = usages()
        await asyncio.sleep(churn)
        churning = since(before)
        applied = await route_by_route.measure(site, numbers)
    await api.clear(spaces)
    return Many(routes, loaded, loading, churn, churning, applied, tuple(wrong))


async def _settle(site: Site, routes: int) -> list[str]:
    try:
        async with asyncio.timeout(LIMIT):
            await site.api.when("Gateway", objects.SYSTEM, objects.GATEWAY, lambda found: attached(found) >= routes)
    except TimeoutError:
        gateway = await site.api.get("Gateway", objects.SYSTEM, objects.GATEWAY)
        return [f"D: {attached(gateway)} of {routes} routes are attached after {LIMIT:g} s"]
    return []


def attached(gateway: objects.Object) -> int:
    """The number of routes of the one listener."""
    listeners = gateway.get("status", {}).get("listeners") or [{}]
    return int(listeners[0].get("attachedRoutes", 0))


@asynccontextmanager
async def _churning(site: Site, names: list[tuple[str, str]]) -> AsyncIterator[None]:
    """While it lasts, one route in a second changes its path, by chance a little sooner or later, and one in two seconds its endpoint."""

    async def change(kind: str, every: float) -> None:
        while True:
            await asyncio.sleep(max(0.0, random.gauss(every, every / 5)))
            place = random.choice(names)
            await site.api.apply(objects.route(*place) if kind == "HTTPRoute" else objects.endpoint(*place))

    async with asyncio.TaskGroup() as tasks:
        changing = [tasks.create_task(change("HTTPRoute", 1.0)), tasks.create_task(change("EndpointSlice", 2.0))]
        try:
            yield
        finally:
            for task in changing:
                task.cancel()
