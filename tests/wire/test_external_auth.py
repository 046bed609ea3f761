"""ExternalAuth over HTTP: an authorization server is asked first, and only its 200 lets a request pass (HTTPExternalAuthFilter)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from gateway.proxy import authorization as authorization_of_the_proxy
from tests.certificates import Authority
from tests.wire.backends import LIMIT, Conversation, Echo, Planned, Scripted, closed_port
from tests.wire.conftest import Serve
from tests.wire.pairings import either_way
from tests.wire.peers import OK, Recorder, Wire, chunked, get, post
from tests.wire.secure import TlsBackend, backend_policy, trust
from tests.wire.serving import Site, service

pytestmark = either_way

NOTHING = "{}"
RED, GUARD = "{name: red, port: 80}", "{name: guard, port: 80}"
ALLOW = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def asks(http: str = NOTHING, more: str = "", server: str = RED) -> str:
    """An ExternalAuth filter towards red."""
    return f"{{type: ExternalAuth, externalAuth: {{protocol: HTTP, backendRef: {server}, http: {http}{more}}}}}"


def guarded(*filters: str, backends: str = "[{name: blue, port: 80}]", more: str = "") -> str:
    """A rule towards blue with filters."""
    return f"- filters: [{', '.join(filters)}]\n  backendRefs: {backends}\n{more}"


def outcomes(site: Site) -> dict[str, float]:
    samples = [sample for sample in site.statistics().counters if sample.name == "tidegate_external_authorizations_total"]
    return {dict(sample.labels)["outcome"]: sample.value for sample in samples}


def a_server(serve: Serve, scripted: Callable[..., Scripted], *scripts: Callable[[Conversation], None]) -> Site:
    """A gateway whose authorization server follows scripts."""
    return serve(guarded(asks(server=GUARD)), service("guard", scripted(*scripts).port))


# what is asked


def test_200_lets_a_request_pass(serve: Serve, blue: Echo, red: Echo) -> None:
    """Method, path with query and Host go to the server as the client sent them; after 200 the backend gets the request."""
    site = serve(guarded(asks()))
    answer = site.ask("/a/b?c=d", method="DELETE")
    assert (answer.status, answer.backend) == (200, "blue")
    [question] = red.requests
    assert (question.method, question.target, question.value("host"), question.body) == ("DELETE", "/a/b?c=d", "example.com", b"")
    assert question.value("x-request-id") == answer.request.value("x-request-id")
    assert question.value("x-forwarded-for") == "127.0.0.1"
    assert outcomes(site) == {"allowed": 1}


def test_the_path_has_a_prefix(serve: Serve, red: Echo) -> None:
    """`http.path` stands before the path; the query stays behind it."""
    serve(guarded(asks("{path: /check/it}"))).ask("/a?b")
    assert red.requests[0].target == "/check/it/a?b"


def test_what_is_sent_without_being_listed(serve: Serve, red: Echo) -> None:
    """Authorization always goes to the server, Content-Length says 0; a cookie or any other field does not go unless it is listed
    (HTTPAuthConfig.allowedHeaders)."""
    headers = [("Authorization", "Basic eA=="), ("Cookie", "session=1"), ("X-Tenant", "7")]
    serve(guarded(asks())).ask(headers=headers)
    [question] = red.requests
    assert question.values("authorization") == ["Basic eA=="]
    assert question.value("content-length") == "0"
    assert question.values("cookie") + question.values("x-tenant") == []


def test_listed_fields_are_sent(serve: Serve, red: Echo) -> None:
    """`allowedHeaders` adds fields, in any spelling of theirs."""
    headers = [("cOOKIE", "session=1"), ("x-tenant", "7"), ("X-Other", "8")]
    serve(guarded(asks("{allowedHeaders: [Cookie, X-Tenant]}"))).ask(headers=headers)
    [question] = red.requests
    assert (question.value("cookie"), question.value("x-tenant"), question.value("x-other")) == ("session=1", "7", None)


def test_the_server_sees_what_was_matched(serve: Serve, blue: Echo, red: Echo) -> None:
    """A rewrite listed before the filter changes the backend's request, not the question: path and Host are those that were matched."""
    rewrite = "{type: URLRewrite, urlRewrite: {hostname: inside.example, path: {type: ReplaceFullPath, replaceFullPath: /inside}}}"
    answer = serve(guarded(rewrite, asks())).ask("/a/%2e./%62")
    assert (answer.request.target, answer.request.value("host")) == ("/inside", "inside.example")
    assert (red.requests[0].target, red.requests[0].value("host")) == ("/b", "example.com")


