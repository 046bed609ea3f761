"""ExternalAuth over gRPC: a server of envoy.service.auth.v3.Authorization is asked first (HTTPExternalAuthFilter, protocol GRPC)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Event
from typing import Any

import grpc
import pytest

from gateway.http.protobuf import last_number, last_text, merged, message_field, number_field, read_fields, text_field, texts
from gateway.proxy import authorization as authorization_of_the_proxy
from tests.certificates import Authority, Pair
from tests.wire.backends import LIMIT, Echo, closed_port
from tests.wire.conftest import Serve
from tests.wire.grpc_peers import GrpcClient, GrpcEcho
from tests.wire.http2_backends import http2_service
from tests.wire.secure import backend_policy, trust
from tests.wire.serving import Site, service

ALLOW = message_field(1, b"") + message_field(3, b"")
AUTHORITY = Authority()


class Guard:
    """A gRPC server that answers Check as planned, ALLOW without a plan; keeps the requests that it got."""

    def __init__(self, pair: Pair | None = None) -> None:
        self.asked: list[bytes] = []
        self.deadlines: list[float | None] = []
        self._plans: deque[bytes | grpc.StatusCode | Event] = deque()
        self._threads = ThreadPoolExecutor(4)
        self._server = grpc.server(self._threads)
        methods = {"Check": grpc.unary_unary_rpc_method_handler(self._check)}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", methods),))
        if pair is None:
            self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        else:
            keys = ((pair.private_key.encode(), pair.chain.encode()),)
            self.port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(keys))
        self._server.start()

    def plan(self, *answers: bytes | grpc.StatusCode | Event) -> None:
        """A CheckResponse, a status that the call ends with, or an event that it waits for."""
        self._plans.extend(answers)

    def _check(self, request: bytes, context: Any) -> bytes:
        self.asked.append(request)
        self.deadlines.append(context.time_remaining())
        plan = self._plans.popleft() if self._plans else ALLOW
        if isinstance(plan, grpc.StatusCode):
            context.abort(plan, "no")
        if isinstance(plan, Event):
            plan.wait(LIMIT)
            return ALLOW
        assert isinstance(plan, bytes)
        return plan

    def http(self, number: int = -1) -> list[tuple[int, int | bytes]]:
        """AttributeContext.HttpRequest of a question."""
        found = read_fields(self.asked[number])
        for part in (1, 4, 2):
            found = merged(found, part) or []
        return found

    def headers(self, number: int = -1) -> dict[str, str]:
        pairs = [read_fields(entry) for entry in texts(self.http(number), 3)]
        return {last_text(pair, 1).decode(): last_text(pair, 2).decode() for pair in pairs}

    def close(self) -> None:
        self._server.stop(None).wait(LIMIT)
        self._threads.shutdown()


@pytest.fixture
def guard() -> Iterator[Guard]:
    with closing(Guard()) as guard:
        yield guard


@pytest.fixture
def guards() -> Iterator[Callable[..., Guard]]:
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(closing(Guard(*arguments)))


def asks(more: str = "", grpc: str = "{}") -> str:
    server = "backendRef: {name: guard, port: 80}"
    return f"- filters: [{{type: ExternalAuth, externalAuth: {{protocol: GRPC, {server}, grpc: {grpc}{more}}}}}]\n"


def guarded(guard: Guard, serve: Serve, more: str = "", grpc: str = "{}") -> Site:
    """A gateway of which every request to blue is put before the guard, whose Service does not even say that it speaks HTTP/2."""
    return serve(asks(more, grpc) + "  backendRefs: [{name: blue, port: 80}]\n", service("guard", guard.port))


def edit(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return message_field(1, text_field(1, name) + text_field(2, value)) + more


def denied(status: int, body: bytes = b"", *fields: bytes) -> bytes:
    parts = message_field(1, number_field(1, status)) + b"".join([message_field(2, each) for each in fields]) + text_field(3, body)
    return message_field(1, number_field(1, 7)) + message_field(2, parts)


def outcomes(site: Site) -> dict[str, float]:
    samples = [sample for sample in site.statistics().counters if sample.name == "tidegate_external_authorizations_total"]
    return {dict(sample.labels)["outcome"]: sample.value for sample in samples}


def test_ok_lets_a_request_pass(serve: Serve, guard: Guard) -> None:
    """The server sees the request with all its fields, and both ends of its connection."""
    site = guarded(guard, serve)
    answer = site.ask("/a/b?c=d", method="DELETE", headers=[("X-A", "1"), ("x-a", "2"), ("Cookie", "e=f")])
    assert (answer.status, answer.backend, outcomes(site)) == (200, "blue", {"allowed": 1})
    http = guard.http()
    said = [last_text(http, number) for number in (2, 4, 5, 6, 10, 11)]
    assert said == [b"DELETE", b"/a/b?c=d", b"example.com", b"http", b"HTTP/1.1", b""]
    assert last_text(http, 1).decode() == answer.request.value("x-request-id")
    headers = guard.headers()
    assert (headers["x-a"], headers["cookie"], headers["x-forwarded-for"]) == ("1, 2", "e=f", "127.0.0.1")
    pseudo = [headers[name] for name in (":authority", ":method", ":path", ":scheme")]
    assert pseudo == ["example.com", "DELETE", "/a/b?c=d", "http"]
    attributes = merged(read_fields(guard.asked[0]), 1) or []
    for number, port in ((1, None), (2, 80)):
        address = merged(merged(merged(attributes, number) or [], 1) or [], 1) or []
        assert last_text(address, 2) == b"127.0.0.1"
        assert last_number(address, 3) == port if port is not None else last_number(address, 3) > 1024


def test_listed_fields_are_shown(serve: Serve, guard: Guard) -> None:
    """GRPCAuthConfig.allowedHeaders."""
    guarded(guard, serve, grpc="{allowedHeaders: [X-Tenant]}").ask(headers=[("x-tenant", "7"), ("Cookie", "a=b"), ("Authorization", "c")])
    assert guard.headers()["x-tenant"] == "7"
    assert not {"cookie", "authorization", "accept"} & guard.headers().keys()


def test_a_body_is_shown(serve: Serve, guard: Guard) -> None:
    """forwardBody.maxSize: the whole body or 413; the backend gets it too."""
    site = guarded(guard, serve, ", forwardBody: {maxSize: 10}")
    answer = site.ask(method="POST", body=b"please")
    assert (answer.status, answer.request.body) == (200, b"please")
    assert (last_text(guard.http(), 11), last_number(guard.http(), 9)) == (b"please", 6)
    assert site.ask(method="POST", body=b"far too much").status == 413
    assert len(guard.asked) == 1


def test_an_answer_sets_and_removes_fields(serve: Serve, guard: Guard) -> None:
    """OkHttpResponse: of the request, and of the backend's answer."""
    edits = message_field(2, edit(b"X-User", b"me")) + text_field(5, b"authorization") + message_field(6, edit(b"x-r", b"s"))
    guard.plan(message_field(1, b"") + message_field(3, edits))
    answer = guarded(guard, serve).ask(headers=[("x_user", "liar"), ("Authorization", "a")])
    assert (answer.request.values("x-user"), answer.request.values("x_user"), answer.request.values("authorization")) == (["me"], [], [])
    assert answer.headers["x-r"] == "s"


