"""Long work in slices, between which the loop serves requests: the tables of hash balancers. One slice a turn, whoever has work to do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from time import perf_counter
from typing import Final

SLICE: Final = 0.001
"""Seconds."""


class Slices:
    """One per worker; what came first is done first. `add` takes an iterator whose steps are small."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Iterator[None]] = deque()

    def add(self, work: Iterator[None]) -> None:
        self._waiting.append(work)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        ends = perf_counter() + SLICE
        while self._waiting:
            for _ in self._waiting[0]:
                if perf_counter() > ends:
                    self._loop.call_soon(self._slice)
                    return
            self._waiting.popleft()
