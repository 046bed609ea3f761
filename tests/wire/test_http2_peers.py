"""The peers of HTTP/2 and gRPC understand one another without a gateway: what differs with one in between is the gateway's doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import grpc
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.certificates import Authority
from tests.wire.backends import LIMIT
from tests.wire.grpc_peers import HOLD, STATUS, GrpcClient, GrpcEcho
from tests.wire.http2_backends import Http2Echo, Http2Plan, Http2Received, Nghttpd, tls_of
from tests.wire.http2_clients import Http2Client, chosen_protocol, curl, httpx_client, nghttp, offering_h2
from tests.wire.http2_fixtures import with_curl, with_nghttp

AUTHORITY = Authority()
PAIR = AUTHORITY.issue("example.com")
LARGE = bytes(range(256)) * 1024
"""More than the windows of 65,535 bytes."""

Echoing = Callable[..., Http2Echo]
Connecting = Callable[..., Http2Client]


def address_of(backend: Http2Echo | Nghttpd | GrpcEcho) -> tuple[str, int]:
    return "127.0.0.1", backend.port


def test_the_h2_library_asks_and_answers(http2_echo: Echoing, http2_client: Connecting) -> None:
    """Head, body and trailers both ways, and more than a window holds (RFC 9113 8.1, 5.2)."""
    echo = http2_echo("two")
    echo.plan(Http2Plan(fields=(("x", "y"),), body=LARGE, trailers=(("t", "u"),), informational=(103,)))
    client = http2_client(address_of(echo))
    answer = client.ask("/a?b", method="POST", body=LARGE, trailers=(("v", "w"),))
    assert (answer.status, answer.value("x"), answer.body, answer.trailers) == (200, "y", LARGE, (("t", "u"),))
    assert answer.informational == [103]
    [received] = echo.requests
    assert isinstance(received, Http2Received)
    assert (received.method, received.target, received.value("host"), received.scheme) == ("POST", "/a?b", "example.com", "http")
    assert (received.body, received.trailers, received.connection, received.stream) == (LARGE, (("v", "w"),), 1, 1)


def test_streams_are_held_reset_and_ended(http2_echo: Echoing, http2_client: Connecting) -> None:
    """One stream waits while others are answered; resets are seen on both sides; GOAWAY lets what runs go on (RFC 9113 5.4.2, 6.8)."""
    echo = http2_echo("two", settings={SettingCodes.MAX_CONCURRENT_STREAMS: 7})
    echo.plan(Http2Plan(held=True, body=b"late"), Http2Plan(silent=True, resets=ErrorCodes.REFUSED_STREAM), Http2Plan(silent=True))
    client = http2_client(address_of(echo))
    held, refused, given_up = client.begin("/held"), client.begin("/refused"), client.begin("/given-up")
    assert client.answer(refused).resets == ErrorCodes.REFUSED_STREAM
    assert client.h2.remote_settings.max_concurrent_streams == 7
    assert client.ask("/").value("echo") == "two/3"
    client.reset(given_up)
    echo.wait_until(lambda: echo.resets == [(given_up, ErrorCodes.CANCEL)])
    echo.release()
    assert client.answer(held).body == b"late"
    echo.goaway()
    client.read_until(lambda: client.goaway == ErrorCodes.NO_ERROR)


def test_tls_chooses_h2(http2_echo: Echoing, http2_client: Connecting, tmp_path: Path) -> None:
    """By ALPN (RFC 9113 3.2)."""
    echo = http2_echo("two", tls=tls_of(PAIR, tmp_path))
    assert chosen_protocol(address_of(echo), offering_h2(AUTHORITY, "http/1.1"), "example.com") == "h2"
    client = http2_client(address_of(echo), tls=offering_h2(AUTHORITY), server_name="example.com")
    assert client.ask(scheme="https").status == 200


@pytest.mark.parametrize("tls", [False, True])
def test_httpx_speaks_http2(http2_echo: Echoing, tmp_path: Path, tls: bool) -> None:
    """With prior knowledge, and where TLS chooses it."""
    echo = http2_echo("two", tls=tls_of(PAIR, tmp_path) if tls else None)
    with httpx_client(address_of(echo), tls=offering_h2() if tls else None) as client:
        answer = client.post("/a", headers={"Host": "example.com"}, content=b"hello")
    assert (answer.http_version, answer.status_code, answer.headers["echo"]) == ("HTTP/2", 200, "two/0")
    assert (echo.requests[0].value("host"), echo.requests[0].body) == ("example.com", b"hello")


@with_curl
def test_curl_speaks_http2(http2_echo: Echoing, tmp_path: Path) -> None:
    """With prior knowledge, and over TLS by itself."""
    plain, secured = http2_echo("plain"), http2_echo("secured", tls=tls_of(PAIR, tmp_path))
    answer = curl(address_of(plain), "--http2-prior-knowledge", "--data", "hello", "@site/a")
    assert (answer.status, answer.version, answer.fields["echo"]) == (200, "2", ["plain/0"])
    assert (plain.requests[0].target, plain.requests[0].body) == ("/a", b"hello")
    answer = curl(address_of(secured), "--http2", "@site/", tls=True)
    assert (answer.status, answer.version) == (200, "2")


@with_nghttp
def test_nghttp_tells_every_frame(http2_echo: Echoing, tmp_path: Path) -> None:
    """Fields and frames of a response, its trailers too, plain and over TLS."""
    for echo in (http2_echo("plain"), http2_echo("secured", tls=tls_of(PAIR, tmp_path))):
        echo.plan(Http2Plan(body=b"hello", trailers=(("t", "u"),)))
        told = nghttp(address_of(echo), path="/a", tls=echo.name == "secured")
        assert told.values(":status") == ["200"]
        assert told.values("t") == ["u"]
        received = [frame.type for frame in told.frames if frame.direction == "recv" and frame.stream]
        assert received == ["HEADERS", "DATA", "HEADERS"]
        assert echo.requests[0].value("host") == "example.com"


@pytest.mark.parametrize("tls", [False, True])
def test_nghttpd_serves_its_files(nghttpd: Callable[..., Nghttpd], http2_client: Connecting, tls: bool) -> None:
    """And gives uploads back."""
    server = nghttpd({"a.txt": LARGE}, PAIR if tls else None)
    client = http2_client(address_of(server), tls=offering_h2(AUTHORITY) if tls else None, server_name="example.com" if tls else None)
    assert client.ask("/a.txt").body == LARGE
    assert client.ask("/", method="POST", body=b"hello").body == b"hello"


@pytest.mark.parametrize("tls", [False, True])
def test_grpc_calls_of_all_kinds(grpc_echo: Callable[..., GrpcEcho], grpc_client: Callable[..., GrpcClient], tls: bool) -> None:
    """Messages, metadata and statuses both ways."""
    server = grpc_echo("one", pair=PAIR if tls else None)
    client = grpc_client(address_of(server), trusts=AUTHORITY if tls else None)
    unary = client.unary(b"hello", (("x-a", "b"),))
    assert (unary.status, unary.messages, unary.backend, dict(unary.trailing)["x-trailing"]) == (0, (b"hello",), "one", "one")
    assert client.server_stream(b"3").messages == (b"0", b"1", b"2")
    assert client.client_stream([b"a", b"b"]).messages == (b"ab",)
    assert client.bidi([b"a", b"b"]).messages == (b"a", b"b")
    failed = client.unary(b"hello", ((STATUS, "5"),), method="Other")
    assert (failed.status, failed.messages) == (5, ())
    assert client.unary(b"", method="/echo.Echo/Missing").status == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert [call.method for call in server.calls] == ["Unary", "ServerStream", "ClientStream", "Bidi", "Other"]
    assert (server.calls[0].value("x-a"), server.calls[2].messages) == ("b", (b"a", b"b"))


def test_a_grpc_stream_goes_both_ways_at_once(grpc_echo: Callable[..., GrpcEcho], grpc_client: Callable[..., GrpcClient]) -> None:
    """Each message waits for the answer to the one before; the client gives up inside the call."""
    server = grpc_echo("one")
    queue: SimpleQueue[bytes | None] = SimpleQueue()

    def messages() -> Iterator[bytes]:
        while (message := queue.get(timeout=LIMIT)) is not None:
            yield message

    call = grpc_client(address_of(server)).begin_bidi(messages(), ((HOLD, ""),))
    for message in (b"a", b"b"):
        queue.put(message)
        assert next(call) == message
    call.cancel()
    queue.put(None)
    server.wait_for_abandoned()
    [given_up] = server.wait_for(1)
    assert given_up.messages == (b"a", b"b")