def test_a_denial_is_the_clients(serve: Serve, guard: Guard, blue: Echo) -> None:
    """DeniedHttpResponse: status, fields and body; without one 403."""
    guard.plan(denied(401, b"who are you?", edit(b"WWW-Authenticate", b"Basic")), message_field(1, number_field(1, 7)))
    site = guarded(guard, serve)
    answer = site.ask()
    assert (answer.status, answer.body, answer.headers["www-authenticate"], answer.counted.flags) == (401, b"who are you?", "Basic", "UAEX")
    assert (site.ask().status, blue.requests, outcomes(site)) == (403, [], {"denied": 2})


@pytest.mark.parametrize(
    "plan", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED, b"\x0b", message_field(3, message_field(2, edit(b"a b", b"c")))]
)
def test_no_usable_answer_is_403(serve: Serve, guard: Guard, blue: Echo, plan: bytes | grpc.StatusCode) -> None:
    """Fails closed: a call that ends badly, what is no CheckResponse, a field that must not go on the wire."""
    guard.plan(plan)
    site = guarded(guard, serve)
    assert (site.ask().status, blue.requests, outcomes(site)) == (403, [], {"failed": 1})
    assert "the authorization server default/guard:80/h2c" in site.log.wait_for(1)[0]["reason"]


