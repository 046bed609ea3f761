"""gRPC through a gateway, with the library of its own project at both ends (PROTOCOL-HTTP2 of gRPC)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from h2.errors import ErrorCodes

from tests.certificates import Authority
from tests.wire.authorities import http
from tests.wire.backends import LIMIT, closed_port
from tests.wire.conftest import Serve
from tests.wire.grpc_peers import DETAILS, HOLD, STATUS, GrpcClient, GrpcEcho
from tests.wire.http2_backends import Http2Echo, Http2Plan, http2_service
from tests.wire.http2_clients import Http2Client
from tests.wire.pools import healthy, policy
from tests.wire.secure import backend_policy, gateway, https, trust
from tests.wire.serving import Site, certificate

AUTHORITY = Authority()
SERVED, ASKED = AUTHORITY.issue("example.com"), AUTHORITY.issue("one.test")
LARGE = bytes(range(256)) * 12_000
"""3 MB: many windows and frames, and still within what gRPC takes of a message by default."""
CALL = (("content-type", "application/grpc"), ("te", "trailers"))

Echoing = Callable[..., GrpcEcho]
Calling = Callable[..., GrpcClient]
Scripting = Callable[..., Http2Echo]
Asking = Callable[..., Http2Client]


def routed(name: str = "one", more: str = "") -> str:
    """A rule for the service of the echoes."""
    return f"- matches: [{{path: {{value: /echo.Echo}}}}]\n  backendRefs: [{{name: {name}, port: 80}}]\n{more}"


def grpc_status(site: Site, count: int = 1) -> list[tuple[Any, ...]]:
    """Of each line of the log: status, gRPC status and flags."""
    return [(line["status"], line["grpc_status"], line["flags"]) for line in site.log.wait_for(count)]


def fed() -> tuple[SimpleQueue[bytes | None], Iterator[bytes]]:
    """Messages that are put in while the call runs, and their end, None."""
    queue: SimpleQueue[bytes | None] = SimpleQueue()

    def messages() -> Iterator[bytes]:
        while (message := queue.get(timeout=LIMIT)) is not None:
            yield message

    return queue, messages()


# calls


@pytest.fixture(params=[False, True], ids=["h2c", "tls"])
def called(request: pytest.FixtureRequest, serve: Serve, grpc_echo: Echoing, grpc_client: Calling) -> tuple[Site, GrpcEcho, GrpcClient]:
    """A gateway, the server behind it and a client of it: all in the clear, or all over TLS."""
    if not request.param:
        one = grpc_echo("one")
        site = serve(http2_service("one", one.port), routed())
        return site, one, grpc_client(site.address())
    one = grpc_echo("one", pair=ASKED)
    site = serve(
        gateway(https("https", "example")),
        certificate("example", SERVED),
        http2_service("one", one.port, protocol=None),
        trust("ca", AUTHORITY),
        backend_policy("one", "one.test", "ca"),
        routed(),
    )
    return site, one, grpc_client(site.address(443), trusts=AUTHORITY)


def test_calls_of_all_kinds(called: tuple[Site, GrpcEcho, GrpcClient]) -> None:
    """Unary, and streams of the server, of the client and of both; metadata and trailers pass, and the statuses are counted and logged."""
    site, one, client = called
    unary = client.unary(b"hello", (("x-a", "b"), ("x-bytes-bin", b"\x00\xff")))  # type: ignore[arg-type]  # binary metadata are bytes
    assert (unary.status, unary.messages, unary.backend, dict(unary.trailing)) == (0, (b"hello",), "one", {"x-trailing": "one"})
    assert client.server_stream(b"3").messages == (b"0", b"1", b"2")
    assert client.client_stream([b"a", b"b"]).messages == (b"ab",)
    assert client.bidi([b"a", b"b"]).messages == (b"a", b"b")
    assert [call.method for call in one.calls] == ["Unary", "ServerStream", "ClientStream", "Bidi"]
    assert (one.calls[0].value("x-a"), one.calls[0].value("x-bytes-bin")) == ("b", "\x00\xff")
    assert one.calls[0].value("x-forwarded-for") == "127.0.0.1"
    assert grpc_status(site, 4) == [(200, 0, "-")] * 4
    [series] = site.statistics().requests
    assert (series.count, series.code, series.grpc_status, series.protocol) == (4, 200, "0", "grpc")
    assert (series.request_messages, series.response_messages) == (1 + 1 + 2 + 2, 1 + 3 + 1 + 2)


def test_statuses_and_details_pass(called: tuple[Site, GrpcEcho, GrpcClient]) -> None:
    """Trailers of an answer, and an answer that is nothing but trailers (Trailers-Only)."""
    site, _, client = called
    failed = client.unary(b"hello", ((STATUS, "9"), (DETAILS, "not 100 % ready")))
    assert (failed.status, failed.details, failed.messages, failed.backend) == (9, "not 100 % ready", (), "one")
    assert client.unary(b"", method="/echo.Echo/Missing").status == 12
    assert grpc_status(site, 2) == [(200, 9, "-"), (200, 12, "-")]
    assert {series.grpc_status for series in site.statistics().requests} == {"9", "12"}


def test_large_messages_pass(called: tuple[Site, GrpcEcho, GrpcClient]) -> None:
    """Through windows of 64 KiB, both ways."""
    _, one, client = called
    assert client.unary(LARGE).messages == (LARGE,)
    assert client.bidi([LARGE, LARGE]).messages == (LARGE, LARGE)
    assert one.calls[1].messages == (LARGE, LARGE)


def test_both_directions_go_at_once(called: tuple[Site, GrpcEcho, GrpcClient]) -> None:
    """Each message waits for the answer to the one before; when the client gives the call up, the server hears of it."""
    site, one, client = called
    queue, messages = fed()
    call = client.begin_bidi(messages, ((HOLD, ""),))
    for message in (b"a", b"b", b"c"):
        queue.put(message)
        assert next(call) == message
    call.cancel()
    queue.put(None)
    one.wait_for_abandoned()
    assert one.wait_for(1)[0].messages == (b"a", b"b", b"c")
    assert grpc_status(site) == [(200, None, "DC")]


def test_a_call_may_be_silent_longer_than_a_body(serve: Serve, grpc_echo: Echoing, grpc_client: Calling, http2_client: Asking) -> None:
    """The time in which a request's body must go on is not that of a call, whose messages come when there are some
    (ListenerPolicy.timeouts.body); two slow bodies of another kind, begun later, are long over by then."""
    one = grpc_echo("one")
    limits = "kind: ListenerPolicy\nmetadata: {name: reasons}\nspec: {targetRefs: [{name: web}], timeouts: {body: 100ms}}"
    site = serve(http2_service("one", one.port), routed() + "- backendRefs: [{name: blue, port: 80}]", limits)
    queue, messages = fed()
    call = grpc_client(site.address()).begin_bidi(messages)
    queue.put(b"a")
    assert next(call) == b"a"
    asking = http2_client(site.address())
    for _ in range(2):
        assert asking.answer(asking.begin("/slow", method="POST", ends=False)).status == 408
    queue.put(b"b")
    assert next(call) == b"b"
    queue.put(None)
    assert list(call) == []
    assert call.code().value[0] == 0


def test_trailers_pass_to_clients_that_do_not_ask_for_them(serve: Serve, http2_echo: Scripting, http2_client: Asking) -> None:
    """A call is nothing without its trailers, so it need not say `te: trailers`; the backend is told so all the same."""
    echo = http2_echo("one")
    echo.plan(Http2Plan(fields=(("content-type", "application/grpc"),), body=b"\0\0\0\0\0", trailers=(("grpc-status", "0"),)))
    site = serve(http2_service("one", echo.port), routed())
    answer = http2_client(site.address()).ask("/echo.Echo/Unary", method="POST", body=b"\0\0\0\0\0", fields=CALL[:1])
    assert (answer.status, answer.trailers) == (200, (("grpc-status", "0"),))
    assert echo.requests[0].value("te") == "trailers"


# answers of the gateway


def test_no_route_is_unimplemented(serve: Serve, grpc_client: Calling) -> None:
    """GRPCRouteRule.matches: 12 where no rule matches; the reason stands in grpc-message if the listener says its reasons."""
    site = serve(routed("blue"))
    outcome = grpc_client(site.address()).unary(b"hello", method="/other.Service/Method")
    assert (outcome.status, outcome.details) == (12, "no route matches")
    assert "content-length" not in dict(outcome.trailing)
    assert grpc_status(site) == [(200, 12, "NR")]
    assert site.log.wait_for(1)[0]["reason"] == "no route matches"
    [series] = site.statistics().requests
    assert (series.code, series.flags, series.grpc_status, series.protocol) == (200, "NR", "12", "grpc")


def test_reasons_are_kept_where_they_are_not_told(serve: Serve, grpc_client: Calling) -> None:
    """Clients learn no more than that of other answers: names and addresses of backends are no business of theirs."""
    quiet = "kind: ListenerPolicy\nmetadata: {name: reasons}\nspec: {targetRefs: [{name: web}]}"
    site = serve(quiet, http2_service("gone", closed_port()), routed("gone"))
    outcome = grpc_client(site.address()).unary(b"hello")
    assert (outcome.status, outcome.details) == (14, "Service Unavailable")
    assert "no connection to 127.0.0.1" in site.log.wait_for(1)[0]["reason"]


@pytest.mark.parametrize(
    ("backend", "flag"), [("missing", "NC"), ("empty", "UH"), ("gone", "UF")], ids=["no such Service", "no endpoint", "no connection"]
)
def test_a_backend_that_is_not_there_is_unavailable(serve: Serve, grpc_client: Calling, backend: str, flag: str) -> None:
    """14, as GRPCRouteRule.backendRefs has it for backends that are not valid."""
    site = serve(http2_service("empty"), http2_service("gone", closed_port()), routed(backend))
    outcome = grpc_client(site.address()).unary(b"hello")
    assert outcome.status == 14
    assert outcome.details
    assert grpc_status(site) == [(200, 14, flag)]


def test_a_call_in_http1_is_answered_as_one(serve: Serve) -> None:
    """By what it says it is, not by the version; and `explain` says the same."""
    answer = serve().ask("/a.B/C", method="POST", headers=[("Content-Type", "application/grpc")], body=b"")
    assert (answer.status, answer.headers["grpc-status"], answer.headers["content-type"]) == (200, "12", "application/grpc")
    assert (answer.counted.grpc_status, answer.body) == ("12", b"")


def test_other_requests_are_answered_as_ever(serve: Serve, http2_client: Asking) -> None:
    """404 to whoever is no call."""
    site = serve()
    assert http2_client(site.address()).ask("/a.B/C", method="POST", body=b"").status == 404
    assert grpc_status(site) == [(404, None, "NR")]


# deadlines


@pytest.mark.parametrize(
    ("timeout", "rule"), [("50m", ""), ("1H", "  timeouts: {request: 50ms}\n"), ("50000u", "  timeouts: {request: 1h}\n")]
)
def test_the_shorter_of_two_deadlines_holds(serve: Serve, http2_echo: Scripting, http2_client: Asking, timeout: str, rule: str) -> None:
    """grpc-timeout, and HTTPRouteTimeouts.request: DEADLINE_EXCEEDED at the end of the shorter, and the server is told at once. The field
    goes on as it came."""
    echo = http2_echo("one")
    echo.plan(Http2Plan(held=True))
    site = serve(http2_service("one", echo.port), routed(more=rule))
    client = http2_client(site.address())
    answer = client.ask("/echo.Echo/Unary", method="POST", fields=(*CALL, ("grpc-timeout", timeout)), body=b"\0\0\0\0\0")
    assert (answer.status, answer.value("grpc-status"), answer.value("grpc-message")) == (200, "4", "request timeout")
    assert echo.requests[0].value("grpc-timeout") == timeout
    echo.wait_until(lambda: echo.resets == [(1, ErrorCodes.CANCEL)])
    assert grpc_status(site) == [(200, 4, "UT")]


@pytest.mark.parametrize("timeout", ["soon", "123456789S", "1"])
def test_a_malformed_deadline_is_for_the_server(serve: Serve, http2_echo: Scripting, http2_client: Asking, timeout: str) -> None:
    """It is no limit of ours, and goes on as it came."""
    echo = http2_echo("one")
    site = serve(http2_service("one", echo.port), routed())
    answer = http2_client(site.address()).ask("/echo.Echo/Unary", method="POST", fields=(*CALL, ("grpc-timeout", timeout)), body=b"")
    assert (answer.value("echo"), echo.requests[0].value("grpc-timeout")) == ("one/0", timeout)


def test_a_deadline_inside_an_answer_ends_it_with_a_status(serve: Serve, grpc_echo: Echoing, grpc_client: Calling) -> None:
    """The messages that have come are the client's; then DEADLINE_EXCEEDED in trailers (HTTPRouteTimeouts.request)."""
    one = grpc_echo("one")
    site = serve(http2_service("one", one.port), routed(more="  timeouts: {request: 300ms}\n"))
    outcome = grpc_client(site.address()).bidi([b"a", b"b"], ((HOLD, ""),))
    assert (outcome.status, outcome.details, outcome.messages) == (4, "request timeout inside the response", (b"a", b"b"))
    one.wait_for_abandoned()
    assert grpc_status(site) == [(200, 4, "UT")]


