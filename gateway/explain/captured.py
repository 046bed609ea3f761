"""Which captured listener serves a destination, and where a backend leads that is wherever its clients were going (proxy.capture_port).

The question names destination and direction, since a URL says what a client asks for and not where its connection was going.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec.structs import replace

from gateway.explain.explanation import Reachable
from gateway.explain.question import Argument
from gateway.http.request import TLS_ON_PLAIN
from gateway.net.addresses import canonical, is_address
from gateway.net.original_destination import Destination
from gateway.net.sockets import readable
from gateway.proxy.capture_port import chosen, stated_destination
from gateway.proxy.captured import FOREIGN, PLAIN, captured_port
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
_ENDINGS: Final = ("", ".cluster.local", ".svc.cluster.local")
"""What may be left out at the end of a Service's name."""
_SOMEWHERE: Final = "0.0.0.0"  # noqa: S104  # binds nothing
"""In the place of an address that DNS would give, where it is none that any listener names."""
_ANYWHERE: Final = "127.0.0.1"
"""An address of the Pod's own: what comes in is told apart by its port."""
OF_POD = "it is a Pod's own address, and no Service's or entry's"
DETECTED = "what does not begin as a request of HTTP within 50 ms is passed on as TCP"
AWAITED = "what does not begin as a request of HTTP is passed on as TCP; silence is waited out"
NAMED = "TLS is looked into for its server name, and passed on as it is"


def toward(captures: Captures, asked: Argument, host: bytes, port: int) -> Argument:
    """The question with the destination to which its URL leads a client of this Pod: an address, or that of a Service by one of the names
    that the cluster's DNS has for it, or one that a host of a ServiceEntry stands for. As it is where nothing is captured, where it names
    one, and where the name is nobody's."""
    if asked.destination is not None or not captures:
        return asked
    name = host.decode("ascii", "replace").strip("[]")
    if is_address(name):
        return replace(asked, destination=_stated(captures, asked, name, port) or (name, port))
    if asked.direction == "Inbound":
        return replace(asked, destination=_stated(captures, asked, "", port) or (_ANYWHERE, port))
    listeners = [listener for table in captures.values() for listener in table.kept() if listener.resource.port == port]
    for resource in (listener.resource for listener in listeners):
        if resource.capture is not None and resource.capture.addresses and not resource.capture.entries:
            namespace, _, service = resource.name.partition(":")[0].partition("/")
            full = f"{service}.{namespace}.svc.cluster.local"
            short = name == service and namespace == _own_namespace(captures)
            if short or (full.startswith(name) and full.removeprefix(name) in _ENDINGS):
                return replace(asked, destination=(resource.capture.addresses[0], port))
    entry = next((capture for listener in listeners if (capture := listener.resource.capture) is not None and _has(listener, host)), None)
    if entry is None:
        return asked
    return replace(asked, destination=(entry.addresses[0].partition("/")[0] if entry.addresses else _SOMEWHERE, port))


def _has(listener: LiveListener, host: bytes) -> bool:
    """Whether a listener of ServiceEntries has a rule for just this host, or a wildcard that covers it."""
    capture = listener.resource.capture
    if capture is None or not capture.entries:
        return False
    streams = listener.streams
    return any(listener.routes.hostnames(host)) or len(streams.considered(host)) > len(streams.considered(b""))


def _stated(captures: Captures, asked: Argument, address: str, port: int) -> tuple[str, int] | None:
    """Where connections to a place count as going without capture rules (Capture.destination); '' for any address, of those there are."""
    for place, table in captures.items():
        if _direction(table) == asked.direction and place.port == port and address in ("", place.address):
            found = stated_destination(table.kept())
            if found is not None:
                return found.address, found.port
    return None


def _own_namespace(captures: Captures) -> str:
    """That of the workload beside us."""
    inbound = (table for table in captures.values() if _direction(table) == "Inbound")
    some = next((listener for table in inbound for listener in table.kept()), None)
    return some.resource.gateway.partition("/")[0] if some is not None else ""


def find_captured(core: Core, captures: Captures, asked: Argument, kind: PortKind) -> tuple[Port, str] | str:
    """The port that its connection would have, and why it is that one; else why there is none. `kind` is what the client begins with, for
    a listener that detects it. Raises ValueError for what is no address."""
    assert asked.destination is not None
    address, number = canonical(asked.destination[0]), asked.destination[1]
    where = readable(address, number) if address != _SOMEWHERE else f"port {number} of an address that no listener names"
    tables = {place: table for place, table in captures.items() if _direction(table) == asked.direction}
    if not tables:
        return f"no {asked.direction.lower()} connections are captured here"
    for place, table in tables.items():
        listener = chosen(core, table, Destination(address, number))
        if listener is not None:
            port = captured_port(core, place, listener)
            if listener.resource.protocol == "Detect":
                port.kind = kind
            own = listener is table.choose(address, number)
            return port, f"captured on its way to {where}; {table.reason(address, number) if own else OF_POD}"
    return f"no listener is for {where}, where the connection was going [NR]"


def _direction(table: DestinationTable[LiveListener]) -> str:
    some = next(iter(table.kept()), None)
    return some.resource.capture.direction if some is not None and some.resource.capture is not None else ""


def notes_of(listener: LiveListener) -> tuple[str, ...]:
    """What else decides about a captured connection, in words."""
    capture = listener.resource.capture
    if capture is None:
        return ()
    detected = ((AWAITED if capture.patient else DETECTED),) if listener.resource.protocol == "Detect" else ()
    return (*_MUTUAL[capture.mutual_tls], *detected, *((NAMED,) if listener.streams.names_servers else ()))


def turned_away(listener: LiveListener, asked: Argument, *, tls: bool) -> str:
    """Why a captured connection is refused whatever comes in it, '' where it is not. `tls`: it begins with a ClientHello of the client's
    own; a caller that is named proves who it is."""
    capture = listener.resource.capture
    if capture is None:
        return ""
    if capture.mutual_tls == "Strict":
        return f"{FOREIGN} [NR]" if tls else "" if asked.caller else f"{PLAIN} [NR]"
    if tls and capture.mutual_tls == "Disable" and listener.resource.protocol == "HTTP":
        return f"{TLS_ON_PLAIN}; write http:// [DPE]"
    return ""


def proving(listener: LiveListener, asked: Argument, *, tls: bool) -> tuple[Argument, tuple[str, ...]]:
    """The question with the caller that is known at a captured listener, and what is to be said: without mutual TLS nobody is."""
    capture = listener.resource.capture
    if capture is None or capture.direction == "Outbound" or not asked.caller:
        return asked, ()
    if capture.mutual_tls == "Disable":
        return replace(asked, caller=""), (f"{asked.caller} proves nothing here: PeerAuthentication says DISABLE",)
    return (replace(asked, caller=""), (f"{asked.caller} proves nothing here: TLS of its own is not the mesh's",)) if tls else (asked, ())


def whither(backend: Backend, destination: tuple[str, int] | None, forbidden: frozenset[tuple[str, int]]) -> tuple[Reachable, ...]:
    """The endpoint of a backend that is where the client was going; none where the question names no destination."""
    destinations = backend.destinations
    if destinations is None or destination is None:
        return ()
    address, port = canonical(destination[0]), destination[1]
    if address == _SOMEWHERE:
        return (Reachable(f"an address that its name has, port {port}", 100.0),)
    own = is_own(address, port, destinations.source_for(address), forbidden)
    return (Reachable(readable(address, port), 100.0, "an address of this proxy itself: never asked" if own else ""),)
