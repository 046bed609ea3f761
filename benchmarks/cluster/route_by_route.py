"""Test B: routes are applied one by one; how long from the apply, and from the event of a watch, until each is served?

On one connection that stays, a route answers 404, then 200 by its own rule and its own backend, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from measuring.script import CannotMeasure
from measuring.summary import percentiles

from cluster import objects
from cluster.change_times import timed
from cluster.found import Applied
from cluster.probing import Answer, BadAnswer, Probe
from cluster.programs import since, usages
from cluster.site import Site

SPACE = "routes"
GAP = 0.001
"""Seconds that the probe rests between the answer 404 and the next request."""
LIMIT = 10.0
"""Seconds after which a route that still answers 404 is lost, and a status that is not there wrong."""
_CONDITIONS = {"Accepted": "True", "ResolvedRefs": "False"}
"""Of every probed route: one of its backends is not there."""


@dataclass(slots=True)
class _Times:
    """In seconds, of each route."""

    apply: list[float] = field(default_factory=list)
    watch: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)


class _Events:
    """When a bare watch has first told of each route."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._first: dict[str, asyncio.Future[float]] = {}

    def expect(self, name: str) -> asyncio.Future[float]:
        """The time of the event, which is still to come."""
        self._first[name] = self._loop.create_future()
        return self._first[name]

    def take(self, route: dict[str, Any]) -> None:
        """An event."""
        expected = self._first.pop(route["metadata"]["name"], None)
        if expected is not None:
            expected.set_result(perf_counter())


async def measure(site: Site, numbers: range) -> Applied:
    """Applies the routes of these numbers, and looks at all of them at the end."""
    before, events, times, wrong = usages(), _Events(), _Times(), list[str]()
    timed_before = await timed(site.api)
    clock = perf_counter
    begun = clock()
    probe = await Probe.connect(site.address)
    try:
        with site.api.watching("HTTPRoute", SPACE, events.take) as watching:
            await watching.begun.wait()
            try:
                for number in numbers:
                    await _one(site, probe, number, events, times, wrong)
            finally:
                seconds, usage, told = clock() - begun, since(before), (await timed(site.api)).since(timed_before)
        for number in numbers:
            wrong += _faults(await probe.get(objects.host_of(number), f"/{number}"), number, "at the end")
    except BadAnswer as error:
        wrong.append(f"B: {error}")
    finally:
        probe.close()
    wrong += await _wrong_statuses(site, numbers)
    figures = (percentiles([1000 * time for time in found]) for found in (times.apply, times.watch, times.ours, times.served))
    return Applied(len(numbers), *figures, len(numbers), told, usage, seconds, tuple(wrong))


async def _one(site: Site, probe: Probe, number: int, events: _Events, times: _Times, wrong: list[str]) -> None:
    clock = perf_counter
    route, host = objects.probed(SPACE, number), objects.host_of(number)
    event = events.expect(route["metadata"]["name"])
    begun = clock()
    await site.api.apply(route)
    applied = clock()
    while (answer := await probe.get(host, f"/{number}")).status != 200:
        if answer.status != 404:
            wrong += _faults(answer, number, "while it is applied")
        if clock() - applied > LIMIT:
            wrong.append(f"B: route {number} is not served {LIMIT:g} s after it was applied")
            return
        await asyncio.sleep(GAP)
    served = clock()
    wrong += _faults(answer, number, "when it was served first")
    try:
        async with asyncio.timeout(LIMIT):
            seen = await event
    except TimeoutError:
        raise CannotMeasure(f"the bare watch has not told of route {number} within {LIMIT:g} s of its apply") from None
    times.apply.append(applied - begun)
    times.watch.append(seen - applied)
    times.ours.append(served - seen)
    times.served.append(served - applied)


def _faults(answer: Answer, number: int, when: str) -> Iterator[str]:
    if answer.status != 200 or answer.field(b"x-route") != str(number).encode() or b'"service": "one"' not in answer.body:
        yield f"B: route {number} {when}: {answer.head!r} {answer.body[:200]!r}"


async def _wrong_statuses(site: Site, numbers: range) -> list[str]:
    """Routes whose status does not say what it should, LIMIT after the last was applied."""
    clock = perf_counter
    until = clock() + LIMIT
    while True:
        routes = {route["metadata"]["name"]: route for route in await site.api.list("HTTPRoute", SPACE)}
        found = [number for number in numbers if not _is_right(routes[f"{number}-route"])]
        if not found or clock() > until:
            return [f"B: the status of route {number} is {routes[f'{number}-route'].get('status')}" for number in found]
        await asyncio.sleep(0.5)


def _is_right(route: dict[str, Any]) -> bool:
    parents = route.get("status", {}).get("parents", ())
    return len(parents) == 1 and _CONDITIONS.items() <= {each["type"]: each["status"] for each in parents[0]["conditions"]}.items()
