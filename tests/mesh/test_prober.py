"""The application's health as kubelet asks for it, against servers that are not ours."""

from __future__ import annotations

import http.server
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import grpc
import pytest

from gateway.admin import Page, Request
from mesh.http_probe import BODY_LIMIT
from mesh.prober import Prober
from mesh.probes import Grpc, Header, HttpGet, Probe, TcpSocket
from tests.certificates import Authority
from tests.running import run
from tests.tidegate.program import free_port

ADDRESS = "127.0.0.1"
PATH = "/app-health/cart/readyz"


def asked(probe: Probe, path: str = PATH) -> Page:
    found: list[Page] = []

    async def ask() -> None:
        page = Prober(ADDRESS).pages(((path, probe),))[path]
        found.append(await page(Request((), ())))

    run(ask)
    return found[0]


class Application(http.server.ThreadingHTTPServer):
    """What is asked of it, and from where."""

    def __init__(self, respond: Callable[[http.server.BaseHTTPRequestHandler], None]) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.respond = respond
        super().__init__((ADDRESS, 0), _Answering)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Application

    def do_GET(self) -> None:
        fields = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.path, self.client_address[0], fields))
        self.server.respond(self)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def application(respond: Callable[[Any], None], context: ssl.SSLContext | None = None) -> Iterator[Application]:
    with Application(respond) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def answering(status: int, body: bytes = b"", **fields: str) -> Callable[[Any], None]:
    def respond(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"content-length": str(len(body)), **fields}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500, 599])
def test_the_applications_answer_is_passed_on(status: int) -> None:
    """Status and body are kubelet's to judge, and to show in its events (HTTPGetAction)."""
    body = b"" if status == 204 else b"as I am"
    with application(answering(status, body, **{"content-type": "text/x-mine"})) as server:
        page = asked(Probe(HttpGet(server.port, "/health?deep=1", http_headers=(Header("X-Who", "kubelet"),))))
    assert (page.status, page.body, page.content_type) == (status, body, "text/x-mine")
    ((path, source, fields),) = server.seen
    assert (path, fields["x-who"], fields["host"]) == ("/health?deep=1", "kubelet", f"{ADDRESS}:{server.port}")
    assert fields["user-agent"].startswith("kube-probe/")
    assert source == "127.0.0.6"


def test_host_and_agent_may_be_the_pods_choice() -> None:
    """A virtual host is asked for by the Host header (Probe.httpGet.httpHeaders); a path is encoded where it has to be."""
    headers = (Header("Host", "cart.example"), Header("User-Agent", "mine"))
    with application(answering(200)) as server:
        asked(Probe(HttpGet(server.port, http_headers=headers)))
        asked(Probe(HttpGet(server.port, "/a b?c=é")))
    (_, _, fields), (path, _, _) = server.seen
    assert (fields["host"], fields["user-agent"]) == ("cart.example", "mine")
    assert path == "/a%20b?c=%C3%A9"


def test_redirects_are_followed_as_long_as_they_stay() -> None:
    """As kubelet does: on the same host to the end, and one to another host is an answer."""

    def respond(handler: Any) -> None:
        leads = {"/": "/second", "/second": f"http://{ADDRESS}:{handler.server.port}/third", "/away": "http://example.com/"}
        there = leads.get(handler.path)
        (answering(302, location=there) if there else answering(200, b"at last"))(handler)

    with application(respond) as server:
        assert asked(Probe(HttpGet(server.port))).body == b"at last"
        assert asked(Probe(HttpGet(server.port, "/away"))).status == 302
        assert [path for path, _, _ in server.seen] == ["/", "/second", "/third", "/away"]


def test_redirects_in_a_circle_have_an_end() -> None:
    """After ten."""
    with application(answering(302, location="/")) as server:
        page = asked(Probe(HttpGet(server.port)))
    assert (page.status, b"redirected more than 10 times" in page.body) == (503, True)
    assert len(server.seen) == 11


def test_a_large_answer_is_cut() -> None:
    """kubelet reads 10 KiB."""
    with application(answering(200, b"x" * (3 * BODY_LIMIT))) as server:
        page = asked(Probe(HttpGet(server.port)))
    assert (page.status, page.body) == (200, b"x" * BODY_LIMIT)


def test_a_certificate_is_not_looked_at(tmp_path: Path) -> None:
    """scheme HTTPS: whatever the application presents will do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority().issue("elsewhere.example").write(tmp_path))
    with application(answering(200, b"secure"), context) as server:
        assert asked(Probe(HttpGet(server.port, scheme="HTTPS"))).body == b"secure"


def test_what_is_no_answer_is_told() -> None:
    """Nobody who listens, and what is no HTTP: 503 with the reason, which kubelet shows."""
    page = asked(Probe(HttpGet(free_port())))
    assert (page.status, page.body.startswith(b"the application failed its probe: ")) == (503, True)

    def respond(handler: Any) -> None:
        handler.wfile.write(b"SSH-2.0-x\r\n\r\n")

    with application(respond) as server:
        page = asked(Probe(HttpGet(server.port)))
        bad = asked(Probe(HttpGet(server.port, http_headers=(Header("X-A", "1\n2"),))))
    assert (page.status, b"did not answer in HTTP" in page.body) == (503, True)
    assert (bad.status, b"not valid HTTP" in bad.body) == (503, True)


def test_an_application_that_does_not_answer_in_time_has_failed() -> None:
    """Probe.timeoutSeconds."""
    over = Event()

    def respond(_: Any) -> None:
        over.wait()

    with application(respond) as server:
        page = asked(Probe(HttpGet(server.port), timeout_seconds=0.05))
        over.set()
    assert (page.status, page.body) == (504, b"the application did not answer within 0.05 s\n")


def test_a_port_that_takes_connections_is_enough() -> None:
    """TCPSocketAction; from the address that capture leaves alone, at a port where nobody listens none comes about."""
    with application(answering(200)) as server:
        assert asked(Probe(tcp_socket=TcpSocket(server.port))).status == 200
        assert server.seen == []
    assert asked(Probe(tcp_socket=TcpSocket(free_port()))).status == 503


@contextmanager
def health(status: int) -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """A gRPC server that says this of itself (grpc.health.v1); its port, and who has asked for what."""
    seen: list[tuple[str, bytes]] = []

    def check(request: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append((context.peer(), request))
        return b"\x08" + bytes([status])

    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
        port = server.add_insecure_port(f"{ADDRESS}:0")
        server.start()
        try:
            yield port, seen
        finally:
            server.stop(None).wait()


def test_a_grpc_server_is_asked_for_its_health() -> None:
    """GRPCAction: SERVING alone is well; the service may be named."""
    with health(1) as (port, seen):
        assert asked(Probe(grpc=Grpc(port, "a.B"), timeout_seconds=10)).status == 200
        ((peer, request),) = seen
        assert (peer.startswith("ipv4:127.0.0.6:"), request) == (True, b"\x0a\x03a.B")
    with health(2) as (port, _):
        page = asked(Probe(grpc=Grpc(port), timeout_seconds=10))
        assert (page.status, b"is not serving: status 2" in page.body) == (503, True)
    assert asked(Probe(grpc=Grpc(free_port()), timeout_seconds=10)).status == 503


def test_a_grpc_probe_of_what_speaks_no_http2_fails() -> None:
    """It is told, and nothing hangs."""
    with application(answering(200)) as server:
        assert asked(Probe(grpc=Grpc(server.port), timeout_seconds=10)).status == 503
