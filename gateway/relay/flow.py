"""The datagrams of one client address, and the connected socket over which they go to an endpoint and its answers come back.

A flow stays with its endpoint until nothing has passed for the idle timeout, the endpoint says that nobody listens there, or it is taken
away. Nothing waits for a socket that takes no more: a datagram that cannot go now is dropped and counted, as on any network.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.net.deadlines import NEVER
from gateway.net.peer import address_of
from gateway.net.sockets import Address
from gateway.telemetry.access_log import client_fragment
from gateway.telemetry.streams import StreamRecord
from gateway.upstream.connect import OUR_OWN

if TYPE_CHECKING:
    from gateway.proxy.port import LiveListener
    from gateway.relay.udp_port import OpenUdpPort
    from gateway.telemetry.streams import StreamAccount
    from gateway.upstream.backend import Backend
    from gateway.upstream.endpoint import Endpoint
    from gateway.upstream.lease import Lease

LARGEST: Final = 65_536
"""Bytes, more than a datagram can have."""
AT_ONCE: Final = 64
"""Datagrams read from a socket in one callback, so that none keeps the others waiting."""
MOST_EARLY: Final = 16
"""Datagrams held while the name of an endpoint is looked up."""

_UNREACHABLE: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENOPROTOOPT})
"""What ICMP says of an endpoint."""
_FRAGMENT: Final = client_fragment(b"", b"")


Ancillary = tuple[int, int, bytes]
"""What goes with a datagram (sendmsg(2))."""


class Source(NamedTuple):
    """Who sent a datagram, by which key the port finds the flow, and what makes an answer leave from the very address that was asked: None
    where the socket has only that one."""

    key: object
    client: Address
    ancillary: Ancillary | None = None


class Destination(NamedTuple):
    """What was chosen for a flow."""

    listener: LiveListener
    backend: Backend
    endpoint: Endpoint
    account: StreamAccount


class Flow:
    """Owner of its socket, and an item of the worker's deadlines. Ends once: with its line in the log and its place in the counters."""

    __slots__ = (
        "_account", "_began", "_connected", "_early", "_ended", "_idle", "_lease", "_listener", "_port", "_received", "_sent", "_source",
        "_task", "_told", "backend", "deadline", "endpoint", "slot",
    )  # fmt: skip

    def __init__(self, port: OpenUdpPort, source: Source, destination: Destination, lease: Lease) -> None:
        self._port, self._source, self._lease = port, source, lease
        self._listener, self.backend, self.endpoint, self._account = destination
        self._idle = self._listener.flow_idle
        self._connected: socket.socket | None = None
        """None while a name is looked up."""
        self._task: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self._received = self._sent = 0
        self._told = (0, 0)
        """Bytes of each direction that the account has by now."""
        self._ended = False
        self.deadline, self.slot = NEVER, 0
        self._began = monotonic()
        self._account.sums.opened += 1

    def open(self) -> None:
        """Connects, at once where the endpoint has an address and no name. Raises OSError, and nothing is left behind."""
        core, address = self._port.core, self.endpoint.address
        try:
            ip_address(address)
        except ValueError:
            self._task = core.start(self._look_up())
        else:
            self._connect(address)
        self._port.core.deadlines.set(self, self._began + self._idle)

    async def _look_up(self) -> None:
        try:
            address = await self._port.core.resolver.address(self.endpoint.address)
            self._task = None
            self._connect(address)
        except OSError as error:
            self._task = None
            self.fail(error)
            return
        early, self._early = self._early, []
        for datagram in early:
            self.forward(memoryview(datagram), monotonic())

    def _connect(self, address: str) -> None:
        core, port = self._port.core, self.endpoint.port
        if (address, port) in core.forbidden_datagrams:
            raise OSError(errno.EHOSTUNREACH, "an address of this proxy itself")
        connected = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            connected.setblocking(False)
            connected.connect((address, port))
        except BaseException:
            connected.close()
            raise
        self._connected = connected
        core.loop.add_reader(connected.fileno(), self._readable)

    # datagrams

    def forward(self, datagram: memoryview, now: float) -> None:
        """From the client."""
        self.deadline = now + self._idle
        connected = self._connected
        if connected is None:
            if self._task is None or len(self._early) >= MOST_EARLY:
                self._port.drop("endpoint is looked up")
            else:
                self._early.append(bytes(datagram))
            return
        try:
            self._received += connected.send(datagram)
        except (BlockingIOError, InterruptedError):
            self._port.drop("endpoint takes no more")
        except OSError as error:
            self._port.drop("endpoint unreachable" if error.errno in _UNREACHABLE else "not sent")
            if error.errno in _UNREACHABLE:
                self.fail(error)

    def _readable(self) -> None:
        connected, port, (_, client, ancillary) = self._connected, self._port, self._source
        assert connected is not None
        buffer = port.buffer
        self.deadline = monotonic() + self._idle
        for _ in range(AT_ONCE):
            try:
                size = connected.recv_into(buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.fail(error)
                return
            if not self._sent:
                self._lease.answered_well()
            if port.answer(buffer[:size], client, ancillary):
                self._sent += size

    # its end

    def fail(self, error: OSError) -> None:
        """The endpoint cannot be reached; the next datagram of the client begins another flow."""
        if self._ended:
            return
        endpoint = self.endpoint
        reason = f"no datagram reaches {endpoint.label.decode()}: {error.strerror or error}"
        if error.errno not in OUR_OWN:
            endpoint.protection.answered_badly(endpoint, reason, self._lease.began)
        self.end("UF", reason)

    def expire(self, now: float) -> None:
        """Nothing has passed for the idle timeout: that is how flows end."""
        self.end()

    def hurry(self, limit: float) -> None:
        """It ends when nothing has passed for so many seconds."""
        self._idle = min(self._idle, limit)
        self._port.core.deadlines.set(self, min(self.deadline, monotonic() + self._idle))

    def drop(self) -> None:
        """Ends it at once."""
        self.end("LR", "cut off by the proxy")

    def end(self, flag: str = "", reason: str = "") -> None:
        """Once; further calls do nothing."""
        if self._ended:
            return
        self._ended = True
        port, core, account = self._port, self._port.core, self._account
        if self._task is not None:
            self._task.cancel()
        if self._connected is not None:
            core.loop.remove_reader(self._connected.fileno())
            self._connected.close()
            self._connected = None
        if self.slot:
            core.deadlines.forget(self)
        self._lease.release()
        self.backend.connections.release()
        port.ended(self, self._source.key)
        self.count()
        account.sums.close(flag)
        if self._listener.options.access_log:
            client, label = address_of(self._source.client), self.endpoint.label
            times = (self._began, monotonic())
            core.log.append(StreamRecord("UDP", *times, flag, reason, *self._told, client, b"", account, label, _FRAGMENT))

    def count(self) -> None:
        """Adds what has passed since the last time."""
        sums, now = self._account.sums, (self._received, self._sent)
        sums.received += now[0] - self._told[0]
        sums.sent += now[1] - self._told[1]
        self._told = now
