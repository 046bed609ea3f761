"""Which backend of a rule, and which endpoint of that backend, gets a request.

Backends are drawn by weight (HTTPBackendRef.weight), since several workers that count would march in step. Endpoints take turns.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate
from typing import Final, Generic, Protocol, TypeVar


class Balanced(Protocol):
    """An endpoint: whether it takes new requests, and whether it is on its way out."""

    ready: bool
    terminating: bool


T = TypeVar("T")
E = TypeVar("E", bound=Balanced)

NONE_EXCLUDED: Final = frozenset[object]()


class WeightedChoice(Generic[T]):
    """Draws one of several by weight.

    only   the one choice that has a weight, for callers to take without a draw; None if there are several, or none
    total  sum of the weights; 0 means that there is nothing to choose
    """

    __slots__ = ("_bounds", "_choices", "_last", "only", "total")

    def __init__(self, choices: Sequence[tuple[T, int]]) -> None:
        """Raises ValueError for a negative weight."""
        if any(weight < 0 for _, weight in choices):
            raise ValueError("a weight is negative: write 0 or more")
        weighted = [(choice, weight) for choice, weight in choices if weight]
        self._choices = tuple(choice for choice, _ in weighted)
        self._bounds = tuple(accumulate(weight for _, weight in weighted))
        self._last = len(weighted) - 1
        self.total = self._bounds[-1] if weighted else 0
        self.only: T | None = self._choices[0] if len(weighted) == 1 else None

    def choose(self, draw: float) -> T:
        """`draw` is uniform in [0, 1). Raises IndexError if there is nothing to choose."""
        return self._choices[bisect_right(self._bounds, draw * self.total, 0, self._last)]

    def shares(self) -> list[tuple[T, float]]:
        """Every possible choice and its probability."""
        weights = (bound - before for before, bound in zip((0, *self._bounds), self._bounds, strict=False))
        return [(choice, weight / self.total) for choice, weight in zip(self._choices, weights, strict=True)]


class RoundRobin(Generic[E]):
    """Endpoints in turn. Those that terminate take part only while no other is ready."""

    __slots__ = ("_candidates", "_turn")

    def __init__(self, endpoints: Iterable[E] = (), start: int = 0) -> None:
        """`start` is any number: workers that draw it begin at different endpoints."""
        self._candidates: tuple[E, ...] = ()
        self._turn = 0
        self.update(endpoints)
        if self._candidates:
            self._turn = start % len(self._candidates)

    @property
    def candidates(self) -> tuple[E, ...]:
        """Endpoints that take part."""
        return self._candidates

    def update(self, endpoints: Iterable[E]) -> None:
        """After any change of the list or of an endpoint's state. The turn stays with whoever would have been next."""
        endpoints = tuple(endpoints)
        candidates = tuple(endpoint for endpoint in endpoints if endpoint.ready and not endpoint.terminating)
        candidates = candidates or tuple(endpoint for endpoint in endpoints if endpoint.terminating)
        places = {id(endpoint): place for place, endpoint in enumerate(candidates)}
        order = self._candidates[self._turn :] + self._candidates[: self._turn]
        self._turn = next((places[id(endpoint)] for endpoint in order if id(endpoint) in places), 0)
        self._candidates = candidates

    def pick(self, exclude: Collection[object] = NONE_EXCLUDED) -> E | None:
        """The next endpoint in turn that is not excluded; None if there is none."""
        candidates = self._candidates
        turn = self._turn
        if turn >= len(candidates):
            return None
        following = turn + 1
        self._turn = following if following < len(candidates) else 0
        endpoint = candidates[turn]
        if not exclude or endpoint not in exclude:
            return endpoint
        for endpoint in candidates[following:] + candidates[:turn]:
            if endpoint not in exclude:
                return endpoint
        return None
