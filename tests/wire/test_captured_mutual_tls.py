"""Captured listeners with mutual TLS: what of the mesh is let in, what of others, and that what is inside is served as without TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.descriptors import Place
from gateway.ir.workload import ALPN, INBOUND_PORT, MutualTls
from gateway.net.mesh_tls import RELAYED
from tests.certificates import Authority
from tests.wire.backends import Conversation, Scripted
from tests.wire.captured_fixtures import CAPTURED
from tests.wire.capturing import OWN, PodSockets, captured, going, identity, inbound, offering_mesh, refuses
from tests.wire.half_closing import PlainEnd, TlsEnd
from tests.wire.http2_backends import Http2Echo
from tests.wire.http2_clients import Http2Client
from tests.wire.peers import Recorder, get
from tests.wire.streaming import StreamSite, echo, http_rule, is_over, options, read_all, read_exactly, tcp_rule

pytestmark = CAPTURED

Make = Callable[..., Scripted]
CALLER = "spiffe://cluster.local/ns/shop/sa/web"


@pytest.fixture
def server(server: Make) -> Make:
    """Here they are applications of the Pod."""
    return partial(server, address=OWN)


@pytest.fixture(scope="module")
def roots() -> Authority:
    return Authority()


RULES = (
    going("OwnPod", "client", "web"), going("OwnPod", name="raw"), http_rule("in", "web"), tcp_rule("in", "raw"),
)  # fmt: skip


def site(roots: Authority, mode: MutualTls) -> StreamSite:
    made = StreamSite(*identity(roots), inbound("in", 0, mode), RULES, sockets=PodSockets())
    assert made.rejections == ()
    return made


def in_mesh(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    connection = captured(OWN, port, "Inbound")
    try:
        return context.wrap_socket(connection, server_hostname="cart")
    except BaseException:
        connection.close()
        raise


@pytest.mark.parametrize("mode", ["Permissive", "Strict"])
def test_what_is_inside_the_mesh_s_tls_is_served_as_without_it(
    mode: MutualTls, roots: Authority, server: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests, bytes and servers that speak first; TLS 1.3 with ALPN tidegate and nothing to resume."""
    recorder = Recorder()
    web, raw, first = server(recorder).port, server(echo()).port, server(echo(b"220 ready\r\n")).port
    context = offering_mesh(roots, tmp_path, CALLER)
    with site(roots, mode):
        with in_mesh(web, context) as client:
            assert (client.version(), client.selected_alpn_protocol()) == ("TLSv1.3", "tidegate")
            client.sendall(get())
            assert read_exactly(client, 15) == b"HTTP/1.1 200 OK"
            assert client.session is None or not client.session.has_ticket
        with in_mesh(raw, context) as client:
            client.sendall(b"\x00bytes")
            assert read_exactly(client, 6) == b"\x00bytes"
        monkeypatch.undo()
        with in_mesh(first, context) as client:
            assert read_exactly(client, 11) == b"220 ready\r\n"
    assert recorder.requests[0].values(b"x-forwarded-proto") == [b"http"]
    assert recorder.requests[0].values(b"x-forwarded-port") == [str(web).encode()]


@pytest.mark.parametrize("protocol", ["Detect", "TCP"])
@pytest.mark.parametrize("mode", ["Permissive", "Strict"])
def test_directions_of_what_is_passed_on_end_one_by_one(
    mode: MutualTls, protocol: Literal["Detect", "TCP"], roots: Authority, server: Make, tmp_path: Path
) -> None:
    """For a caller that says in ALPN that it passes bytes on, also where only the first bytes tell what is spoken; what it says is never
    chosen. Large data comes after its end, and HTTP is HTTP all the same."""
    large = bytes(range(256)) * 16_384

    def answer(conversation: Conversation) -> None:
        end = PlainEnd(conversation.connection)
        end.send(end.recv_all() + large)

    raw, web = server(answer).port, server(Recorder()).port
    context = offering_mesh(roots, tmp_path, CALLER, alpn=(ALPN, RELAYED))
    with StreamSite(*identity(roots), inbound("in", 0, mode, protocol), RULES, sockets=PodSockets()) as made:
        with captured(OWN, raw, "Inbound") as connection:
            client = TlsEnd(connection, context, "cart")
            assert client.tls.selected_alpn_protocol() == ALPN
            client.send(b"\x00question")
            client.end()
            assert client.recv_all() == b"\x00question" + large
            client.raw.close()
        [line] = made.log.wait_for(1)
        assert (line["flags"], line["reason"], line["peer_identity"]) == ("-", None, CALLER)
        with in_mesh(web, context) as asking:
            asking.sendall(get())
            assert read_exactly(asking, 15) == b"HTTP/1.1 200 OK"


