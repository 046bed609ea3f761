"""Captured listeners: a connection that capture rules brought here is served by where it was going, and by what it speaks."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from gateway.descriptors import Place
from gateway.ir.workload import INBOUND_PORT, OUTBOUND_PORT
from tests.faults.waiting import until
from tests.wire.backends import LIMIT, Conversation, Scripted
from tests.wire.captured_fixtures import CAPTURED
from tests.wire.capturing import OTHER, OTHER_6, OWN, OWN_6, PodSockets, captured, going, inbound, outbound, refuses
from tests.wire.http2_backends import Http2Echo
from tests.wire.http2_clients import Http2Client
from tests.wire.peers import OK, Recorder, get
from tests.wire.streaming import StreamSite, backend, echo, http_rule, options, read_all, read_exactly, tcp_rule

pytestmark = CAPTURED

Make = Callable[..., Scripted]


@pytest.fixture
def silent(spoken: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that says nothing is noticed as usual."""
    monkeypatch.undo()


def site(*resources: Any) -> StreamSite:
    made = StreamSite(*resources, sockets=PodSockets())
    assert made.rejections == ()
    return made


def naming(name: bytes) -> Callable[[Conversation], None]:
    """A backend that says its name and ends."""
    return lambda conversation: conversation.send(name)


def heard(address: str, port: int) -> bytes:
    with captured(address, port) as client:
        return read_all(client)


def served(*listeners: Any, server: Make) -> StreamSite:
    """Each listener has a backend that says the listener's name."""
    resources: list[Any] = []
    for listener in listeners:
        name = listener.name
        made = server(naming(name.encode()))
        resources += [listener, backend(name, made.port, address=OTHER), tcp_rule(name, name, name=name)]
    return site(*resources)


# where it was going


def test_the_destination_chooses_the_listener(server: Make) -> None:
    """Address and port first, of IPv4 and IPv6; then the port alone, then what serves everything else."""
    listeners = (
        outbound("cart", 80, OTHER, OTHER_6, protocol="TCP"),
        outbound("shop", 80, OWN, protocol="TCP"),
        outbound("web", 80, protocol="TCP"),
        outbound("rest", 0, protocol="TCP"),
    )
    with served(*listeners, server=server):
        assert [heard(OTHER, 80), heard(OTHER_6, 80), heard(OWN, 80)] == [b"cart", b"cart", b"shop"]
        assert [heard(OWN_6, 80), heard(OTHER, 81), heard(OWN_6, 9)] == [b"web", b"rest", b"rest"]


def test_a_listener_of_the_consumer_serves_in_the_place_of_the_shared_one(server: Make) -> None:
    """Capture.consumer; and only at its own address."""
    shared = outbound("a-shared", 80, OTHER, OWN, protocol="TCP")
    own = outbound("own", 80, OTHER, protocol="TCP", consumer=True)
    with served(shared, own, server=server):
        assert [heard(OTHER, 80), heard(OWN, 80)] == [b"own", b"a-shared"]


def test_a_destination_without_a_listener_is_refused_and_logged(server: Make) -> None:
    """NR, and the reason names where it was going."""
    with served(outbound("cart", 80, OTHER), server=server) as mesh:
        assert refuses(OTHER_6, 443)
        [line] = mesh.log.wait_for(1)
        assert (line["flags"], line["client"]) == ("NR", OTHER_6)
        assert line["reason"] == f"no listener is for [{OTHER_6}]:443, where the connection was going"


def test_a_connection_to_the_capture_port_itself_is_refused(server: Make) -> None:
    """It was going nowhere else, and a backend that is where it was going would be this very port."""
    with served(outbound("rest", 0), server=server) as mesh:
        with pytest.raises(ConnectionResetError), socket.create_connection((OTHER, OUTBOUND_PORT)) as client:
            client.recv(1)
        [line] = mesh.log.wait_for(1)
        assert line["flags"] == "NR"
        assert "no capture rule brought it here" in line["reason"]


