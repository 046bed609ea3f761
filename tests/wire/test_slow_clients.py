"""Clients that do not keep up: slow bodies, slow reading, idle tunnels (catalogue 2.5). Each is ended on its limit, others are unharmed.

How long a limit is only says how long a test takes; whether one has passed is seen by a client that it ends.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.certificates import Authority
from tests.wire.backends import LIMIT, Conversation, Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import OK, Recorder, Wire, chunked, get, post
from tests.wire.secure import careless, gateway, https
from tests.wire.serving import Site, certificate, service

ROUTE = "- backendRefs: [{name: kept, port: 80}]"
HTTP = {"name": "http", "port": 80, "protocol": "HTTP"}
HANDSHAKE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
PIECE = b"x" * 0x4000

Keep = Callable[..., Site]
Connect = Callable[[Site], Wire]


def policy(**fields: str) -> str:
    """A ListenerPolicy for all listeners."""
    given = "".join(f", {name}: {value}" for name, value in fields.items())
    return f"kind: ListenerPolicy\nmetadata: {{name: reasons}}\nspec: {{targetRefs: [{{name: web}}], reasonHeader: true{given}}}"


@pytest.fixture(scope="module")
def secret() -> str:
    return certificate("example", Authority().issue("example.com"))


@pytest.fixture
def keep(serve: Serve, scripted: Callable[..., Scripted], secret: str) -> Keep:
    """Makes a gateway with a plain and a TLS listener and the given backend."""

    def make(backend: Callable[[Conversation], None], *texts: str) -> Site:
        return serve(service("kept", scripted(backend).port), gateway(HTTP, https("https", "example")), secret, ROUTE, *texts)

    return make


@pytest.fixture(params=["plain", "TLS"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Makes a connection to the plain or to the TLS listener."""
    if request.param == "plain":
        return Wire
    return lambda site: Wire(site, 443, tls=careless(), server_name="example.com")


def slow(site: Site) -> dict[str, float]:
    """How many slow clients were ended, by reason."""
    samples = site.statistics().counters
    return {dict(sample.labels)["reason"]: sample.value for sample in samples if sample.name == "tidegate_slow_clients_ended_total"}


def has_come(wire: Wire) -> bool:
    """Whether the proxy has sent something, or ended the connection; waits a moment."""
    wire.socket.settimeout(0.01)
    try:
        wire.received += wire.socket.recv(65_536)
    except TimeoutError:
        return False
    finally:
        wire.socket.settimeout(LIMIT)
    return True


def is_cut(wire: Wire) -> bool:
    """Reads to the end of the connection, which is a reset on a plain one: whether it came before the end of the (chunked) response."""
    last = b""
    try:
        while data := wire.socket.recv(1 << 20):
            last = data
    except (ConnectionResetError, ssl.SSLError):
        pass
    return not last.endswith(b"0\r\n\r\n")


def little_by_little(wire: Wire) -> int:
    """Reads as a client on a thin line does, a few megabytes a second; how much it was."""
    select.select([], [], [], 0.002)
    return len(wire.socket.recv(0x1000))


def endless(conversation: Conversation) -> None:
    """Never stops answering."""
    conversation.read_head()
    conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        conversation.send(b"4000\r\n" + PIECE + b"\r\n")


# bodies


@pytest.mark.parametrize(
    "begun", [post(b"Content-Length: 9", body=b"abc"), post(b"Transfer-Encoding: chunked", body=b"9\r\nabc")], ids=["counted", "chunked"]
)
def test_a_body_that_stops_is_answered_408(keep: Keep, connect: Connect, begun: bytes) -> None:
    """The connection ends, nothing complete reaches the backend, and the log says why (RFC 9110 15.5.9; ListenerPolicy.timeouts.body)."""
    backend = Recorder()
    site = keep(backend, policy(timeouts="{body: 200ms}"))
    with connect(site) as wire:
        wire.send(begun)
        response = wire.response()
        assert (response.status, response.value("connection")) == (408, "close")
        assert response.value("x-tidegate-reason") == "nothing of the request's body came for 0.2 s"
        assert wire.is_ended()
    backend.wait_for(lambda backend: backend.left == 1)
    assert [request.body for request in backend.requests if request.body not in (b"abc", b"9\r\nabc", b"3\r\nabc\r\n")] == []
    line = site.log.wait_for(1)[0]
    assert (line["status"], line["flags"], line["bytes_received"]) == (408, "SI", 3)
    assert slow(site) == {"body stalled": 1}


