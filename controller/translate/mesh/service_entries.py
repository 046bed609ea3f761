"""ServiceEntry: hosts outside the cluster, or in it, that become known to sidecars.

Each port at each host is a Backend, and a rule of the listeners of its places (entry_places): of requests by their host, of TLS by its
server name, of what else there is by where it was going. Of several entries that want the same the own namespace's comes first, then the
oldest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from controller.api.service_entry import EntryEndpoint, ServiceEntry
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Condition, Problem, combined, met, warned
from controller.translate.mesh.entry_places import (
    ANY_NAME,
    Place,
    listener_of,
    places_of,
    scopes_of,
    wanted_at,
    winner,
)
from controller.translate.mesh.entry_reading import ReadEntry, ReadPort, Use, read_entry
from controller.translate.mesh.namespaces import ALL
from controller.translate.objects import age, called, created, source_of
from controller.translate.options import Options
from controller.translate.statuses import Emission, SelectingStatus
from gateway.ir.backend import Backend, BackendProtocol, Endpoint, EndpointSet
from gateway.ir.batch import AnyResource
from gateway.ir.rule import BackendRef, Binding, HttpRule, TcpRule, TlsRule
from gateway.ir.workload import SHARED, mesh_namespace, mesh_scope

_CONFLICTED: Final = "Conflicted"


def translate_service_entry(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "service entry": the Backends and rules of an entry, and its status."""
    entry: ServiceEntry | None = view.get(*key)
    if entry is None:
        return None
    reading, generation = read_entry(entry), entry.metadata.generation
    if reading.entry is None:
        accepted = met("Accepted", generation, combined(reading.problems))
        return Emission(statuses=(SelectingStatus(key, generation, (accepted,), ()),))
    namespaces = _namespaces(view, reading.entry)
    if not namespaces:
        return Emission(ignored=((key, "no namespace that it is exported to has a workload with a sidecar"),))
    translating = _Entry(options, view, entry, reading.entry)
    resources = tuple(translating.resources())
    condition = _accepted(generation, combined((*reading.notes, *translating.lost)))
    return Emission(resources, (SelectingStatus(key, generation, (condition,), tuple(map(mesh_scope, namespaces))),))


def _accepted(generation: int, note: Problem | None) -> Condition:
    return met("Accepted", generation) if note is None else warned("Accepted", generation, note)


def _namespaces(view: View, read: ReadEntry) -> tuple[str, ...]:
    """Those of the mesh that an entry is exported to."""
    if read.exported is None:
        everywhere: tuple[str, ...] = view.select("mesh namespaces", ALL)
        return everywhere
    return tuple(name for name in read.exported if view.select("mesh namespaces", name))