def test_the_client_sets_deadlines(called: tuple[Site, GrpcEcho, GrpcClient]) -> None:
    """The server knows how long the client waits; the call ends for both."""
    _, one, client = called
    outcome = client.unary(b"hello", ((HOLD, ""),), timeout=0.2)
    assert outcome.status == 4
    one.wait_for_abandoned()
    [call] = one.wait_for(1)
    assert call.deadline is not None
    assert call.deadline < 0.25  # which clients may round up


# failures


def test_a_backend_that_breaks_off_is_unavailable(serve: Serve, http2_echo: Scripting, grpc_client: Calling) -> None:
    """What has come of an answer is the client's, and it ends with UNAVAILABLE in trailers, which say more than a reset."""
    echo = http2_echo("one")
    echo.plan(Http2Plan(fields=CALL[:1], body=b"\0\0\0\0\1a", unfinished=True, early=True))
    site = serve(http2_service("one", echo.port), routed())
    queue, messages = fed()
    call = grpc_client(site.address()).begin_bidi(messages)
    assert next(call) == b"a"
    echo.abort()
    assert call.code().value[0] == 14
    assert call.details().startswith("backend ")
    queue.put(None)
    assert grpc_status(site) == [(200, 14, "UC")]


def test_a_backend_that_goes_away_before_it_answers_is_unavailable(serve: Serve, http2_echo: Scripting, http2_client: Asking) -> None:
    """A call may have been carried out, so it is not made again; nothing of it is in the answer."""
    echo = http2_echo("one")
    echo.always(Http2Plan(silent=True, resets=ErrorCodes.INTERNAL_ERROR))
    site = serve(http2_service("one", echo.port), routed())
    answer = http2_client(site.address()).ask("/echo.Echo/Unary", method="POST", fields=CALL, body=b"\0\0\0\0\0")
    assert (answer.status, answer.value("grpc-status"), answer.body) == (200, "14", b"")
    assert len(echo.requests) == 1