def test_a_body_that_does_not_begin_has_the_same_limit(keep: Keep, connect: Connect) -> None:
    """A head that announces a body, and nothing behind it."""
    site = keep(Recorder(), policy(timeouts="{body: 200ms}"))
    with connect(site) as wire:
        wire.send(post(b"Content-Length: 9"))
        assert wire.response().status == 408
        assert wire.is_ended()


def test_a_body_that_trickles_is_answered_408(keep: Keep, connect: Connect) -> None:
    """A byte now and then keeps no connection (R-U-Dead-Yet; ListenerPolicy.minimumRates.body)."""
    site = keep(Recorder(), policy(minimumRates="{body: 100000, grace: 200ms}"))
    with connect(site) as wire:
        wire.send(post(b"Content-Length: 9000000"))
        while not has_come(wire):
            wire.send(b"x")
        assert wire.response().status == 408
    assert slow(site) == {"body too slow": 1}


def test_an_answer_that_has_begun_is_cut(keep: Keep) -> None:
    """Its status is out; the client sees that it is not complete (RFC 9112 8)."""

    def early(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        assert conversation.read_head() == b""

    site = keep(early, policy(timeouts="{body: 200ms}"))
    with Wire(site) as wire:
        wire.send(post(b"Content-Length: 9", body=b"abc"))
        assert wire.rest().endswith(b"5\r\nhello\r\n")
    assert (site.log.wait_for(1)[0]["status"], site.log.wait_for(1)[0]["flags"]) == (200, "SI")


def test_a_body_that_keeps_coming_may_take_its_time(keep: Keep, connect: Connect) -> None:
    """It outlives one that stops, as often as that may be."""
    backend = Recorder()
    site = keep(backend, policy(timeouts="{body: 400ms}", minimumRates="{body: 10}"))
    sent = b""
    with connect(site) as steady:
        steady.send(post(b"Transfer-Encoding: chunked"))
        for _ in range(3):
            with Wire(site) as stopped:
                stopped.send(post(b"Content-Length: 9", body=b"abc"))
                while not has_come(stopped):
                    steady.send(b"2\r\nab\r\n")
                    sent += b"ab"
                assert stopped.response().status == 408
        steady.send(b"0\r\n\r\n")
        assert steady.response().body == b"ok"
    whole = next(request for request in backend.requests if request.body.endswith(b"0\r\n\r\n"))
    assert whole.body.count(b"a") == len(sent) // 2


def test_a_backend_that_does_not_read_is_not_the_clients_fault(keep: Keep, scripted: Callable[..., Scripted]) -> None:
    """While the proxy holds the body back nobody is waiting for the client."""
    go_on, size = socket.socketpair()

    def late(conversation: Conversation) -> None:
        if b"/late" not in conversation.read_head():
            conversation.read_head()
            return
        go_on.recv(1)
        received = len(conversation.received)
        while received < 64 << 20:
            received += len(conversation.connection.recv(1 << 20))
        conversation.send(OK)

    site = keep(late, policy(timeouts="{body: 200ms}"))
    with Wire(site) as patient, size:
        patient.send(post(b"Content-Length: %d" % (64 << 20), target=b"/late"))
        left = 64 << 20
        patient.socket.setblocking(False)
        while select.select([], [patient.socket], [], 0.3)[1] and left > 1 << 20:
            left -= patient.socket.send(bytes(1 << 16))
        for _ in range(3):
            with Wire(site) as stopped:
                stopped.send(post(b"Content-Length: 9", body=b"abc"))
                assert stopped.response().status == 408
        size.send(b"x")
        patient.socket.settimeout(LIMIT)
        patient.send(bytes(left))
        assert patient.response().body == b"ok"
    go_on.close()


SEND_TIMEOUT = "{kind: BackendPolicy, metadata: {name: kept}, spec: {targetRefs: [{name: kept}], sendTimeout: 400ms}}"


def stuck(conversation: Conversation) -> None:
    """Reads the head of an upload and nothing behind it, until the proxy gives up the connection."""
    conversation.read_head()
    while not is_given_up(conversation):
        select.select([], [], [], 0.01)


def is_given_up(conversation: Conversation) -> bool:
    """Whether the proxy has left, which is not to be seen by reading, for nothing is read: the connection's state is not ESTABLISHED."""
    return conversation.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\x01"


def fill(wire: Wire) -> None:
    """Sends a body until nobody takes any more of it."""
    wire.send(post(b"Content-Length: 100000000"))
    wire.socket.settimeout(0.3)
    with suppress(TimeoutError):
        wire.socket.sendall(bytes(100_000_000))
    wire.socket.settimeout(LIMIT)


def test_a_backend_that_never_takes_a_body_is_given_up(keep: Keep) -> None:
    """Its kernel lives, so nothing else would end it (BackendPolicy.sendTimeout)."""
    site = keep(stuck, policy(), SEND_TIMEOUT)
    with Wire(site) as wire:
        fill(wire)
        response = wire.response()
        assert response.status == 504
        assert response.value("x-tidegate-reason") == "backend took nothing of the request's body for 0.4 s"
    assert (site.log.wait_for(1)[0]["flags"], slow(site)) == ("UT", {})


def test_a_client_that_leaves_while_it_is_not_read_is_noticed(keep: Keep) -> None:
    """Nobody reads its connection, so nobody would see the reset."""
    site = keep(stuck, policy(timeouts="{body: 200ms}"))
    with Wire(site) as wire:
        fill(wire)
        wire.reset()
    assert site.log.wait_for(1)[0]["flags"] == "DC"


def test_small_bodies_are_not_watched(keep: Keep) -> None:
    """What came with its head, or at once behind it, leaves no deadline but the idle one."""
    site = keep(Recorder(), policy(timeouts="{body: 100ms, idle: 0s}"))
    with Wire(site) as wire, Wire(site) as stopped:
        assert wire.ask(post(b"Content-Length: 3", body=b"abc")).status == 200
        assert wire.ask(post(b"Transfer-Encoding: chunked", body=chunked(b"abc"))).status == 200
        stopped.send(post(b"Content-Length: 9"))
        assert stopped.response().status == 408
        assert wire.ask(get()).status == 200


# responses


def test_a_client_that_does_not_read_is_cut(keep: Keep, connect: Connect) -> None:
    """What waits for it is dropped, at our end and at the backend (ListenerPolicy.timeouts.send)."""
    site = keep(endless, policy(timeouts="{send: 300ms}"))
    with connect(site) as wire:
        wire.send(get())
        assert site.log.wait_for(1)[0]["flags"] == "SI"
        assert is_cut(wire)
    assert site.log.wait_for(1)[0]["reason"] == "client took nothing of the response for 0.3 s"
    assert slow(site) == {"response stalled": 1}


def test_a_client_that_reads_too_slowly_is_cut(keep: Keep, connect: Connect) -> None:
    """A little now and then keeps no connection (slow read; ListenerPolicy.minimumRates.send)."""
    site = keep(endless, policy(minimumRates="{send: 1000000000, grace: 200ms}"))
    with connect(site) as wire:
        wire.send(get())
        while slow(site) != {"response too slow": 1}:
            try:
                wire.socket.recv(0x10000)
            except OSError:
                break
        assert site.log.wait_for(1)[0]["reason"] == "client takes the response slower than 1000000000 bytes a second"


def test_a_client_that_keeps_reading_may_take_its_time(keep: Keep, connect: Connect) -> None:
    """Although our own buffers stand still for long while the kernel feeds it from its own: it outlives several that do not read."""
    size = 24 << 20

    def large(conversation: Conversation) -> None:
        while conversation.read_head():
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(PIECE)):
                conversation.send(PIECE)

    site = keep(large, policy(timeouts="{send: 500ms}", minimumRates="{send: 100}"))
    with connect(site) as steady:
        steady.send(get())
        steady.read_until(b"\r\n\r\n")
        received = len(steady.received)
        for number in range(3):
            with connect(site) as stopped:
                stopped.send(get())
                while slow(site).get("response stalled", 0) == number:
                    received += little_by_little(steady)
        while received < size:
            received += len(steady.socket.recv(1 << 20))
    assert received == size
    assert slow(site) == {"response stalled": 3}


