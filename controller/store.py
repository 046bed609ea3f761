"""What translation reads and does not compute: the objects, immutable and indexed, and sums over many.

An index files every object under the values that its function gives for it; the index "kind" is always there. Tallies
say how many owners count for a value, kept by difference. Whatever changes one of them answers with what a reader
could see differently now, in the form in which the graph records reads: so it knows whom a change concerns.
"""
from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Key = tuple[str, str, str]
"""Kind, namespace ("" for what is cluster-scoped), name."""

Read = tuple[str, Any]
"""One thing that can be looked at: ("object", key), ("index", (index, value)), ("tally", (tally, value)), ("result", node of the graph)."""

Entry = tuple[str, Hashable]
"""A value of an index or of a tally, with its name."""

Index = Callable[[Any], Iterable[Hashable]]
"""The values an object stands under. It is asked about objects of every kind and gives nothing for those it does not index."""


class Object(Protocol):
    """A frozen value with `==`. Objects of one key are versions of one object."""

    @property
    def key(self) -> Key: ...

    @property
    def kind(self) -> str: ...

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...


class Store:
    """The objects, and which of them stand under each index value."""

    __slots__ = ("_entries", "_indexes", "_objects")

    def __init__(self, indexes: Mapping[str, Index]) -> None:
        if "kind" in indexes:
            raise ValueError('the index "kind" is built in: give this one another name')
        self._indexes: dict[str, Index] = {"kind": lambda obj: (obj.kind,), **indexes}
        self._objects: dict[Key, Object] = {}
        self._entries: dict[Entry, list[Key]] = {}

    def put(self, obj: Object) -> set[Read]:
        """Adds or replaces an object; returns the reads that changed, none if an equal object is there already.

        Raises what an index function raises; the store is then as it was.
        """
        key = obj.key
        old = self._objects.get(key)
        if old is not None and old == obj:
            return set()
        entries = self._entries_of(obj)
        changed = self.remove(key)
        self._objects[key] = obj
        changed.add(("object", key))
        for entry in entries:
            insort(self._entries.setdefault(entry, []), key)
            changed.add(("index", entry))
        return changed

    def remove(self, key: Key) -> set[Read]:
        """Removes an object; returns the reads that changed, none if it was not there."""
        old = self._objects.get(key)
        if old is None:
            return set()
        changed: set[Read] = {("object", key)}
        for entry in self._entries_of(old):
            keys = self._entries[entry]
            del keys[bisect_left(keys, key)]
            if not keys:
                del self._entries[entry]
            changed.add(("index", entry))
        del self._objects[key]
        return changed

    def get(self, kind: str, namespace: str, name: str) -> Any | None:
        """The object, None if there is none."""
        return self._objects.get((kind, namespace, name))

    def select(self, index: str, value: Hashable) -> tuple[Any, ...]:
        """The objects under an index value, ordered by key, whatever the order in which they came.

        Raises LookupError for an index that does not exist.
        """
        keys = self._entries.get((index, value))
        if keys is None:
            if index not in self._indexes:
                raise LookupError(f"there is no index {index!r}: give it to the Store, or use one of {', '.join(map(repr, self._indexes))}")
            return ()
        return tuple([self._objects[key] for key in keys])

    def keys(self) -> KeysView[Key]:
        """The keys of the objects, in no order."""
        return self._objects.keys()

    def sizes(self) -> dict[str, int]:
        """How many objects and index entries are held."""
        return {"objects": len(self._objects), "index entries": len(self._entries)}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._objects

    def __iter__(self) -> Iterator[Any]:
        """The objects, ordered by key."""
        return iter([self._objects[key] for key in sorted(self._objects)])

    def __len__(self) -> int:
        return len(self._objects)

    def _entries_of(self, obj: Object) -> set[Entry]:
        return {(name, value) for name, values in self._indexes.items() for value in values(obj)}


@dataclass(frozen=True, slots=True)
class Tally:
    """For each value that `counted` gives, the number of a unit's roots it gives that value for. Tallies of one name add up.

    `counted` gets a root's value (never None) and may give nothing.
    """

    name: str
    unit: str
    counted: Callable[[Any], Iterable[Hashable]]


class Tallies:
    """The sums of all tallies, and what each owner counts for in them."""

    __slots__ = ("_counted", "_tallies", "_totals")

    def __init__(self, tallies: Iterable[Tally]) -> None:
        self._tallies = tuple(tallies)
        self._counted: dict[Hashable, frozenset[Entry]] = {}
        self._totals: dict[Entry, int] = {}

    def __iter__(self) -> Iterator[Tally]:
        return iter(self._tallies)

    def counted(self, unit: str, value: Any) -> frozenset[Entry]:
        """What a value of a unit counts for, nothing for None. Raises what a tally's function raises."""
        if value is None:
            return frozenset()
        return frozenset((tally.name, each) for tally in self._tallies if tally.unit == unit for each in tally.counted(value))

    def get(self, tally: str, value: Hashable) -> int:
        """How many owners count for the value."""
        return self._totals.get((tally, value), 0)

    def count(self, owners: Mapping[Any, frozenset[Entry]]) -> set[Read]:
        """Replaces what each of these owners counts for; returns the reads of the sums that differ after all of them."""
        steps: dict[Entry, int] = {}
        for owner, counted in owners.items():
            for entry in self._counted.pop(owner, ()):
                steps[entry] = steps.get(entry, 0) - 1
            for entry in counted:
                steps[entry] = steps.get(entry, 0) + 1
            if counted:
                self._counted[owner] = counted
        for entry, step in steps.items():
            total = self._totals.pop(entry, 0) + step
            if total:
                self._totals[entry] = total
        return {("tally", entry) for entry, step in steps.items() if step}

    def sizes(self) -> dict[str, int]:
        """How many sums and owners are held."""
        return {"tallies": len(self._totals), "tally owners": len(self._counted)}
