"""How long the garbage collector stops a worker: measured, since design.md 6.8 promises that it hardly ever does."""

from __future__ import annotations

import gc
from time import perf_counter


class Pauses:
    """Counts collections and the seconds they took, from its making to `close`."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = self.longest = 0.0
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = perf_counter()
        elif self._began:
            took = perf_counter() - self._began
            self.count += 1
            self.seconds += took
            self.longest = max(self.longest, took)

    def close(self) -> None:
        gc.callbacks.remove(self._note)