def test_what_is_left_of_an_answer_is_not_waited_for_for_ever(keep: Keep, connect: Connect) -> None:
    """An exchange may have ended with its last bytes still in our hands, and its connection be idle, when its client stops reading."""
    body = b"x" * 60_000
    ready, go = socket.socketpair()

    def sized(conversation: Conversation) -> None:
        while conversation.read_head():
            go.recv(1)
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    site = keep(sized, policy(timeouts="{idle: 100ms, send: 300ms}"))
    with connect(site) as wire, ready, go:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        wire.send(get())
        site._thread.call(lambda: narrow(site))
        ready.send(b"x")
        assert site.log.wait_for(1)[0]["status"] == 200
        while connections(site):
            pass
        assert slow(site) in ({"response stalled": 1}, {})  # TLS gives up what is left by itself, a little later


def narrow(site: Site) -> None:
    """Gives the proxy's sockets no buffer of their own."""
    for port in site.runtime._live.ports.values():
        for connection in port.connections:
            connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024)


def connections(site: Site) -> int:
    return site._thread.call(lambda: sum(len(port.connections) for port in site.runtime._live.ports.values()))


def test_an_answer_that_ends_its_connection_is_taken_at_the_clients_pace(keep: Keep, connect: Connect) -> None:
    """Closing waits until all of it is taken, also where TLS would give a closing connection only seconds (RFC 9112 9.6)."""
    size = 8 << 20

    def large(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(PIECE)):
            conversation.send(PIECE)

    site = keep(large, policy(timeouts="{send: 500ms}", minimumRates="{send: 100}"))
    with connect(site) as steady:
        steady.send(get(b"Connection: close"))
        steady.read_until(b"\r\n\r\n")
        received = len(steady.received)
        for number in range(2):
            with Wire(site) as stopped:
                stopped.send(get())
                while slow(site).get("response stalled", 0) == number:
                    received += little_by_little(steady)
        while data := steady.socket.recv(1 << 20):
            received += len(data)
    assert received == size


