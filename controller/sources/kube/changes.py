"""What a source tells: a Change, and in it the objects that our models refuse.

Owner of what waits to be told: changes of one object that nobody has taken yet become one, and nothing is delayed for that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.api.metadata import Key, Object


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that our model refuses; its last readable version stays in place.

    `problem` names field, fault and remedy on one line. `raw` is the object as the server has it, without managedFields; of a
    Secret without its entries.
    """

    key: Key
    generation: int
    problem: str
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """The difference to the last one. `readable` are the keys whose refusal is over, since the object is readable again or gone.

    `came` is the time on the loop's clock at which the first event of it came, None for what was there at the start.
    """

    puts: tuple[Object, ...] = ()
    removes: tuple[Key, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    readable: tuple[Key, ...] = ()
    came: float | None = None


class Waiting:
    """The difference between what was told and what is."""

    __slots__ = ("_objects", "_refusals")

    def __init__(self) -> None:
        self._objects: dict[Key, Object | None] = {}
        self._refusals: dict[Key, Refusal | None] = {}

    def __bool__(self) -> bool:
        return bool(self._objects or self._refusals)

    def put(self, found: Object) -> None:
        """The object is this one now."""
        self._objects[found.key] = found

    def remove(self, key: Key) -> None:
        """The object is gone."""
        self._objects[key] = None

    def refuse(self, refusal: Refusal) -> None:
        """The object cannot be read."""
        self._refusals[refusal.key] = refusal

    def permit(self, key: Key) -> None:
        """The refusal of the object is over."""
        self._refusals[key] = None

    def take(self, came: float | None = None) -> Change:
        """All that waits, which then waits no more."""
        objects, refusals = self._objects, self._refusals
        self._objects, self._refusals = {}, {}
        return Change(
            tuple(found for found in objects.values() if found is not None),
            tuple(key for key, found in objects.items() if found is None),
            tuple(refusal for refusal in refusals.values() if refusal is not None),
            tuple(key for key, refusal in refusals.items() if refusal is None),
            came,
        )
