"""Clients of HTTP/2: how a connection begins, what a request may be, what it is answered, how streams end (RFC 9113)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.certificates import Authority
from tests.wire.backends import Conversation, Echo, Planned, Scripted
from tests.wire.conftest import Serve
from tests.wire.http2_clients import Http2Client, chosen_protocol, curl, httpx_client, offering_h2
from tests.wire.http2_fixtures import with_curl
from tests.wire.http2_frames import FrameEnd, data, reset, window
from tests.wire.peers import Wire, get
from tests.wire.pools import count, until
from tests.wire.secure import gateway, https
from tests.wire.serving import Site, certificate, service

Connecting = Callable[..., Http2Client]
Scripting = Callable[..., Scripted]

TO_BLUE = "- backendRefs: [{name: blue, port: 80}]"
TO_POOL = "- backendRefs: [{name: pool, port: 80}]"
AUTHORITY = Authority()


def limited(**limits: int) -> str:
    spec = {"targetRefs": [{"name": "web"}], "reasonHeader": True, "limits": limits}
    return json.dumps({"kind": "ListenerPolicy", "metadata": {"name": "reasons"}, "spec": spec})


@pytest.fixture
def secure(serve: Serve) -> Site:
    """Two listeners with certificates of their own, and a route for both."""
    names = ("one.example", "two.example")
    listeners = [https(name.partition(".")[0], name.partition(".")[0], hostname=name) for name in names]
    pairs = [certificate(name.partition(".")[0], AUTHORITY.issue(name)) for name in names]
    return serve(gateway(*listeners), *pairs, TO_BLUE)


# how a connection begins


def test_alpn_prefers_http2(secure: Site) -> None:
    """RFC 9113 3.2, RFC 7301 3.2: h2 where the client offers it, whatever its order, else HTTP/1.1."""
    for offered, chosen in ((("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1")):
        context = offering_h2(AUTHORITY)
        context.set_alpn_protocols(list(offered))
        assert chosen_protocol(secure.address(443), context, "one.example") == chosen


def test_other_clients(secure: Site, serve: Serve) -> None:
    """httpx over TLS and with prior knowledge (RFC 9113 3.2, 3.3)."""
    with httpx_client(secure.address(443), tls=offering_h2(AUTHORITY)) as client:
        answer = client.get("/", headers={"Host": "one.example"}, extensions={"sni_hostname": "one.example"})
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
    with httpx_client(serve(TO_BLUE).address()) as client:
        assert client.post("/", headers={"Host": "example.com"}, content=b"x" * 100_000).http_version == "HTTP/2"


@with_curl
def test_curl(serve: Serve, blue: Echo) -> None:
    """Prior knowledge, a body both ways."""
    blue.plan(Planned(body=b"y" * 300_000))
    answer = curl(serve(TO_BLUE).address(), "--http2-prior-knowledge", "--data-binary", "@-", "@site/", data=b"x" * 300_000)
    assert (answer.status, answer.version, answer.body) == (200, "2", b"y" * 300_000)
    assert blue.requests[0].body == b"x" * 300_000


@with_curl
def test_an_upgrade_from_http1_is_not_taken(serve: Serve) -> None:
    """RFC 9113 3.1: h2c by Upgrade is deprecated; the request is answered in HTTP/1.1."""
    answer = curl(serve(TO_BLUE).address(), "--http2", "@site/")
    assert (answer.status, answer.version) == (200, "1.1")


@pytest.mark.parametrize("cut", [1, 3, 16, 23])
def test_the_preface_may_come_in_pieces(serve: Serve, cut: int) -> None:
    """RFC 9113 3.4: until it differs from HTTP/1.1 nobody knows."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    site = serve(TO_BLUE)
    with Wire(site) as wire:
        wire.send(preface[:cut], preface[cut:] + SettingsFrame(0).serialize())
        end = FrameEnd(wire.socket)
        end.send(end.request(1))
        assert end.fields(end.until(HeadersFrame))[":status"] == "200"


