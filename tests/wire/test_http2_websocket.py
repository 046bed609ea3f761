"""WebSocket between clients and backends of both protocols: a handshake in one becomes the handshake of the other (RFC 6455, RFC 8441)."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from gateway.http.websocket import acceptance
from tests.wire.backends import Conversation, LoopThread, Scripted
from tests.wire.conftest import Serve
from tests.wire.http2_backends import http2_service
from tests.wire.http2_clients import Http2Client
from tests.wire.http2_frames import FrameEnd, data
from tests.wire.peers import Wire
from tests.wire.serving import Site, service

TO_POOL = "- backendRefs: [{name: pool, port: 80}]"
Version = Literal["HTTP/1.1", "HTTP/2"]
Scripting = Callable[..., Scripted]
KEY = b64encode(bytes(16)).decode()
HELLO = b"\x81\x85\x00\x00\x00\x00hello"
"""A text message of a client, with a mask of zeros."""
ECHOED = b"\x81\x05hello"
TAKES_TUNNELS = {SettingsFrame.ENABLE_CONNECT_PROTOCOL: 1}


class Tunnel(Protocol):
    """A client's end."""

    def send(self, payload: bytes) -> None: ...
    def receive(self, size: int) -> bytes: ...
    def end(self) -> None:
        """No more comes from the client."""

    def is_ended(self) -> bool:
        """Waits for the backend's end; True when nothing comes before it."""


class Http1Tunnel:
    def __init__(self, wire: Wire, protocols: str) -> None:
        self._wire = wire
        wire.send(
            f"GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocols}\r\n\r\n".encode()
        )
        self.head = wire.read_until(b"\r\n\r\n").decode().lower()

    def send(self, payload: bytes) -> None:
        self._wire.send(payload)

    def receive(self, size: int) -> bytes:
        wire = self._wire
        while len(wire.received) < size:
            piece = wire.socket.recv(65_536)
            assert piece, f"the tunnel ended after {wire.received!r}"
            wire.received += piece
        got, wire.received = wire.received[:size], wire.received[size:]
        return got

    def end(self) -> None:
        self._wire.end()

    def is_ended(self) -> bool:
        return self._wire.is_ended()


