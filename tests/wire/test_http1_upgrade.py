"""WebSocket through the gateway: handshake, tunnel, and every way in which one ends (RFC 6455, RFC 9110 7.8)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from threading import Thread

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as websocket_server
from websockets.utils import accept_key

from tests.wire.backends import LIMIT, Conversation, Echo, Planned, Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import OK, Recorder, Wire, get
from tests.wire.serving import Site, service

ROUTE = "- backendRefs: [{name: kept, port: 80}]"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY)
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
    % accept_key(KEY.decode()).encode()
)

Keep = Callable[..., Site]


@pytest.fixture
def keep(serve: Serve, scripted: Callable[..., Scripted]) -> Keep:
    """Makes a gateway with a backend that follows one script a connection."""

    def make(*scripts: Callable[[Conversation], None]) -> Site:
        return serve(service("kept", scripted(*scripts).port), ROUTE)

    return make


Handle = Callable[[ServerConnection], None]


@contextmanager
def server(handle: Handle, refuse: int = 0) -> Iterator[tuple[int, SimpleQueue[Request]]]:
    """A server of the websockets library: its port, and the handshakes it got."""
    handshakes: SimpleQueue[Request] = SimpleQueue()

    def judge(connection: ServerConnection, request: Request) -> Response | None:
        handshakes.put(request)
        return connection.respond(refuse, "not here\n") if refuse else None

    listening = socket.create_server(("127.0.0.1", 0))
    with websocket_server(handle, sock=listening, process_request=judge, subprotocols=None, max_size=None, close_timeout=LIMIT) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        try:
            yield listening.getsockname()[1], handshakes
        finally:
            running.shutdown()
            thread.join(LIMIT)


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@contextmanager
def client(site: Site, target: str = "/") -> Iterator[ClientConnection]:
    with connect(
        f"ws://example.com{target}", sock=site.connect(), max_size=None, open_timeout=LIMIT, close_timeout=LIMIT, proxy=None
    ) as opened:
        yield opened


# the websockets library on both sides


def test_messages_of_every_kind_and_size_pass(serve: Serve) -> None:
    """Text, binary, fragments, empty ones, and five megabytes; compressed, as both sides agree between themselves (RFC 7692)."""
    with server(echo) as (port, handshakes):
        site = serve(service("kept", port), ROUTE)
        with client(site, "/chat?room=1") as opened:
            for message in ("hello", "é", "", b"\x00\xff" * 100, b"x" * 65_536, "y" * 5_000_000):
                opened.send(message)
                assert opened.recv(LIMIT) == message
            opened.send(["a", "b", "c"])
            assert opened.recv(LIMIT) == "abc"
            assert opened.protocol.extensions
        assert handshakes.get(timeout=LIMIT).path == "/chat?room=1"


def test_pings_pass_both_ways(serve: Serve) -> None:
    """Control frames are the peers' own business (RFC 6455 5.5)."""

    def pinging(connection: ServerConnection) -> None:
        connection.send("pong came" if connection.ping().wait(LIMIT) else "no pong")
        echo(connection)

    with server(pinging) as (port, _), client(serve(service("kept", port), ROUTE)) as opened:
        assert opened.recv(LIMIT) == "pong came"
        assert opened.ping().wait(LIMIT)


def test_close_codes_pass_both_ways(serve: Serve) -> None:
    """Who closes says why, and the other hears it (RFC 6455 7.1.5)."""
    heard: SimpleQueue[tuple[int | None, str | None]] = SimpleQueue()

    def closing(connection: ServerConnection) -> None:
        try:
            if connection.recv() == "close":
                connection.close(4001, "from the backend")
                return
            connection.recv()
        except ConnectionClosed:
            heard.put((connection.close_code, connection.close_reason))

    with server(closing) as (port, _):
        site = serve(service("kept", port), ROUTE)
        with client(site) as opened:
            opened.send("close")
            with pytest.raises(ConnectionClosed):
                opened.recv(LIMIT)
            assert (opened.close_code, opened.close_reason) == (4001, "from the backend")
        with client(site) as opened:
            opened.send("stay")
            opened.close(4002, "from the client")
        assert heard.get(timeout=LIMIT) == (4002, "from the client")


