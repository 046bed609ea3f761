"""Places at which ServiceEntries are called: an address or block with a port, or a port of every address. Each is a listener.

A place is there for all sidecars, or for those of one namespace, where an entry that is exported to it claims the place. In the second
every entry of all sidecars takes part as well, since the listener of the namespace serves there in the place of the shared one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from controller.api.service_entry import ServiceEntry
from controller.graph import View
from controller.translate.mesh.entry_reading import ReadEntry, ReadPort, Use, read_entry
from controller.translate.mesh.namespaces import ALL, ELSEWHERE_BACKEND
from controller.translate.objects import Age, age
from controller.translate.options import Options
from controller.translate.statuses import Emission
from gateway.ir.backend import Backend
from gateway.ir.listener import Capture, Listener
from gateway.ir.mesh_options import OUTBOUND
from gateway.ir.rule import BackendRef, Binding, HttpRule, TcpRule
from gateway.ir.value import Source
from gateway.ir.workload import OUTBOUND_PORT, SHARED, mesh_scope

EVERY_ADDRESS: Final = ""
"""In the place of an address."""
ANY_NAME: Final = ""
"""In the place of a host."""
_SOURCE: Final = Source("Mesh", "", "entries")
_ROUTE: Final = "@mesh/elsewhere"
_ELSEWHERE_REQUESTS: Final = f"{ELSEWHERE_BACKEND}/http"


class Place(NamedTuple):
    """Where calls go: to this port of an address, of the addresses of a block, or of every address."""

    address: str
    port: int


class Claimant(NamedTuple):
    """An entry that wants a name at a place for the sidecars of a scope, SHARED or a namespace's. The least of several gets it."""

    is_shared: bool
    """What is a namespace's own comes before what is everybody's."""
    age: Age
    scope: str


Table = Literal["requests", "streams"]
"""Of a listener, in which names are told apart."""
Wanted = tuple[Place, Table, str]
"""A name at a place, ANY_NAME for whatever no other name is for."""


def scopes_of(entry: ServiceEntry, read: ReadEntry) -> tuple[str, ...]:
    """Whose sidecars an entry holds for."""
    return (SHARED,) if read.exported is None else tuple(map(mesh_scope, read.exported))


def places_of(read: ReadEntry, port: ReadPort) -> tuple[Place, ...]:
    """Where a port of an entry is called."""
    return tuple(Place(address, port.number) for address in read.addresses or (EVERY_ADDRESS,))


def wanted_at(read: ReadEntry, port: ReadPort, place: Place) -> Iterator[tuple[Use, Wanted]]:
    """The names that a port of an entry wants at a place, each with what for. An address tells whom a call is for, whatever it names."""
    whole = () if place.address == EVERY_ADDRESS else (ANY_NAME,)
    for use in port.uses:
        if use == "TCP":
            yield use, (place, "streams", ANY_NAME)
        else:
            table: Table = "requests" if use == "HTTP" else "streams"
            rest = whole if use == "HTTP" or "TCP" not in port.uses else ()
            yield from ((use, (place, table, name)) for name in (*read.hosts, *rest))


def _everywhere(obj: Any) -> Iterator[tuple[ServiceEntry, ReadEntry, ReadPort, Place]]:
    if isinstance(obj, ServiceEntry) and (read := read_entry(obj).entry) is not None:
        yield from ((obj, read, port, place) for port in read.ports for place in places_of(read, port))


def scopes_of_place(obj: Any) -> Iterator[tuple[Place, str]]:
    """The listing "entry scopes": the scopes for which entries have a place."""
    for entry, read, _, place in _everywhere(obj):
        yield from ((place, scope) for scope in scopes_of(entry, read))


def uses_of_place(obj: Any) -> Iterator[tuple[tuple[str, Place], Use]]:
    """The listing "entry uses": what may come at a place, by scope."""
    for entry, read, port, place in _everywhere(obj):
        yield from (((scope, place), use) for scope in scopes_of(entry, read) for use in port.uses)


def claims_of_name(obj: Any) -> Iterator[tuple[Wanted, Claimant]]:
    """The listing "entry claims": the entries that want a name at a place."""
    for entry, read, port, place in _everywhere(obj):
        claimants = [Claimant(scope == SHARED, age(entry), scope) for scope in scopes_of(entry, read)]
        yield from ((wanted, claimant) for _, wanted in wanted_at(read, port, place) for claimant in claimants)


def winner(view: View, scope: str, wanted: Wanted) -> Age | None:
    """The entry that has a name for the sidecars of a scope."""
    claimants: tuple[Claimant, ...] = view.select("entry claims", wanted)
    return next((claimant.age for claimant in claimants if claimant.is_shared or claimant.scope == scope), None)


def listener_of(scope: str, place: Place) -> str:
    """The key of the listener of a place."""
    return f"{scope}/{_called(place)}"


def _called(place: Place) -> str:
    return f"entries/{place.address or 'any'}:{place.port}"


def translate_place(options: Options, key: tuple[str, Place], view: View) -> Emission:
    """Unit "entry place": its listener, and where what no entry is for goes, if anything may go anywhere."""
    scope, place = key
    uses: set[Use] = {use for each in (scope, SHARED) for use in view.select("entry uses", (each, place))}
    listener = _listener(scope, place, uses)
    if place.address != EVERY_ADDRESS or options.outbound != "AllowAny":
        return Emission((listener,))
    bindings = (Binding(listener.key, (ANY_NAME,)),)
    rest: list[HttpRule | TcpRule] = []
    if "HTTP" in uses:
        view.result("elsewhere of requests", ALL)
        backends = (BackendRef(_ELSEWHERE_REQUESTS),)
        rest.append(HttpRule(f"Mesh/{listener.key}/0", _SOURCE, _ROUTE, 0, bindings, backends=backends))
    if "TCP" not in uses:
        rest.append(TcpRule(f"Mesh/{listener.key}/0", _SOURCE, _ROUTE, 0, bindings, backends=(BackendRef(ELSEWHERE_BACKEND),)))
    return Emission((listener, *rest))


def _listener(scope: str, place: Place, uses: set[Use]) -> Listener:
    """At an address HTTP is all that there is if nothing else is said; at a port of all addresses others than the entries' call, too."""
    addressed = place.address != EVERY_ADDRESS
    protocol: Literal["HTTP", "TCP", "Detect"] = "Detect" if "HTTP" in uses else "TCP"
    if addressed and uses == {"HTTP"}:
        protocol = "HTTP"
    return Listener(
        key=listener_of(scope, place),
        source=_SOURCE,
        gateway=scope,
        name=_called(place),
        address="::",
        port=place.port,
        bind_port=OUTBOUND_PORT,
        location_port=place.port,
        protocol=protocol,
        options=OUTBOUND,
        capture=Capture(
            "Outbound",
            (place.address,) if addressed else (),
            consumer=scope != SHARED,
            entries=True,
            patient=protocol != "HTTP" and "TCP" not in uses,
        ),
    )


def translate_elsewhere_of_requests(key: str, view: View) -> Emission:
    """Unit "elsewhere of requests": requests that are for no entry pass to where they were going."""
    return Emission((Backend(_ELSEWHERE_REQUESTS, _SOURCE, "client", original_destination="Elsewhere"),))
