"""How long changes take: from the event that brought one until all proxies of a Gateway that it concerns have it in place (pure).

A change that concerns several Gateways counts once for each. One that no proxy waits for is not timed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

BOUNDS: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: the upper ends of the buckets, without the last, which has none."""

_MOST: Final = 1_000
"""Changes of one Gateway that are timed at once; where more wait for a proxy, those that come are not timed until some are in place."""


class ChangeTimes:
    """Owner of the histogram, and of the changes under way. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._under_way: dict[str, deque[tuple[int, float]]] = {}
        self.total = 0.0

    def published(self, scope: str, revision: int, came: float) -> None:
        """A change that came at some time is on its way to the proxies of a scope, at this revision."""
        waiting = self._under_way.setdefault(scope, deque())
        if len(waiting) < _MOST:
            waiting.append((revision, came))

    def applied(self, scope: str, revision: int, now: float) -> None:
        """All proxies of the scope have this revision in place."""
        waiting = self._under_way.get(scope, deque())
        while waiting and waiting[0][0] <= revision:
            took = now - waiting.popleft()[1]
            self._counts[bisect_left(BOUNDS, took)] += 1
            self.total += took
        if not waiting:
            self._under_way.pop(scope, None)

    def forget(self, scope: str) -> None:
        """Nobody waits for what is under way there."""
        self._under_way.pop(scope, None)

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Upper ends, as Prometheus writes them, and how many took no longer."""
        return zip((*map(str, BOUNDS), "+Inf"), map(float, accumulate(self._counts)), strict=True)