def test_a_stream_that_is_refused_is_asked_elsewhere(serve: Serve, http2_echo: Scripting, http2_client: Asking) -> None:
    """RFC 9113 8.7: what a backend has refused it has not looked at, so that a POST too is tried once more, at another endpoint."""
    full, other = http2_echo("full"), http2_echo("other")
    full.always(Http2Plan(silent=True, resets=ErrorCodes.REFUSED_STREAM))
    site = serve(http2_service("pool", full.port, other.port), routed("pool"))
    client = http2_client(site.address())
    for _ in range(4):
        answer = client.ask("/echo.Echo/Unary", method="POST", fields=CALL, body=b"\0\0\0\0\0")
        assert (answer.value("echo") or "").startswith("other/")
    assert full.requests


def test_unavailable_speaks_against_an_endpoint(serve: Serve, grpc_echo: Echoing, grpc_client: Calling) -> None:
    """As 503 does: after five in a row the endpoint is left out (BackendPolicy.ejection), and the others serve."""
    bad, good = grpc_echo("bad"), grpc_echo("good")
    limits = policy(ejection={"baseTime": "1h", "maxTime": "1h", "consecutiveErrors": 3})
    site = serve(http2_service("pool", bad.port, good.port), limits, routed("pool"))
    client = grpc_client(site.address())
    assert healthy(site) == {bad.port, good.port}
    for _ in range(12):
        client.unary(b"hello", ((STATUS, "14"),) if bad.port in healthy(site) else ())
        if len(healthy(site)) == 1:
            break
    assert len(healthy(site)) == 1


