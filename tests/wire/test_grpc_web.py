"""gRPC-Web from clients as browsers are, to servers of gRPC (PROTOCOL-WEB of gRPC): over HTTP/1.1 and HTTP/2, binary and as text."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from typing import NamedTuple

import httpx
import pytest

from tests.wire.backends import LIMIT, Echo
from tests.wire.conftest import Serve
from tests.wire.grpc_peers import DETAILS, HOLD, STATUS, GrpcEcho
from tests.wire.http2_clients import httpx_client
from tests.wire.serving import Site, service
from tests.wire.test_grpc_routes import route, rule

FORGETS = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [grpc-timeout]}}"
BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"


class Answered(NamedTuple):
    """What a client of gRPC-Web reads."""

    response: httpx.Response
    messages: list[bytes]
    trailers: dict[str, str]


def frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def read(response: httpx.Response) -> Answered:
    """Messages, then trailers: those of the last frame, or of the head where there is none."""
    body = response.content
    if "-text" in response.headers.get("content-type", ""):
        body = b"".join(b64decode(body[at : at + 4], validate=True) for at in range(0, len(body), 4))
    messages, trailers = [], {name: value for name, value in response.headers.items() if name.startswith("grpc-")}
    while body:
        flag, size = body[0], int.from_bytes(body[1:5], "big")
        content, body = body[5 : 5 + size], body[5 + size :]
        if flag & 0x80:
            trailers = dict(line.split(": ", 1) for line in content.decode("ascii").split("\r\n") if line)
            assert not body, "something follows the trailers"
        else:
            messages.append(content)
    return Answered(response, messages, trailers)


@pytest.fixture(params=["http1", "http2"])
def versioned(request: pytest.FixtureRequest) -> Callable[[Site], httpx.Client]:
    """A client in either version; whoever makes one closes it."""
    if request.param == "http2":
        return lambda site: httpx_client(site.address())
    return lambda site: httpx.Client(base_url=f"http://127.0.0.1:{site.address()[1]}", trust_env=False, timeout=LIMIT)


@pytest.fixture
def one(grpc_echo: Callable[..., GrpcEcho]) -> GrpcEcho:
    return grpc_echo("one")


@pytest.fixture
def site(serve: Serve, one: GrpcEcho) -> Site:
    return serve(service("one", one.port), route(rule("one")))


@pytest.fixture
def client(site: Site, versioned: Callable[[Site], httpx.Client]) -> Iterator[httpx.Client]:
    with versioned(site) as client:
        yield client


def call(client: httpx.Client, method: str, body: bytes, kind: str = BINARY, **fields: str) -> Answered:
    headers = {"host": "example.com", "content-type": kind, "x-grpc-web": "1", **{name.replace("_", "-"): fields[name] for name in fields}}
    return read(client.post(f"/echo.Echo/{method}", headers=headers, content=body))


@pytest.mark.parametrize("kind", [BINARY, TEXT, "application/grpc-web", "application/grpc-web-text"])
def test_a_call_is_translated(client: httpx.Client, site: Site, one: GrpcEcho, kind: str) -> None:
    """The server sees a call of gRPC; the client gets the message, and the trailers as the last frame of the body."""
    message = bytes(range(256))
    body = b64encode(frame(message)) if "-text" in kind else frame(message)
    answered = call(client, "Unary", body, kind, x_a="b")
    assert (answered.response.status_code, answered.messages) == (200, [message])
    assert (answered.trailers["grpc-status"], answered.trailers["x-trailing"]) == ("0", "one")
    assert (answered.response.headers["content-type"], answered.response.headers["echo"]) == (kind.removesuffix("+proto"), "one/0")
    [received] = one.calls
    assert (received.messages, received.value("x-a"), received.value("x-grpc-web")) == ((message,), "b", None)
    line = site.log.wait_for(1)[0]
    assert (line["status"], line["grpc_status"], line["route"]) == (200, 0, "GRPCRoute/default/route")
    counted = [series for series in site.statistics().requests if series.request_messages or series.response_messages]
    assert [(series.request_messages, series.response_messages) for series in counted] == [(1, 1)]


def test_many_messages_come_as_they_are_sent(client: httpx.Client) -> None:
    """A stream of the server's; as text each may be padded."""
    for kind, body in ((BINARY, frame(b"20")), (TEXT, b64encode(frame(b"20")))):
        answered = call(client, "ServerStream", body, kind)
        assert answered.messages == [b"%d" % number for number in range(20)]
        assert answered.trailers["grpc-status"] == "0"


def test_frames_of_text_have_padding_of_their_own(client: httpx.Client, one: GrpcEcho) -> None:
    """A client may encode each message by itself."""
    answered = call(client, "ClientStream", b64encode(frame(b"a")) + b64encode(frame(b"bc")), TEXT)
    assert (answered.messages, one.calls[0].messages) == ([b"abc"], (b"a", b"bc"))


