"""A table as it will be after a batch: reads through to the live one, and holds what differs until it is put in place."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Draft(Generic[K, V]):
    """Costs what changes, not what there is. `commit` is called once."""

    __slots__ = ("_changes", "_live")

    def __init__(self, live: dict[K, V]) -> None:
        self._live = live
        self._changes: dict[K, V | None] = {}

    def get(self, key: K) -> V | None:
        return self._changes[key] if key in self._changes else self._live.get(key)

    def put(self, key: K, value: V | None) -> None:
        """None takes the key away."""
        self._changes[key] = value

    def commit(self) -> None:
        for key, value in self._changes.items():
            if value is None:
                self._live.pop(key, None)
            else:
                self._live[key] = value
