"""The current resources, numbered changes, and what a proxy that stands at some revision needs to stand at the present one.

Pure: `publish.py` moves the bytes. Only the revision at which each identity last changed is kept, never a queue of changes, so
what a slow proxy misses coalesces by itself, and two proxies at one revision get the very same bytes, encoded once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.ir.batch import AnyResource, Batch, digest, encode_in_parts, in_order
from gateway.ir.value import Identity

_SLACK: Final = 1_000
"""Identities that may be remembered as changed beyond the number of resources, before who needs them gets a snapshot instead."""


class Ledger:
    """Owner of the resources. A base is the revision a proxy stands at, None for one that must start from nothing."""

    __slots__ = ("_changed", "_digest", "_lines", "_oldest_base", "_resources", "revision")

    def __init__(self) -> None:
        self.revision = 0
        self._resources: dict[Identity, AnyResource] = {}
        self._changed: OrderedDict[Identity, int] = OrderedDict()
        self._oldest_base = 0
        self._lines: dict[int | None, tuple[bytes, ...]] = {}
        self._digest = ""

    @property
    def resources(self) -> Mapping[Identity, AnyResource]:
        """A view of what is current."""
        return MappingProxyType(self._resources)

    def change(self, set: Iterable[AnyResource], remove: Iterable[Identity]) -> int:
        """Removes, then sets, as one revision, which is returned. With neither the revision stays, but the first is always 1.

        Revision 0 means that nothing is known yet, not even that there is nothing.
        """
        changed: dict[Identity, AnyResource | None] = dict.fromkeys(remove)
        changed.update((resource.identity, resource) for resource in set)
        if not changed and self.revision:
            return self.revision
        self.revision += 1
        self._lines.clear()
        self._digest = ""
        for identity, resource in changed.items():
            if resource is None:
                self._resources.pop(identity, None)
            else:
                self._resources[identity] = resource
            self._changed[identity] = self.revision
            self._changed.move_to_end(identity)
        while len(self._changed) > len(self._resources) + _SLACK:
            self._oldest_base = self._changed.popitem(last=False)[1]
        return self.revision

    def digest(self) -> str:
        """Of the current resources, made when it is first asked for after a change."""
        if not self._digest:
            self._digest = digest(self._resources.values())
        return self._digest

    def lines(self, base: int | None) -> tuple[bytes, ...]:
        """The encoded Batch that leads from a base to the present revision: equal for all who ask at this revision."""
        lines = self._lines.get(base)
        if lines is None:
            lines = self._lines[base] = encode_in_parts(self.since(base))
        return lines

    def since(self, base: int | None) -> Batch:
        """The Batch that leads from a base to the present revision; a snapshot where the difference is not known, or larger."""
        if base is None or not self._oldest_base <= base <= self.revision:
            return self._snapshot()
        changed: list[Identity] = []
        for identity in reversed(self._changed):
            if self._changed[identity] <= base:
                break
            changed.append(identity)
        if len(changed) > len(self._resources):
            return self._snapshot()
        present = tuple(self._resources[identity] for identity in changed if identity in self._resources)
        absent = tuple(sorted(identity for identity in changed if identity not in self._resources))
        return Batch(self.revision, in_order(present), absent)

    def settle(self, base: int) -> None:
        """Every proxy stands at this revision or a later one, or will start from nothing: what led up to it may be forgotten."""
        while self._changed:
            identity, revision = next(iter(self._changed.items()))
            if revision > base:
                break
            del self._changed[identity]
        self._oldest_base = max(self._oldest_base, base)
        if base >= self.revision:
            self._lines.clear()

    def sizes(self) -> dict[str, int]:
        """How much is kept: resources, identities that somebody may still need, encoded batches."""
        return {"resources": len(self._resources), "changed": len(self._changed), "lines": len(self._lines)}

    def _snapshot(self) -> Batch:
        return Batch(self.revision, in_order(tuple(self._resources.values())), snapshot=True)