def test_nobody_there_is_403(serve: Serve, blue: Echo) -> None:
    """As over HTTP."""
    site = serve(asks() + "  backendRefs: [{name: blue, port: 80}]\n", service("guard", closed_port()))
    assert (site.ask().status, blue.requests) == (403, [])


def test_an_answer_that_does_not_come_is_403(serve: Serve, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time that is kept for it."""
    monkeypatch.setattr(authorization_of_the_proxy, "PATIENCE", 0.1)
    released = Event()
    guard.plan(released)
    site = guarded(guard, serve)
    assert site.ask().status == 403
    released.set()
    assert "did not answer within 0.1 s" in site.log.wait_for(1)[0]["reason"]


def test_over_tls(serve: Serve, guards: Callable[..., Guard]) -> None:
    """The server's Service is spoken to as its BackendTLSPolicy says."""
    guard = guards(AUTHORITY.issue("guard.test"))
    secured = (trust("ca", AUTHORITY), backend_policy("guard", "guard.test", "ca"))
    site = serve(asks() + "  backendRefs: [{name: blue, port: 80}]\n", service("guard", guard.port), *secured)
    assert (site.ask().status, len(guard.asked)) == (200, 1)


def test_one_connection_asks_many_questions(serve: Serve, guard: Guard) -> None:
    """They share it."""
    site = guarded(guard, serve)
    assert [site.ask().status for _ in range(5)] == [200] * 5
    assert outcomes(site) == {"allowed": 5}


def test_calls_are_judged_too(
    serve: Serve, guard: Guard, grpc_echo: Callable[..., GrpcEcho], grpc_client: Callable[..., GrpcClient]
) -> None:
    """A call that is denied hears it as a call does: PERMISSION_DENIED with the server's words, or UNAUTHENTICATED."""
    one = grpc_echo("one")
    rule = asks() + "  backendRefs: [{name: one, port: 80}]\n"
    site = serve(rule, http2_service("one", one.port), service("guard", guard.port))
    client = grpc_client(site.address())
    assert client.bidi([b"a", b"b"]).messages == (b"a", b"b")
    guard.plan(denied(403, b"not you"), denied(401))
    outcome = client.unary(b"hello")
    assert (outcome.status, outcome.details) == (7, "not you")
    assert client.unary(b"hello").status == 16
    assert (last_text(guard.http(), 10), guard.headers()["content-type"]) == (b"HTTP/2", "application/grpc")
    assert len(one.calls) == 1


def test_explain_says_who_is_asked(serve: Serve, guard: Guard) -> None:
    """And about what, without asking."""
    site = guarded(guard, serve)
    asked = site.explain("/a?b", headers=[("Host", "example.com"), ("X-A", "1")])["authorization"]
    assert (asked["backend"], asked["protocol"], asked["request"]["target"]) == ("default/guard:80/h2c", "GRPC", "/a?b")
    assert ["X-A", "1"] in asked["request"]["headers"]
    assert guard.asked == []