def test_a_caller_that_does_not_say_so_loses_nothing(roots: Authority, server: Make, tmp_path: Path) -> None:
    """Its bytes are found to be no HTTP; the end of the application then ends both directions, in order."""
    port = server(lambda conversation: conversation.send(conversation.connection.recv(100) + b" back")).port
    with site(roots, "Strict"), captured(OWN, port, "Inbound") as connection:
        client = TlsEnd(connection, offering_mesh(roots, tmp_path, CALLER), "cart")
        client.send(b"\x00there")
        assert client.recv_all() == b"\x00there back"


def test_http2_goes_on_as_http2(roots: Authority, network: None, tmp_path: Path) -> None:
    """By its preface inside of TLS, and a backend of protocol client."""
    app = Http2Echo("app", address=OWN)
    try:
        with site(roots, "Strict"), Http2Client(in_mesh(app.port, offering_mesh(roots, tmp_path, CALLER))) as client:
            assert [client.ask(target="/a").status, client.ask(target="/b").status] == [200, 200]
            assert app.connections == 1
    finally:
        app.close()


def test_permissive_serves_plain_text_and_the_application_s_own_tls(roots: Authority, server: Make, tmp_path: Path) -> None:
    """PeerAuthentication PERMISSIVE: TLS that does not offer tidegate is the application's, untouched."""
    recorder = Recorder()
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(*roots.issue("cart").write(tmp_path, "own"))

    def over_tls(conversation: Conversation) -> None:
        with own.wrap_socket(conversation.connection, server_side=True) as secured:
            secured.sendall(secured.recv(100).upper())

    web, tls, first = server(recorder).port, server(over_tls).port, server(echo(b"220 ready\r\n")).port
    with site(roots, "Permissive"):
        with captured(OWN, web, "Inbound") as client:
            client.sendall(get())
            assert read_exactly(client, 15) == b"HTTP/1.1 200 OK"
        with in_mesh(tls, offering_mesh(roots, tmp_path, alpn=("http/1.1",))) as client:
            client.sendall(b"hello")
            assert read_exactly(client, 5) == b"HELLO"
        with captured(OWN, first, "Inbound") as client:
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b"220 ready\r\n"