class _Entry:
    """One entry, collecting what others have in its place."""

    __slots__ = ("_entry", "_options", "_read", "_scopes", "_spec", "_view", "lost")

    def __init__(self, options: Options, view: View, entry: ServiceEntry, read: ReadEntry) -> None:
        self._options, self._view, self._entry, self._spec, self._read = options, view, entry, entry.spec, read
        self._scopes = [scope for scope in scopes_of(entry, read) if self._is_shown(scope)]
        self.lost: list[Problem] = []

    def _is_shown(self, scope: str) -> bool:
        namespace = mesh_namespace(scope)
        return scope == SHARED or bool(namespace and self._view.select("mesh namespaces", namespace))

    def resources(self) -> Iterator[AnyResource]:
        """Everything of the entry; its places are units of their own."""
        for port in self._read.ports:
            for scope in self._scopes:
                for place in places_of(self._read, port):
                    self._view.result("entry place", (scope, place))
            won = self._won(port)
            for use in port.uses:
                # what has no name is for the first host, as is what has one that nobody is known by
                hosts = self._read.hosts if use != "TCP" else self._read.hosts[:1]
                for index, host in enumerate(hosts):
                    names = (*((host,) if use != "TCP" else ()), *((ANY_NAME,) if index == 0 else ()))
                    yield from self._rule(port, use, (index, host), self._bindings(won, use, names))

    def _rule(self, port: ReadPort, use: Use, host: tuple[int, str], bindings: tuple[Binding, ...]) -> Iterator[AnyResource]:
        if not bindings:
            return
        backend = self._backend(port, host[1], port.http if use == "HTTP" else "tcp")
        yield backend
        if not backend.original_destination:
            yield EndpointSet(backend.key, backend.source, self._endpoints(port, host[1]))
        entry, route = self._entry, f"{self._entry.namespace}/{self._entry.name}"
        kind = {"HTTP": HttpRule, "TLS": TlsRule, "TCP": TcpRule}[use]
        yield kind(
            key=f"ServiceEntry/{route}:{port.number}/{host[0]}",
            source=source_of(entry),
            route=route,
            index=host[0],
            bindings=bindings,
            created=created(entry),
            name=port.name,
            backends=(BackendRef(backend.key),),
        )

    # names at places

    def _won(self, port: ReadPort) -> dict[tuple[str, Use], list[str]]:
        """The names that the entry has, by listener and use; of those that it has in no scope of its own it is told who does."""
        own, found = age(self._entry), dict[tuple[str, Use], list[str]]()
        for place in places_of(self._read, port):
            for scope in self._all_scopes(place):
                for use, wanted in wanted_at(self._read, port, place):
                    winning = winner(self._view, scope, wanted)
                    if winning == own:
                        found.setdefault((listener_of(scope, place), use), []).append(wanted[2])
                    elif winning is not None and scope in self._scopes and (use == "TCP" or wanted[2] != ANY_NAME):
                        self._lose(port, place, wanted[2], called("ServiceEntry", *winning[1:]))
        return found

    def _all_scopes(self, place: Place) -> Iterable[str]:
        """Besides its own those of namespaces that have listeners of their own at a place, if it is for all of them."""
        if self._scopes != [SHARED]:
            return self._scopes
        others: tuple[str, ...] = self._view.select("entry scopes", place)
        return (SHARED, *(scope for scope in others if scope != SHARED and self._is_shown(scope)))

    def _lose(self, port: ReadPort, place: Place, name: str, other: str) -> None:
        where = f"port {port.number} of {place.address or 'every address'}"
        message = f"{other}, which is older or else first by name, has {f'host {name} at {where}' if name else where}"
        self.lost.append(Problem(_CONFLICTED, message))

    def _bindings(self, won: dict[tuple[str, Use], list[str]], use: Use, names: tuple[str, ...]) -> tuple[Binding, ...]:
        held = ((listener, tuple(name for name in names if name in mine)) for (listener, each), mine in won.items() if each == use)
        return tuple(Binding(listener, mine) for listener, mine in held if mine)

    # where they are

    def _backend(self, port: ReadPort, host: str, protocol: BackendProtocol) -> Backend:
        entry, external = self._entry, self._spec.location == "MESH_EXTERNAL"
        where = "@external" if external else "@internal"
        return Backend(
            key=f"{where}/{entry.namespace}/{entry.name}/{host}:{port.number}/{protocol}",
            source=source_of(entry),
            protocol=protocol,
            original_destination="Elsewhere" if self._spec.resolution == "NONE" else "",
            external=external,
            identities=() if external else self._identities(),
            follows_names=self._spec.resolution == "DNS",
        )

    def _identities(self) -> tuple[str, ...]:
        """Those that are written, or else those of the endpoints' accounts."""
        domain, namespace = self._options.trust_domain, self._entry.namespace
        accounts = sorted({endpoint.service_account for endpoint in self._spec.endpoints if endpoint.service_account})
        return self._spec.subject_alt_names or tuple(f"spiffe://{domain}/ns/{namespace}/sa/{account}" for account in accounts)

    def _endpoints(self, port: ReadPort, host: str) -> tuple[Endpoint, ...]:
        """Those that are written, each once; without any the host itself, whose addresses DNS knows."""
        if not self._spec.endpoints and self._spec.resolution != "STATIC":
            return (Endpoint(host, port.target),)
        found: dict[tuple[str, int], Endpoint] = {}
        for endpoint in self._spec.endpoints:
            made = _endpoint(endpoint, port)
            found.setdefault((made.address, made.port), made)
        return tuple(found[place] for place in sorted(found))


def _endpoint(endpoint: EntryEndpoint, port: ReadPort) -> Endpoint:
    locality = endpoint.locality.split("/")
    address = endpoint.address.lower().removesuffix(".")
    number = endpoint.ports.get(port.name, port.target)
    return Endpoint(address, number, weight=endpoint.weight or 1, zone=locality[1] if len(locality) > 1 else "")