def test_other_statuses_do_not(serve: Serve, grpc_echo: Echoing, grpc_client: Calling) -> None:
    """They speak of the call, and end a row of errors."""
    servers = [grpc_echo("a"), grpc_echo("b")]
    limits = policy(ejection={"baseTime": "1h", "maxTime": "1h", "consecutiveErrors": 2})
    site = serve(http2_service("pool", *[server.port for server in servers]), limits, routed("pool"))
    client = grpc_client(site.address())
    for status in ("14", "13", "14", "4", "14", "0", "14", "2"):
        for _ in servers:
            client.unary(b"hello", ((STATUS, status),))
    assert healthy(site) == {server.port for server in servers}


# filters


def test_metadata_are_edited(serve: Serve, grpc_echo: Echoing, grpc_client: Calling) -> None:
    """RequestHeaderModifier and ResponseHeaderModifier edit initial metadata (GRPCRouteFilter)."""
    one = grpc_echo("one")
    filters = """  filters:
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: set}], add: [{name: x-b, value: added}], remove: [x-c]}}
  - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-d, value: answered}]}}
"""
    site = serve(http2_service("one", one.port), routed(more=filters))
    outcome = grpc_client(site.address()).unary(b"hello", (("x-a", "sent"), ("x-c", "sent")))
    assert (outcome.status, dict(outcome.initial)["x-d"]) == (0, "answered")
    assert (one.calls[0].value("x-a"), one.calls[0].value("x-b"), one.calls[0].value("x-c")) == ("set", "added", None)


