"""Backends of HTTP/2: many requests on one connection, what an endpoint refuses, how connections end (RFC 9113 5.1.2, 6.8, 8.7)."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PushPromiseFrame, RstStreamFrame, SettingsFrame

from tests.wire.backends import LIMIT, Conversation, Echo, Scripted
from tests.wire.conftest import Serve
from tests.wire.http2_backends import Http2Echo, Http2Plan, http2_service
from tests.wire.http2_clients import Http2Client
from tests.wire.http2_frames import FrameEnd, data, goaway, reset
from tests.wire.pools import look, policy, until
from tests.wire.serving import Site, service

Echoing = Callable[..., Http2Echo]
Connecting = Callable[..., Http2Client]
Scripting = Callable[..., Scripted]

TO_POOL = "- backendRefs: [{name: pool, port: 80}]"
HELD = Http2Plan(held=True)


def pool(*backends: Http2Echo | Scripted) -> str:
    return http2_service("pool", *[backend.port for backend in backends])


def live(site: Site) -> int:
    """Connections that the gateway counts."""
    count: int = look(site, lambda found: found.connections.count)
    return count


def test_many_requests_share_one_connection(serve: Serve, http2_echo: Echoing, http2_client: Connecting) -> None:
    """RFC 9113 5.1.2: requests that come while it is being made wait for it, and all of them are under way at once."""
    two = http2_echo("two")
    two.always(HELD)
    client = http2_client(serve(pool(two), TO_POOL).address())
    streams = [client.begin(f"/{number}") for number in range(50)]
    two.wait_for(50)
    two.release()
    assert [client.answer(stream).status for stream in streams] == [200] * 50
    assert (two.connections, {request.target for request in two.requests}) == (1, {f"/{number}" for number in range(50)})


def test_an_endpoint_says_how_many(serve: Serve, http2_echo: Echoing, http2_client: Connecting) -> None:
    """SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 5.1.2): more requests than that take another connection, none is refused."""
    two = http2_echo("two", settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    two.always(HELD)
    client = http2_client(serve(pool(two), TO_POOL).address())
    streams = [client.begin() for _ in range(6)]
    two.wait_for(6)
    assert two.connections == 3
    two.release()
    assert [client.answer(stream).status for stream in streams] == [200] * 6
    assert not two.resets


def test_no_more_connections_than_allowed(serve: Serve, http2_echo: Echoing, http2_client: Connecting) -> None:
    """BackendPolicy.limits.connections: requests wait in line for room on the one there is, all that it has, and take it in turn."""
    two = http2_echo("two", settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    two.plan(HELD, HELD)
    site = serve(pool(two), policy(limits={"connections": 1}), TO_POOL)
    client = http2_client(site.address())
    streams = [client.begin(f"/{number}") for number in range(7)]
    two.wait_for(2)
    client.ping()
    assert len(two.requests) == 2
    two.release()
    assert [client.answer(stream).status for stream in streams] == [200] * 7
    assert two.connections == 1


def test_an_idle_connection_makes_room_for_another_endpoint(serve: Serve, http2_echo: Echoing) -> None:
    """BackendPolicy.limits.connections: at the limit what is idle is closed, whatever it speaks."""
    one, two = http2_echo("one"), http2_echo("two")
    site = serve(pool(one, two), policy(limits={"connections": 1}), TO_POOL)
    site.join(one, two)
    assert {site.ask().backend for _ in range(4)} == {"one", "two"}
    until(lambda: live(site) == 1, "the connection that made room is gone")


def test_who_waits_for_another_endpoint_gets_room(serve: Serve, http2_echo: Echoing, http2_client: Connecting) -> None:
    """A connection that nobody in line can use is closed once it carries nothing."""
    one, two = http2_echo("one"), http2_echo("two")
    for echo in (one, two):
        echo.always(HELD)
    hashing = {"type": "RingHash", "hashOn": [{"type": "Header", "name": "x-key"}]}
    site = serve(pool(one, two), policy(limits={"connections": 1}, balancing=hashing), TO_POOL)
    client = http2_client(site.address())
    keys = {}
    for number in range(64):
        explained = site.explain(headers=[("Host", "example.com"), ("x-key", str(number))])
        [portion] = explained["portions"]
        [address] = [endpoint["address"] for endpoint in portion["endpoints"] if endpoint["percent"] > 0]
        keys[address.endswith(f":{one.port}")] = str(number)
    first = client.begin(fields=(("x-key", keys[True]),))
    one.wait_for(1)
    second = client.begin(fields=(("x-key", keys[False]),))
    client.ping()
    one.release()
    assert client.answer(first).value("echo") == "one/0"
    two.wait_for(1)
    two.release()
    assert client.answer(second).value("echo") == "two/0"


def test_a_refused_stream_was_not_processed(serve: Serve, http2_echo: Echoing) -> None:
    """RFC 9113 8.7: REFUSED_STREAM lets any request be tried again, with its body, and says nothing of the endpoint's health."""
    two = http2_echo("two")
    two.plan(Http2Plan(silent=True, resets=ErrorCodes.REFUSED_STREAM))
    site = serve(pool(two), TO_POOL)
    site.join(two)
    answer = site.ask(method="POST", body=b"once")
    assert (answer.status, answer.request.body) == (200, b"once")


