"""Which captured listener serves a destination, and where a backend leads that is wherever its clients were going (proxy.capture_port).

The question names destination and direction, since a URL says what a client asks for and not where its connection was going.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from gateway.explain.explanation import Reachable
from gateway.explain.question import Argument
from gateway.net.original_destination import canonical
from gateway.net.sockets import readable
from gateway.proxy.captured import captured_port
from gateway.routing.destinations import DestinationTable
from gateway.upstream.connect import is_own

if TYPE_CHECKING:
    from gateway.descriptors import Place
    from gateway.proxy.core import Core
    from gateway.proxy.port import LiveListener, Port, PortKind
    from gateway.upstream.backend import Backend

Captures: TypeAlias = Mapping["Place", DestinationTable["LiveListener"]]

NOTHING: Captures = {}

_MUTUAL = {
    "Disable": (),
    "Permissive": ("callers may prove an identity of the mesh by mutual TLS; plain text is served too",),
    "Strict": ("callers must prove an identity of the mesh by mutual TLS, or the connection is refused",),
}
DETECTED = "what does not begin as a request of HTTP within 50 ms is passed on as TCP"


def find_captured(core: Core, captures: Captures, asked: Argument, kind: PortKind) -> tuple[Port, str] | str:
    """The port that its connection would have, and why it is that one; else why there is none. `kind` is what the client begins with, for
    a listener that detects it. Raises ValueError for what is no address."""
    assert asked.destination is not None
    address, number = canonical(asked.destination[0]), asked.destination[1]
    where = readable(address, number)
    tables = {place: table for place, table in captures.items() if _direction(table) == asked.direction}
    if not tables:
        return f"no {asked.direction.lower()} connections are captured here"
    for place, table in tables.items():
        listener = table.choose(address, number)
        if listener is not None:
            port = captured_port(core, place, listener)
            if listener.resource.protocol == "Detect":
                port.kind = kind
            return port, f"captured on its way to {where}; {table.reason(address, number)}"
    return f"no listener is for {where}, where the connection was going [NR]"


def _direction(table: DestinationTable[LiveListener]) -> str:
    some = next(iter(table.kept()), None)
    return some.resource.capture.direction if some is not None and some.resource.capture is not None else ""


def notes_of(listener: LiveListener) -> tuple[str, ...]:
    """What else decides about a captured connection, in words."""
    capture = listener.resource.capture
    if capture is None:
        return ()
    return (*_MUTUAL[capture.mutual_tls], *((DETECTED,) if listener.resource.protocol == "Detect" else ()))


def whither(backend: Backend, destination: tuple[str, int] | None, forbidden: frozenset[tuple[str, int]]) -> tuple[Reachable, ...]:
    """The endpoint of a backend that is where the client was going; none where the question names no destination."""
    destinations = backend.destinations
    if destinations is None or destination is None:
        return ()
    address, port = canonical(destination[0]), destination[1]
    own = is_own(address, port, destinations.source_for(address), forbidden)
    return (Reachable(readable(address, port), 100.0, "an address of this proxy itself: never asked" if own else ""),)
