"""How many are inside, in all and from each address, and problems told seldom enough that nobody can fill a log (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Crowd:
    """Counts, so that a stranger, or many at one address, keep nobody else out."""

    __slots__ = ("_by_address", "_most", "_most_per_address", "_total")

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._by_address: Counter[str] = Counter()
        self._total = 0

    def is_full(self, address: str) -> bool:
        """Whether one more from this address is too much."""
        return self._total >= self._most or self._by_address[address] >= self._most_per_address

    @contextmanager
    def one_from(self, address: str) -> Iterator[None]:
        """Somebody who is inside for as long as this lasts."""
        self._total += 1
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


class Seldom:
    """Tells a problem at most once in `interval` seconds of `clock`, and with the next one how many were left out."""

    __slots__ = ("_clock", "_interval", "_left_out", "_next", "_tell")

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float], interval: float = 1.0) -> None:
        self._tell, self._clock, self._interval = tell, clock, interval
        self._next = float("-inf")
        self._left_out = 0

    def __call__(self, problem: str) -> None:
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        self._tell(problem + (f" (and {self._left_out} others before it)" if self._left_out else ""))
        self._next, self._left_out = now + self._interval, 0
