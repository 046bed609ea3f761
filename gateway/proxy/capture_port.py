"""A port to which the capture rules of a Pod bring connections, while it is open: accepts, and finds the listener by where each was going.

A thousand Services are a thousand listeners here, so that nothing is made for one before it has a connection.

Without capture rules (Capture.destination) a port is one destination's alone, and nobody has to be asked.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.net.accept import Acceptor
from gateway.net.addresses import canonical, canonical_block
from gateway.net.original_destination import Destination, original_destination
from gateway.net.peer import ends_of
from gateway.net.reset import reset_socket
from gateway.net.sockets import readable
from gateway.proxy.captured import CapturedListener
from gateway.proxy.clients import refusal, take_seat
from gateway.relay.relay import log_ended
from gateway.routing.destinations import EVERY_PORT, Claim, DestinationTable

if TYPE_CHECKING:
    from gateway.descriptors import Place
    from gateway.ir.listener import Listener
    from gateway.net.sockets import Address
    from gateway.proxy.core import Core
    from gateway.proxy.port import LiveListener, OpenKind, Port

NOT_CAPTURED: Final = "the connection was made to the capture port itself: no capture rule brought it here, and it is going nowhere"


def destinations_of(listeners: Iterable[LiveListener]) -> DestinationTable[LiveListener]:
    """Which listener serves which destination."""
    return DestinationTable([_claim(listener) for listener in listeners])


def _claim(listener: LiveListener) -> Claim[LiveListener]:
    resource = listener.resource
    capture = resource.capture
    assert capture is not None
    addresses = tuple(map(canonical_block, capture.addresses))
    return Claim(listener.key, addresses, resource.port, capture.consumer, listener, yields=capture.entries)


def chosen(core: Core, table: DestinationTable[LiveListener], destination: Destination) -> LiveListener | None:
    """What serves a destination. A port that an entry has of every address, whatever is spoken there, is not meant to have it of a Pod
    that calls reach by its own address, as those of a headless Service do."""
    listener = table.choose(*destination)
    if listener is None or listener.streams.names_servers:
        return listener
    resource, capture = listener.resource, listener.resource.capture
    wide = capture is not None and capture.entries and not capture.addresses and resource.protocol == "TCP"
    return table.rest or listener if wide and core.mesh.workload_at(destination.address) is not None else listener


def check_capture(resource: Listener) -> None:
    """Raises ValueError, with the field, for what a captured listener cannot be, and for what only one can be."""
    capture, where = resource.capture, f"listener {resource.key}"
    if capture is None:
        if resource.protocol == "Detect":
            raise ValueError(f"{where}: protocol Detect needs capture: a client that says nothing cannot be told from a slow one elsewhere")
        return
    if resource.protocol not in ("HTTP", "TCP", "Detect"):
        raise ValueError(f"{where}: protocol {resource.protocol} cannot be captured; it is HTTP, TCP or Detect")
    if resource.hostname:
        raise ValueError(f"{where}: hostname {resource.hostname!r}, but a captured listener is chosen by destination alone; leave it empty")
    if resource.options.proxy_protocol != "Off":
        raise ValueError(f"{where}: options.proxy_protocol must be Off, since captured clients know nothing of the proxy")
    if capture.addresses and resource.port == EVERY_PORT:
        raise ValueError(f"{where}: capture.addresses without a port; give the port, or no addresses")
    if capture.mutual_tls != "Disable" and (capture.direction == "Outbound" or resource.client_validation is None):
        raise ValueError(f"{where}: capture.mutual_tls {capture.mutual_tls} needs direction Inbound and client_validation")
    if capture.destination and resource.port == EVERY_PORT:
        raise ValueError(f"{where}: capture.destination without a port; give the port, since it is where connections count as going")
    for address in capture.addresses:
        canonical_block(address)
    if capture.destination:
        canonical(capture.destination)


def stated_destination(listeners: Iterable[LiveListener]) -> Destination | None:
    """Where connections to a port of these listeners count as going; None where the kernel says it of each."""
    for listener in listeners:
        capture = listener.resource.capture
        if capture is not None and capture.destination:
            return Destination(canonical(capture.destination), listener.resource.port)
    return None


class CapturePort:
    """Owns the listening socket from `serve` to `close`, and what serves its listeners. See OpenPort, beside which it stands."""

    __slots__ = ("_acceptor", "_core", "_keeps", "_leaving", "_past", "_paused", "_place", "_served", "_socket", "_stated", "table")

    kind: Final[OpenKind] = "captured"

    def __init__(self, core: Core, place: Place, listening: socket.socket) -> None:
        self._core, self._place, self._socket = core, place, listening
        self._acceptor: Acceptor | None = None
        self._paused = False
        self._keeps = True
        """Whether connections are kept alive."""
        self.table: DestinationTable[LiveListener] = DestinationTable()
        self._stated: Destination | None = None
        """Where all connections count as going; None where each has to be asked for."""
        self._served: dict[str, CapturedListener] = {}
        """Those that have had a connection, by key of the listener."""
        self._leaving: list[CapturedListener] = []
        """Versions that are no more, while connections go on."""
        self._past: dict[str, int] = {}
        """Failures of those that are forgotten."""

    async def serve(self) -> None:
        """Begins to accept; nothing when it does already."""
        if self._acceptor is None:
            self._acceptor = Acceptor(self._socket, self._core.loop, self._accepted)
            if self._paused:
                self._acceptor.pause()

    def listen(self, listeners: Iterable[LiveListener]) -> None:
        """Takes the listeners that there are now; connections go on, those of a listener that is gone until their next answer."""
        current = {listener.key: listener for listener in listeners}
        self.table = destinations_of(current.values())
        self._stated = stated_destination(current.values())
        for key, served in list(self._served.items()):
            newer = current.get(key)
            if newer is not None and served.is_followed_by(newer):
                served.follow(newer)
                continue
            served.port.drain()
            self._leaving.append(self._served.pop(key))

    def _accepted(self, connection: socket.socket, address: Address) -> None:
        try:
            destination = self._stated or original_destination(connection)
        except OSError:
            connection.close()  # the client has left meanwhile
            return
        if destination is None:
            self._refuse(connection, address, NOT_CAPTURED)
            return
        listener = chosen(self._core, self.table, destination)
        if listener is None:
            self._refuse(connection, address, f"no listener is for {readable(*destination)}, where the connection was going")
        else:
            self._admit(connection, address, destination, listener)

    def _admit(self, connection: socket.socket, address: Address, destination: Destination, listener: LiveListener) -> None:
        """Unless there are as many connections as there may be."""
        served = self._served.get(listener.key)
        if served is None:
            served = self._served[listener.key] = CapturedListener(self._core, self._place, listener)
            if not self._keeps:
                served.port.close_kept()
        clients, ends = self._core.clients, ends_of(address, destination)
        reason = refusal(clients, served.port, served.pending)
        if reason:
            clients.count_refused(reason)
            connection.close()
            return
        seat = take_seat(clients, served.port, ends.address)
        if seat is None:
            connection.close()
            return
        seat.ends = ends
        served.take(connection, address, seat)

    def _refuse(self, connection: socket.socket, address: Address, reason: str) -> None:
        log_ended(self._core, None, (ends_of(address, None).address, b""), "NR", reason)
        reset_socket(connection)

    def adopt(self, connection: socket.socket) -> None:
        """Serves a connection that was accepted elsewhere, non-blocking, nothing of it read."""
        try:
            self._accepted(connection, connection.getpeername())
        except OSError:
            connection.close()  # the client has left meanwhile

    def pause(self) -> None:
        """Accepts nothing until `resume`; who connects meanwhile waits in the system's queue."""
        self._paused = True
        if self._acceptor is not None:
            self._acceptor.pause()

    def resume(self) -> None:
        self._paused = False
        if self._acceptor is not None:
            self._acceptor.resume()

    def tend(self) -> None:
        """Forgets what has ended."""
        if self._leaving:
            left, self._leaving = self._leaving, []
            for served in left:
                if served.busy:
                    self._leaving.append(served)
                else:
                    _add(self._past, served.handshake_failures)

    @property
    def is_of_workload(self) -> bool:
        """Whether it stands for the workload beside us: what goes there does not come round in a circle."""
        some = next(iter(self.table.kept()), None)
        capture = None if some is None else some.resource.capture
        return capture is not None and capture.direction == "Inbound" and self._stated is not None

    @property
    def ports(self) -> tuple[Port, ...]:
        """Those that have had connections."""
        return tuple([served.port for served in self._all()])

    def _all(self) -> tuple[CapturedListener, ...]:
        return (*self._served.values(), *self._leaving)

    @property
    def handshake_failures(self) -> dict[str, int]:
        failures = dict(self._past)
        for served in self._all():
            _add(failures, served.handshake_failures)
        return failures

    @property
    def busy(self) -> bool:
        return any(served.busy for served in self._all())

    def close(self) -> None:
        """Accepts what is queued, then no more; connections go on."""
        if self._acceptor is not None:
            self._acceptor.close()
        else:
            self._socket.close()

    def close_kept(self) -> None:
        """Every response ends its connection from now on, also of those that are still to come."""
        self._keeps = False
        for port in self.ports:
            port.close_kept()

    def drain(self) -> None:
        """Accepts no more; what runs goes on."""
        self.close()
        for port in self.ports:
            port.drain()

    def abort(self) -> None:
        """Ends everything at once."""
        self.close()
        for served in self._all():
            served.abort()


def _add(sums: dict[str, int], counts: dict[str, int]) -> None:
    for reason, count in counts.items():
        sums[reason] = sums.get(reason, 0) + count
