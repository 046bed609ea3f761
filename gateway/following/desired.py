"""What the controller wants, as far as it has said, and what a batch makes different in it.

A connection to the controller begins with a snapshot. Most of what it holds is what is there already, and must not be built anew:
so a snapshot becomes the difference that it makes. Comparing thousands of resources takes a while, so it is done in slices.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from time import perf_counter
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.ir.batch import AnyResource, Batch, in_order
from gateway.ir.value import Identity

_SLICE: Final = 0.002
"""Seconds of comparing before others have their turn on the loop."""


class Difference(NamedTuple):
    """Removed first, then set."""

    set: tuple[AnyResource, ...] = ()
    remove: tuple[Identity, ...] = ()


class Desired:
    """Owner of the resources as the controller has them, also those that cannot be built or bound. `kinds` counts them by kind."""

    __slots__ = ("_resources", "kinds")

    def __init__(self) -> None:
        self._resources: dict[Identity, AnyResource] = {}
        self.kinds: Counter[str] = Counter()

    @property
    def resources(self) -> Mapping[Identity, AnyResource]:
        """By identity; always shows the present."""
        return MappingProxyType(self._resources)

    async def difference(self, batch: Batch, unreadable: Container[Identity] = ()) -> Difference:
        """What a batch makes different; nothing is changed by asking. What is unreadable stays in the version that there is."""
        wanted = {resource.identity: resource for resource in batch.set}
        removed = set(batch.remove)
        changed: list[AnyResource] = []
        began = perf_counter()
        for identity, resource in wanted.items():
            if self._resources.get(identity) != resource:
                changed.append(resource)
            if perf_counter() - began > _SLICE:
                await asyncio.sleep(0)
                began = perf_counter()
        gone: Iterable[Identity] = self._resources.keys() if batch.snapshot else self._resources.keys() & removed
        return Difference(
            in_order(tuple(changed)), tuple(sorted(identity for identity in gone if identity not in wanted and identity not in unreadable))
        )

    def take(self, difference: Difference) -> None:
        """Makes it so."""
        for identity in difference.remove:
            if self._resources.pop(identity, None) is not None:
                self.kinds[identity[0]] -= 1
        for resource in difference.set:
            if resource.identity not in self._resources:
                self.kinds[resource.identity[0]] += 1
            self._resources[resource.identity] = resource