def test_a_reset_stream_may_have_been_processed(serve: Serve, http2_echo: Echoing) -> None:
    """RFC 9113 8.7: any other code is no leave to try again; other streams and the connection go on."""
    two = http2_echo("two")
    two.plan(Http2Plan(), Http2Plan(silent=True, resets=ErrorCodes.INTERNAL_ERROR))
    site = serve(pool(two), TO_POOL)
    site.join(two)
    assert site.ask().status == 200
    answer = site.ask()
    assert (answer.status, answer.counted.flags, answer.reason) == (503, "UC", "backend reset the stream: INTERNAL_ERROR")
    assert site.ask().status == 200
    assert two.connections == 1


def test_a_backend_that_leaves_answers_what_it_has(serve: Serve, http2_echo: Echoing, http2_client: Connecting) -> None:
    """GOAWAY (RFC 9113 6.8): no stream begins behind it, those before it end as they would; then the connection goes."""
    two = http2_echo("two")
    two.plan(HELD)
    site = serve(pool(two), TO_POOL)
    client = http2_client(site.address())
    held = client.begin("/held")
    two.wait_for(1)
    two.goaway()
    until(lambda: client.ask("/next").status == 200 and two.connections == 2, "a connection of its own for the next one")
    two.release()
    assert client.answer(held).status == 200
    until(lambda: live(site) == 1, "the connection that was left is gone")


def answer_all(end: FrameEnd) -> None:
    while (frame := end.read()) is not None:
        if isinstance(frame, HeadersFrame | DataFrame) and "END_STREAM" in frame.flags:
            end.send(end.response(frame.stream_id, 204))


def test_what_stands_behind_the_last_stream_is_asked_elsewhere(serve: Serve, scripted: Scripting, http2_client: Connecting) -> None:
    """RFC 9113 6.8: streams above the last identifier were not looked at: they are asked again, whatever their method and however
    much of their body waits for room."""

    def leaves(conversation: Conversation) -> None:
        end = FrameEnd.server(conversation.connection)
        heads = [end.until(HeadersFrame).stream_id for _ in range(2)]
        end.send(goaway(heads[0]))
        end.send(end.response(heads[0], 200))
        end.rest()

    backend = scripted(leaves, lambda conversation: answer_all(FrameEnd.server(conversation.connection)))
    client = http2_client(serve(pool(backend), TO_POOL).address())
    first = client.begin("/first")
    second = client.begin("/second", method="POST", ends=False)
    client.send(second, b"x" * 60_000, ends=True)
    assert [client.answer(first).status, client.answer(second).status] == [200, 204]
    assert backend.connections == 2


