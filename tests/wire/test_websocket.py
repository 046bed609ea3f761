"""WebSocket through a route (HTTPRouteBackendProtocolWebSocket, RFC 6455), with the client and the server of `websockets`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.wire.backends import LIMIT, Echo, LoopThread, Planned
from tests.wire.conftest import Serve
from tests.wire.serving import Site

SERVICE = """
kind: Service
metadata: {name: chat}
spec: {ports: [{name: ws, port: 80, appProtocol: kubernetes.io/ws}]}
---
kind: EndpointSlice
metadata: {name: chat-1, labels: {kubernetes.io/service-name: chat}}
addressType: IPv4
ports: [{name: ws, port: %d}]
endpoints: [{addresses: [127.0.0.1]}]
"""
TO_CHAT = "- backendRefs: [{name: chat, port: 80}]"


class Chat:
    """A WebSocket server that sends back what it gets; `/close` closes with 4001, `/headers` answers with what it was asked."""

    def __init__(self) -> None:
        self._thread = LoopThread("chat")
        self._server: Server = self._thread.run(self._start())
        self.port: int = next(iter(self._server.sockets)).getsockname()[1]

    async def _start(self) -> Server:
        def choose(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
            return Subprotocol("chat.v2") if "chat.v2" in offered else None

        return await serve_websocket(self._talk, "127.0.0.1", 0, select_subprotocol=choose, compression=None, max_size=None)

    async def _talk(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        if request.path == "/close":
            await connection.close(4001, "because")
            return
        if request.path == "/headers":
            await connection.send("\n".join(f"{name.lower()}: {value}" for name, value in request.headers.raw_items()))
        async for message in connection:
            await connection.send(message)

    async def _stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    def close(self) -> None:
        self._thread.run(self._stop())
        self._thread.close()


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    chat = Chat()
    yield chat
    chat.close()


HANDSHAKE = (
    ("Host", "example.com"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


def handshake(site: Site, path: str = "/", **options: Any) -> AbstractContextManager[ClientConnection]:
    """A WebSocket to example.com through the site. Raises InvalidStatus for an answer that is not 101."""
    opened: AbstractContextManager[ClientConnection] = connect(
        f"ws://example.com{path}", sock=site.connect(), proxy=None, compression=None, max_size=None, **options
    )
    return opened


@pytest.fixture
def dial() -> Iterator[Callable[..., ClientConnection]]:
    """Opens WebSockets that `explain` says lead to a backend."""
    stack = ExitStack()

    def open_one(site: Site, path: str = "/", **options: Any) -> ClientConnection:
        [portion] = site.explain(path, headers=HANDSHAKE)["portions"]
        assert (portion["backend"], portion["reply"]) == ("default/chat:80", None)
        return stack.enter_context(handshake(site, path, **options))

    with stack:
        yield open_one


Dial = Callable[..., ClientConnection]


def test_messages_pass_both_ways(serve: Serve, chat: Chat, dial: Dial) -> None:
    """After the handshake frames pass both ways, text and binary, small and large (HTTPRouteBackendProtocolWebSocket)."""
    connection = dial(serve(TO_CHAT, SERVICE % chat.port))
    for message in ("hello", b"\x00\xff", "x" * 300_000, b"y" * 1_000_000):
        connection.send(message)
        assert connection.recv(LIMIT) == message


def test_many_messages_at_once(serve: Serve, chat: Chat, dial: Dial) -> None:
    """Frames that follow one another without waiting keep their order."""
    connection = dial(serve(TO_CHAT, SERVICE % chat.port))
    for number in range(200):
        connection.send(str(number))
    assert [connection.recv(LIMIT) for _ in range(200)] == [str(number) for number in range(200)]


def test_the_handshake_is_edited_like_any_request(serve: Serve, chat: Chat, dial: Dial) -> None:
    """Filters, forwarded fields and the subprotocol all work on the handshake (RFC 6455 4.1)."""
    edit = "- filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: room, value: blue}]}}]\n"
    connection = dial(serve(edit + TO_CHAT.replace("- ", "  "), SERVICE % chat.port), "/headers", subprotocols=["chat.v1", "chat.v2"])
    fields = str(connection.recv(LIMIT)).split("\n")
    assert connection.subprotocol == "chat.v2"
    assert "room: blue" in fields
    assert "x-forwarded-for: 127.0.0.1" in fields
    assert [field for field in fields if field.startswith(("connection:", "upgrade:"))] == ["connection: upgrade", "upgrade: websocket"]


def test_the_backends_close_reaches_the_client(serve: Serve, chat: Chat, dial: Dial) -> None:
    """Code and reason of a close frame pass (RFC 6455 7.1)."""
    connection = dial(serve(TO_CHAT, SERVICE % chat.port), "/close")
    with pytest.raises(ConnectionClosedError) as closed:
        connection.recv(LIMIT)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "because")


def test_a_tunnel_is_logged_when_it_ends(serve: Serve, chat: Chat, dial: Dial) -> None:
    """A tunnel is one exchange of status 101, with the bytes of both directions; its connections end with it."""
    site = serve(TO_CHAT, SERVICE % chat.port)
    connection = dial(site)
    connection.send("hello")
    connection.recv(LIMIT)
    connection.close()
    [line] = site.log.wait_for(1)
    assert (line["status"], line["flags"], line["backend"]) == (101, "-", "default/chat:80")
    assert line["bytes_received"] > 5
    assert line["bytes_sent"] > 5
    assert [gauge.value for gauge in site.statistics().gauges if gauge.name == "tidegate_connections"] == [0]


def test_a_tunnel_outlives_its_route(serve: Serve, chat: Chat, dial: Dial) -> None:
    """An open tunnel goes on when its route is removed; a new handshake is 404 (issue 3: in-flight exchanges finish)."""
    site = serve(TO_CHAT, SERVICE % chat.port)
    connection = dial(site)
    site.change()
    connection.send("still here")
    assert connection.recv(LIMIT) == "still here"
    with pytest.raises(InvalidStatus) as refused, handshake(site):
        pass
    assert refused.value.response.status_code == 404


def test_a_tunnel_is_outside_the_request_timeout(serve: Serve, chat: Chat, blue: Echo, dial: Dial) -> None:
    """Timeouts of a rule end with the handshake: a tunnel lives as long as its ends want (HTTPRouteTimeouts)."""
    rule = "- timeouts: {request: 100ms}\n  backendRefs: [{name: chat, port: 80}]\n"
    clock = "- matches: [{path: {value: /clock}}]\n  timeouts: {request: 100ms}\n  backendRefs: [{name: blue, port: 80}]\n"
    site = serve(rule + clock, SERVICE % chat.port)
    connection = dial(site)
    blue.plan(Planned(held=True))
    assert site.ask("/clock").status == 504
    connection.send("still here")
    assert connection.recv(LIMIT) == "still here"


def test_a_backend_that_does_not_upgrade_answers_as_it_likes(serve: Serve) -> None:
    """A backend may refuse the upgrade with any response, which the client gets (RFC 9110 7.8)."""
    site = serve("- backendRefs: [{name: blue, port: 80}]")
    with pytest.raises(InvalidStatus) as refused, handshake(site):
        pass
    assert refused.value.response.headers["echo"] == "blue/0"


def test_an_unknown_upgrade_is_served_without(serve: Serve) -> None:
    """A token that we do not know is dropped and the request served (RFC 9110 7.8)."""
    request = serve("- backendRefs: [{name: blue, port: 80}]").ask(headers=[("Connection", "Upgrade"), ("Upgrade", "h2c")]).request
    assert request.values("upgrade") == []