def test_the_host_of_a_request_decides_nothing(server: Make) -> None:
    """A Service as the frontend of routes is matched by destination; the port that is forwarded is the destination's."""
    recorder = Recorder()
    cart = backend("cart", server(recorder).port, protocol="http/1.1", address=OTHER)
    rest = outbound("rest", 0, protocol="HTTP")
    with site(outbound("cart", 80, OTHER, protocol="HTTP"), rest, cart, http_rule("cart", "cart"), http_rule("rest", "cart", name="all")):
        for port, host in ((80, b"anything.example"), (80, b"10.9.9.9:99"), (8080, b"x")):
            with captured(OTHER, port) as client:
                client.sendall(get(host=host))
                assert read_exactly(client, 15) == b"HTTP/1.1 200 OK"
        assert [request.values(b"host") for request in recorder.requests] == [[b"anything.example"], [b"10.9.9.9:99"], [b"x"]]
        assert [request.values(b"x-forwarded-port") for request in recorder.requests] == [[b"80"], [b"80"], [b"8080"]]


# what it speaks


def detecting(server: Make, *scripts: Callable[[Conversation], None]) -> tuple[StreamSite, Recorder]:
    """A listener of Detect whose requests a Recorder gets, and whose bytes the scripts."""
    recorder = Recorder()
    web = backend("web", server(recorder).port, protocol="http/1.1", address=OTHER)
    raw = backend("raw", server(*scripts).port, address=OTHER)
    return site(outbound("any", 80, OTHER), web, raw, http_rule("any", "web"), tcp_rule("any", "raw")), recorder


def test_a_request_is_told_from_other_bytes(server: Make) -> None:
    """Capture with protocol Detect: HTTP goes to the HttpRule, the rest to the TcpRule with nothing lost."""
    mesh, recorder = detecting(server, echo())
    with mesh:
        with captured(OTHER, 80) as client:
            client.sendall(get())
            assert read_exactly(client, 15) == b"HTTP/1.1 200 OK"
        for said in (b"\x16\x03\x01\x00\xa5", b"get key\r\n", b"GET key\r\n", b"*1\r\n$4\r\nPING\r\n"):
            with captured(OTHER, 80) as client:
                client.sendall(said)
                assert read_exactly(client, len(said)) == said
        assert len(recorder.requests) == 1


def test_a_server_that_speaks_first_is_heard(silent: None, server: Make) -> None:
    """A client that says nothing is no client of HTTP, and may speak later."""
    mesh, _ = detecting(server, echo(b"220 ready\r\n"))
    with mesh, captured(OTHER, 80) as client:
        assert read_exactly(client, 11) == b"220 ready\r\n"
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_exactly(client, 18) == b"GET / HTTP/1.1\r\n\r\n"