def test_http2_after_a_request_of_http1_is_not_taken(serve: Serve) -> None:
    """RFC 9113 3.3: prior knowledge begins with the connection."""
    with Wire(serve(TO_BLUE)) as wire:
        assert wire.ask(get()).status == 200
        assert wire.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status in (400, 505)


def test_a_host_of_another_listener_is_misdirected(secure: Site, http2_client: Connecting) -> None:
    """RFC 9113 9.1.2, RFC 9110 15.5.20: 421 on the stream alone; the connection serves the name it was made for."""
    client = http2_client(secure.address(443), tls=offering_h2(AUTHORITY), server_name="one.example")
    asked = {name: client.ask(authority=name, scheme="https").status for name in ("one.example", "two.example", "three.example")}
    assert asked == {"one.example": 200, "two.example": 421, "three.example": 404}
    assert client.ask(authority="one.example", scheme="https").status == 200


# requests


def test_the_head_reaches_a_backend_as_http1(serve: Serve, blue: Echo, http2_client: Connecting) -> None:
    """RFC 9113 8.2.3, 8.3.1: :authority is Host, crumbs of a cookie are one field, and the log says HTTP/2."""
    site = serve(TO_BLUE)
    fields = (("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers"))
    answer = http2_client(site.address()).ask("/p?q=1", authority="example.com:8080", fields=fields)
    [request] = blue.requests
    assert (request.target, request.value("host"), request.value("cookie")) == ("/p?q=1", "example.com:8080", "a=1; b=2")
    assert (request.value("x-one"), request.value("x-forwarded-proto"), answer.value("echo")) == ("1", "http", "blue/0")
    assert answer.value("connection") is None
    assert site.log.wait_for(1)[0]["protocol"] == "HTTP/2"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("x", "y" * 17_000)], 431),
        ([(f"x-{number}", "y") for number in range(300)], 431),
        ([("x" * 60, "y" * 8_000) for _ in range(8)], 431),
        ([(":path", "/" + "x" * 9_000)], 414),
    ],
)
def test_heads_that_are_too_large(serve: Serve, blue: Echo, fields: list[tuple[str, str]], status: int) -> None:
    """RFC 9110 15.5.15, RFC 6585 5: answered on the stream; the tables stay in step and the connection goes on."""
    with FrameEnd.client(serve(TO_BLUE).connect()) as end:
        pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "example.com")]
        head = [*pseudo, *(fields if status == 414 else [(":path", "/"), *fields])]
        block = end.headers(1, head).data
        pieces: list[Frame] = [HeadersFrame(1, block[:16_384], flags=["END_STREAM"])]
        pieces += [ContinuationFrame(1, block[at : at + 16_384]) for at in range(16_384, len(block), 16_384)]
        pieces[-1].flags.add("END_HEADERS")
        end.send(*pieces)
        assert end.fields(end.until(HeadersFrame))[":status"] == str(status)
        end.send(end.request(3, "/", ("x-after", "1")))
        assert end.fields(end.until(HeadersFrame))[":status"] == "200"
        assert [request.value("x-after") for request in blue.requests] == ["1"]


