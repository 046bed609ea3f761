"""Connections of HTTP/2 without sockets: a loop whose turns a test takes, a transport that keeps what is written, either end of ours."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from hyperframe.frame import Frame

from gateway.proxy.core import Core
from gateway.proxy.http2.backend_connection import Http2BackendConnection
from gateway.proxy.http2.client_connection import Http2ClientConnection
from gateway.proxy.port import Port
from gateway.proxy.rule import Account
from gateway.telemetry.counters import NO_LABELS
from gateway.upstream.connections import Connections
from gateway.upstream.endpoint import Endpoint, Pool

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Turns:
    """As much of an event loop as connections use. Timers never come."""

    def __init__(self) -> None:
        self._soon: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self._soon.append((callback, arguments))

    def call_later(self, _delay: float, _callback: Callable[..., object], *_arguments: Any) -> None:
        pass

    def create_future(self) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.Future(loop=cast(asyncio.AbstractEventLoop, self))
        return future

    def get_debug(self) -> bool:
        return False

    def turn(self) -> None:
        """What is to be called soon, and what that asks for."""
        while self._soon:
            callback, arguments = self._soon.popleft()
            callback(*arguments)


class Kept(asyncio.Transport):
    """Takes everything and keeps it; closed once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = self.reading_paused = False

    def write(self, data: object) -> None:
        assert not self.closing or not data, "written to a closed connection"
        self.written += bytes(cast(bytes, data))

    def writelines(self, list_of_data: object) -> None:
        raise AssertionError("nobody does")

    def get_write_buffer_size(self) -> int:
        return 0

    def write_eof(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False

    def take(self) -> list[Frame]:
        """The frames written since the last call."""
        written, self.written = self.written.removeprefix(PREFACE), b""
        found = []
        while written:
            frame, size = Frame.parse_frame_header(memoryview(written[:9]))
            frame.parse_body(memoryview(written[9 : 9 + size]))
            found.append(frame)
            written = written[9 + size :]
        return found


class Ours:
    """The proxy's end of a client's connection, on a port without listeners: every request is answered 404."""

    def __init__(self) -> None:
        self.loop = Turns()
        self.core = Core(cast(asyncio.AbstractEventLoop, self.loop))
        self.port = Port("127.0.0.1", 80, "http", Account(self.core.counters_for(NO_LABELS), NO_LABELS))
        self.transport = Kept()
        self.connection = Http2ClientConnection(self.core, self.port)
        self.connection.connection_made(self.transport)

    def receive(self, *frames: Frame) -> list[Frame]:
        """The frames that are answered to these."""
        self.connection.data_received(b"".join(frame.serialize() for frame in frames))
        self.loop.turn()
        return self.transport.take()


class Asked:
    """Connections of ours to one endpoint."""

    def __init__(self, most: int = 10_000) -> None:
        self.loop = Turns()
        self.connections = Connections(lambda: (self.endpoint,), most, 1024)
        self.connections.protocol = "h2c"
        self.endpoint = Endpoint("10.0.0.1", 80, self.connections, cast(Any, None))
        self.pool: Pool = self.endpoint.plain

    def connect(self) -> tuple[Http2BackendConnection, Kept]:
        """One that nothing has come on yet."""
        assert self.connections.reserve()
        connection = Http2BackendConnection(cast(asyncio.AbstractEventLoop, self.loop), self.endpoint, self.pool)
        transport = Kept()
        connection.connection_made(transport)
        return connection, transport