def test_calls_are_mirrored(serve: Serve, grpc_echo: Echoing, grpc_client: Calling) -> None:
    """RequestMirror: another server gets the same messages, and what it answers is nobody's business."""
    one, two = grpc_echo("one"), grpc_echo("two")
    filters = "  filters: [{type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}}}]\n"
    site = serve(http2_service("one", one.port), http2_service("two", two.port), routed(more=filters))
    outcome = grpc_client(site.address()).client_stream([b"a", b"b"], (("x-a", "b"),))
    assert (outcome.status, outcome.backend, outcome.messages) == (0, "one", (b"ab",))
    [copy] = two.wait_for(1)
    assert (copy.method, copy.messages, copy.value("x-a")) == ("ClientStream", (b"a", b"b"), "b")


def test_methods_are_told_apart(serve: Serve, grpc_echo: Echoing, grpc_client: Calling) -> None:
    """By the path, which is /service/method."""
    one, two = grpc_echo("one"), grpc_echo("two")
    exact = "- matches: [{path: {type: Exact, value: /echo.Echo/Other}}]\n  backendRefs: [{name: two, port: 80}]\n"
    site = serve(http2_service("one", one.port), http2_service("two", two.port), routed() + exact)
    client = grpc_client(site.address())
    assert [client.unary(b"", method=method).backend for method in ("Unary", "Other")] == ["one", "two"]


# explain


def test_explain_speaks_of_calls(serve: Serve, grpc_echo: Echoing) -> None:
    """What the gateway answers to a call, it answers as gRPC has it."""
    site = serve(gateway(http()), http2_service("one", grpc_echo("one").port), routed())
    asked = [("Host", "example.com"), ("Content-Type", "application/grpc")]
    reply = site.explain("/other.Service/Method", method="POST", headers=asked)["reply"]
    assert (reply["status"], dict(reply["headers"])["grpc-status"], reply["reason"]) == (200, "12", "no route matches")
    [portion] = site.explain("/echo.Echo/Unary", method="POST", headers=asked)["portions"]
    assert portion["backend"] == "default/one:80"