MALFORMED: dict[str, list[tuple[str, str]]] = {
    "no path": [(":method", "GET"), (":scheme", "http"), (":authority", "example.com")],
    "upper case": [(":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/"), ("X-A", "b")],
    "connection": [(":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/"), ("connection", "close")],
    "chunked": [(":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/"), ("transfer-encoding", "chunked")],
    "two paths": [(":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/"), (":path", "/b")],
    "late pseudo": [(":method", "GET"), (":scheme", "http"), ("x", "y"), (":authority", "example.com"), (":path", "/")],
    "line feed": [(":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/"), ("x", "a\r\nb: c")],
    "two hosts": [(":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/"), ("host", "example.org")],
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_request_ends_its_stream(serve: Serve, blue: Echo, fault: str) -> None:
    """RFC 9113 8.1.1: PROTOCOL_ERROR, nothing reaches the backend, the log has a line, and the connection goes on."""
    site = serve(TO_BLUE)
    with FrameEnd.client(site.connect()) as end:
        end.send(end.headers(1, MALFORMED[fault]))
        frame = end.until(RstStreamFrame)
        assert (frame.stream_id, frame.error_code) == (1, ErrorCodes.PROTOCOL_ERROR)
        end.send(end.request(3))
        assert end.fields(end.until(HeadersFrame))[":status"] == "200"
    assert len(blue.requests) == 1
    assert [line["flags"] for line in site.log.wait_for(2)] == ["DPE", "-"]


@pytest.mark.parametrize(("length", "body"), [(5, b"four"), (3, b"four"), (0, b"x")])
def test_a_body_of_another_length(serve: Serve, scripted: Scripting, length: int, body: bytes) -> None:
    """RFC 9113 8.1.1: the stream ends with PROTOCOL_ERROR, and what reached the backend is not complete."""
    seen: list[bytes] = []

    def reads(conversation: Conversation) -> None:
        seen.append(conversation.read_head())
        while piece := conversation.connection.recv(65_536):
            seen.append(piece)

    site = serve(service("pool", scripted(reads).port), TO_POOL)
    with FrameEnd.client(site.connect()) as end:
        end.send(end.request(1, "/", ("content-length", str(length)), method="POST", ends=False), data(1, body, ends=True))
        assert end.until(RstStreamFrame).error_code == ErrorCodes.PROTOCOL_ERROR
        end.ping()
    assert site.log.wait_for(1)[0]["flags"] == "DPE"
    assert sum(map(len, seen[1:])) < max(length, 1)


def test_no_more_streams_than_allowed(serve: Serve, blue: Echo) -> None:
    """RFC 9113 5.1.2, ListenerPolicy.limits.streamsPerConnection: announced, and one more is refused, untouched."""
    held = Planned(held=True)
    blue.always(held)
    with FrameEnd.client(serve(TO_BLUE, limited(streamsPerConnection=2)).connect()) as end:
        assert end.until(SettingsFrame).settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 2
        end.send(end.request(1), end.request(3), end.request(5))
        frame = end.until(RstStreamFrame)
        assert (frame.stream_id, frame.error_code) == (5, ErrorCodes.REFUSED_STREAM)
        blue.wait_for(2)
        held.release()
        assert {end.until(HeadersFrame).stream_id for _ in range(2)} == {1, 3}
        end.send(end.request(7))
        assert end.until(HeadersFrame).stream_id == 7
    assert len(blue.requests) == 3


# responses before the final one, and before the request is complete


def test_expectations(serve: Serve, scripted: Scripting) -> None:
    """RFC 9110 10.1.1: 100 from us when there is a backend to take the body; 1xx of a backend pass on, its 100 does not."""

    def hints(conversation: Conversation) -> None:
        head = conversation.read_head()
        conversation.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        assert b"content-length: 3\r\n" in head
        while len(conversation.received) < 3:
            conversation.received += conversation.connection.recv(9)
        conversation.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    with FrameEnd.client(serve(service("pool", scripted(hints).port), TO_POOL).connect()) as end:
        end.send(end.request(1, "/", ("expect", "100-continue"), ("content-length", "3"), method="POST", ends=False))
        assert [end.fields(end.until(HeadersFrame)) for _ in range(2)] == [{":status": "100"}, {":status": "103", "link": "</a>"}]
        end.send(data(1, b"abc", ends=True))
        assert end.fields(end.until(HeadersFrame))[":status"] == "204"


def test_an_answer_before_the_body(serve: Serve) -> None:
    """RFC 9113 8.1: a request that is refused ends with its answer and RST_STREAM (NO_ERROR); what is still under way is ignored."""
    with FrameEnd.client(serve("- matches: [{path: {value: /other}}]").connect()) as end:
        end.send(end.request(1, method="POST", ends=False))
        assert end.fields(end.until(HeadersFrame))[":status"] == "404"
        frame = end.until(RstStreamFrame)
        assert frame.error_code == ErrorCodes.NO_ERROR
        end.send(*[data(1, b"x" * 16_384) for _ in range(4)], window(1, 5), end.headers(1, [("x", "y")]))
        end.send(end.request(3))
        assert end.until(HeadersFrame).stream_id == 3
        assert not [frame for frame in end.seen if isinstance(frame, RstStreamFrame | GoAwayFrame)][1:]


# how streams and connections end


@pytest.mark.parametrize("when", ["before the backend answers", "inside the answer", "inside the request"])
def test_a_client_that_resets_its_stream(serve: Serve, scripted: Scripting, when: str) -> None:
    """RFC 9113 5.4.2: the backend is left at once, the log says so, and the connection serves others."""
    inside = when == "inside the answer"

    def waits(conversation: Conversation) -> None:
        conversation.read_head()
        if inside:
            conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        while conversation.connection.recv(9):
            pass

    def answers(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    backend = scripted(waits, answers)
    site = serve(service("pool", backend.port), TO_POOL)
    with FrameEnd.client(site.connect()) as end:
        if when == "inside the request":
            end.send(end.request(1, method="POST", ends=False), data(1, b"abc"))
        else:
            end.send(end.request(1))
        if inside:
            end.until(DataFrame)
        else:
            until(lambda: backend.connections == 1, "the backend is asked")
        end.send(reset(1))
        assert site.log.wait_for(1)[0]["flags"] == "DC"
        end.send(end.request(3))
        end.until(HeadersFrame, lambda frame: frame.stream_id == 3)


@pytest.mark.parametrize(
    ("kind", "frames"),
    [
        ("resets", lambda end: [each for number in range(1, 2001, 2) for each in (end.request(number), reset(number))]),
        ("pings", lambda end: [PingFrame(0, b"12345678")] * 1000),
        ("settings", lambda end: [SettingsFrame(0)] * 1000),
        ("priorities", lambda end: [PriorityFrame(number) for number in range(1, 2001, 2)]),
        ("empty data", lambda end: [end.request(1, method="POST", ends=False), *[data(1)] * 1000]),
        ("window updates", lambda end: [window(0, 1)] * 1000),
    ],
)
def test_floods_end_the_connection(serve: Serve, blue: Echo, kind: str, frames: Callable[[FrameEnd], list[Frame]]) -> None:
    """RFC 9113 10.5 (CVE-2019-9511 to 9518, CVE-2023-44487): ENHANCE_YOUR_CALM, and nothing is left behind."""
    blue.always(Planned(held=True))
    site = serve(TO_BLUE)
    with FrameEnd.client(site.connect()) as end:
        end.send(*frames(end))
        assert end.until(GoAwayFrame).error_code == ErrorCodes.ENHANCE_YOUR_CALM
        assert not [frame for frame in end.rest() if isinstance(frame, HeadersFrame)]
    until(lambda: count(site, "tidegate_connections") == 0, "the connection is gone")


def test_a_client_that_works_may_update_its_windows(serve: Serve, blue: Echo) -> None:
    """A PING and some WINDOW_UPDATE for each frame of DATA, as clients that measure their window send them, are no flood."""
    blue.always(Planned(body=b"x" * 20_000))
    with FrameEnd.client(serve(TO_BLUE).connect(), {4: (1 << 31) - 1}) as end:
        end.send(window(0, (1 << 31) - 65_536))
        for stream in range(1, 1001, 2):
            end.send(end.request(stream))
            end.until(DataFrame, lambda frame: "END_STREAM" in frame.flags)
            end.send(window(0, 10_000), window(0, 10_000), PingFrame(0, b"12345678"), PingFrame(0, b"12345678"))
        end.ping()