def test_many_tunnels_live_side_by_side(serve: Serve) -> None:
    """Each with its own messages, beside ordinary requests."""
    with server(echo) as (port, _), ExitStack() as stack:
        site = serve(service("kept", port), "- matches: [{path: {value: /ws}}]\n  backendRefs: [{name: kept, port: 80}]")
        opened = [stack.enter_context(client(site, "/ws")) for _ in range(30)]
        for number, each in enumerate(opened):
            each.send(str(number))
        assert site.ask("/").status == 404
        assert [each.recv(LIMIT) for each in opened] == [str(number) for number in range(30)]


def test_a_backend_may_refuse_the_upgrade(serve: Serve) -> None:
    """Its answer is the client's, with its body (RFC 6455 4.2.2)."""
    with server(echo, refuse=403) as (port, _):
        site = serve(service("kept", port), ROUTE)
        with pytest.raises(InvalidStatus) as refused, client(site):
            pass
        assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not here\n")


def test_the_handshake_is_passed_on_as_one(serve: Serve) -> None:
    """With exactly the hop-by-hop fields of an upgrade, the client's own keys, and where it came from (RFC 6455 4.1)."""
    with server(echo) as (port, handshakes):
        site = serve(service("kept", port), ROUTE)
        with connect(
            "ws://example.com/", sock=site.connect(), additional_headers={"Origin": "http://a", "X-Real-IP": "1.1.1.1"}, proxy=None
        ) as opened:
            headers = handshakes.get(timeout=LIMIT).headers
            mine = opened.request
            assert mine is not None
            for name in ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions", "Host", "Origin"):
                assert headers.get_all(name) == mine.headers.get_all(name)
            assert (headers.get_all("Connection"), headers.get_all("Upgrade")) == (["upgrade"], ["websocket"])
            assert (headers["x-forwarded-for"], headers.get_all("X-Real-IP")) == ("127.0.0.1", [])
            assert headers.get_all("Content-Length") == headers.get_all("Transfer-Encoding") == []


# byte by byte


def tunnel(then: Callable[[Conversation], None], behind: bytes = b"") -> Callable[[Conversation], None]:
    """A backend that accepts the upgrade, sends something behind its answer, and goes on."""

    def script(conversation: Conversation) -> None:
        if conversation.read_head():
            conversation.send(ACCEPTED + behind)
            then(conversation)

    return script


def upgraded(wire: Wire, early: bytes = b"") -> bytes:
    """Sends a handshake and returns the head of the answer."""
    wire.send(get(*HANDSHAKE) + early)
    return wire.read_until(b"\r\n\r\n")


def repeating(conversation: Conversation) -> None:
    while data := conversation.received or conversation.connection.recv(65_536):
        conversation.received = b""
        conversation.send(data)


def test_the_switch_is_written_anew(keep: Keep) -> None:
    """One Connection, one Upgrade, the backend's accept, no framing (RFC 9110 15.2.2)."""
    with Wire(keep(tunnel(repeating))) as wire:
        head = upgraded(wire)
        assert head.lower().split(b"\r\n") == [
            b"http/1.1 101 switching protocols",
            b"sec-websocket-accept: " + accept_key(KEY.decode()).encode().lower(),
            b"connection: upgrade",
            b"upgrade: websocket",
            b"",
            b"",
        ]