def test_filters_run_in_the_order_of_the_route(serve: Serve, red: Echo) -> None:
    """A header set before the question is in it, one set after is not; the backend gets both."""
    before = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Tenant, value: ours}]}}"
    http = "{allowedHeaders: [X-Tenant]}"
    answer = serve(guarded(before, asks(http))).ask(headers=[("X-Tenant", "theirs")])
    assert (red.requests[0].value("x-tenant"), answer.request.value("x-tenant")) == ("ours", "ours")
    answer = serve(guarded(asks(http), before)).ask(headers=[("X-Tenant", "theirs")])
    assert (red.requests[1].value("x-tenant"), answer.request.value("x-tenant")) == ("theirs", "ours")
    assert red.requests[0].value("x-forwarded-for") == "127.0.0.1"  # unfolded or not, what we say of the client goes along


def test_a_preflight_before_the_question_needs_no_permission(serve: Serve, red: Echo) -> None:
    """A filter listed before may answer, and then nobody is asked; what it adds to answers is on a refusal too."""
    cors = "{type: CORS, cors: {allowOrigins: ['https://a.example']}}"
    site = serve(guarded(cors, asks()))
    origin = [("Origin", "https://a.example")]
    assert site.ask(method="OPTIONS", headers=[*origin, ("Access-Control-Request-Method", "PUT")]).status in (200, 204)
    assert red.requests == []
    red.plan(Planned(401))
    answer = site.ask(headers=origin)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, "https://a.example")


# what an answer does


@pytest.mark.parametrize("status", [201, 204, 301, 401, 403, 404, 500, 503])
def test_any_other_status_is_the_answer(serve: Serve, blue: Echo, red: Echo, status: int) -> None:
    """Only 200 allows; every other status goes to the client with its fields and body, and no backend is asked."""
    body = b"" if status == 204 else b"who are you?"
    red.plan(Planned(status, ("location", "https://login.example/"), ("set-cookie", "a=1"), ("www-authenticate", "Basic"), body=body))
    site = serve(guarded(asks()))
    answer = site.ask()
    assert (answer.status, answer.body, answer.headers["set-cookie"]) == (status, body, "a=1")
    assert (answer.location, answer.headers["www-authenticate"]) == ("https://login.example/", "Basic")
    assert (blue.requests, answer.counted.flags, outcomes(site)) == ([], "UAEX", {"denied": 1})
    assert site.log.wait_for(1)[0]["reason"] == f"the authorization server default/red:80 answered {status}"


def test_a_refused_head_says_what_a_get_would(serve: Serve, red: Echo) -> None:
    """The Content-Length of a refusal without its body is the server's (RFC 9110 8.6)."""
    red.always(Planned(403, body=b"who are you?"))
    site = serve(guarded(asks()))
    with Wire(site) as wire:
        answer = wire.ask(b"HEAD / HTTP/1.1\r\nHost: example.com\r\n\r\n", "HEAD")
        assert (answer.status, answer.value("content-length"), answer.body) == (403, "12", b"")
        assert wire.ask(get()).body == b"who are you?"


