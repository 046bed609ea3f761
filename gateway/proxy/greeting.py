"""Connections that may, or must, begin with a PROXY header: whose header is believed, and what becomes of a connection until it is read.

The header decides who the client is: for logs, limits and forwarded fields. Who may be believed about forwarded fields is decided by the
connection's other end, which is the load balancer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from gateway.net.deadlines import NEVER
from gateway.net.peer import address_of
from gateway.net.proxy_protocol import Ends, Header, MalformedHeader, begins, read_header
from gateway.net.reset import reset
from gateway.proxy.clients import take_seat
from gateway.proxy.forwarded import Trust

if TYPE_CHECKING:
    from gateway.ir.listener import ListenerOptions
    from gateway.net.accept import Seat
    from gateway.proxy.core import Core
    from gateway.proxy.port import Port

LATE: Final = "PROXY header did not come in time"
UNBELIEVED: Final = "not one of the addresses whose PROXY header is believed"


class Greeting:
    """What the connections of a port begin with."""

    __slots__ = ("_believed", "required")

    def __init__(self, required: bool, addresses: Sequence[str]) -> None:
        """Raises ValueError for what is no CIDR. Without addresses everybody is believed."""
        self.required = required
        self._believed = Trust(0, [ip_network(cidr, strict=False) for cidr in addresses]) if addresses else None

    @classmethod
    def of(cls, listeners: Sequence[ListenerOptions]) -> Greeting | None:
        """Of the listeners of a port, which cannot be told apart yet: the most permissive of them decides. None where none has any."""
        asking = [options for options in listeners if options.proxy_protocol != "Off"]
        if not asking:
            return None
        required = all(options.proxy_protocol == "Require" for options in listeners)
        everybody = any(not options.proxy_protocol_addresses for options in asking)
        return cls(required, () if everybody else [cidr for options in asking for cidr in options.proxy_protocol_addresses])

    def read(self, peer: bytes, data: bytes) -> Header | None:
        """The header that a connection begins with, of no length where there is none; None when more bytes are needed. Raises
        MalformedHeader."""
        if self._believed is not None and not self._believed.believes(peer):
            if self.required:
                raise MalformedHeader(UNBELIEVED)
            return Header(0, None)
        if not self.required and begins(data) is False:
            return Header(0, None)
        return read_header(data)


class Greeter(asyncio.Protocol):
    """The protocol of a new connection on a plain port until its header is read; an item of the worker's deadlines."""

    __slots__ = ("_buffer", "_core", "_peer", "_port", "_refused", "_serving", "_transport", "deadline", "slot")

    def __init__(self, core: Core, port: Port, serving: Callable[[Seat], asyncio.Protocol], refused: Callable[[bytes, str], None]) -> None:
        """`serving` makes the protocol that follows; `refused` is told of a connection that ends here, and why."""
        self._core, self._port, self._serving, self._refused = core, port, serving, refused
        self._transport: asyncio.Transport | None = None
        self._buffer = self._peer = b""
        self.deadline, self.slot = NEVER, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._peer = address_of(transport.get_extra_info("peername"))
        self._port.greeters.add(self)
        self._core.clients.connections += 1
        self._core.deadlines.set(self, monotonic() + self._port.header_timeout)
        self._look()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def expire(self, now: float) -> None:
        """A server may be the first to speak: who may come without a header, and has said nothing, has none."""
        greeting = self._port.greeting
        if not self._buffer and self._port.kind == "tcp" and (greeting is None or not greeting.required):
            self._go(Header(0, None))
        else:
            self._refuse(LATE)

    def drop(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _look(self) -> None:
        greeting = self._port.greeting
        try:
            header = Header(0, None) if greeting is None else greeting.read(self._peer, self._buffer)
        except MalformedHeader as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._go(header)

    def _go(self, header: Header) -> None:
        """The connection is whatever follows."""
        transport = self._transport
        assert transport is not None
        self._leave()
        seat = name_seat(self._core, self._port, self._peer, header.ends)
        if seat is None:
            transport.abort()
            return
        serving = self._serving(seat)
        transport.set_protocol(serving)
        serving.connection_made(transport)
        rest = self._buffer[header.length :]
        if rest and not transport.is_closing():
            serving.data_received(rest)

    def _refuse(self, reason: str) -> None:
        transport = self._transport
        assert transport is not None
        self._leave()
        self._refused(self._peer, reason)
        reset(transport)

    def _leave(self) -> None:
        """Once: from here on others count it, or nobody."""
        if self in self._port.greeters:
            self._port.greeters.discard(self)
            self._core.clients.connections -= 1
            self._core.deadlines.forget(self)


def name_seat(core: Core, port: Port, peer: bytes, ends: Ends | None) -> Seat | None:
    """A seat for the client that a header names; None, counted, when that client has as many as it may."""
    seat = take_seat(core.clients, port, peer if ends is None else ends.address)
    if seat is not None:
        seat.ends = ends
    return seat
