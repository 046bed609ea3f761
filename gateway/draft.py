"""A table as it will be after a batch: reads through to the live one, and holds what differs until it is put in place."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

IN_PLACE: Final = 256
"""Changes that are made in the live table itself: a fraction of a millisecond. More are made in a copy, beside it."""


class Draft(Generic[K, V]):
    """Costs what changes, not what there is, unless that is much. Used once: `put` as often as needed, all of `merge`, then `commit`."""

    __slots__ = ("_changes", "_live", "_merged")

    def __init__(self, live: dict[K, V]) -> None:
        self._live = live
        self._changes: dict[K, V | None] = {}
        self._merged: dict[K, V] | None = None

    def get(self, key: K) -> V | None:
        return self._changes[key] if key in self._changes else self._live.get(key)

    def put(self, key: K, value: V | None) -> None:
        """None takes the key away."""
        self._changes[key] = value

    def merge(self) -> Iterator[None]:
        """Makes the next table beside the live one where that is too much for one callback; yields after each change."""
        if len(self._changes) <= IN_PLACE:
            return
        merged = self._live.copy()
        for key, value in self._changes.items():
            _put(merged, key, value)
            yield
        self._merged = merged

    def commit(self) -> dict[K, V]:
        """The table with the changes: a new one after a `merge` that made one, else the live one, changed."""
        if self._merged is not None:
            return self._merged
        for key, value in self._changes.items():
            _put(self._live, key, value)
        return self._live

    def replaced(self) -> list[V]:
        """What the live table held, if it was not changed itself: whoever lets go of it all at once stops the loop for a while."""
        return [] if self._merged is None else list(self._live.values())


def _put(table: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