def test_hop_by_hop_fields_of_a_refusal_stay(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """Connection, what it names, and framing of the server's answer are not the client's (RFC 9110 7.6.1)."""
    fields = b"Connection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    site = a_server(serve, scripted, Recorder(b"HTTP/1.1 403 No\r\n" + fields + chunked(b"no")))
    with Wire(site) as wire:
        answer = wire.ask(get())
        assert (answer.status, answer.body, answer.value("x-kept"), answer.value("content-length")) == (403, b"no", "1", "2")
        assert not {"x-hop", "keep-alive", "connection", "transfer-encoding"} & {name for name, _ in answer.fields}
        assert wire.ask(get()).status == 200  # the client's connection is as good as before


def test_listed_fields_of_the_answer_reach_the_backend(serve: Serve, red: Echo) -> None:
    """`allowedResponseHeaders` go onto the request in place of the client's, others do not."""
    red.plan(Planned(200, ("X-User", "ada"), ("X-Group", "admin")))
    answer = serve(guarded(asks("{allowedResponseHeaders: [X-User]}"))).ask(headers=[("x-user", "mallory"), ("X_User", "mallory")])
    assert (answer.request.values("x-user"), answer.request.values("x-group"), answer.request.values("x_user")) == (["ada"], [], [])


def test_a_client_cannot_speak_for_the_server(serve: Serve, red: Echo) -> None:
    """A listed field that the server does not set is absent at the backend, even if the client sends it."""
    answer = serve(guarded(asks("{allowedResponseHeaders: [X-User]}"))).ask(headers=[("X-User", "mallory"), ("X.User", "mallory")])
    assert answer.request.values("x-user") + answer.request.values("x.user") == []


def test_without_a_list_all_fields_reach_the_backend(serve: Serve, red: Echo) -> None:
    """An empty `allowedResponseHeaders` means all but Host, framing and what describes the answer's own content."""
    own = (("Content-Type", "text/x"), ("Host", "evil.example"))
    red.plan(Planned(200, ("X-User", "ada"), ("Authorization", "Bearer new"), *own, body=b"ok"))
    headers = [("Authorization", "Basic old"), ("Content-Type", "application/json"), ("X-Kept", "1")]
    answer = serve(guarded(asks())).ask(method="POST", headers=headers, body=b"{}")
    request = answer.request
    assert (request.values("x-user"), request.values("authorization"), request.values("x-kept")) == (["ada"], ["Bearer new"], ["1"])
    assert (request.value("content-type"), request.value("host"), request.body) == ("application/json", "example.com", b"{}")


def test_what_we_say_of_a_client_is_changed_only_where_it_is_listed(serve: Serve, red: Echo) -> None:
    """x-forwarded-host of the server's answer counts where the filter lists it, and there is then only one."""
    red.always(Planned(200, ("X-Forwarded-Host", "red.example")))
    assert serve(guarded(asks())).ask().request.value("x-forwarded-host") == "example.com"
    assert serve(guarded(asks("{allowedResponseHeaders: [X-Forwarded-Host]}"))).ask().request.value("x-forwarded-host") == "red.example"


# the body


def test_a_body_is_not_shown_by_default(serve: Serve, red: Echo) -> None:
    """Without forwardBody the server sees no body, and the backend gets all of it (Content-Length of the question: 0)."""
    answer = serve(guarded(asks())).ask(method="POST", body=b"secret")
    assert (red.requests[0].body, red.requests[0].value("content-length"), answer.request.body) == (b"", "0", b"secret")


@pytest.mark.parametrize("streamed", [False, True], ids=["counted", "chunked"])
def test_a_body_is_shown_up_to_its_limit(serve: Serve, red: Echo, streamed: bool) -> None:
    """With forwardBody the question has the whole body with its length, and the backend gets it as it came."""
    body = bytes(range(256)) * 400
    answer = serve(guarded(asks(more=", forwardBody: {maxSize: 102400}"))).ask(
        method="POST", body=iter([body[:50_000], body[50_000:]]) if streamed else body
    )
    assert (red.requests[0].body, red.requests[0].value("content-length")) == (body, "102400")
    assert answer.request.body == body


@pytest.mark.parametrize("streamed", [False, True], ids=["counted", "chunked"])
def test_a_longer_body_is_refused(serve: Serve, blue: Echo, red: Echo, streamed: bool) -> None:
    """A body over maxSize is 413 and never judged by its beginning: neither the server nor the backend sees the request
    (HTTPExternalAuthFilter.forwardBody: rejected with a 4xx)."""
    site = serve(guarded(asks(more=", forwardBody: {maxSize: 10}")))
    body = b"12345678901"
    answer = site.ask(method="POST", body=iter([body[:5], body[5:]]) if streamed else body)
    assert (answer.status, answer.counted.flags, outcomes(site)) == (413, "UAEX", {"too large": 1})
    assert red.requests == blue.requests == []
    assert site.ask(method="POST", body=body[:10]).status == 200


def test_a_body_that_comes_slowly_is_awaited(serve: Serve, red: Echo) -> None:
    """The server is asked when the whole body is there."""
    with Wire(serve(guarded(asks(more=", forwardBody: {maxSize: 10}")))) as wire:
        wire.send(post(b"Content-Length: 6", body=b"abc"))
        wire.turn()
        assert red.requests == []
        wire.send(b"def")
        assert wire.response().status == 200
    assert red.requests[0].body == b"abcdef"


def test_a_large_body_waits_for_the_answer(serve: Serve, blue: Echo, red: Echo) -> None:
    """Without forwardBody a body that comes meanwhile is no longer read beyond what is kept for a retry, and then reaches the backend
    whole."""
    held = Planned(held=True)
    red.plan(held)
    site = serve(guarded(asks()))
    body = bytes(8_000_000)
    with Wire(site) as wire:
        sending = Thread(target=lambda: wire.send(post(b"Content-Length: %d" % len(body), body=body)))
        sending.start()
        red.wait_for(1)
        [port] = site.runtime._live.ports.values()
        [connection] = port.connections
        while site._thread.call(connection.transport.is_reading):
            wire.turn()
        assert connection.exchange is not None
        assert connection.exchange.received < 1_000_000
        held.release()
        sending.join(LIMIT)
        assert wire.response().status == 200
    assert blue.wait_for(1)[0].body == body


# expectations, old clients, upgrades, retries, mirrors


def test_100_continue_waits_for_the_permission(serve: Serve, red: Echo) -> None:
    """A client that waits for 100 (Continue) is told to send when the server has allowed it; after a refusal it never sends
    (RFC 9110 10.1.1)."""
    site = serve(guarded(asks()))
    red.plan(Planned(401))
    with Wire(site) as wire:
        wire.send(post(b"Expect: 100-continue", b"Content-Length: 2"))
        refusal = wire.response()
        assert (refusal.status, refusal.informational, refusal.value("connection")) == (401, (), "close")
    with Wire(site) as wire:
        wire.send(post(b"Expect: 100-continue", b"Content-Length: 2"))
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"ok")
        assert wire.response().status == 200