def test_a_kept_connection_that_ends_is_no_answer(serve: Serve, scripted: Scripting) -> None:
    """RFC 9110 9.2.2: on a connection that served before, a safe request is tried again when it ends without a word."""

    def serves_once(conversation: Conversation) -> None:
        end = FrameEnd.server(conversation.connection)
        end.send(end.response(end.until(HeadersFrame).stream_id, 200))
        end.until(HeadersFrame)

    site = serve(pool(scripted(serves_once, lambda conversation: answer_all(FrameEnd.server(conversation.connection)))), TO_POOL)
    assert [site.ask().status, site.ask().status] == [200, 204]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_dies_takes_its_streams_along(serve: Serve, http2_echo: Echoing, http2_client: Connecting, method: str) -> None:
    """Each exchange is told, and asks again if it may: the retry never goes to the connection that is dead."""
    two = http2_echo("two")
    two.plan(Http2Plan(), *[HELD] * 5)
    site = serve(pool(two), TO_POOL)
    client = http2_client(site.address())
    assert client.ask().status == 200
    streams = [client.begin(method=method) for _ in range(5)]
    two.wait_for(6)
    two.abort()
    assert [client.answer(stream).status for stream in streams] == [200 if method == "GET" else 503] * 5
    assert client.ask().status == 200


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_an_endpoint_that_does_not_speak_http2(serve: Serve, scripted: Scripting, greeting: bytes) -> None:
    """RFC 9113 3.4: without its SETTINGS nothing is asked of it, so any request may go elsewhere."""

    def greets(conversation: Conversation) -> None:
        conversation.read_until(b"SM\r\n\r\n")
        conversation.send(greeting)

    site = serve(pool(scripted(greets)), TO_POOL)
    answer = site.ask(method="POST", body=b"x")
    assert (answer.status, answer.counted.flags) == (503, "UF")
    assert answer.reason is not None
    assert "does not speak HTTP/2" in answer.reason
    until(lambda: live(site) == 0, "its connections are gone")


def test_an_endpoint_that_says_nothing(serve: Serve, scripted: Scripting, http2_client: Connecting) -> None:
    """BackendPolicy.connectTimeout holds until the SETTINGS have come, for all who wait for them; no connection is left behind."""
    site = serve(pool(scripted(lambda conversation: FrameEnd(conversation.connection).rest())), policy(connectTimeout="100ms"), TO_POOL)
    client = http2_client(site.address())
    streams = [client.begin() for _ in range(5)]
    assert [client.answer(stream).status for stream in streams] == [503] * 5
    until(lambda: live(site) == 0, "its connections are gone")


def test_a_client_that_leaves_while_the_connection_is_made(serve: Serve, scripted: Scripting, http2_client: Connecting) -> None:
    """Its place is given back: the connection serves as many as before, and ends with its endpoint."""
    gone = Event()

    def hesitates(conversation: Conversation) -> None:
        assert conversation.read_until(b"SM\r\n\r\n")
        assert gone.wait(LIMIT)
        end = FrameEnd(conversation.connection)
        end.send(SettingsFrame(0, settings={SettingsFrame.MAX_CONCURRENT_STREAMS: 1}))
        answer_all(end)

    backend = scripted(hesitates)
    site = serve(pool(backend), policy(limits={"connections": 1}), TO_POOL)
    leaves = http2_client(site.address())
    for _ in range(3):
        leaves.reset(leaves.begin())
    leaves.ping()
    gone.set()
    assert [site.ask().status for _ in range(3)] == [204] * 3
    connections = look(site, lambda found: found.connections)
    site.change(TO_POOL.replace("pool", "blue"))
    until(lambda: connections.count == 0, "its connection is gone")


def test_an_endpoint_that_goes_keeps_what_it_has(serve: Serve, http2_echo: Echoing, http2_client: Connecting) -> None:
    """A retired endpoint answers what it was asked, on a connection that nobody else uses and that ends with it."""
    one, two = http2_echo("one"), http2_echo("two")
    one.plan(HELD)
    site = serve(pool(one), TO_POOL)
    client = http2_client(site.address())
    held = client.begin("/held")
    one.wait_for(1)
    site.change(pool(two), TO_POOL)
    assert client.ask().value("echo") == "two/0"
    one.release()
    assert client.answer(held).value("echo") == "one/0"
    until(lambda: live(site) == 1, "the connection of the endpoint is gone")