def test_accept_chooses_the_form_of_the_answer(client: httpx.Client) -> None:
    """Binary there, text back."""
    answered = call(client, "Unary", frame(b"a"), BINARY, accept="application/grpc-web-text")
    assert answered.response.headers["content-type"].startswith("application/grpc-web-text")
    assert (answered.messages, answered.trailers["grpc-status"]) == ([b"a"], "0")


def test_large_messages_pass(client: httpx.Client) -> None:
    """Of several windows, in both forms."""
    message = bytes(range(256)) * 4096
    assert call(client, "Unary", frame(message)).messages == [message]
    assert call(client, "Unary", b64encode(frame(message)), TEXT).messages == [message]


def test_statuses_of_calls(client: httpx.Client, site: Site) -> None:
    """In the last frame after messages, in the head where there is nothing else."""
    answered = call(client, "Bidi", frame(b"a"), BINARY, **{STATUS.replace("-", "_"): "9", DETAILS.replace("-", "_"): "not ready"})
    assert (answered.messages, answered.trailers["grpc-status"], answered.trailers["grpc-message"]) == ([b"a"], "9", "not ready")
    answered = call(client, "Missing", frame(b"a"))
    assert (answered.messages, answered.trailers["grpc-status"]) == ([], "12")
    assert answered.response.headers["content-type"].startswith("application/grpc-web")
    assert [line["grpc_status"] for line in site.log.wait_for(2)] == [9, 12]


def test_answers_of_the_gateway(client: httpx.Client, site: Site) -> None:
    """Status 200 and the status of the call in the head, as any client of gRPC-Web reads it."""
    site.change(route(rule("missing")))
    answered = call(client, "Unary", frame(b"a"))
    assert (answered.response.status_code, answered.trailers["grpc-status"]) == (200, "14")
    assert answered.response.headers["content-type"] == BINARY


def test_an_answer_that_is_cut_ends_with_a_status(client: httpx.Client, site: Site, one: GrpcEcho) -> None:
    """DEADLINE_EXCEEDED at the end of grpc-timeout, behind the messages that have come; the server, which is not told of the time, has its
    call given up."""
    site.change(service("one", one.port), route(rule("one", more=", filters: [" + FORGETS + "]")))
    for kind, body in ((BINARY, frame(b"a")), (TEXT, b64encode(frame(b"a")))):
        answered = call(client, "Bidi", body, kind, grpc_timeout="300m", **{HOLD.replace("-", "_"): "1"})
        assert (answered.messages, answered.trailers["grpc-status"]) == ([b"a"], "4")
    one.wait_for_abandoned(2)


@pytest.mark.parametrize("body", [b"AA!A", b64encode(frame(b"a")) + b"A"])
def test_text_that_is_no_base64_is_refused(client: httpx.Client, site: Site, body: bytes) -> None:
    """INTERNAL, as for any malformed request; the server never sees it whole."""
    answered = call(client, "ClientStream", body, TEXT)
    assert (answered.response.status_code, answered.trailers["grpc-status"]) == (200, "13")
    line = site.log.wait_for(1)[0]
    assert (line["flags"], line["grpc_status"]) == ("DPE", 13)


def test_mirrors_get_calls_too(serve: Serve, one: GrpcEcho, grpc_echo: Callable[..., GrpcEcho]) -> None:
    """Their servers speak gRPC as well (GRPCRouteFilter.requestMirror)."""
    two = grpc_echo("two")
    mirrored = ", filters: [{type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}}}]"
    site = serve(service("one", one.port), service("two", two.port), route(rule("one", more=mirrored)))
    with httpx_client(site.address()) as client:
        assert call(client, "Unary", b64encode(frame(b"a")), TEXT).messages == [b"a"]
    assert two.wait_for(1)[0].messages == (b"a",)


def test_other_routes_translate_nothing(serve: Serve, blue: Echo) -> None:
    """A backend of an HTTPRoute may speak gRPC-Web itself: it gets what the client sent."""
    site = serve("- backendRefs: [{name: blue, port: 80}]")
    answer = site.ask("/echo.Echo/Unary", method="POST", headers=[("Content-Type", TEXT)], body=b64encode(frame(b"a")))
    assert (answer.request.value("content-type"), answer.request.body) == (TEXT, b64encode(frame(b"a")))


def test_explain_says_what_the_server_gets(site: Site) -> None:
    """The call of gRPC that it becomes."""
    asked = [("Host", "example.com"), ("Content-Type", TEXT), ("X-Grpc-Web", "1")]
    [portion] = site.explain("/echo.Echo/Unary", method="POST", headers=asked)["portions"]
    assert ["content-type", "application/grpc+proto"] in portion["forwarded"]["headers"]
