"""How long is waited for what, and how often a failed request is made again. In seconds, unless said."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The intervals of everything that talks to the API server.

    A watch is asked to end after `watch_shortest` to `watch_longest` seconds. The API server (1.36, storage/cacher/cache_watcher.go)
    sends a bookmark each minute and two seconds before that end, so a watch that has said nothing for `watch_silence` is dead. It is
    noticed within a minute of its last word.
    """

    connect: float = 5.0
    read: float = 50.0
    """The API server gives up what takes it longer than 60 s; a list that is answered slower than this is asked for again."""
    watch_shortest: int = 35
    watch_longest: int = 45
    watch_silence: float = 55.0
    retry_first: float = 0.5
    retry_most: float = 30.0
    discovery: float = 5.0
    """Between looks at which versions and kinds are served: a CRD is noticed that soon without a right to read CRDs."""
    confirmation: float = 1.0
    """Before the second list that has to agree when a first one would remove every object of a kind."""
    page: int = 500
    """Objects a page of a list."""


class Backoff:
    """Pauses after failures in a row: doubling from `first` to `most`, each between half and whole of that by chance."""

    def __init__(self, first: float, most: float, chance: Callable[[float, float], float] = random.uniform) -> None:
        self._first = first
        self._most = most
        self._chance = chance
        self.failures = 0

    def reset(self) -> None:
        """Something worked."""
        self.failures = 0

    def next(self, asked: float | None = None) -> float:
        """The pause after one more failure, at least what the server asked for (Retry-After)."""
        whole = min(self._most, self._first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return max(self._chance(whole / 2, whole), asked or 0.0)
