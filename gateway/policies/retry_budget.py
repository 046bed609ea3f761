"""How many of a backend's requests may be retries, over all routes (XBackendTrafficPolicy.retryConstraint; pure).

Requests and retries are counted over the last interval, in slots that fall out one by one. A retry is allowed while retries make up
less than the budget's percentage of all requests of the interval, or while there were fewer than the least rate allows.
"""

from __future__ import annotations

from typing import Final

from gateway.ir.backend import RetryBudget as RetryBudgetOptions

SLOTS: Final = 10


class Window:
    """How often something happened in the last `length` seconds, to a tenth of it."""

    __slots__ = ("_counts", "_slot", "_width", "total")

    def __init__(self, length: float) -> None:
        self._width = length / SLOTS
        self._counts = [0] * SLOTS
        self._slot = 0
        self.total = 0

    def add(self, now: float) -> None:
        self.turn(now)
        self._counts[self._slot % SLOTS] += 1
        self.total += 1

    def turn(self, now: float) -> None:
        """Lets go of what is too long ago."""
        slot = int(now / self._width)
        if slot - self._slot >= SLOTS:
            self._counts = [0] * SLOTS
            self.total = 0
        else:
            for passed in range(self._slot + 1, slot + 1):
                self.total -= self._counts[passed % SLOTS]
                self._counts[passed % SLOTS] = 0
        self._slot = max(self._slot, slot)


class RetryBudget:
    """Of one backend in one worker. `now` is seconds of a clock that never goes back."""

    __slots__ = ("_least", "_percent", "_recent", "_requests", "_retries")

    def __init__(self, options: RetryBudgetOptions) -> None:
        self._percent, self._least = options.percent, options.min_retries
        self._requests = Window(options.interval / 1000)
        self._retries = Window(options.interval / 1000)
        self._recent = Window(options.min_interval / 1000)

    def request(self, now: float) -> None:
        """An attempt begins, first or not."""
        self._requests.add(now)

    def take(self, now: float) -> bool:
        """Whether there may be a retry now; it is counted if so."""
        for window in (self._requests, self._retries, self._recent):
            window.turn(now)
        within = (self._retries.total + 1) * 100 <= self._percent * (self._requests.total + 1)
        if not within and self._recent.total >= self._least:
            return False
        self._retries.add(now)
        self._recent.add(now)
        return True
