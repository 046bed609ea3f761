"""Minutes of half load, with configurations, backends and clients that come and go: what grows, grows for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.certificates import Authority
from tests.endurance.answering import Backend, Health, answering
from tests.endurance.asking import Asked, asking, trusting
from tests.endurance.churning import Churn, Ground
from tests.endurance.objects import Files
from tests.endurance.standing import Sizes, Standing, open_files, resident, standing
from tests.endurance.test_changes import marked
from tests.tidegate.program import ROOT, free_port

RATE = 5_000
"""Requests a second: about half of what two cores take that also have the load, the backends and the translation to do."""
BODY = "hello from backend, this is a small body of text\n"
"""What the load of the benchmarks expects."""
GROWTH = 2.0
"""MiB in ten minutes that a process may grow, by the straight line through its samples."""
WARM_UP = 0.25
"""Share of the time that does not count."""
TICKS = os.sysconf("SC_CLK_TCK")


def test_nothing_grows_under_a_steady_load(tmp_path: Path, sizes: Sizes, figure: Callable[[str], None]) -> None:
    """Issue 4, done when 6: memory of parent and workers, descriptors and tasks are flat, and no answer is a 5xx of ours."""

    async def test() -> None:
        seconds, rate = sizes.of(12.0, 600.0), sizes.of(500, RATE)
        authority = Authority()
        async with answering(BODY, BODY, BODY) as backends:
            ports, spare = tuple(backend.port for backend in backends), tuple(free_port() for _ in range(6))
            ground = Ground(free_port(), free_port(), free_port(), spare, ports, authority)
            files = Files(tmp_path / "site")
            churn = Churn(files, ground, seed=7)
            churn.begin()
            context = trusting(authority.certificate)
            asked = [Asked(ground.plain, every=0.05, keeps=False), Asked(ground.secure, tls=context, every=0.05)] * 3
            async with (
                standing(files.folder, access_log=True) as gate,
                asking(asked) as clients,
                pacing(ground.plain, rate, seconds) as paced,
            ):
                samples = Samples(gate)
                busy = processor(gate.workers())
                restarts = await go_on(paced, samples, churn, backends, ground.plain)
                busy = processor(gate.workers()) - busy
                await clients.more(1)
                troubles = paced.result()
                assert "Traceback" not in gate.said()
        figure(f"{seconds:g} s, {rate} requests a second, {churn.changes} changes, {restarts} restarts of backends, "
               f"workers took {busy / seconds:.0%} of a core; {len(troubles) + len(clients.failures)} errors")  # fmt: skip
        for line in samples.lines():
            figure(line)
        assert troubles == []
        assert clients.failures == []
        if sizes.whole:
            assert max(samples.growth().values()) < GROWTH
            assert samples.is_flat(samples.descriptors)
            assert samples.is_flat(samples.tasks)

    sizes.run(test)


async def go_on(paced: asyncio.Task[list[str]], samples: Samples, churn: Churn, backends: Sequence[Backend], port: int) -> int:
    """Changes, restarts and looks, until the load has ended; how many backends were restarted."""
    restarts = 0
    while not paced.done():
        for _ in range(5):
            churn.change()
        await marked(port, churn.mark())
        backend = backends[restarts % len(backends)]
        await restart(backend, churn, port)
        restarts += 1
        await samples.take()
        await asyncio.sleep(1.0)
    return restarts


async def restart(backend: Backend, churn: Churn, port: int) -> None:
    """As a deployment does it: it is taken out, ends, comes back, is put in."""
    churn.usable.remove(backend.port)
    churn.name_endpoints(churn.usable)
    await marked(port, churn.mark())
    await asyncio.sleep(0.1)  # what was under way there ends
    await backend.become(Health.REFUSING)
    await backend.become(Health.GOOD)
    churn.usable.append(backend.port)
    churn.name_endpoints(churn.usable)
    await marked(port, churn.mark())


@contextlib.asynccontextmanager
async def pacing(port: int, rate: int, seconds: float) -> AsyncIterator[asyncio.Task[list[str]]]:
    """The load of benchmarks/workers.py, in a process of its own; the task gives what went wrong."""
    arguments = json.dumps({"port": port, "connections": 32, "seconds": seconds, "rate": rate, "host": "steady.example"})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "measuring.pace", arguments, cwd=Path(ROOT) / "benchmarks", stdout=asyncio.subprocess.PIPE
    )

    async def end() -> list[str]:
        output, _ = await process.communicate()
        assert process.returncode == 0
        found = json.loads(output)
        assert len(found["milliseconds"]) > rate * seconds / 2 or found["troubles"]
        return list(found["troubles"])

    ended = asyncio.get_running_loop().create_task(end())
    try:
        yield ended
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.gather(ended, return_exceptions=True)


@dataclass(slots=True)
class Samples:
    """Of memory (MiB, by process), descriptors and tasks (of all workers)."""

    gate: Standing
    memory: dict[str, list[float]] = field(default_factory=dict)
    descriptors: list[float] = field(default_factory=list)
    tasks: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    async def take(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        for name, pid in (("parent", self.gate.pid), *((f"worker {pid}", pid) for pid in self.gate.workers())):
            self.memory.setdefault(name, []).append(resident(pid) / 2**20)
        self.descriptors.append(open_files(self.gate.pid) + sum(map(open_files, self.gate.workers())))
        self.tasks.append((await self.gate.metrics())["tidegate_tasks"])

    def growth(self) -> dict[str, float]:
        """MiB in ten minutes, by process."""
        return {name: 600 * self._slope(values) for name, values in self.memory.items()}

    def is_flat(self, values: Sequence[float]) -> bool:
        """Whether the last quarter is about what the second was; connections come and go, so a few more or less say nothing."""
        quarter = max(len(values) // 4, 1)
        second, last = statistics.mean(values[quarter : 2 * quarter] or values), statistics.mean(values[-quarter:])
        return abs(last - second) <= 8 + second / 20

    def lines(self) -> list[str]:
        growth = self.growth()
        memory = [f"{name}: {values[-1]:.1f} MiB, {growth[name]:+.2f} in ten minutes" for name, values in self.memory.items()]
        counts = [
            f"{name}: {min(values):.0f} to {max(values):.0f}, {values[-1]:.0f} in the end"
            for name, values in (("descriptors", self.descriptors), ("tasks", self.tasks))
        ]
        return memory + counts

    def _slope(self, values: Sequence[float]) -> float:
        begun = int(len(values) * WARM_UP)
        if len(values) - begun < 2:
            return 0.0
        return statistics.linear_regression(self.times[begun : len(values)], values[begun:]).slope


def processor(pids: Sequence[int]) -> float:
    """Seconds of CPU that processes have taken."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS
