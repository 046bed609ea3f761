"""A worker killed under load takes with it what it was answering, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
from collections.abc import Callable
from pathlib import Path

from tests.endurance.answering import answering
from tests.endurance.asking import Asked, Clients, asking
from tests.endurance.objects import Files, endpoints, forwarding, gateway, listener, route, service
from tests.endurance.standing import Sizes, Standing, peers_of, standing, until
from tests.tidegate.program import free_port

DELAY = 0.02
"""Seconds that an answer takes, so that some are always under way."""
WITHIN = 1.0
"""Seconds until a new worker serves."""
APART = 11.0
"""Seconds between two kills, so that each is a new story: one that dies again at once is started ever later."""


def test_a_killed_worker_costs_what_it_was_answering_and_nothing_else(
    tmp_path: Path, sizes: Sizes, figure: Callable[[str], None]
) -> None:
    """Issue 4, done when 5: only requests under way on connections that it had accepted fail, none is refused, a new worker serves."""

    async def test() -> None:
        port, kills, apart = free_port(), sizes.of(3, 20), sizes.of(0.0, APART)
        files = Files(tmp_path / "site")
        async with answering("one", delay=DELAY) as (backend,):
            files.put("site.yaml", gateway("web", listener("http", port)), route("steady", "steady.example", forwarding("one")))
            files.put("one.yaml", service("one"), *endpoints("one", [backend.port]))
            kept, new = [Asked(port, every=0.01)] * 20, [Asked(port, every=0.01, keeps=False)] * 10
            async with standing(files.folder) as gate, asking([*kept, *new]) as clients:
                await clients.more(20)
                times, lost = [], 0
                for _ in range(kills):
                    taken, failed = await kill_one(gate, clients, port)
                    times.append(taken)
                    lost += failed
                    await asyncio.sleep(apart)
                    await clients.more(30)
                assert gate.count("was killed by signal SIGKILL") == kills
        median, highest = 1000 * statistics.median(times), 1000 * max(times)
        figure(f"{kills} kills, {clients.answers} answers, {lost} requests lost that were under way")
        figure(f"a new worker in {median:.0f} ms (median), {highest:.0f} ms (highest)")
        if sizes.whole:
            assert max(times) < WITHIN

    sizes.run(test)


async def kill_one(gate: Standing, clients: Clients, port: int) -> tuple[float, int]:
    """Kills the first worker and judges what failed; seconds until a new one has the configuration, and how many requests failed."""
    before = gate.workers()
    victim = before[0]
    os.kill(victim, signal.SIGSTOP)  # what it has does not change between the look and the end
    await stopped(victim)
    accepted = peers_of(victim, port)
    assert accepted
    os.kill(victim, signal.SIGKILL)
    begun = asyncio.get_running_loop().time()
    await until(lambda: len(set(gate.workers()) - set(before)) == 1, "a new worker")
    await gate.acknowledged()
    taken = asyncio.get_running_loop().time() - begun
    await clients.more(5)
    for client in clients:
        for failure in client.failures:
            assert failure.source in accepted, f"not a connection of the killed worker: {failure}"
        assert len(client.failures) <= 1
    failed = len(clients.failures)
    for client in clients:
        client.failures.clear()
    return taken, failed


async def stopped(pid: int) -> None:
    def state() -> str:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]

    await until(lambda: state() == "T", "the worker stops")