def test_what_stands_behind_the_switch_belongs_to_the_tunnel(keep: Keep) -> None:
    """A backend may speak in the same breath, and a client's first bytes may be the start of anything, HTTP too."""
    with Wire(keep(tunnel(repeating, b"GET / HTTP/1.1\r\n\r\n"))) as wire:
        upgraded(wire)
        assert wire.read_until(b"\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"
        wire.send(get())
        assert wire.read_until(b"\r\n\r\n") == get()


def test_what_a_client_sends_too_early_waits_for_the_switch(keep: Keep) -> None:
    """Not a byte goes to a backend before it has agreed (CVE-2025-64763)."""
    seen: SimpleQueue[bytes] = SimpleQueue()

    def script(conversation: Conversation) -> None:
        conversation.read_head()
        wire.turn()
        conversation.connection.setblocking(False)
        try:
            seen.put(conversation.received + conversation.connection.recv(100))
        except BlockingIOError:
            seen.put(conversation.received)
        conversation.connection.settimeout(LIMIT)
        conversation.send(ACCEPTED)
        repeating(conversation)

    with Wire(keep(script)) as wire:
        upgraded(wire, b"early")
        assert seen.get(timeout=LIMIT) == b""
        assert wire.read_until(b"early") == b"early"
        wire.send(b"late")
        assert wire.read_until(b"late") == b"late"


def test_a_refused_upgrade_leaves_http_behind(keep: Keep) -> None:
    """The client's connection serves on; the backend's is not used again after an attempt of any outcome (catalogue 2.6)."""

    def refusing(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        assert conversation.connection.recv(65_536) == b"", "the proxy used the connection again"

    backend = Recorder()
    with Wire(keep(refusing, backend)) as wire:
        response = wire.ask(get(*HANDSHAKE) + get(target=b"/next"))
        assert (response.status, response.body) == (403, b"no")
        assert wire.response().body == b"ok"
    assert [request.line for request in backend.requests] == [b"GET /next HTTP/1.1"]


WRONG = {
    "wrong accept": ACCEPTED.replace(b"Accept: ", b"Accept: x"),
    "no accept": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "another protocol": ACCEPTED.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "no Upgrade": ACCEPTED.replace(b"Upgrade: websocket\r\n", b""),
    "Upgrade not in Connection": ACCEPTED.replace(b"Connection: Upgrade", b"Connection: x"),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
def test_no_tunnel_is_opened_on_a_wrong_answer(keep: Keep, answer: bytes) -> None:
    """101 alone proves nothing: 502, and the client's bytes stay HTTP (RFC 6455 4.1)."""

    def lying(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(answer)
        assert conversation.connection.recv(65_536) == b""

    with Wire(keep(lying, Recorder())) as wire:
        assert wire.ask(get(*HANDSHAKE)).status == 502
        assert wire.ask(get()).body == b"ok"


def test_a_client_may_end_its_direction_alone(keep: Keep) -> None:
    """The backend sees the end, and what it says afterwards still arrives."""

    def script(conversation: Conversation) -> None:
        assert conversation.connection.recv(100) == b"last words"
        assert conversation.connection.recv(100) == b""
        conversation.send(b"farewell")

    with Wire(keep(tunnel(script))) as wire:
        upgraded(wire)
        wire.send(b"last words")
        wire.turn()
        wire.end()
        assert wire.rest() == b"farewell"


def test_a_backend_may_end_its_direction_alone(keep: Keep) -> None:
    """The client sees the end, and what it says afterwards still arrives."""
    heard: SimpleQueue[bytes] = SimpleQueue()

    def script(conversation: Conversation) -> None:
        conversation.send(b"farewell")
        conversation.connection.shutdown(socket.SHUT_WR)
        heard.put(conversation.connection.recv(100))
        heard.put(conversation.connection.recv(100))

    with Wire(keep(tunnel(script))) as wire:
        upgraded(wire)
        assert wire.rest() == b"farewell"
        wire.send(b"last words")
        assert heard.get(timeout=LIMIT) == b"last words"
        wire.end()
        assert heard.get(timeout=LIMIT) == b""


@pytest.mark.parametrize("leave", [Wire.reset, lambda wire: wire.socket.close()], ids=["reset", "closed"])
def test_a_client_that_leaves_takes_the_tunnel_with_it(keep: Keep, leave: Callable[[Wire], None]) -> None:
    """The backend's connection ends, and the exchange is logged."""
    ended: SimpleQueue[bytes] = SimpleQueue()

    def script(conversation: Conversation) -> None:
        try:
            ended.put(conversation.connection.recv(100))
        except ConnectionResetError:
            ended.put(b"")

    site = keep(tunnel(script))
    wire = Wire(site)
    upgraded(wire)
    leave(wire)
    assert ended.get(timeout=LIMIT) == b""
    assert site.log.wait_for(1)[0]["status"] == 101


def test_a_backend_that_leaves_takes_the_tunnel_with_it(keep: Keep) -> None:
    """Closed or reset, the client's connection ends; its bytes were counted in both directions."""
    for leave in (lambda conversation: None, Conversation.reset):

        def script(conversation: Conversation, leave: Callable[[Conversation], None] = leave) -> None:
            conversation.read_until(b"bye")
            conversation.send(b"goodbye")
            leave(conversation)

        site = keep(tunnel(script))
        with Wire(site) as wire:
            upgraded(wire)
            wire.send(b"bye")
            try:
                assert wire.rest() in (b"goodbye", b"")  # a reset overtakes what was sent before it
            except ConnectionResetError:
                pass
        line = site.log.wait_for(1)[0]
        assert (line["status"], line["bytes_received"]) == (101, 3)


def test_a_slow_side_of_a_tunnel_stops_the_other(keep: Keep) -> None:
    """16 MiB each way, to peers that read later than they could; little is held at any time (design.md 6.9)."""
    size = 16 << 20

    def script(conversation: Conversation) -> None:
        left = size
        while left:
            left -= len(conversation.connection.recv(min(left, 65_536)))
        conversation.connection.sendall(bytes(size))

    site = keep(tunnel(script))
    with Wire(site) as wire, ThreadPoolExecutor(1) as sending:
        upgraded(wire)
        sent = sending.submit(wire.socket.sendall, bytes(size))
        left, most = size, 0
        while left:
            left -= len(wire.socket.recv(min(left, 1 << 18)))
            most = max(most, held(site))
        sent.result(LIMIT)
    assert most <= 2 * (64 + 256) * 1024


def held(site: Site) -> int:
    """Bytes in the write buffers of both ends of every tunnel."""

    def count() -> int:
        total = 0
        for port in site.runtime._live.ports.values():
            for connection in port.connections:
                total += connection.transport.get_write_buffer_size()
                if connection.exchange is not None and connection.exchange.last_stream is not None:
                    total += connection.exchange.last_stream.transport.get_write_buffer_size()
        return total

    return site._thread.call(count)


# time


def test_limits_of_heads_and_of_idle_connections_are_not_for_tunnels(keep: Keep, serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """A tunnel may be silent for as long as its peers like; an idle connection that was opened after it is closed before it."""
    policy = "kind: ListenerPolicy\nmetadata: {name: reasons}\nspec: {targetRefs: [{name: web}], timeouts: {header: 100ms, idle: 100ms}}"
    site = serve(service("kept", scripted(tunnel(repeating), Recorder()).port), ROUTE, policy)
    with Wire(site) as wire, Wire(site) as idle:
        upgraded(wire)
        assert idle.ask(get()).body == b"ok"
        assert idle.is_ended()
        wire.send(b"still there")
        assert wire.read_until(b"there") == b"still there"


@pytest.mark.parametrize("timeouts", ["{request: 100ms}", "{backendRequest: 100ms}"])
def test_timeouts_of_a_rule_end_with_the_handshake(serve: Serve, scripted: Callable[..., Scripted], blue: Echo, timeouts: str) -> None:
    """They are for answers, and 101 is the answer (HTTPRouteTimeouts); an exchange that began later runs out of time before."""
    site = serve(
        service("kept", scripted(tunnel(repeating)).port),
        f"- timeouts: {timeouts}\n  matches: [{{path: {{value: /ws}}}}]\n  backendRefs: [{{name: kept, port: 80}}]\n"
        f"- timeouts: {timeouts}\n  backendRefs: [{{name: blue, port: 80}}]",
    )
    blue.plan(Planned(held=True))
    with Wire(site) as wire, Wire(site) as slow:
        wire.send(get(*HANDSHAKE, target=b"/ws"))
        wire.read_until(b"\r\n\r\n")
        assert slow.ask(get()).status == 504
        wire.send(b"still there")
        assert wire.read_until(b"there") == b"still there"


def test_a_backend_that_does_not_answer_the_handshake_runs_out_of_time(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """Until then the timeouts hold (HTTPRouteTimeouts)."""

    def silent(conversation: Conversation) -> None:
        conversation.read_head()
        assert conversation.read_head() == b""

    site = serve(service("kept", scripted(silent).port), "- timeouts: {request: 100ms}\n  backendRefs: [{name: kept, port: 80}]")
    with Wire(site) as wire:
        assert wire.ask(get(*HANDSHAKE)).status == 504


def test_draining_cuts_tunnels_when_its_time_is_over(keep: Keep) -> None:
    """They never end by themselves (design.md 2, --drain-timeout)."""
    site = keep(tunnel(repeating))
    with Wire(site) as wire:
        upgraded(wire)
        site.drain(timeout=0.1)
        assert wire.is_ended()


def test_a_stale_connection_is_not_the_handshakes_problem(keep: Keep) -> None:
    """A pooled connection that the backend had closed is replaced, and the tunnel opens on the fresh one."""

    def once(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(OK)
        conversation.read_head()

    with Wire(keep(once, tunnel(repeating))) as wire:
        assert wire.ask(get()).body == b"ok"
        assert upgraded(wire).startswith(b"HTTP/1.1 101")
