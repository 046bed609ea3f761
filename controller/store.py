"""What translation reads and does not compute: the objects, immutable and indexed, and sums over many.

An index files every object under the values that its function gives for it; the index "kind" is always there. A listing
files a part of the object instead, so that no other change of it concerns a reader. Tallies say how many owners count for
a value, kept by difference. Whatever changes one of them answers with what a reader could see differently now, in the form
in which the graph records reads: so it knows whom a change concerns.
"""
from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Iterator, KeysView, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

Key = tuple[str, str, str]
"""Kind, namespace ("" for what is cluster-scoped), name."""

Read = tuple[str, Any]
"""One thing that can be looked at: ("object", key), ("index", (index, value)), ("tally", (tally, value)), ("tallied", (tally, value)) for
whether a tally is more than zero, ("result", node of the graph)."""

Entry = tuple[str, Hashable]
"""A value of an index, a listing or a tally, with its name."""

Index = Callable[[Any], Iterable[Hashable]]
"""The values an object stands under. It is asked about objects of every kind and gives nothing for those it does not index."""

Listing = Callable[[Any], Iterable[tuple[Hashable, Any]]]
"""Pairs of a value and what of an object is listed under it: hashable, and ordered against all else that is listed there."""

Listed = frozenset[tuple[Entry, Any]]
"""What of one object is listed, with where it is."""


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
    """The objects, which of them stand under each index value, and what of them is listed."""

    __slots__ = ("_entries", "_indexes", "_listings", "_objects")

    def __init__(self, indexes: Mapping[str, Index], listings: Mapping[str, Listing] = MappingProxyType({})) -> None:
        if "kind" in indexes:
            raise ValueError('the index "kind" is built in: give this one another name')
        if both := indexes.keys() & listings.keys():
            raise ValueError(f"both an index and a listing are named {', '.join(sorted(both))}: give one another name")
        self._indexes: dict[str, Index] = {"kind": lambda obj: (obj.kind,), **indexes}
        self._objects: dict[Key, Object] = {}
        self._entries: dict[Entry, list[Key]] = {}
        self._listings = _Listings(listings)

    def put(self, obj: Object) -> set[Read]:
        """Adds or replaces an object; returns the reads that changed, none if an equal object is there already.

        Raises what the function of an index or a listing raises; the store is then as it was.
        """
        key = obj.key
        old = self._objects.get(key)
        if old is not None and old == obj:
            return set()
        entries, listed = self._entries_of(obj), self._listings.of(obj)
        changed = self._unfile(old, listed) if old is not None else self._listings.replace(frozenset(), listed)
        self._objects[key] = obj
        changed.add(("object", key))
        for entry in entries:
            insort(self._entries.setdefault(entry, []), key)
            changed.add(("index", entry))
        return changed

    def remove(self, key: Key) -> set[Read]:
        """Removes an object; returns the reads that changed, none if it was not there."""
        old = self._objects.pop(key, None)
        return {("object", key)} | self._unfile(old, frozenset()) if old is not None else set()

    def _unfile(self, old: Object, listed: Listed) -> set[Read]:
        """Takes an object out of the indexes; in the listings what is listed now stands in its place."""
        changed = self._listings.replace(self._listings.of(old), listed)
        for entry in self._entries_of(old):
            keys = self._entries[entry]
            del keys[bisect_left(keys, old.key)]
            if not keys:
                del self._entries[entry]
            changed.add(("index", entry))
        return changed

    def get(self, kind: str, namespace: str, name: str) -> Any | None:
        """The object, None if there is none."""
        return self._objects.get((kind, namespace, name))

    def select(self, index: str, value: Hashable) -> tuple[Any, ...]:
        """The objects under an index value, ordered by key, or what is listed under a value, in its own order and each once,
        whatever the order in which objects came.

        Raises LookupError for an index or a listing that does not exist.
        """
        keys = self._entries.get((index, value))
        if keys is not None:
            return tuple([self._objects[key] for key in keys])
        if index in self._listings:
            return self._listings.under((index, value))
        if index not in self._indexes:
            known = ", ".join(map(repr, (*self._indexes, *self._listings)))
            raise LookupError(f"there is no index {index!r}: give it to the Store, or use one of {known}")
        return ()

    def keys(self) -> KeysView[Key]:
        """The keys of the objects, in no order."""
        return self._objects.keys()

    def sizes(self) -> dict[str, int]:
        """How many objects are held, and entries of indexes and listings."""
        return {"objects": len(self._objects), "index entries": len(self._entries) + self._listings.size()}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._objects

    def __iter__(self) -> Iterator[Any]:
        """The objects, ordered by key."""
        return iter([self._objects[key] for key in sorted(self._objects)])

    def __len__(self) -> int:
        return len(self._objects)

    def _entries_of(self, obj: Object) -> set[Entry]:
        return {(name, value) for name, values in self._indexes.items() for value in values(obj)}


