"""Which backend of a rule, and which endpoint of that backend, gets a request.

Backends are drawn by weight (HTTPBackendRef.weight), since several workers that count would march in step. Endpoints take turns, or
the less busy of two drawn is taken; `hash_balancing` chooses them by hash. Who takes part is for `Backend` to say.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate
from typing import Final, Generic, Protocol, TypeVar


class Balanced(Protocol):
    """An endpoint: its weight, above zero, and how many exchanges it has, where that is counted."""

    weight: int
    active: int


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


class Balancer(Protocol[E]):
    """Chooses among the endpoints that take part.

    keyed    whether `pick` goes by a key, the hash of something in the request
    counted  whether it goes by the number of exchanges that endpoints have
    """

    @property
    def keyed(self) -> bool: ...

    @property
    def counted(self) -> bool: ...

    @property
    def candidates(self) -> tuple[E, ...]:
        """Endpoints that take part."""

    def update(self, members: tuple[E, ...], candidates: tuple[E, ...]) -> None:
        """After any change: `members` are those that would take part if all were healthy, `candidates` those that do."""

    def pick(self, exclude: Collection[object] = NONE_EXCLUDED, key: int | None = None) -> E | None:
        """An endpoint that is not excluded; None if there is none."""


class RoundRobin(Generic[E]):
    """Endpoints of equal weight in turn."""

    __slots__ = ("_turn", "candidates")

    keyed: Final = False
    counted: Final = False

    def __init__(self, candidates: Iterable[E] = (), start: int = 0) -> None:
        """`start` is any number: workers that draw it begin at different endpoints."""
        self.candidates: tuple[E, ...] = tuple(candidates)
        self._turn = start % len(self.candidates) if self.candidates else 0

    def update(self, members: tuple[E, ...], candidates: tuple[E, ...]) -> None:
        """The turn stays with whoever would have been next."""
        places = {id(endpoint): place for place, endpoint in enumerate(candidates)}
        order = self.candidates[self._turn :] + self.candidates[: self._turn]
        self._turn = next((places[id(endpoint)] for endpoint in order if id(endpoint) in places), 0)
        self.candidates = candidates

    def pick(self, exclude: Collection[object] = NONE_EXCLUDED, key: int | None = None) -> E | None:
        """The next endpoint in turn that is not excluded."""
        candidates = self.candidates
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


class WeightedRoundRobin(Generic[E]):
    """Endpoints in turn, each as often as its weight says and as evenly as that goes: whose next turn is due first has it.

    In every cycle of as many picks as the weights sum up to, each endpoint has exactly its weight of them.
    """

    __slots__ = ("_now", "_queue", "candidates")

    keyed: Final = False
    counted: Final = False

    def __init__(self) -> None:
        self.candidates: tuple[E, ...] = ()
        self._now = 0.0
        """When the last turn was due; a cycle takes 1."""
        self._queue: list[tuple[float, int, float, E]] = []
        """A heap of: when the next turn is due, place, time between two turns, endpoint."""

    def update(self, members: tuple[E, ...], candidates: tuple[E, ...]) -> None:
        """Who stays waits as long as before, but not longer than its new weight says; who is new has its turn half way to its next."""
        waits = {id(endpoint): due - self._now for due, _, _, endpoint in self._queue}
        self._now = 0.0
        self._queue = []
        for place, endpoint in enumerate(candidates):
            between = 1 / endpoint.weight
            self._queue.append((min(waits.get(id(endpoint), between / 2), between), place, between, endpoint))
        heapify(self._queue)
        self.candidates = candidates

    def pick(self, exclude: Collection[object] = NONE_EXCLUDED, key: int | None = None) -> E | None:
        """Whose turn is due first of those that are not excluded; the others keep theirs."""
        queue = self._queue
        passed: list[tuple[float, int, float, E]] = []
        while queue and exclude and queue[0][3] in exclude:
            passed.append(heappop(queue))
        chosen = None
        if queue:
            due, place, between, chosen = queue[0]
            self._now = due
            heapreplace(queue, (due + between, place, between, chosen))
        for entry in passed:
            heappush(queue, entry)
        return chosen


class LeastRequest(Generic[E]):
    """Of two endpoints drawn by weight the one that has fewer exchanges for its weight ("power of two choices"): nearly as even as asking
    the least busy of all, without the herd that runs there."""

    __slots__ = ("_bounds", "_draw", "candidates")

    keyed: Final = False
    counted: Final = True

    def __init__(self, draw: Callable[[], float]) -> None:
        """`draw` gives a number, uniform in [0, 1)."""
        self._draw = draw
        self.candidates: tuple[E, ...] = ()
        self._bounds: tuple[int, ...] = ()

    def update(self, members: tuple[E, ...], candidates: tuple[E, ...]) -> None:
        self.candidates = candidates
        self._bounds = tuple(accumulate(endpoint.weight for endpoint in candidates))

    def pick(self, exclude: Collection[object] = NONE_EXCLUDED, key: int | None = None) -> E | None:
        candidates, bounds = self.candidates, self._bounds
        if exclude:
            candidates = tuple(endpoint for endpoint in candidates if endpoint not in exclude)
            bounds = tuple(accumulate(endpoint.weight for endpoint in candidates))
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        place = bisect_right(bounds, int(self._draw() * bounds[-1]))
        one = candidates[place]
        point = int(self._draw() * (bounds[-1] - one.weight))  # on the line without the part of the first
        if point >= bounds[place] - one.weight:
            point += one.weight
        other = candidates[bisect_right(bounds, point)]
        return one if (one.active + 1) * other.weight <= (other.active + 1) * one.weight else other
