"""Watching files where inotify is not to be had: by watchfiles on other systems, by looking again every two seconds otherwise.

Neither tells when a writer is done, so here a file that is written in place may be read half; its last readable version stays.
"""

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

from controller.sources.problems import Problem
from controller.sources.signals import Signal
from controller.sources.survey import NoObserver, Survey, survey

_EVERYTHING = Signal(everything=True, files=())
_INTERVAL = 2.0


class PollingWatch:
    """Looks again every two seconds. `reason` says why, and becomes a problem."""

    def __init__(self, paths: Sequence[str], reason: OSError, interval: float = _INTERVAL) -> None:
        self._paths = tuple(paths)
        self._interval = interval
        message = f"changes are noticed only every {interval:g} s: {reason.strerror}"
        remedy = "Raise the limit fs.inotify.max_user_instances of this machine, and start again."
        self._problem = Problem(self._paths[0] if self._paths else "", 0, "", "", message, remedy)

    def survey(self) -> Survey:
        """What the paths stand for now."""
        found = survey(self._paths, NoObserver())
        found.problems.append(self._problem)
        return found

    async def changed(self) -> Signal:
        """Waits until it is time to look again."""
        await asyncio.sleep(self._interval)
        return _EVERYTHING

    def is_unsettled(self, file: str) -> bool:
        """Not known here."""
        return False

    def signal_later(self, file: str) -> None:
        """Each signal asks for all files that differ from what was read."""

    def close(self) -> None:
        """Nothing to end."""


class SystemWatch:
    """Looks again whenever watchfiles tells of a change."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._changes: AsyncIterator[Any] | None = None

    def survey(self) -> Survey:
        """What the paths stand for now."""
        return survey(self._paths, NoObserver())

    async def changed(self) -> Signal:
        """Waits for a change at or below the paths, or the nearest folder that exists for each."""
        if self._changes is None:
            watchfiles = importlib.import_module("watchfiles")
            folders = {_existing(path) for path in self._paths}
            # The timeout also catches what changed between the survey and the start of the watch.
            self._changes = aiter(watchfiles.awatch(*folders, step=1, debounce=50, rust_timeout=5_000, yield_on_timeout=True))
        await anext(self._changes)
        return _EVERYTHING

    def is_unsettled(self, file: str) -> bool:
        """Not known here."""
        return False

    def signal_later(self, file: str) -> None:
        """Each signal asks for all files that differ from what was read."""

    def close(self) -> None:
        """watchfiles ends with its iterator."""
        self._changes = None


def _existing(path: str) -> str:
    path = os.path.abspath(path)
    # A file is watched by its folder, since editors replace it.
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
