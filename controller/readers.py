"""Who has read what: the way back from what changes to those whom it concerns."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Final, Generic, TypeVar

Reader = TypeVar("Reader", bound=Hashable)

_FEW: Final = 8
"""Readers that stand in a tuple. Most things have one, for which a set would take four times as much."""


class Readers(Generic[Reader]):
    """Things without readers are not held."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[Hashable, tuple[Reader, ...] | set[Reader]] = {}

    def __len__(self) -> int:
        """How many things are read."""
        return len(self._of)

    def of(self, thing: Hashable) -> Collection[Reader]:
        """Those of one thing, in no order."""
        return self._of.get(thing, ())

    def add(self, thing: Hashable, reader: Reader) -> None:
        """Nothing happens if it reads it already."""
        readers = self._of.get(thing, ())
        if isinstance(readers, set):
            readers.add(reader)
        elif reader not in readers:
            self._of[thing] = (*readers, reader) if len(readers) < _FEW else {*readers, reader}

    def remove(self, thing: Hashable, reader: Reader) -> None:
        """It must be one of them."""
        readers = self._of[thing]
        if isinstance(readers, set):
            readers.remove(reader)
        else:
            self._of[thing] = readers = tuple([other for other in readers if other != reader])
        if not readers:
            del self._of[thing]
