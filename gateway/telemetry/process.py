"""What a worker process has open and under way, as gauges: both are flat while it serves steadily."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from gateway.telemetry.statistics import Sample

_FOLDER: Final = "/dev/fd"


def process_gauges(loop: asyncio.AbstractEventLoop) -> tuple[Sample, ...]:
    """Tasks of the loop, and descriptors of files and sockets as far as the system tells them. Called on the loop's thread."""
    tasks = Sample("tidegate_tasks", (), len(asyncio.all_tasks(loop)))
    try:
        descriptors = len(os.listdir(_FOLDER)) - 1  # without the one that lists them
    except OSError:
        return (tasks,)  # none is left to list them with, or the system has no such folder
    return tasks, Sample("tidegate_file_descriptors", (), descriptors)
