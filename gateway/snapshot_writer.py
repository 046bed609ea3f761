"""Writes snapshots in a thread; what fails is told once, until it succeeds again."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from typing import Final

from gateway.snapshot import Snapshot, SnapshotFolder

_APART: Final = 1.0
"""Seconds between two snapshots at least."""
_LONGEST: Final = 30.0
"""Seconds between two snapshots that are enough for any configuration."""
_SHARE: Final = 200
"""How many times longer than the CPU time of a writing the rest after it is, where that is more. A request or a change that comes while one
is written waits for the interpreter, so that is to be one in 200: no quantile that somebody looks at shows it."""


def rest(took: float) -> float:
    """Seconds until the next snapshot may be written, after one that took so many of CPU time."""
    return min(max(_APART, _SHARE * took), _LONGEST)


def now() -> str:
    """As Snapshot.written has it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class SnapshotWriter:
    """Of one folder, for one caller at a time. `failures` counts the snapshots that could not be written."""

    __slots__ = ("_complained", "_folder", "_message", "failures")

    def __init__(self, folder: SnapshotFolder, message: Callable[[str], None]) -> None:
        self._folder = folder
        self._message = message
        self._complained = ""
        self.failures = 0

    async def write(self, snapshot: Snapshot) -> None:
        """On disk, or told why not, and rested from it when this returns."""
        took, error = await asyncio.to_thread(self._store, snapshot)
        if error is not None:
            self.failures += 1
            complaint = f"no snapshot can be written to {self._folder.path}: {error.strerror or error}; serving goes on without"
            if complaint != self._complained:
                self._message(complaint)
            self._complained = complaint
        else:
            if self._complained:
                self._message(f"snapshots are written to {self._folder.path} again")
            self._complained = ""
        await asyncio.sleep(rest(took))

    def _store(self, snapshot: Snapshot) -> tuple[float, OSError | None]:
        """The seconds of CPU time that it took, and what kept it from being written."""
        began = time.thread_time()
        try:
            self._folder.store(snapshot)
        except OSError as error:
            return time.thread_time() - began, error
        return time.thread_time() - began, None