def test_a_part_of_a_request_line_is_waited_for(server: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than for a client that says nothing: one that came later is taken for TCP meanwhile."""
    mesh, recorder = detecting(server, echo(b"220 ready\r\n"))
    with mesh, captured(OTHER, 80) as client:
        client.sendall(b"G")
        until(lambda: waiting(mesh) == [b"G"], "what the client sent was not read")
        monkeypatch.undo()
        with captured(OTHER, 80) as silent:
            assert read_exactly(silent, 11) == b"220 ready\r\n"
        assert waiting(mesh) == [b"G"]
        client.sendall(get()[1:])
        assert read_exactly(client, 15) == b"HTTP/1.1 200 OK"
        assert recorder.requests[0].head.startswith(b"GET / ")


def opened(mesh: StreamSite) -> Any:
    return mesh.runtime._open[Place("::", OUTBOUND_PORT)]


def waiting(mesh: StreamSite) -> list[bytes]:
    """What has come of connections of which it is not known what they speak."""
    found: list[bytes] = mesh.run(lambda: [each._buffer for port in opened(mesh).ports for each in port.greeters])
    return found


def test_a_client_that_ends_its_side_has_said_all(server: Make) -> None:
    """What could have become a request line is passed on, and the end with it."""
    mesh, _ = detecting(server, echo(b"hello "))
    with mesh:
        for said in (b"", b"GE"):
            with captured(OTHER, 80) as client:
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == b"hello " + said


def test_http2_is_detected_by_its_preface(network: None) -> None:
    """RFC 9113 3.4; and a backend of protocol client is spoken to as the client speaks."""
    backend_of_2 = Http2Echo("cart", address=OTHER)
    try:
        with (
            site(outbound("any", 0), going("Elsewhere", "client"), http_rule("any", "Elsewhere")),
            captured(OTHER, backend_of_2.port) as connection,
            Http2Client(connection) as client,
        ):
            assert client.ask().status == 200
            assert len(backend_of_2.wait_for(1)) == 1
    finally:
        backend_of_2.close()


# where it goes on


def test_elsewhere_is_where_it_was_going(server: Make) -> None:
    """Backend.original_destination, for requests and for bytes; connections are kept for each destination apart."""
    first, second = Recorder(), Recorder()
    ports = [server(first).port, server(second).port, server(echo(), address=OTHER_6).port]
    rules = (http_rule("any", "web"), tcp_rule("any", "raw"))
    with site(outbound("any", 0), going("Elsewhere", "client", "web"), going("Elsewhere", name="raw"), *rules):
        for port in (ports[0], ports[1], ports[0], ports[1]):
            with captured(OTHER, port) as client:
                client.sendall(get())
                assert read_exactly(client, 15) == b"HTTP/1.1 200 OK"
        with captured(OTHER_6, ports[2]) as client:
            client.sendall(b"bytes")
            assert read_exactly(client, 5) == b"bytes"
    assert [(each.connections, len(each.requests)) for each in (first, second)] == [(1, 2), (1, 2)]


def test_the_own_pod_is_reached_from_the_address_that_is_not_captured(server: Make) -> None:
    """OwnPod: from 127.0.0.6 and ::6, requests and bytes."""

    def peer(conversation: Conversation) -> None:
        conversation.send(conversation.connection.getpeername()[0].encode() + b"\n")

    peers: list[str] = []

    def answering(conversation: Conversation) -> None:
        peers.append(conversation.connection.getpeername()[0])
        Recorder()(conversation)

    rules = (http_rule("web", "web"), tcp_rule("raw", "raw"))
    ports = [server(peer, address=OWN).port, server(peer, address=OWN_6).port, server(answering, address=OWN).port]
    listeners = (inbound("raw", 0, protocol="TCP"), inbound("web", ports[2], protocol="HTTP"))
    with site(*listeners, going("OwnPod", "client", "web"), going("OwnPod", name="raw"), *rules):
        with captured(OWN, ports[0], "Inbound") as client:
            assert read_all(client) == b"127.0.0.6\n"
        with captured(OWN_6, ports[1], "Inbound") as client:
            assert read_all(client) == b"::6\n"
        with captured(OWN, ports[2], "Inbound") as client:
            client.sendall(get(b"Connection: close"))
            assert read_all(client).startswith(b"HTTP/1.1 200 OK")
    assert peers == ["127.0.0.6"]


def test_places_of_the_proxy_are_no_destination(server: Make) -> None:
    """Neither its capture ports, by whatever address of the Pod, nor by way of the listener for everything else."""
    rules = (tcp_rule("any", "OwnPod"), tcp_rule("out", "Elsewhere", name="out"))
    with site(inbound("any", 0, protocol="TCP"), outbound("out", 0, protocol="TCP"), going("OwnPod"), going("Elsewhere"), *rules) as mesh:
        assert refuses(OWN, OUTBOUND_PORT, "Inbound")
        assert refuses("127.0.0.1", INBOUND_PORT)
        lines = mesh.log.wait_for(2)
        assert [line["flags"] for line in lines] == ["UF", "UF"]
        assert all("is an address of this proxy itself" in line["reason"] for line in lines)


def test_a_destination_that_nobody_uses_is_forgotten(server: Make) -> None:
    """Endpoints of such a backend are bounded by what is in use."""
    recorder = Recorder()
    port = server(recorder).port
    with site(outbound("any", 0), going("Elsewhere", "client"), http_rule("any", "Elsewhere")) as mesh:
        live = mesh.run(lambda: mesh.runtime._live.described["default/Elsewhere:80"])
        with captured(OTHER, port) as client:
            client.sendall(get())
            assert read_exactly(client, 15) == b"HTTP/1.1 200 OK"
            mesh.run(lambda: live.age(1))
            assert list(live.endpoints) == [(OTHER, port)]  # its connection rests there
        mesh.run(lambda: live.age(0))
        recorder.wait_for(lambda recorder: recorder.left == 1)
        mesh.run(lambda: live.age(0))
        assert list(live.endpoints) == []


# changes


def test_connections_go_on_over_changes_and_leave_with_their_listener(server: Make) -> None:
    """A request finds the rules that are live; a listener that is gone has its connections ended after their exchange, relays go on."""
    recorder = Recorder(OK, OK)
    web = backend("web", server(recorder).port, protocol="http/1.1", address=OTHER)
    raw = backend("raw", server(echo()).port, address=OTHER)
    rules = (http_rule("any", "web"), tcp_rule("any", "raw"))
    with site(outbound("any", 80, OTHER), web, raw, *rules) as mesh, captured(OTHER, 80) as client, captured(OTHER, 80) as bytes_:
        bytes_.sendall(b"\0one")
        assert read_exactly(bytes_, 4) == b"\0one"
        for _ in range(2):
            client.sendall(get())
            assert read_exactly(client, len(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).endswith(b"ok")
            mesh.put(outbound("other", 81, OTHER), outbound("any", 80, OTHER, OWN))
        mesh.put(remove=(("Listener", "default/web/any"),))
        assert read_all(client) == b""
        bytes_.sendall(b"two")
        assert read_exactly(bytes_, 3) == b"two"
        assert refuses(OTHER, 80)


def test_a_connection_that_another_worker_s_stand_in_accepted_is_served(server: Make) -> None:
    """The connection itself says where it was going, whoever has accepted it; and a drain ends with the last of them."""
    with site(outbound("any", 0), going("Elsewhere"), tcp_rule("any", "Elsewhere")) as mesh:
        place, port = Place("::", OUTBOUND_PORT), server(echo()).port
        mesh.run(opened(mesh).pause)
        with opened(mesh)._socket.dup() as aside, captured(OTHER, port) as client:
            accepted, _ = aside.accept()
            accepted.setblocking(False)
            assert mesh.run(lambda: mesh.runtime.adopt(place, accepted))
            mesh.run(opened(mesh).resume)
            client.sendall(b"x")
            assert read_exactly(client, 1) == b"x"
            draining = mesh.begin_drain()
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
        draining.result(LIMIT)


def test_limits_hold_for_a_captured_listener(server: Make) -> None:
    """ListenerOptions.most_connections, of each listener by itself."""
    raw = backend("raw", server(echo(b"hi")).port, address=OTHER)
    limited = outbound("any", 80, OTHER, protocol="TCP", options=options(most_connections=1))
    other = outbound("other", 81, OTHER, protocol="TCP")
    with site(limited, other, raw, tcp_rule("any", "raw"), tcp_rule("other", "raw", name="b")) as mesh, captured(OTHER, 80) as client:
        assert read_exactly(client, 2) == b"hi"
        assert refuses(OTHER, 80)
        with captured(OTHER, 81) as third:
            assert read_exactly(third, 2) == b"hi"
        occupied = {sample.labels: sample.value for sample in mesh.statistics().gauges if sample.name == "tidegate_connections"}
        assert occupied[("port", str(OUTBOUND_PORT)),] >= 1