def test_100_continue_is_said_where_the_body_is_judged(serve: Serve, red: Echo) -> None:
    """With forwardBody the body is needed for the question, so it is asked for before."""
    red.plan(Planned(403))
    with Wire(serve(guarded(asks(more=", forwardBody: {maxSize: 10}")))) as wire:
        wire.send(post(b"Expect: 100-continue", b"Content-Length: 2"))
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert red.requests == []
        wire.send(b"no")
        assert wire.response().status == 403
    assert red.requests[0].body == b"no"


def test_http_1_0_is_asked_about(serve: Serve, blue: Echo, red: Echo) -> None:
    """A client of HTTP/1.0 passes no other way than the others (RFC 9112 2.5)."""
    site = serve(guarded(asks()))
    red.plan(Planned(403))
    with Wire(site) as wire:
        assert wire.ask(get(version=b"1.0")).status == 403
    assert blue.requests == []
    with Wire(site) as wire:
        assert wire.ask(get(version=b"1.0")).status == 200


def test_a_websocket_handshake_is_asked_about(serve: Serve, scripted: Callable[..., Scripted], red: Echo) -> None:
    """A handshake is a request like any other: the question has no Upgrade, and only after 200 the tunnel opens (RFC 6455 4)."""
    key = (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    handshake = get(b"Upgrade: websocket", b"Connection: Upgrade", *key)
    accepted = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhi"

    def accept(conversation: Conversation) -> None:
        assert b"upgrade: websocket" in conversation.read_head()
        conversation.send(b"HTTP/1.1 101 S\r\n" + accepted)

    site = serve(guarded(asks(), backends="[{name: shop, port: 80}]"), service("shop", scripted(accept).port))
    red.plan(Planned(403))
    with Wire(site) as wire:
        wire.send(handshake)
        assert wire.response().status == 403
    with Wire(site) as wire:
        wire.send(handshake)
        assert wire.read_until(b"\r\n\r\nhi").startswith(b"HTTP/1.1 101 ")
    assert [question.value("upgrade") for question in red.requests] == [None, None]


def test_a_retry_asks_the_backend_again_and_not_the_server(serve: Serve, blue: Echo, red: Echo) -> None:
    """The permission is for the request: attempts at backends follow it, and none goes before it."""
    blue.plan(Planned(503))
    answer = serve(guarded(asks(), more="  retry: {attempts: 1, codes: [503]}\n")).ask(method="POST", body=b"twice")
    assert (answer.status, [request.body for request in blue.requests], len(red.requests)) == (200, [b"twice", b"twice"], 1)


@pytest.mark.parametrize("at", ["rule", "backend"])
def test_a_mirror_gets_only_what_was_allowed(serve: Serve, blue: Echo, green: Echo, red: Echo, at: str) -> None:
    """Nothing is mirrored before the permission; after it the mirror has the whole request, body and all."""
    mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: green, port: 80}}}"
    if at == "rule":
        site = serve(guarded(mirror, asks()))
    else:
        site = serve(guarded(mirror, backends=f"[{{name: blue, port: 80, filters: [{asks()}]}}]"))
    red.plan(Planned(403))
    assert site.ask("/no", method="POST", body=b"no").status == 403
    assert site.ask("/yes", method="POST", body=b"yes").status == 200
    assert [(copy.target, copy.body) for copy in green.wait_for(1)] == [("/yes", b"yes")]
    assert [request.target for request in blue.requests] == ["/yes"]


