"""An ASGI server of HTTP/2 with prior knowledge on the h2 library, so that the echo backends can be asked over it too."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Message = MutableMapping[str, Any]
Application = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Http2Server:
    """Serves an application on a listening socket, in the loop that runs."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    async def serve(self, listening: socket.socket) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Link(self), sock=listening)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        running = [task for link in self._links for task in link.tasks]
        for link in self._links:
            link.transport.abort()
        await asyncio.gather(*running, return_exceptions=True)

    def join(self, link: _Link) -> None:
        self._links.add(link)

    def leave(self, link: _Link) -> None:
        self._links.discard(link)


class _Link(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, server: Http2Server) -> None:
        self._server = server
        configuration = h2.config.H2Configuration(client_side=False, header_encoding="latin-1", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(configuration)
        self.tasks: set[asyncio.Task[None]] = set()
        self.moved = asyncio.Event()
        """Set when a window has opened, or the connection has ended."""
        self._streams: dict[int, _Stream] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are no subclasses of it
        self._server.join(self)
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.leave(self)
        for stream in list(self._streams.values()):
            stream.leave()
        self.moved.set()

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self._take(event)
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                stream = self._streams[event.stream_id] = _Stream(self, event.stream_id, event.headers)
                task = asyncio.get_running_loop().create_task(stream.run(self._server.application))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            case h2.events.DataReceived():
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._streams[event.stream_id].put(event.data, more=True)
            case h2.events.StreamEnded():
                self._streams[event.stream_id].put(b"", more=False)
            case h2.events.StreamReset() if event.stream_id in self._streams:
                self._streams[event.stream_id].leave()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self.moved.set()

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.transport.write(data)

    def forget(self, number: int) -> None:
        self._streams.pop(number, None)


class _Stream:
    """One request and its response."""

    def __init__(self, link: _Link, number: int, head: list[tuple[str, str]]) -> None:
        self._link, self._number = link, number
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._gone = False
        pseudo = {name: value for name, value in head if name.startswith(":")}
        path, _, query = pseudo.get(":path", "").partition("?")
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head if not name.startswith(":")]
        self._scope: Message = {
            "type": "http",
            "method": pseudo[":method"],
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [(b"host", pseudo[":authority"].encode("latin-1")), *fields],
            "server": link.transport.get_extra_info("sockname")[:2],
        }

    def put(self, body: bytes, more: bool) -> None:
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self._gone = True
        self._link.moved.set()
        self._messages.put_nowait({"type": "http.disconnect"})

    async def run(self, application: Application) -> None:
        try:
            await application(self._scope, self._messages.get, self._send)
        except h2.exceptions.ProtocolError:
            pass  # the proxy has reset the stream meanwhile
        finally:
            self._link.forget(self._number)

    async def _send(self, message: Message) -> None:
        if self._gone:
            return
        if message["type"] == "http.response.start":
            fields = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message["headers"]]
            self._link.h2.send_headers(self._number, [(":status", str(message["status"])), *fields])
        else:
            if self._scope["method"] != "HEAD":
                await self._send_body(message.get("body", b""))
            if not message.get("more_body", False) and not self._gone:
                self._link.h2.end_stream(self._number)
        self._link.flush()

    async def _send_body(self, body: bytes) -> None:
        link = self._link
        while body and not self._gone:
            room = min(link.h2.local_flow_control_window(self._number), link.h2.max_outbound_frame_size)
            if room <= 0:
                link.moved.clear()
                await link.moved.wait()
                continue
            link.h2.send_data(self._number, body[:room])
            link.flush()
            body = body[room:]
