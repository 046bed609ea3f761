"""Gauges of a worker process."""

from __future__ import annotations

import asyncio
import os

from gateway.telemetry.process import process_gauges
from tests.running import run


def test_tasks_and_descriptors_are_counted() -> None:
    """A task that runs and a descriptor that is open count, until they end."""

    async def test() -> None:
        def values() -> dict[str, float]:
            return {sample.name: sample.value for sample in process_gauges(asyncio.get_running_loop())}

        before = values()
        task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
        descriptors = os.pipe()
        during = values()
        for descriptor in descriptors:
            os.close(descriptor)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        after = values()
        assert before["tidegate_tasks"] == 1
        assert during == {"tidegate_tasks": 2, "tidegate_file_descriptors": before["tidegate_file_descriptors"] + 2}
        assert after == before

    run(test)