def test_a_backend_may_change_what_it_speaks(serve: Serve, http2_echo: Echoing, http2_client: Connecting, blue: Echo) -> None:
    """ServicePort.appProtocol, live: what runs ends as it began, the next request is asked in the new way; and back."""
    two = http2_echo("two")
    two.plan(HELD)
    old = service("pool", blue.port)
    site = serve(pool(two), TO_POOL)
    client = http2_client(site.address())
    held = client.begin("/held")
    two.wait_for(1)
    site.change(old, TO_POOL)
    assert client.ask().value("echo") == "blue/0"
    two.release()
    assert client.answer(held).value("echo") == "two/0"
    site.change(pool(two), TO_POOL)
    assert client.ask().value("echo") == "two/1"


def test_an_answer_before_the_whole_request(serve: Serve, http2_echo: Echoing, http2_client: Connecting) -> None:
    """RFC 9113 8.1: the answer passes whole, both streams end at once, and nothing else does."""
    two = http2_echo("two")
    two.plan(Http2Plan(status=413, body=b"too much", early=True))
    client = http2_client(serve(pool(two), TO_POOL).address())
    early = client.begin(method="POST", ends=False)
    response = client.answer(early)
    assert (response.status, response.body) == (413, b"too much")
    two.wait_until(lambda: bool(two.resets))
    assert client.ask().status == 200
    assert (two.connections, client.responses[early].resets in (None, 0)) == (1, True)


FAULTS: dict[str, Callable[[FrameEnd, int], None]] = {
    "a second head": lambda end, stream: end.send(end.response(stream, ends=False), end.response(stream, ends=False)),
    "data without a head": lambda end, stream: end.send(data(stream, b"x", ends=True)),
    "an end without a head": lambda end, stream: end.send(data(stream, b"", ends=True)),
    "more than content-length": lambda end, stream: end.send(
        end.response(stream, 200, ("content-length", "1"), ends=False), data(stream, b"xx")
    ),
    "less than content-length": lambda end, stream: end.send(
        end.response(stream, 200, ("content-length", "3"), ends=False), data(stream, b"xx", ends=True)
    ),
    "connection-specific": lambda end, stream: end.send(end.response(stream, 200, ("connection", "close"))),
    "no status": lambda end, stream: end.send(end.headers(stream, [("x", "y")])),
    "101": lambda end, stream: end.send(end.response(stream, 101, ends=False)),
    "an interim end": lambda end, stream: end.send(end.response(stream, 103)),
    "an early reset": lambda end, stream: end.send(reset(stream, 2)),
}


CLOSED = ("an end without a head", "less than content-length", "connection-specific", "no status", "an interim end", "an early reset")
"""Where the stream has ended on both sides already: no frame may follow (RFC 9113 5.1)."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_answer_harms_its_stream_alone(serve: Serve, scripted: Scripting, http2_client: Connecting, fault: str) -> None:
    """RFC 9113 8.1.1: the client sees 502 (503 for a reset), the backend RST_STREAM, and other streams go on."""

    def faulty(conversation: Conversation) -> None:
        end = FrameEnd.server(conversation.connection)
        good, bad = end.until(HeadersFrame).stream_id, end.until(HeadersFrame).stream_id
        FAULTS[fault](end, bad)
        if fault not in CLOSED:
            end.until(RstStreamFrame, lambda frame: frame.stream_id == bad)
        end.send(end.response(good, 200))
        answer_all(end)

    backend = scripted(faulty)
    client = http2_client(serve(pool(backend), TO_POOL).address())
    good, bad = client.begin("/good"), client.begin("/bad", method="POST")
    assert client.answer(bad).status == (503 if fault == "an early reset" else 502)
    assert client.answer(good).status == 200
    assert client.ask().status == 204
    assert backend.connections == 1


def test_a_broken_connection_is_told_why(serve: Serve, scripted: Scripting) -> None:
    """RFC 9113 5.4.1: GOAWAY with the code, 502 to those under way, and the next request has another connection."""
    seen: list[GoAwayFrame] = []

    def breaks(conversation: Conversation) -> None:
        end = FrameEnd.server(conversation.connection)
        end.until(HeadersFrame)
        end.send(PushPromiseFrame(1, promised_stream_id=2, flags=["END_HEADERS"]))
        seen.append(end.until(GoAwayFrame))

    site = serve(pool(scripted(breaks, lambda conversation: answer_all(FrameEnd.server(conversation.connection)))), TO_POOL)
    assert [site.ask().status, site.ask().status] == [502, 204]
    assert [frame.error_code for frame in seen] == [1]
