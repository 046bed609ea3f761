"""A hundred thousand changes of the configuration, good and bad, under load: no request notices."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.certificates import Authority
from tests.endurance.answering import answering
from tests.endurance.asking import Asked, asking, trusting
from tests.endurance.churning import Churn, Ground
from tests.endurance.objects import Files
from tests.endurance.standing import Sizes, Standing, resident, standing
from tests.tidegate.program import free_port

BURST = 25
"""Files that change with nothing in between."""
WAITED_FOR = 4
"""Of so many bursts one is waited for; the others pile up on what is on its way."""
BACKENDS = ("one", "two", "three")
MARKED = b"GET / HTTP/1.1\r\nHost: marker.example\r\nConnection: close\r\n\r\n"


def test_no_change_makes_a_request_fail(tmp_path: Path, sizes: Sizes, figure: Callable[[str], None]) -> None:
    """Issue 4, done when 5: what is not meant to change does not, invalid objects harm only themselves, and what is in place in the
    end is what a process that starts with the same files has."""

    async def test() -> None:
        changes = sizes.of(400, 100_000)
        authority = Authority()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            async with answering(*BACKENDS) as backends:
                ports, spare = [backend.port for backend in backends], [free_port() for _ in range(6)]
                ground = Ground(free_port(), free_port(), taken.getsockname()[1], tuple(spare), tuple(ports), authority)
                files = Files(tmp_path / "site")
                churn = Churn(files, ground, seed=changes)
                churn.begin()
                context = trusting(authority.certificate)
                asked = [
                    Asked(port, tls=tls, keeps=keeps, every=0.01, good=is_good)
                    for port, tls in ((ground.plain, None), (ground.secure, context))
                    for keeps in (True, True, False)
                ]
                async with standing(files.folder, access_log=True) as gate, asking(asked) as clients:
                    processes = (gate.pid, *gate.workers())
                    memory = list(map(resident, processes))
                    while churn.changes < changes and not clients.failures:
                        await one_burst(churn, ground.plain)
                    churn.settle()
                    await marked(ground.plain, churn.mark())
                    await clients.more(3)
                    after = await configuration(gate)
                    assert gate.workers() == processes[1:], gate.said()
                    grown = ", ".join(f"{(resident(pid) - had) / 2**20:+.1f}" for pid, had in zip(processes, memory, strict=True))
                    assert "Traceback" not in gate.said()
                async with standing(files.folder) as fresh:
                    afresh = await configuration(fresh)
        figure(f"{churn.changes} changes ({len(churn.kinds)} kinds), {clients.answers} answers, {len(clients.failures)} errors; "
               f"memory of parent and workers grew by {grown} MiB")  # fmt: skip
        assert clients.failures == []
        assert after == afresh

    sizes.run(test)


def is_good(status: int, body: bytes) -> bool:
    return status == 200 and body.decode() in BACKENDS


async def one_burst(churn: Churn, port: int) -> None:
    for number in range(WAITED_FOR):
        for _ in range(BURST):
            churn.change()
        place = churn.mark()
        await (marked(port, place) if number == WAITED_FOR - 1 else asyncio.sleep(0))


async def marked(port: int, place: bytes) -> None:
    """Returns when a change is live, at every worker that a few new connections meet."""
    for _ in range(3):
        while True:
            if place in await location(port):
                break
            await asyncio.sleep(0.005)


async def location(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(MARKED)
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()


async def configuration(gate: Standing) -> dict[str, Any]:
    """The resources by kind and key, without what tells one process from another."""
    await gate.acknowledged()
    found = json.loads((await gate.page("/config"))[1])["resources"]
    return {f"{resource.get('kind')} {resource.get('key')}": without_generations(resource) for resource in found}


def without_generations(value: Any) -> Any:
    """A file that sets none gets the number of its versions that this process has seen."""
    if isinstance(value, dict):
        return {name: without_generations(part) for name, part in value.items() if name != "generation"}
    return [without_generations(part) for part in value] if isinstance(value, list) else value
