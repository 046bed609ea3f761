"""A UDP port while it is open: reads datagrams, finds or begins the flow of each, and sends answers back.

With SO_REUSEPORT the system gives all datagrams of one client address to one worker as long as the sockets stay, so that flows need not be
shared. On a socket that is bound to all addresses answers leave from the address that was asked (IP_PKTINFO).
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.net.peer import NOBODY, address_of
from gateway.net.sockets import Address
from gateway.proxy.guard import forbids_flow
from gateway.proxy.guarded import OVERFLOW
from gateway.proxy.peers import Traffic
from gateway.proxy.port import LiveListener, Port, PortKind, by_hostname
from gateway.proxy.rule import Account
from gateway.relay.flow import AT_ONCE, LARGEST, Ancillary, Destination, Flow, Source
from gateway.relay.rule import account_of
from gateway.telemetry.counters import NO_LABELS
from gateway.upstream.lease import Lease
from gateway.upstream.request_hash import client_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.descriptors import Place
    from gateway.proxy.core import Core
    from gateway.upstream.backend import Backend
    from gateway.upstream.endpoint import Endpoint

LAST_ANSWERS: Final = 2.0
"""Seconds that flows of a closed port wait for another answer."""
DRAINING_IDLE: Final = 5.0
"""Seconds without a datagram at which flows end while the proxy drains."""
_IP_PKTINFO: Final[int] = getattr(socket, "IP_PKTINFO", 8)  # Python has the name since 3.14
_IN_PKTINFO: Final = struct.Struct("=I4s4s")
_ANCILLARY: Final = socket.CMSG_SPACE(20)


class OpenUdpPort:
    """Owns the socket from the start, and every flow. See OpenPort, beside which it stands."""

    __slots__ = ("_any", "_flows", "_paused", "_reading", "_socket", "_taking", "_view", "buffer", "core", "port")

    def __init__(self, core: Core, place: Place, bound: socket.socket) -> None:
        self.core, self._socket = core, bound
        self.port = Port(place.address, place.port, "udp", Account(core.counters_for(NO_LABELS), NO_LABELS))
        self._any = place.address in ("0.0.0.0", "::")  # noqa: S104  # a comparison
        self._flows: dict[object, Flow] = {}
        self.buffer = memoryview(bytearray(LARGEST))
        """For one datagram at a time."""
        self._reading = self._paused = False
        self._taking = True
        """Whether new flows may begin."""

    # what the runtime calls

    async def serve(self) -> None:
        """Begins to read; nothing when it does already."""
        if self._reading or self._socket.fileno() < 0:
            return
        if self._any:
            self._tell_destinations()
        self._reading = True
        self.core.loop.add_reader(self._socket.fileno(), self._read_any if self._any else self._read)

    def _tell_destinations(self) -> None:
        if self._socket.family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def listen(self, listeners: Iterable[LiveListener]) -> None:
        self.port.listen(by_hostname(listeners))

    def pause(self) -> None:
        """No new flow until `resume`."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def tend(self) -> None:
        """Nothing of it ends by itself."""

    @property
    def kind(self) -> PortKind:
        return self.port.kind

    @property
    def ports(self) -> tuple[Port, ...]:
        return (self.port,)

    @property
    def handshake_failures(self) -> dict[str, int]:
        return {}

    @property
    def busy(self) -> bool:
        return bool(self._flows)

    def close(self) -> None:
        """Reads no more; the flows there are get what answers come at once."""
        if self._reading:
            self._reading = False
            self.core.loop.remove_reader(self._socket.fileno())
        self._hurry(LAST_ANSWERS)

    def close_kept(self) -> None:
        """A flow has no responses."""

    def drain(self) -> None:
        """Takes no new flow; those that are there go on as long as anything passes."""
        self._hurry(DRAINING_IDLE)

    def _hurry(self, limit: float) -> None:
        self._taking = False
        if not self._flows:
            self._close_socket()
        for flow in tuple(self._flows.values()):
            flow.hurry(limit)

    def abort(self) -> None:
        """Ends everything at once."""
        self.close()
        for flow in tuple(self._flows.values()):
            flow.drop()

    # what flows call

    def drop(self, reason: str) -> None:
        """Counts a datagram that goes nowhere."""
        dropped = self.core.datagrams_dropped
        dropped[reason] = dropped.get(reason, 0) + 1

    def answer(self, datagram: memoryview, client: Address, ancillary: Ancillary | None) -> bool:
        """Sends to a client; False, counted, where the system takes no more."""
        try:
            if ancillary is None:
                self._socket.sendto(datagram, client)
            else:
                self._socket.sendmsg((datagram,), (ancillary,), 0, client)
        except (BlockingIOError, InterruptedError):
            self.drop("client takes no more")
            return False
        except OSError:
            self.drop("client unreachable")
            return False
        return True

    def ended(self, flow: Flow, key: object) -> None:
        """A flow is no more."""
        self.port.relays.discard(flow)
        self.core.clients.connections -= 1
        if self._flows.get(key) is flow:
            del self._flows[key]
        if not self._taking and not self._flows:
            self._close_socket()

    def _close_socket(self) -> None:
        if self._reading:
            self._reading = False
            self.core.loop.remove_reader(self._socket.fileno())
        self._socket.close()

    # reading

    def _read(self) -> None:
        bound, buffer, flows, now = self._socket, self.buffer, self._flows, monotonic()
        for _ in range(AT_ONCE):
            try:
                size, client = bound.recvfrom_into(buffer)
            except OSError:  # nothing more, as a rule
                return
            flow = flows.get(client)
            if flow is None or flow.endpoint.retired:
                flow = self._begin(Source(client, client), flow)
                if flow is None:
                    continue
            flow.forward(buffer[:size], now)

    def _read_any(self) -> None:
        """Of a socket that is bound to all addresses: who asks two of them has two flows."""
        bound, buffer, flows, now = self._socket, self.buffer, self._flows, monotonic()
        buffers = (buffer,)
        for _ in range(AT_ONCE):
            try:
                size, ancillary, _, client = bound.recvmsg_into(buffers, _ANCILLARY)
            except OSError:
                return
            key = (client, ancillary[0][2] if ancillary else b"")
            flow = flows.get(key)
            if flow is None or flow.endpoint.retired:
                flow = self._begin(Source(key, client, _back(ancillary)), flow)
                if flow is None:
                    continue
            flow.forward(buffer[:size], now)

    # beginning

    def _begin(self, source: Source, before: Flow | None) -> Flow | None:
        """The flow of a client that has none, or whose endpoint is gone; None, counted, where the datagram is dropped."""
        if before is not None:
            before.end()
        reason = self._refusal()
        chosen = self._choose(source) if not reason else None
        if chosen is None:
            if reason:
                self.drop(reason)
            return None
        flow = Flow(self, source, chosen, Lease(chosen.backend, chosen.endpoint))
        self._flows[source.key] = flow
        self.port.relays.add(flow)
        self.core.clients.connections += 1
        try:
            flow.open()
        except OSError as error:
            self.drop("no socket to the endpoint")
            flow.fail(error)
            return None
        return flow

    def _refusal(self) -> str:
        """Why no flow may begin, '' when one may."""
        clients, restraint = self.core.clients, self.port.restraint
        if not self._taking:
            return "draining"
        if self._paused or (restraint is not None and restraint.shortage):
            return "overload"
        if clients.connections >= clients.most:
            return "flows of the worker"
        return "flows of the port" if len(self._flows) >= self.port.most_flows else ""

    def _choose(self, source: Source) -> Destination | None:
        """None, counted, where there is nobody to pass it on to."""
        core = self.core
        listener = self.port.hosts.choose(b"")
        rule = listener.streams.choose(b"") if listener is not None else None
        if listener is None or rule is None:
            self.drop("no route")
            return None
        guard = listener.guard
        if guard is not None and forbids_flow(core, listener, guard, address_of(source.client), self._destination(source)):
            self.drop("denied")
            return None
        share = rule.choose(core)
        backend = share.backend if share is not None else None
        if share is None or backend is None or backend.error is not None:
            self.drop("no backend")
            return None
        endpoint = self._endpoint(source, backend)
        if endpoint is None:
            return None
        account = account_of(core, listener.resource, rule, share)
        if core.peers is not None:
            account = core.peers.stream_account(account, Traffic(listener.resource, endpoint, NOBODY))
        return Destination(listener, backend, endpoint, account)

    def _destination(self, source: Source) -> bytes:
        """The address that a datagram came to."""
        if source.ancillary is None:
            return self.port.address.encode()
        level, _, data = source.ancillary
        local: bytes = _IN_PKTINFO.unpack(data)[1] if level == socket.IPPROTO_IP else data[:16]
        return address_of((str(ip_address(local)), 0))

    def _endpoint(self, source: Source, backend: Backend) -> Endpoint | None:
        """With a place among the backend's connections."""
        most = backend.options.limits.requests
        limit = "requests" if most and backend.active >= most else ""
        if not limit and not backend.connections.reserve():
            limit = "connections"
        if limit:
            self.core.incidents.count(OVERFLOW, backend.key, "limit", limit)
            self.drop("limit of the backend")
            return None
        key = client_key(source.client[0].encode()) if backend.hashing is not None else None
        endpoint = backend.balancer.pick(key=key)
        if endpoint is None:
            backend.connections.release()
            self.drop("no endpoint")
        return endpoint


def _back(ancillary: list[Ancillary]) -> Ancillary | None:
    """What makes an answer leave from where its question came to; a link-local address needs its interface, too."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, local, _ = _IN_PKTINFO.unpack(data)
            return level, kind, _IN_PKTINFO.pack(0, local, bytes(4))
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            link_local = data[0] == 0xFE and data[1] & 0xC0 == 0x80
            return level, kind, data if link_local else data[:16] + bytes(4)
    return None
