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
_SHARE: Final = 20
"""How many times longer than a writing took the rest after it is, where that is more: at most a twentieth of a core."""


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
        began = time.monotonic()
        try:
            await asyncio.to_thread(self._folder.store, snapshot)
        except OSError as error:
            self.failures += 1
            complaint = f"no snapshot can be written to {self._folder.path}: {error.strerror or error}; serving goes on without"
            if complaint != self._complained:
                self._message(complaint)
            self._complained = complaint
        else:
            if self._complained:
                self._message(f"snapshots are written to {self._folder.path} again")
            self._complained = ""
        await asyncio.sleep(max(_APART, _SHARE * (time.monotonic() - began)))
