"""Which object stands for each key when several files may hold one, and how that changes.

Of two objects with one key the first by path, then by order in the file, stands; when it goes the next comes in. Work is in
proportion to the objects of the file that changed. Owner of the generations: an object whose spec changes gets the next one,
unless the file sets it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.api.metadata import Key, Object
from controller.sources.problems import Place, Problem

_NOT_SPEC = frozenset(("api_version", "kind", "metadata"))


@dataclass(frozen=True, slots=True)
class Claim:
    """An object that a file holds, its line, and its position among the file's objects."""

    file: str
    order: int
    line: int
    object: Object


class Inventory:
    """The objects of all files by key."""

    __slots__ = ("_by_file", "_claims", "_contested", "_read", "_standing", "_touched")

    def __init__(self) -> None:
        self._by_file: dict[str, tuple[Claim, ...]] = {}
        self._claims: dict[Key, tuple[Claim, ...]] = {}
        self._contested: set[Key] = set()
        self._standing: dict[Key, Object] = {}
        self._read: dict[Key, Object] = {}
        self._touched: dict[Key, None] = {}

    def hold(self, file: str, objects: Iterable[tuple[int, Object]]) -> None:
        """From now on `file` holds these objects, each with its line; none when it is gone."""
        claims = tuple(Claim(file, order, line, found) for order, (line, found) in enumerate(objects))
        own: dict[Key, list[Claim]] = {claim.object.key: [] for claim in self._by_file.get(file, ())}
        for claim in claims:
            own.setdefault(claim.object.key, []).append(claim)
        for key, mine in own.items():
            others = [claim for claim in self._claims.get(key, ()) if claim.file != file]
            self._claim(key, tuple(sorted((*others, *mine), key=lambda claim: (claim.file, claim.order))))
        if claims:
            self._by_file[file] = claims
        else:
            self._by_file.pop(file, None)

    def _claim(self, key: Key, claims: tuple[Claim, ...]) -> None:
        self._touched[key] = None
        if claims:
            self._claims[key] = claims
        else:
            self._claims.pop(key, None)
        if len(claims) > 1:
            self._contested.add(key)
        else:
            self._contested.discard(key)

    def changes(self) -> tuple[tuple[Object, ...], tuple[Key, ...]]:
        """The objects that stand newly or changed, and the keys of those that went, since the last call."""
        puts: list[Object] = []
        removes: list[Key] = []
        for key in self._touched:
            before = self._standing.get(key)
            claims = self._claims.get(key)
            if claims is None:
                if before is not None:
                    removes.append(key)
                    del self._standing[key], self._read[key]
                continue
            read = claims[0].object
            if before is not None and self._read[key] is read:
                continue
            after = read if before is None else _successor(before, read)
            self._read[key] = read
            if after is not before:
                self._standing[key] = after
                puts.append(after)
        self._touched.clear()
        return tuple(puts), tuple(removes)

    def place(self, key: Key) -> Place | None:
        """Where the object with this key stands."""
        claims = self._claims.get(key)
        return Place(claims[0].file, claims[0].line) if claims else None

    def problems(self) -> list[Problem]:
        """The objects that do not stand because another of the same key does."""
        problems = []
        for key in self._contested:
            first, *others = self._claims[key]
            kind, namespace, name = key
            title = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
            message = f"an object of this kind and name is already at {Place(first.file, first.line)} and stays"
            remedy = "Remove or rename one of the two."
            problems += [Problem(other.file, other.line, title, "metadata.name", message, remedy) for other in others]
        return problems


def _successor(before: Object, read: Object) -> Object:
    """What stands after `before` when the files say `read`: `before` itself if they are equal."""
    if "generation" in read.metadata.model_fields_set:
        return before if read == before else read
    changed = any(getattr(before, field) != getattr(read, field) for field in type(read).model_fields if field not in _NOT_SPEC)
    generation = before.metadata.generation + changed
    if generation == read.metadata.generation:
        return before if read == before else read
    after = read.model_copy(update={"metadata": read.metadata.model_copy(update={"generation": generation})})
    return before if after == before else after