class Http2Tunnel:
    def __init__(self, client: Http2Client, protocols: str) -> None:
        self._client = client
        client.read_until(lambda: client.h2.remote_settings.enable_connect_protocol == 1)
        self.stream = client.begin(
            "/chat",
            method="CONNECT",
            fields=((":protocol", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", protocols)),
            ends=False,
        )
        response = client.responses[self.stream]
        client.read_until(lambda: response.status > 0)
        self.response, self._read = response, 0
        self.head = "\r\n".join([f"status: {response.status}", *(f"{name}: {value}" for name, value in response.fields)]).lower() + "\r\n"

    def send(self, payload: bytes) -> None:
        self._client.send(self.stream, payload)

    def receive(self, size: int) -> bytes:
        self._client.read_until(lambda: len(self.response.body) >= self._read + size)
        got = self.response.body[self._read : self._read + size]
        self._read += size
        return got

    def end(self) -> None:
        self._client.send(self.stream, b"", ends=True)

    def is_ended(self) -> bool:
        self._client.answer(self.stream)
        return self.response.ends and len(self.response.body) == self._read


@contextmanager
def tunnel(site: Site, version: Version, protocols: str = "chat, other") -> Iterator[Http1Tunnel | Http2Tunnel]:
    if version == "HTTP/1.1":
        with Wire(site) as wire:
            yield Http1Tunnel(wire, protocols)
    else:
        with Http2Client(site.address()) as client:
            yield Http2Tunnel(client, protocols)


class Sockets:
    """A server of the websockets library, which echoes messages and speaks the protocol `chat`."""

    def __init__(self) -> None:
        self.thread = LoopThread("websockets")
        self._server: Server = self.thread.run(self._serve())
        self.port: int = next(iter(self._server.sockets)).getsockname()[1]

    async def _serve(self) -> Server:
        return await serve_websocket(self._echo, "127.0.0.1", 0, subprotocols=["chat"], compression=None)  # type: ignore[list-item]

    async def _echo(self, connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    def close(self) -> None:
        async def close() -> None:
            self._server.close()
            await asyncio.wait_for(self._server.wait_closed(), 5)

        self.thread.run(close())
        self.thread.close()


def echoes_frames(conversation: Conversation) -> None:
    """A backend of RFC 8441: what comes through a tunnel goes back without its mask."""
    end = FrameEnd.server(conversation.connection, TAKES_TUNNELS)
    head = end.until(HeadersFrame)
    fields = end.fields(head)
    stream = head.stream_id
    assert (fields[":method"], fields[":protocol"], fields[":path"], fields[":scheme"]) == ("CONNECT", "websocket", "/chat", "http")
    assert fields["sec-websocket-version"] == "13"
    assert "sec-websocket-key" not in fields
    assert "END_STREAM" not in head.flags
    end.send(end.response(stream, 200, ("sec-websocket-protocol", "chat"), ends=False))
    while True:
        frame = end.until(DataFrame)
        if frame.data:
            assert frame.data == HELLO
            end.send(data(stream, ECHOED))
        if "END_STREAM" in frame.flags:
            end.send(data(stream, ends=True))
            end.rest()
            return


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    server = Sockets()
    yield server
    server.close()


both = pytest.mark.parametrize("client", ["HTTP/1.1", "HTTP/2"])


@both
def test_messages_pass_to_http1(serve: Serve, sockets: Sockets, client: Version) -> None:
    """RFC 8441 5: the CONNECT of HTTP/2 is the GET of HTTP/1.1 with a key of ours; the answer is 200, or 101 with Sec-WebSocket-Accept."""
    with tunnel(serve(service("pool", sockets.port), TO_POOL), client) as opened:
        accept = "sec-websocket-accept" in opened.head
        assert accept == (client == "HTTP/1.1")
        assert "sec-websocket-protocol: chat\r\n" in opened.head
        for _ in range(3):
            opened.send(HELLO)
            assert opened.receive(len(ECHOED)) == ECHOED
        opened.send(b"\x88\x82\x00\x00\x00\x00\x03\xe8")
        assert opened.receive(4) == b"\x88\x02\x03\xe8"
        assert opened.is_ended()


@both
def test_messages_pass_to_http2(serve: Serve, scripted: Scripting, client: Version) -> None:
    """RFC 8441 4: extended CONNECT without a key; to HTTP/1.1 the answer is 101 with the Sec-WebSocket-Accept of its key (RFC 6455 4.2.2).
    Each side ends its direction alone."""
    site = serve(http2_service("pool", scripted(echoes_frames).port), TO_POOL)
    with tunnel(site, client) as opened:
        if client == "HTTP/1.1":
            assert opened.head.startswith("http/1.1 101 ")
            assert "sec-websocket-accept: icx+yqv66kxgm0fcwalwlflwtai=\r\n" in opened.head
            assert "connection: upgrade\r\n" in opened.head
        assert "sec-websocket-protocol: chat\r\n" in opened.head
        for _ in range(3):
            opened.send(HELLO)
            assert opened.receive(len(ECHOED)) == ECHOED
        opened.end()
        assert opened.is_ended()


@both
def test_a_backend_that_takes_none(serve: Serve, scripted: Scripting, client: Version) -> None:
    """RFC 8441 3: nothing is asked of a backend that has not said ENABLE_CONNECT_PROTOCOL; the client is told."""
    site = serve(http2_service("pool", scripted(lambda conversation: FrameEnd.server(conversation.connection).rest()).port), TO_POOL)
    with tunnel(site, client) as opened:
        assert "502" in opened.head
        assert "backend takes no websockets over http/2" in opened.head


@both
def test_a_backend_that_says_no(serve: Serve, scripted: Scripting, client: Version) -> None:
    """RFC 8441 4: an answer that is no 2xx is an ordinary one, and the stream to the backend ends."""

    def refuses(conversation: Conversation) -> None:
        end = FrameEnd.server(conversation.connection, TAKES_TUNNELS)
        stream = end.until(HeadersFrame).stream_id
        end.send(end.response(stream, 403, ("content-length", "2"), ends=False), data(stream, b"no", ends=True))
        end.until(RstStreamFrame)
        end.rest()

    with tunnel(serve(http2_service("pool", scripted(refuses).port), TO_POOL), client) as opened:
        assert "403" in opened.head
        assert opened.receive(2) == b"no"


@pytest.mark.parametrize("backend", ["HTTP/1.1", "HTTP/2"])
def test_a_client_that_resets_its_tunnel(serve: Serve, scripted: Scripting, backend: Version) -> None:
    """The backend's end of it is gone too, and other streams of the client go on."""
    if backend == "HTTP/2":

        def waits(conversation: Conversation) -> None:
            end = FrameEnd.server(conversation.connection, TAKES_TUNNELS)
            stream = end.until(HeadersFrame).stream_id
            end.send(end.response(stream, 200, ends=False))
            end.until(RstStreamFrame, lambda frame: frame.stream_id == stream)
            end.send(end.response(end.until(HeadersFrame).stream_id, 204))
            end.rest()

        site = serve(http2_service("pool", scripted(waits).port), TO_POOL)
    else:

        def upgrades(conversation: Conversation) -> None:
            key = conversation.read_head().partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
            conversation.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % acceptance(key)
            )
            assert conversation.connection.recv(1) == b""

        def answers(conversation: Conversation) -> None:
            conversation.read_head()
            conversation.send(b"HTTP/1.1 204 No Content\r\n\r\n")

        site = serve(service("pool", scripted(upgrades, answers).port), TO_POOL)
    with Http2Client(site.address()) as client:
        opened = Http2Tunnel(client, "chat")
        assert opened.response.status == 200
        client.reset(opened.stream, ErrorCodes.CANCEL)
        assert client.ask().status == 204
