"""A callee's sidecar whose application cannot be reached says so to the caller's proxy, which asks again; nobody else hears or says it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.ir.workload import ALPN
from tests.certificates import Authority
from tests.wire.backends import Conversation, Scripted
from tests.wire.captured_fixtures import capturing
from tests.wire.capturing import OTHER, OWN, PodSockets, captured, going, identity, inbound, offering_mesh, outbound
from tests.wire.flights import Connection
from tests.wire.meshes import only_at, proof, spiffe_id, workload
from tests.wire.peers import Recorder, get
from tests.wire.streaming import StreamSite, backend, http_rule, listener, read_exactly

Make = Callable[..., Scripted]
FIELD = "x-tidegate-unprocessed"
UNPROCESSED = b"HTTP/1.1 503 Service Unavailable\r\nx-tidegate-unprocessed: 1\r\ncontent-length: 0\r\n\r\n"
AUTHORITY = Authority()
CALLER = spiffe_id("web")


def head_of(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += read_exactly(connection, 1)
    return received


def callee() -> StreamSite:
    rules = (going("OwnPod", "client", "web"), http_rule("in", "web"))
    return StreamSite(*identity(AUTHORITY), inbound("in", 0, "Permissive", "HTTP"), rules, sockets=PodSockets())


def nobody_at() -> int:
    """A port of the Pod at which nothing listens."""
    with socket.create_server((OWN, 0)) as gone:
        port: int = gone.getsockname()[1]
    return port


@capturing
@pytest.mark.parametrize("call", [get(), get(b"content-type: application/grpc", b"te: trailers")])
def test_only_a_caller_of_the_mesh_is_told(call: bytes, network: None, tmp_path: Path) -> None:
    """That the application cannot be reached, in the form of HTTP for calls of gRPC too; in plain text nothing is said of it."""
    with callee():
        port = nobody_at()
        with captured(OWN, port, "Inbound") as connection:
            client = offering_mesh(AUTHORITY, tmp_path, CALLER).wrap_socket(connection)
            client.sendall(call)
            assert b"503 Service Unavailable\r\n" in (told := head_of(client))
            assert b"x-tidegate-unprocessed: 1\r\n" in told
            client.close()
        with captured(OWN, port, "Inbound") as plain:
            plain.sendall(call)
            assert FIELD.encode() not in head_of(plain)


@capturing
def test_an_application_cannot_say_it(network: None, tmp_path: Path) -> None:
    """What it writes under that name does not leave its sidecar."""
    application = Scripted(Recorder(otherwise=UNPROCESSED), address=OWN)
    try:
        with callee(), captured(OWN, application.port, "Inbound") as connection:
            client = offering_mesh(AUTHORITY, tmp_path, CALLER).wrap_socket(connection)
            client.sendall(get())
            assert b"503" in (told := head_of(client))
            assert FIELD.encode() not in told
            client.close()
    finally:
        application.close()


class Member:
    """A script for `Scripted`: the sidecar of a callee, as which another script is heard."""

    def __init__(self, folder: Path, script: Callable[[Conversation], None]) -> None:
        self._script = script
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*AUTHORITY.issue(spiffe_id("db"), common_name="callee").write(folder, "callee"))
        self._context.load_verify_locations(cadata=AUTHORITY.certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.set_alpn_protocols([ALPN])

    def __call__(self, conversation: Conversation) -> None:
        with self._context.wrap_socket(conversation.connection, server_side=True) as secured:
            self._script(Conversation(secured))


def caller(port: int) -> StreamSite:
    """A proxy of the mesh, in which a plain port leads to the callee."""
    to = backend("db", port, protocol="http/1.1")
    return StreamSite(proof(AUTHORITY, "web"), only_at(port), listener("http", 80, "HTTP"), to, http_rule("http", "db"))


def ask(site: StreamSite, method: str = "GET", body: bytes = b"") -> tuple[int, dict[str, str]]:
    connection = Connection(("127.0.0.1", site.sockets.bound[80]))
    try:
        connection.send(method, "/", [("Host", "db.shop"), ("content-length", str(len(body)))], body)
        status, fields, _ = connection.response()
        return status, dict(fields)
    finally:
        connection.close()


@pytest.fixture
def scripted() -> Iterator[Make]:
    made: list[Scripted] = []

    def make(*scripts: Callable[[Conversation], None]) -> Scripted:
        made.append(Scripted(*scripts))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("POST", b"an order")])
def test_what_a_callee_has_not_processed_is_asked_again(method: str, body: bytes, scripted: Make, tmp_path: Path) -> None:
    """Whatever the method, and with the whole body: it has had no effect."""
    sidecar = Recorder(UNPROCESSED)
    server = scripted(Member(tmp_path, sidecar))
    with caller(server.port) as site:
        assert ask(site, method, body)[0] == 200
        assert [(each.head.split(b" ")[0], each.body) for each in sidecar.requests] == [(method.encode(), body)] * 2


def test_a_callee_that_never_processes_it_gets_a_503_of_the_caller_s_proxy(scripted: Make, tmp_path: Path) -> None:
    """After one more try at a Gateway, with the reason in the log, and without the field."""
    sidecar = Recorder(otherwise=UNPROCESSED)
    server = scripted(Member(tmp_path, sidecar))
    with caller(server.port) as site:
        status, fields = ask(site)
        assert (status, FIELD in fields, len(sidecar.requests)) == (503, False, 2)
        [line] = site.log.wait_for(1)
        assert line["flags"] == "UF"
        assert line["reason"] == f"the workload at 127.0.0.1:{server.port} cannot be reached by its sidecar"


def test_a_body_that_is_too_long_to_be_kept_is_not_sent_again(scripted: Make, tmp_path: Path) -> None:
    """As with every other try (gateway.policies.retry.REPLAY_LIMIT)."""
    sidecar = Recorder(otherwise=UNPROCESSED)
    server = scripted(Member(tmp_path, sidecar))
    with caller(server.port) as site:
        assert ask(site, "POST", bytes(100_000))[0] == 503
        assert len(sidecar.requests) == 1


def test_nobody_else_is_believed(scripted: Make) -> None:
    """A backend without an identity says 503, and the field is taken off it."""
    stranger = Recorder(otherwise=UNPROCESSED)
    server = scripted(stranger)
    to = backend("db", server.port, protocol="http/1.1")
    with StreamSite(listener("http", 80, "HTTP"), to, http_rule("http", "db")) as site:
        status, fields = ask(site)
        assert (status, FIELD in fields, len(stranger.requests)) == (503, False, 1)


@capturing
def test_a_workload_s_own_calls_are_asked_twice_again(network: None, tmp_path: Path) -> None:
    """As Istio does where no route says otherwise."""
    sidecar = Recorder(UNPROCESSED, UNPROCESSED)
    server = Scripted(Member(tmp_path, sidecar), address=OWN)
    peer = workload("db", mutual_tls="Strict", addresses=(OWN,))
    to = backend("db", server.port, protocol="http/1.1", address=OWN)
    site = StreamSite(
        proof(AUTHORITY, "web"), peer, outbound("db", 80, OTHER, protocol="HTTP"), to, http_rule("db", "db"), sockets=PodSockets()
    )
    try:
        with site, captured(OTHER, 80) as client:
            client.sendall(get())
            assert head_of(client).startswith(b"HTTP/1.1 200 ")
            assert len(sidecar.requests) == 3
    finally:
        server.close()
