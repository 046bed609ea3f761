"""What a proxy serves of its own beside what its controller wants: its identity, and what follows from that and from what it is told.

    difference of a batch ─┐
                           ├─> Own ─> what differs of both, in one step
    a new identity ────────┘

Nothing of this is the controller's: it stands in no digest, no snapshot on disk, and no batch can replace or remove it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from gateway.following.desired import Difference
from gateway.ir.batch import AnyResource
from gateway.ir.value import Identity

_NOTHING: Final = Difference()


class Following(Protocol):
    """Whoever knows what follows from the controller's words."""

    def follow(self, difference: Difference) -> None:
        """The controller has said this."""

    def resources(self, *, identified: bool) -> Iterable[AnyResource]:
        """What follows from all that it has said; `identified` says whether the proxy has an identity."""


class Own:
    """Owner of the resources that are the proxy's own. `following` None for a proxy that has an identity and nothing else."""

    __slots__ = ("_following", "_given", "_resources")

    def __init__(self, following: Following | None = None) -> None:
        self._following = following
        self._given: tuple[AnyResource, ...] = ()
        self._resources: dict[Identity, AnyResource] = {}

    @property
    def resources(self) -> Mapping[Identity, AnyResource]:
        """By identity; always shows the present."""
        return MappingProxyType(self._resources)

    @property
    def identified(self) -> bool:
        """Whether it has been given an identity."""
        return bool(self._given)

    def give(self, resources: Iterable[AnyResource]) -> None:
        """An identity as resources, in the place of the one before. It counts from the next `join` on."""
        self._given = tuple(resources)

    def join(self, difference: Difference = _NOTHING) -> Difference:
        """What the controller's difference and our own come to; named before naming. From now on it is so."""
        following = self._following
        if following is not None:
            following.follow(difference)
        derived = () if following is None else following.resources(identified=self.identified)
        wanted = {resource.identity: resource for resource in (*self._given, *derived)}
        known = wanted.keys() | self._resources.keys()
        changed = [resource for identity, resource in wanted.items() if self._resources.get(identity) != resource]
        gone = [identity for identity in self._resources if identity not in wanted]
        self._resources = wanted
        if not known:
            return difference
        theirs = [resource for resource in difference.set if resource.identity not in known]
        removed = [identity for identity in difference.remove if identity not in known]
        return Difference((*changed, *theirs), (*gone, *removed))
