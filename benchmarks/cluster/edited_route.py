"""Test C: one route is edited again and again under traffic, its backend and a response header together.

Every answer comes whole from one version: the header tells which, the backend has to be that version's, and no client sees an older
version after a newer one.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from measuring.script import CannotMeasure

from cluster import objects
from cluster.found import Edited
from cluster.probing import Answer, BadAnswer, Probe
from cluster.site import Site

SPACE = "edited"
CLIENTS = 2
LIMIT = 10.0
"""Seconds until the first version has to be there."""
LOOKS = 1_000
"""How often it is looked for meanwhile."""
_SERVICE = re.compile(rb'"service": "(\w+)"')


@dataclass(slots=True)
class _Traffic:
    """What the clients share; `applied` is the last version of which the API server knows, or may know."""

    applied: int = 0
    ends: bool = False
    requests: int = 0
    seen: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


async def measure(site: Site, edits: int, every: float, beside: int) -> Edited:
    """Edits once each `every` seconds, with so many other routes in place."""
    loop, api, traffic = asyncio.get_running_loop(), site.api, _Traffic()
    await api.apply_all(each for number in range(beside) for each in objects.application(SPACE, f"beside-{number}"))
    await api.apply(objects.edited(SPACE, 0))
    await _served(site)
    begun = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(_ask(site, traffic))
        for number in range(1, edits + 1):
            await asyncio.sleep(begun + number * every - loop.time())
            traffic.applied = number
            await api.apply(objects.edited(SPACE, number))
        await asyncio.sleep(every)
        traffic.ends = True
    seconds = loop.time() - begun
    if edits not in traffic.seen:
        traffic.wrong.append(f"C: version {edits}, the last, was never served")
    await api.clear([SPACE])
    return Edited(edits, beside, seconds, traffic.requests, len(traffic.seen), tuple(traffic.wrong))


async def _served(site: Site) -> None:
    """Returns when the first version is there; the other routes may still be on their way. Raises CannotMeasure."""
    probe = await Probe.connect(site.address)
    for _ in range(LOOKS):
        if (await probe.get(objects.EDITED_HOST, "/")).status == 200:
            break
        await asyncio.sleep(LIMIT / LOOKS)
    else:
        raise CannotMeasure(f"the route that is to be edited is not served after {LIMIT:g} s")
    probe.close()


async def _ask(site: Site, traffic: _Traffic) -> None:
    """One client: asks as fast as it is answered."""
    probe, last = await Probe.connect(site.address), 0
    try:
        while not traffic.ends:
            answer = await probe.get(objects.EDITED_HOST, "/")
            traffic.requests += 1
            version = _version(answer)
            if version is None or not last <= version <= traffic.applied:
                traffic.wrong.append(f"C: after version {last} of {traffic.applied}: {answer.head!r} {answer.body[:300]!r}")
            else:
                last = version
                traffic.seen.add(version)
    except BadAnswer as error:
        traffic.wrong.append(f"C: {error}")
    finally:
        probe.close()


def _version(answer: Answer) -> int | None:
    """The one version that an answer comes from, None where it is an error, or mixes two."""
    header, service = answer.field(b"x-edit"), _SERVICE.search(answer.body)
    if answer.status != 200 or header is None or service is None:
        return None
    version = int(header)
    return version if service[1].decode() == objects.PORTS[objects.port_of(version)] else None