def test_a_backend_may_have_a_server_of_its_own(serve: Serve, blue: Echo, green: Echo, red: Echo) -> None:
    """As a filter of a backendRef it is asked for that share alone, after the rule's filters (HTTPBackendRef.filters)."""
    header = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Tenant, value: blue}]}}"
    own = f"[{header}, {asks('{allowedHeaders: [X-Tenant], allowedResponseHeaders: [X-User]}')}]"
    site = serve(f"- backendRefs: [{{name: blue, port: 80, filters: {own}}}, {{name: green, port: 80}}]")
    red.always(Planned(200, ("X-User", "ada")))
    answers = [site.ask(headers=[("X-User", "mallory")]) for _ in range(30)]
    users = {(answer.backend, answer.request.value("x-user")) for answer in answers}
    assert users == {("blue", "ada"), ("green", "mallory")}
    assert len(red.requests) == len(blue.requests)
    assert {question.value("x-tenant") for question in red.requests} == {"blue"}


def test_rule_and_backend_may_both_ask(serve: Serve, red: Echo, green: Echo) -> None:
    """The rule's server is asked first, then the backend's; either may refuse. A body is shown to each that wants it."""
    own = asks(more=", forwardBody: {maxSize: 200000}", server="{name: green, port: 80}")
    site = serve(guarded(asks(), backends=f"[{{name: blue, port: 80, filters: [{own}]}}]"))
    body = bytes(150_000)
    answer = site.ask(method="POST", body=body)
    assert (answer.status, answer.request.body, red.requests[0].body, green.requests[0].body) == (200, body, b"", body)
    green.plan(Planned(403))
    assert site.ask().status == 403
    red.plan(Planned(401))
    assert site.ask().status == 401
    assert (len(red.requests), len(green.requests)) == (3, 2)


# failing closed


def _reset(conversation: Conversation) -> None:
    conversation.read_head()
    conversation.reset()