def test_permissive_lets_servers_speak_first(roots: Authority, server: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that says nothing is in plain text: no client of TLS waits."""
    monkeypatch.undo()
    port = server(echo(b"220 ready\r\n")).port
    with site(roots, "Permissive"), captured(OWN, port, "Inbound") as client:
        assert read_exactly(client, 11) == b"220 ready\r\n"


@pytest.mark.parametrize("said", [get(), b"\x00", b""])
def test_strict_refuses_plain_text_and_says_so(
    said: bytes, roots: Authority, server: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PeerAuthentication STRICT, silence included: nobody need wait for a server that speaks first."""
    port = server(echo(b"220 ready\r\n")).port
    if not said:
        monkeypatch.undo()
    with site(roots, "Strict") as mesh:
        assert refuses(OWN, port, "Inbound", said)
        [line] = mesh.log.wait_for(1)
        assert (line["flags"], line["reason"]) == ("NR", "plain text, and PeerAuthentication asks for mutual TLS")
        assert (line["listener"], line["client"]) == ("in", OWN)


def test_strict_refuses_tls_that_is_not_the_mesh_s(roots: Authority, server: Make, tmp_path: Path) -> None:
    """PeerAuthentication STRICT: TLS without ALPN tidegate proves nothing to us."""
    port = server(echo()).port
    with site(roots, "Strict") as mesh:
        with pytest.raises((ssl.SSLError, OSError)):
            in_mesh(port, offering_mesh(roots, tmp_path, alpn=("h2",)))
        [line] = mesh.log.wait_for(1)
        assert line["reason"] == "TLS that is not the mesh's, and PeerAuthentication asks for mutual TLS"


def test_peers_of_another_authority_are_refused(roots: Authority, server: Make, tmp_path: Path) -> None:
    """With an alert (RFC 8446 6.2), counted and logged; Permissive does not let in what cannot prove who it is."""
    port = server(echo()).port
    context = offering_mesh(Authority("Another"), tmp_path, CALLER)
    context.load_verify_locations(cadata=roots.certificate)
    with site(roots, "Permissive") as mesh:
        with in_mesh(port, context) as client, pytest.raises(ssl.SSLError, match="alert"):
            client.recv(1)
        [line] = mesh.log.wait_for(1)
        assert line["flags"] == "DPE"
        assert "certificate_refused" in line["reason"]
        failures = {sample.labels: sample.value for sample in mesh.statistics().counters if sample.name.startswith("tidegate_handshakes")}
        assert failures[("reason", "certificate_refused"),] == 1


@pytest.mark.parametrize("names", [(), ("web.shop",), (CALLER, "spiffe://cluster.local/ns/a/sa/b"), ("https://web.shop/",)])
def test_a_peer_is_exactly_one_workload(names: tuple[str, ...], roots: Authority, server: Make, tmp_path: Path) -> None:
    """X509-SVID 2: one URI, a SPIFFE ID."""
    port = server(echo(b"hello")).port
    with site(roots, "Strict") as mesh:
        with in_mesh(port, offering_mesh(roots, tmp_path, *names)) as client:
            assert is_over(client)
        [line] = mesh.log.wait_for(1)
        assert line["flags"] == "DPE"
        assert "the caller " in line["reason"]


def test_connections_leave_when_mutual_tls_becomes_strict(roots: Authority, server: Make, tmp_path: Path) -> None:
    """Of those under way each ends after its exchange; a renewed certificate of our own ends none."""
    recorder = Recorder()
    port = server(recorder).port
    with site(roots, "Permissive") as mesh, captured(OWN, port, "Inbound") as plain:
        for _ in range(2):
            plain.sendall(get())
            assert read_exactly(plain, len(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).endswith(b"ok")
            mesh.put(identity(roots))
        mesh.put(inbound("in", 0, "Strict"))
        assert read_all(plain) == b""
        assert refuses(OWN, port, "Inbound", get())
        with in_mesh(port, offering_mesh(roots, tmp_path, CALLER)) as client:
            client.sendall(get())
            assert read_exactly(client, 15) == b"HTTP/1.1 200 OK"


def test_disable_looks_for_no_tls_whatever_was_before(roots: Authority, server: Make) -> None:
    """PeerAuthentication DISABLE: a port of HTTP speaks it in plain, also where TLS was told apart until now, and says so at once."""
    port = server(Recorder()).port
    with StreamSite(*identity(roots), inbound("in", 0, "Permissive", "HTTP"), RULES, sockets=PodSockets()) as mesh:
        with captured(OWN, port, "Inbound") as client:
            client.sendall(get(b"Connection: close"))
            assert read_all(client).startswith(b"HTTP/1.1 200 OK")
        mesh.put(inbound("in", 0, "Disable", "HTTP"))
        with captured(OWN, port, "Inbound") as client:
            client.sendall(b"\x16\x03\x01")
            assert read_all(client).startswith(b"HTTP/1.1 400 ")
        line = mesh.log.wait_for(2)[-1]
        assert (line["flags"], line["reason"]) == ("DPE", "a TLS handshake, and plain HTTP is spoken here")


def test_a_handshake_that_is_not_finished_ends(roots: Authority, server: Make) -> None:
    """ListenerOptions.header_timeout, from accept; the part of a ClientHello that came is not passed on."""
    listener = inbound("in", 0, "Permissive", options=options(header_timeout=100))
    with StreamSite(*identity(roots), listener, RULES, sockets=PodSockets()) as mesh:
        with captured(OWN, server(echo(b"hello")).port, "Inbound") as client:
            client.sendall(b"\x16\x03\x01\x02")
            assert is_over(client)
        [line] = mesh.log.wait_for(1)
        assert "timeout" in line["reason"]
        opened: Any = mesh.runtime._open[Place("::", INBOUND_PORT)]
        assert mesh.run(lambda: opened.busy) is False
