"""The objects of a cluster or of files as resources and statuses, kept up to date change by change.

The units of `translate` say what is; this module turns what differs between two changes into what is to be set and removed.
A unit that fails leaves what it gave before in place, so that a fault harms nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable, KeysView, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

from controller.failures import Failed, Node
from controller.graph import Diff, Graph
from controller.store import Key, Object, Store
from controller.translate.infrastructure import Infrastructure
from controller.translate.options import Options
from controller.translate.statuses import Emission, Ignored, Status
from controller.translate.units import indexes, listings, tallies, units
from gateway.ir.batch import AnyResource, in_order, share_names
from gateway.ir.listener import Listener
from gateway.ir.value import Identity


@dataclass(frozen=True, slots=True)
class Translation:
    """What one change of objects makes different.

    Resources to set, in the order of a batch, and to remove; statuses that differ, and objects whose status vanished; what failed
    in units, which is a fault of Tidegate and of no object; in a cluster what is to be deployed, where it differs, and the Gateways
    for which nothing is to be deployed any more.
    """

    set: tuple[AnyResource, ...] = ()
    remove: tuple[Identity, ...] = ()
    statuses: tuple[Status, ...] = ()
    gone: tuple[Key, ...] = ()
    failures: tuple[str, ...] = ()
    infrastructure: tuple[Infrastructure, ...] = ()
    unwanted: tuple[Key, ...] = ()


class Translator:
    """Owns the graph and what it has given so far."""

    def __init__(self, options: Options) -> None:
        self._store = Store(indexes(options), listings(options))
        self._graph = Graph(self._store, units(options), tallies(options))
        self._resources: dict[Identity, AnyResource] = {}
        self._statuses: dict[Key, Status] = {}
        self._infrastructure: dict[Key, Infrastructure] = {}
        self._emissions: dict[Node, Emission] = {}
        """The last value of each node that emits, without failures."""

    def of_kind(self, kind: str) -> tuple[Any, ...]:
        """The objects of a kind as they were given, ordered by key."""
        return self._store.select("kind", kind)

    def apply(self, puts: Iterable[Object] = (), removes: Iterable[Key] = ()) -> Translation:
        """Takes one change, first what is removed, then what is put. Never raises for what objects say."""
        return self._take(self._graph.apply(puts, removes))

    def begin(self, puts: Iterable[Object] = (), removes: Iterable[Key] = ()) -> Translation | None:
        """As `apply`, without the routes, of which there may be thousands to be judged anew: `finish` has to come next, and gives the rest.

        None where only the whole may be told. What may go first is which namespaces listeners take: rules do not depend on it.
        """
        puts, removes = tuple(puts), tuple(removes)
        found = self._graph.begin(puts, removes)
        kinds = {obj.kind for obj in puts} | {kind for kind, _, _ in removes}
        told = [(_resources(before), _resources(after)) for before, after in found.values()]
        differing = [(before, after) for before, after in told if before != after]
        moved = any(unit == "parent" for unit, _ in found)  # what routes see of listeners besides, of which their bindings are made
        if moved or not differing or not kinds <= _SAYING_NAMESPACES or not all(_differ_in_namespaces(*each) for each in differing):
            return None
        return self._take(found)

    def finish(self) -> Translation:
        """What `begin` did not tell."""
        return self._take(self._graph.finish())

    def _take(self, changes: Diff) -> Translation:
        failures: list[str] = []
        resources: dict[Identity, AnyResource | None] = {}
        statuses: dict[Key, Status | None] = {}
        infrastructure: dict[Key, Infrastructure | None] = {}
        changed: list[Emission] = []
        for node, (_, after) in changes.items():
            if isinstance(after, Failed):
                if after.node == node:
                    failures.append(str(after))
                continue
            before = self._emissions.pop(node, None)
            if before is not None:
                resources.update((resource.identity, None) for resource in before.resources)
                statuses.update((status.object, None) for status in before.statuses)
                infrastructure.update((wanted.gateway, None) for wanted in before.infrastructure)
            if isinstance(after, Emission):
                self._emissions[node] = after
                changed.append(after)
        for emission in changed:
            resources.update((resource.identity, resource) for resource in emission.resources)
            statuses.update((status.object, status) for status in emission.statuses)
            infrastructure.update((wanted.gateway, wanted) for wanted in emission.infrastructure)
        new, removed = _replace(self._resources, resources)
        for resource in new:
            share_names(resource)
        told, gone = _replace(self._statuses, statuses)
        wanted, unwanted = _replace(self._infrastructure, infrastructure)
        return Translation(
            set=in_order(tuple(new)),
            remove=tuple(sorted(removed)),
            statuses=tuple(sorted(told, key=lambda status: status.object)),
            gone=tuple(sorted(gone)),
            failures=tuple(sorted(failures)),
            infrastructure=tuple(sorted(wanted, key=lambda one: one.gateway)),
            unwanted=tuple(sorted(unwanted)),
        )

    def resources(self) -> Mapping[Identity, AnyResource]:
        """All resources as they are now, read-only."""
        return MappingProxyType(self._resources)

    def statuses(self) -> Mapping[Key, Status]:
        """The statuses of all objects that have one, read-only."""
        return MappingProxyType(self._statuses)

    def infrastructure(self) -> Mapping[Key, Infrastructure]:
        """What is to be deployed, by Gateway, read-only."""
        return MappingProxyType(self._infrastructure)

    def objects(self) -> KeysView[Key]:
        """The keys of all objects that it has been given."""
        return self._store.keys()

    def ignored(self) -> tuple[Ignored, ...]:
        """Objects, and parts of objects, that have no effect, each with the reason."""
        return tuple(sorted(ignored for emission in self._emissions.values() for ignored in emission.ignored))

    def sizes(self) -> dict[str, int]:
        """How much is held, by sort; all zero when there are no objects."""
        held = {"resources": len(self._resources), "statuses": len(self._statuses), "emissions": len(self._emissions)}
        return self._graph.sizes() | held | {"infrastructure": len(self._infrastructure)}


_SAYING_NAMESPACES: Final = frozenset(("Namespace", "Gateway", "ListenerSet"))
"""The kinds of objects that say which namespaces listeners take."""


def _resources(value: Any) -> tuple[AnyResource, ...]:
    return value.resources if isinstance(value, Emission) else ()


def _differ_in_namespaces(before: tuple[AnyResource, ...], after: tuple[AnyResource, ...]) -> bool:
    """Whether all are the same but for the namespaces that Listeners take."""
    return [_but_namespaces(resource) for resource in before] == [_but_namespaces(resource) for resource in after]


def _but_namespaces(resource: AnyResource) -> AnyResource:
    source = msgspec.structs.replace(resource.source, generation=0)
    if isinstance(resource, Listener):
        return msgspec.structs.replace(resource, namespaces=None, source=source)
    return msgspec.structs.replace(resource, source=source)


def _replace(present: dict[Any, Any], changes: dict[Any, Any]) -> tuple[list[Any], list[Any]]:
    """Brings `present` up to date; returns the values that are new or differ, and the keys that are gone."""
    new: list[Any] = []
    gone: list[Any] = []
    for key, value in changes.items():
        before = present.get(key)
        if value is None:
            if before is not None:
                del present[key]
                gone.append(key)
        elif before is None or before != value:
            present[key] = value
            new.append(value)
    return new, gone