def _answer(data: bytes) -> Callable[[Conversation], None]:
    def answer(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(data)

    return answer


FAULTS: dict[str, Callable[[Conversation], None]] = {
    "reset": _reset,
    "no HTTP": _answer(b"SSH-2.0-x\r\n"),
    "both lengths": _answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "cut inside 200": _answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"),
    "cut inside a refusal": _answer(b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nno"),
    "surplus bytes": _answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nsurplus"),
    "a switch of protocols": _answer(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    "a refusal without end": _answer(b"HTTP/1.1 403 No\r\n\r\n" + bytes(100_000)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_usable_answer_is_403(serve: Serve, scripted: Callable[..., Scripted], blue: Echo, fault: str) -> None:
    """Whatever goes wrong with the server, the request is refused with 403 and a reason in the log, and no backend sees it: the filter
    fails closed."""
    site = a_server(serve, scripted, FAULTS[fault])
    answer = site.ask()
    assert (answer.status, answer.counted.flags, blue.requests, outcomes(site)) == (403, "UAEX", [], {"failed": 1})
    assert answer.reason is not None
    assert "default/guard:80" in answer.reason


def test_a_server_that_cannot_be_reached_is_403(serve: Serve, blue: Echo) -> None:
    """No connection, no permission."""
    answer = serve(guarded(asks(server=GUARD)), service("guard", closed_port())).ask()
    assert (answer.status, answer.counted.flags, blue.requests) == (403, "UAEX", [])
    assert answer.reason is not None
    assert "no connection" in answer.reason


def test_a_server_without_endpoints_is_403(serve: Serve, blue: Echo) -> None:
    """Nobody to ask, no permission."""
    answer = serve(service("lonely"), guarded(asks(server="{name: lonely, port: 80}"))).ask()
    assert (answer.status, blue.requests) == (403, [])
    assert answer.reason == "the authorization server default/lonely:80 has no ready endpoint"


def test_another_endpoint_is_asked_once(serve: Serve, red: Echo) -> None:
    """A server with an endpoint that refuses connections is asked at the next one."""
    site = serve(guarded(asks(server=GUARD)), service("guard", closed_port(), red.port))
    assert [site.ask().status for _ in range(4)] == [200] * 4


def test_a_connection_that_had_ended_is_replaced(serve: Serve, scripted: Callable[..., Scripted]) -> None:
    """A kept-alive connection that the server has closed meanwhile costs a new one and not the request."""
    left = Event()

    def once(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(ALLOW)
        if conversation.read_head():  # the second question comes on it, and is not answered
            left.set()

    backend = scripted(once, Recorder(otherwise=ALLOW))
    site = serve(guarded(asks(server=GUARD)), service("guard", backend.port))
    assert [site.ask(method="POST").status for _ in range(2)] == [200, 200]
    assert left.wait(LIMIT)
    assert backend.connections == 2


def test_a_server_that_is_too_slow_is_403(serve: Serve, red: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a timeout of the rule the server has a time limit of its own."""
    monkeypatch.setattr(authorization_of_the_proxy, "PATIENCE", 0.05)
    red.plan(Planned(held=True))
    site = serve(guarded(asks()))
    answer = site.ask()
    assert (answer.status, answer.counted.flags) == (403, "UAEX")
    red.wait_for_abandoned()
    assert outcomes(site) == {"failed": 1}


def test_the_rules_timeout_covers_the_question(serve: Serve, blue: Echo, red: Echo) -> None:
    """timeouts.request holds for everything that is done for a request: 504, and the question is given up."""
    red.plan(Planned(held=True))
    site = serve(guarded(asks(), more="  timeouts: {request: 100ms}\n"))
    answer = site.ask()
    assert (answer.status, answer.counted.flags, blue.requests) == (504, "UT", [])
    red.wait_for_abandoned()
    assert outcomes(site) == {"abandoned": 1}


def test_a_client_that_leaves_ends_the_question(serve: Serve, blue: Echo, red: Echo) -> None:
    """Nobody is asked on behalf of nobody."""
    red.plan(Planned(held=True))
    site = serve(guarded(asks()))
    with Wire(site) as wire:
        wire.send(get())
        red.wait_for(1)
        wire.reset()
        red.wait_for_abandoned()
    assert (site.log.wait_for(1)[0]["flags"], blue.requests, outcomes(site)) == ("DC", [], {"abandoned": 1})


def test_a_malformed_body_ends_the_question(serve: Serve, blue: Echo, red: Echo) -> None:
    """400 for a body that is no body, before or while the server is asked; the backend sees nothing."""
    site = serve(guarded(asks(more=", forwardBody: {maxSize: 100}")))
    with Wire(site) as wire:
        wire.send(post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\nx\r\n"))
        assert wire.response().status == 400
    assert red.requests == blue.requests == []


def test_questions_count_for_the_servers_balancing(serve: Serve, red: Echo, green: Echo) -> None:
    """The server's BackendPolicy holds for questions, and however they end nothing of them stays counted: allowed, denied, failed,
    abandoned by the client, out of time."""
    policy = "kind: BackendPolicy\nmetadata: {name: guard}\nspec: {targetRefs: [{name: guard}], balancing: {type: LeastRequest}}"
    rule = guarded(asks(server=GUARD), more="  timeouts: {request: 5s}\n")
    site = serve(rule, policy, service("guard", red.port, green.port, closed_port()))
    held = Planned(held=True)
    red.plan(held)
    green.plan(Planned(403))
    with Wire(site) as wire:
        wire.send(get())
        red.wait_until(lambda requests: bool(requests or green.requests))
        wire.reset()
    held.release()
    for _ in range(40):
        site.ask()
    backend = site.runtime._live.described["default/guard:80"]
    assert site._thread.call(lambda: [backend.active, *(endpoint.active for endpoint in backend.endpoints.values())]) == [0, 0, 0, 0]
    assert len(red.requests) > 3
    assert len(green.requests) > 3


@pytest.mark.parametrize(
    ("backend", "told"),
    [("{name: missing, port: 80}", "BackendNotFound"), ("{name: red, namespace: other, port: 80}", "RefNotPermitted")],
    ids=["missing", "without a grant"],
)
def test_a_reference_to_nobody_is_500(serve: Serve, blue: Echo, backend: str, told: str) -> None:
    """A server that cannot be resolved closes the rule, and ResolvedRefs says why."""
    site = serve(guarded(asks(server=backend)))
    assert (site.ask().status, blue.requests) == (500, [])
    assert told in site.conditions("HTTPRoute", "route")


def test_the_server_is_asked_over_tls(serve: Serve, tmp_path: Path, blue: Echo) -> None:
    """A BackendTLSPolicy on the server's Service holds: it must show a certificate that verifies, or nobody passes
    (HTTPExternalAuthFilter.backendRef)."""
    authority = Authority()
    server = TlsBackend(tmp_path, authority.issue("red.test"))
    objects = (guarded(asks(server=GUARD)), service("guard", server.port), backend_policy("guard", "red.test", "ca"))
    site = serve(trust("ca", authority), *objects)
    assert (site.ask().status, server.server_names, len(server.recorder.requests)) == (200, ["red.test"], 1)
    site.change(trust("ca", Authority("Stranger")), *objects)
    assert (site.ask().status, len(blue.requests), len(server.recorder.requests)) == (403, 1, 1)
    server.close()


def test_pipelined_requests_are_asked_about_one_by_one(serve: Serve, blue: Echo, red: Echo) -> None:
    """A refusal is for its own request, and the next one in the buffer is judged by itself."""
    red.plan(Planned(403), Planned(200), Planned(403))
    with Wire(serve(guarded(asks()))) as wire:
        wire.send(get(target=b"/1") + get(target=b"/2") + get(target=b"/3"))
        assert [wire.response().status for _ in range(3)] == [403, 200, 403]
    assert [request.target for request in blue.requests] == ["/2"]


def test_a_chunked_body_goes_on_as_it_came(serve: Serve, scripted: Callable[..., Scripted], red: Echo) -> None:
    """What was held for the question is framed for the backend like any body, trailers included."""
    backend = Recorder(otherwise=OK)
    rule = guarded(asks(more=", forwardBody: {maxSize: 100}"), backends="[{name: shop, port: 80}]")
    site = serve(rule, service("shop", scripted(backend).port))
    with Wire(site) as wire:
        data = chunked(b"abc", b"de", trailers=b"X-Sum: 5\r\n")
        assert wire.ask(post(b"Transfer-Encoding: chunked", b"TE: trailers", b"Connection: te", body=data)).status == 200
    assert backend.requests[0].body.endswith(b"0\r\nX-Sum: 5\r\n\r\n")
    assert red.requests[0].body == b"abcde"


def test_it_is_explained(serve: Serve, red: Echo) -> None:
    """`explain` says whom it would ask, and what, and asks nobody."""
    site = serve(guarded(asks("{path: /check, allowedResponseHeaders: [X-User]}", more=", forwardBody: {maxSize: 9}")))
    said = site.explain("/a", headers=[("Host", "example.com"), ("X-User", "mallory"), ("Authorization", "Basic eA==")])
    asked = said["authorization"]
    assert (asked["backend"], asked["request"]["target"]) == ("default/red:80", "/check/a")
    assert (list(asked["fields"]), asked["max_body"]) == (["x-user"], 9)
    assert ["Authorization", "Basic eA=="] in [list(pair) for pair in asked["request"]["headers"]]
    assert [list(pair) for pair in said["portions"][0]["forwarded"]["headers"]] == [["Authorization", "Basic eA=="]]
    [words] = said["rule"]["filters"]
    assert words == "asks the authorization server default/red:80 whether the request may pass, with up to 9 bytes of body"
    assert red.requests == []