class _Listings:
    """What is listed under each value, and how many objects list it."""

    __slots__ = ("_counts", "_functions", "_members")

    def __init__(self, functions: Mapping[str, Listing]) -> None:
        self._functions = dict(functions)
        self._members: dict[Entry, list[Any]] = {}
        self._counts: dict[tuple[Entry, Any], int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def of(self, obj: Object) -> Listed:
        """What of an object is listed."""
        return frozenset(((name, value), member) for name, listing in self._functions.items() for value, member in listing(obj))

    def under(self, entry: Entry) -> tuple[Any, ...]:
        """What is listed under a value."""
        return tuple(self._members.get(entry, ()))

    def replace(self, before: Listed, after: Listed) -> set[Read]:
        """Replaces what one object lists; returns the reads that changed."""
        changed: set[Read] = set()
        for found in before - after:
            self._counts[found] -= 1
            if not self._counts[found]:
                del self._counts[found]
                entry, member = found
                members = self._members[entry]
                del members[bisect_left(members, member)]
                if not members:
                    del self._members[entry]
                changed.add(("index", entry))
        for found in after - before:
            self._counts[found] = self._counts.get(found, 0) + 1
            if self._counts[found] == 1:
                entry, member = found
                insort(self._members.setdefault(entry, []), member)
                changed.add(("index", entry))
        return changed

    def size(self) -> int:
        """How much is listed."""
        return len(self._counts)


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
        self._counted: dict[Hashable, tuple[Entry, ...]] = {}
        self._totals: dict[Entry, int] = {}

    def __iter__(self) -> Iterator[Tally]:
        return iter(self._tallies)

    def counted(self, unit: str, value: Any) -> tuple[Entry, ...]:
        """What a value of a unit counts for, each once, nothing for None. Raises what a tally's function raises."""
        if value is None:
            return ()
        return tuple({(tally.name, each): None for tally in self._tallies if tally.unit == unit for each in tally.counted(value)})

    def get(self, tally: str, value: Hashable) -> int:
        """How many owners count for the value."""
        return self._totals.get((tally, value), 0)

    def count(self, owners: Mapping[Any, tuple[Entry, ...]]) -> set[Read]:
        """Replaces what each of these owners counts for; returns the reads that differ after all of them."""
        steps: dict[Entry, int] = {}
        for owner, counted in owners.items():
            for entry in self._counted.pop(owner, ()):
                steps[entry] = steps.get(entry, 0) - 1
            for entry in counted:
                steps[entry] = steps.get(entry, 0) + 1
            if counted:
                self._counted[owner] = counted
        changed: set[Read] = set()
        for entry, step in steps.items():
            before = self._totals.pop(entry, 0)
            total = before + step
            if total:
                self._totals[entry] = total
            if step:
                changed.add(("tally", entry))
            if bool(before) is not bool(total):
                changed.add(("tallied", entry))
        return changed

    def sizes(self) -> dict[str, int]:
        """How many sums and owners are held."""
        return {"tallies": len(self._totals), "tally owners": len(self._counted)}
