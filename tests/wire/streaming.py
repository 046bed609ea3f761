"""A gateway in this process that serves resources as a controller sends them, for listeners of TCP, TLS and UDP; and peers for it.

Ports are those a user would write, bound at free ports of 127.0.0.1, as in `serving`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from gateway.descriptors import ListeningSockets
from gateway.ir.backend import Backend, BackendOptions, BackendProtocol, BackendTls, Endpoint, EndpointSet
from gateway.ir.batch import AnyResource, Batch, Rejection
from gateway.ir.listener import Listener, ListenerOptions
from gateway.ir.rule import BackendRef, Binding, HttpRule, TcpRule, TlsRule, UdpRule
from gateway.ir.value import Identity, Source
from gateway.options import RuntimeOptions
from gateway.runtime import Runtime
from gateway.telemetry.statistics import Statistics, StreamSeries
from tests.certificates import Authority
from tests.wire.backends import LIMIT, Conversation, LoopThread
from tests.wire.serving import FreePorts, LogLines

GATEWAY = Source("Gateway", "default", "web")
Protocol = Literal["HTTP", "HTTPS", "TLS", "TCP", "UDP"]
Shares = str | Sequence[tuple[str, int]]


def listener(name: str, port: int, protocol: Protocol = "TCP", hostname: str = "", **fields: Any) -> Listener:
    """Key default/web/NAME."""
    return Listener(
        key=f"default/web/{name}", source=GATEWAY, gateway="default/web", name=name, address="127.0.0.1", port=port, bind_port=port,
        location_port=port, protocol=protocol, hostname=hostname, **fields,
    )  # fmt: skip


def options(**fields: Any) -> ListenerOptions:
    return ListenerOptions(**fields)


def backend(
    name: str, *ports: int, protocol: BackendProtocol = "tcp", tls: BackendTls | None = None, address: str = "127.0.0.1", **fields: Any
) -> tuple[AnyResource, ...]:
    """Key default/NAME:80, with an endpoint for each port; fields are those of BackendOptions."""
    key, source = f"default/{name}:80", Source("Service", "default", name)
    described = Backend(key=key, source=source, protocol=protocol, tls=tls, options=BackendOptions(**fields))
    return described, EndpointSet(key=key, source=source, endpoints=tuple(Endpoint(address, port) for port in ports))


def _references(shares: Shares) -> tuple[BackendRef, ...]:
    wanted = ((shares, 1),) if isinstance(shares, str) else shares
    return tuple(BackendRef(f"default/{name}:80", weight) for name, weight in wanted)


def tcp_rule(listener_name: str, shares: Shares, name: str = "route", created: str = "") -> TcpRule:
    bindings = (Binding(f"default/web/{listener_name}", ("",)),)
    source = Source("TCPRoute", "default", name)
    return TcpRule(
        key=f"TCPRoute/default/{name}/0", source=source, route=f"default/{name}", index=0, bindings=bindings, created=created,
        backends=_references(shares),
    )  # fmt: skip


def udp_rule(listener_name: str, shares: Shares, name: str = "route") -> UdpRule:
    bindings = (Binding(f"default/web/{listener_name}", ("",)),)
    source = Source("UDPRoute", "default", name)
    return UdpRule(
        key=f"UDPRoute/default/{name}/0", source=source, route=f"default/{name}", index=0, bindings=bindings, backends=_references(shares)
    )


def tls_rule(listener_name: str, shares: Shares, *hostnames: str, name: str = "route") -> TlsRule:
    bindings = (Binding(f"default/web/{listener_name}", hostnames or ("",)),)
    source = Source("TLSRoute", "default", name)
    return TlsRule(
        key=f"TLSRoute/default/{name}/0", source=source, route=f"default/{name}", index=0, bindings=bindings, backends=_references(shares)
    )


def http_rule(listener_name: str, shares: Shares, name: str = "http") -> HttpRule:
    bindings = (Binding(f"default/web/{listener_name}", ("",)),)
    source = Source("HTTPRoute", "default", name)
    return HttpRule(
        key=f"HTTPRoute/default/{name}/0", source=source, route=f"default/{name}", index=0, bindings=bindings, backends=_references(shares)
    )


class StreamSite:
    """A gateway that serves what it is told, or the sidecar of a workload. Used by the thread of the test alone."""

    def __init__(
        self, *resources: AnyResource | tuple[AnyResource, ...], sockets: ListeningSockets | None = None, workload: str = ""
    ) -> None:
        self._workload = workload
        self.sockets = FreePorts()
        self._sockets = sockets or self.sockets
        self.log = LogLines()
        self._thread = LoopThread("gateway")
        self._revision = 0
        self.rejections: tuple[Rejection, ...] = ()
        self.runtime: Runtime = self._thread.call(self._make_runtime)
        self._drained = False
        self.put(*resources)

    def _make_runtime(self) -> Runtime:
        return Runtime(self._thread.loop, self._sockets, RuntimeOptions(log_descriptor=self.log.descriptor, workload=self._workload))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._drained:
            self._thread.call(self.runtime.close)
        self._thread.close()
        self.log.close()
        assert not self._thread.faults, self._thread.faults

    def put(self, *resources: AnyResource | tuple[AnyResource, ...], remove: Sequence[Identity] = ()) -> None:
        """One change, live when this returns."""
        self._revision += 1
        flat = [one for part in resources for one in (part if isinstance(part, tuple) else (part,))]
        batch = Batch(self._revision, tuple(flat), tuple(remove))
        self.rejections = self._thread.run(self.runtime.apply(batch))

    def run(self, function: Callable[[], Any]) -> Any:
        """What a function returns that runs in the gateway's loop; it has read by then what was sent to it before."""
        return self._thread.call(function)

    def settle(self) -> None:
        """Returns when no table of hashes is being built any more."""
        while not self.run(lambda: all(each.is_settled() for each in self.runtime._live.described.values())):
            pass

    def address(self, port: int) -> tuple[str, int]:
        return "127.0.0.1", self.sockets.bound[port]

    def connect(self, port: int) -> socket.socket:
        connection = socket.create_connection(self.address(port), timeout=LIMIT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def refuses(self, port: int, *sent: bytes) -> bool:
        """Whether a connection is reset with nothing before, may it be before the client knows that it is there."""
        try:
            with self.connect(port) as client:
                for piece in sent:
                    client.sendall(piece)
                client.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):
            return True
        return False

    def explain(self, url: str) -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.json.decode(self._thread.run(self.runtime.explain({"method": "CONNECT", "url": url})))
        return answer

    def statistics(self) -> Statistics:
        return msgspec.json.decode(self._thread.run(self.runtime.statistics()), type=Statistics)

    def streams(self, backend_name: str = "") -> dict[str, StreamSeries]:
        """The series of a backend by flag."""
        key = f"default/{backend_name}:80" if backend_name else ""
        return {series.flags: series for series in self.statistics().streams if series.backend == key}

    def drain(self, delay: float = 0.0, timeout: float = LIMIT) -> None:
        self._drained = True
        self._thread.run(self.runtime.drain(delay, timeout))

    def begin_drain(self, timeout: float = LIMIT) -> Any:
        """A drain under way; its `result` waits for the end."""
        self._drained = True
        return asyncio.run_coroutine_threadsafe(self.runtime.drain(0.0, timeout), self._thread.loop)


def echo(name: bytes = b"") -> Callable[[Conversation], None]:
    """A backend that says its name and sends back what comes until the client ends its side, then ends too."""

    def script(conversation: Conversation) -> None:
        conversation.send(name)
        while data := conversation.connection.recv(65_536):
            conversation.send(data)

    return script


def serving(authority: Authority, name: str, folder: Path, *alpn: str) -> ssl.SSLContext:
    """What a server with a certificate for a name does its handshakes with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name).write(folder, name))
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def read_all(connection: socket.socket) -> bytes:
    """Up to the end of the stream."""
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received


def read_exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        data = connection.recv(size - len(received))
        assert data, f"the connection ended after {received!r}"
        received += data
    return received


def is_reset(connection: socket.socket) -> bool:
    """Whether the connection ends with a reset, and with nothing before it."""
    try:
        return connection.recv(65_536) is None
    except ConnectionResetError:
        return True


def is_over(connection: socket.socket) -> bool:
    """Whether the connection ends, in whatever way, with nothing before it."""
    try:
        return connection.recv(65_536) == b""
    except ConnectionResetError:
        return True


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        connection.close()