# tunnels


def tunnel(conversation: Conversation) -> None:
    """Accepts a WebSocket and sends back what it gets."""
    conversation.read_head()
    conversation.send(SWITCH)
    while data := conversation.connection.recv(65_536):
        conversation.send(data)


def test_an_idle_tunnel_ends_at_both_ends(keep: Keep, connect: Connect) -> None:
    """ListenerPolicy.timeouts.tunnelIdle: one that is used lives on, in whatever direction."""
    site = keep(tunnel, policy(timeouts="{tunnelIdle: 300ms}"))
    with connect(site) as idle, connect(site) as used:
        for wire in (idle, used):
            wire.send(get(*HANDSHAKE))
            wire.read_until(b"\r\n\r\n")
        while not has_come(idle):
            used.send(b"x")
            used.read_until(b"x")
        assert idle.is_ended()
        line = site.log.wait_for(1)[0]
        assert (line["flags"], line["reason"]) == ("SI", "nothing came through the tunnel for 0.3 s")
        used.send(b"there")
        assert used.read_until(b"there") == b"there"


def test_a_tunnel_whose_client_does_not_read_is_cut(keep: Keep) -> None:
    """It holds buffers like any other response."""

    def flood(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(SWITCH)
        while True:
            conversation.send(PIECE)

    site = keep(flood, policy(timeouts="{send: 300ms}"))
    with Wire(site) as wire:
        wire.send(get(*HANDSHAKE))
        assert site.log.wait_for(1)[0]["flags"] == "SI"
        assert is_cut(wire)


# others


def test_others_are_unharmed(keep: Keep) -> None:
    """Beside a hundred slow clients of every kind every other request is served, and each slow one ends."""

    def some(conversation: Conversation) -> None:
        while head := conversation.read_head():
            if b"/endless" in head:
                conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    conversation.send(b"4000\r\n" + PIECE + b"\r\n")
            if b"/slow" in head:
                conversation.read_head()
                return
            conversation.send(OK)

    site = keep(some, policy(timeouts="{header: 500ms, body: 500ms, send: 500ms}"))
    kinds = (b"GET / HT", post(b"Content-Length: 9", body=b"abc", target=b"/slow"), get(target=b"/endless"))
    slow_ones = [Wire(site) for _ in range(33) for _ in kinds]
    for wire, begun in zip(slow_ones, kinds * 33, strict=True):
        wire.send(begun)
    with Wire(site) as other:
        while sum(slow(site).values()) < 66:
            assert other.ask(get()).body == b"ok"
    for wire in slow_ones:
        is_cut(wire)
        wire.socket.close()
    assert slow(site) == {"body stalled": 33, "response stalled": 33}
    assert sum(line["status"] == 408 for line in site.log.wait_for(99)) == 66
