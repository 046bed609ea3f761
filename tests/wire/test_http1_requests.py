"""Requests on the wire: what is refused never reaches a backend, what is legal but odd keeps its meaning (RFC 9112)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.backends import Echoes, Scripted
from tests.wire.peers import DELIVERIES, OK, Delivery, Recorded, Recorder, Wire, get, post
from tests.wire.serving import Site, service


class Stage:
    """A gateway whose only backend keeps every byte; shared by the cases of this module."""

    def __init__(self, folder: Path) -> None:
        self.backend = Recorder()
        self.scripted = Scripted(self.backend)
        self.site = Site(folder, {})
        self.site.change(service("kept", self.scripted.port), "- backendRefs: [{name: kept, port: 80}]")
        self.logged = 0

    def log(self) -> dict[str, Any]:
        """The next line of the access log."""
        self.logged += 1
        return self.site.log.wait_for(self.logged)[self.logged - 1]

    def close(self) -> None:
        self.site.close()
        self.scripted.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


_HANDSHAKE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
_CHUNKS = b"Transfer-Encoding: chunked"

REFUSED = {
    "two lengths": (post(b"Content-Length: 1", b"Content-Length: 1", body=b"x"), 400),
    "length and chunks": (post(b"Content-Length: 5", _CHUNKS, body=b"0\r\n\r\n"), 400),
    "chunks and length": (post(_CHUNKS, b"Content-Length: 5", body=b"0\r\n\r\n"), 400),
    "signed length": (post(b"Content-Length: +1", body=b"x"), 400),
    "chunked twice": (post(_CHUNKS, _CHUNKS, body=b"0\r\n\r\n"), 400),
    "chunked not last": (post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), 400),
    "unknown coding": (post(b"Transfer-Encoding: gzip"), 501),
    "chunks in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "bare LF in the head": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "only bare LFs": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare CR in a value": (get(b"X: a\rb"), 400),
    "NUL in a value": (get(b"X: a\x00b"), 400),
    "obs-fold": (get(b"X: a", b" b"), 400),
    "space before a colon": (get(b"X : a"), 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (get(b"Host: example.com"), 400),
    "empty Host": (get(host=b""), 400),
    "Host with user information": (get(host=b"a@example.com"), 400),
    "Host with a path": (get(host=b"example.com/a"), 400),
    "Host that is a list": (get(host=b"a, b"), 400),
    "Host with a bad port": (get(host=b"a:x"), 400),
    "Host that is not ASCII": (get(host=b"\xc3\xa9.example"), 400),
    "absolute target with another host": (get(target=b"http://other.example/"), 400),
    "absolute target with user information": (get(target=b"http://a@example.com/"), 400),
    "absolute target of another scheme": (get(target=b"https://example.com/"), 400),
    "target of no HTTP scheme": (get(target=b"file:///etc/passwd"), 400),
    "target without a slash": (get(target=b"a"), 400),
    "fragment": (get(target=b"/a#b"), 400),
    "backslash": (get(target=b"/a\\b"), 400),
    "escaped NUL": (get(target=b"/%00"), 400),
    "path above the root": (get(target=b"/../a"), 400),
    "asterisk of GET": (get(target=b"*"), 400),
    "CONNECT": (b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n", 405),
    "space in the target": (get(target=b"/a b"), 400),
    "lower-case version": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n", 400),
    "almost the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\nhost: a\r\n\r\n", 505),
    "protected name in Connection": (get(b"Connection: close, host"), 400),
    "unknown expectation": (post(b"Content-Length: 1", b"Expect: more", body=b"x"), 417),
    "101 fields": (get(*[b"X: a"] * 100), 431),
    "target of 9 KiB": (get(target=b"/" + b"a" * 9000), 414),
    "WebSocket handshake with a body": (get(*_HANDSHAKE, b"Content-Length: 1") + b"x", 400),
    "two empty lines before the request": (b"\r\n\r\n" + get(), 400),
    "noise": (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
}
LONG = 500
"""Bytes above which a case is not sent byte by byte: its verdict does not hang on where it is cut."""


def cases() -> Iterator[Any]:
    for name, (data, status) in REFUSED.items():
        for delivery in DELIVERIES:
            if delivery != "byte by byte" or len(data) <= LONG:
                yield pytest.param(data, status, delivery, id=f"{name} {delivery}")


@pytest.mark.parametrize(("data", "status", "delivery"), list(cases()))
def test_a_refused_request_ends_its_connection_and_never_reaches_a_backend(
    stage: Stage, data: bytes, status: int, delivery: Delivery
) -> None:
    """Whole, byte by byte, and with a good request behind it: the status, `connection: close`, the end of the connection, a line in the
    log that says why, and nothing forwarded, not even what came behind (RFC 9112 2.2, 3.2, 6.3, 9.6)."""
    before = len(stage.backend.requests)
    with Wire(stage.site) as wire:
        wire.deliver(data, delivery, get())
        response = wire.response()
        assert (response.status, response.body) == (status, b"")
        assert (response.value("connection"), response.value("content-length")) == ("close", "0")
        assert wire.is_ended()
    line = stage.log()
    assert (line["status"], line["flags"]) == (status, "DPE")
    assert line["reason"]
    assert len(stage.backend.requests) == before


MALFORMED_CHUNKS = {
    "no size": b"\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "space after the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "size of 17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "data too long": b"4\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "long extension": b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "bare LF in the trailers": b"0\r\nA: b\n\r\n",
    "obs-fold in the trailers": b"0\r\nA: b\r\n c\r\n\r\n",
}


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("chunks", MALFORMED_CHUNKS.values(), ids=MALFORMED_CHUNKS.keys())
def test_a_malformed_body_never_looks_complete_to_the_backend(stage: Stage, chunks: bytes, delivery: Delivery) -> None:
    """400 and the end of the connection, and the backend, if it was asked already, sees its own connection broken off inside the
    body (RFC 9112 7.1, 8)."""
    chunks = chunks if delivery != "byte by byte" or len(chunks) < LONG else chunks[:100] + b"\x00"
    with Wire(stage.site) as wire:
        wire.send(post(_CHUNKS))
        wire.deliver(chunks, delivery, get())
        response = wire.response()
        assert (response.status, response.value("connection")) == (400, "close")
        assert wire.is_ended()
    line = stage.log()
    assert (line["status"], line["flags"]) == (400, "DPE")
    with Wire(stage.site) as wire:  # whatever the backend got of it is in by now
        assert wire.ask(get(target=b"/next")).status == 200
    stage.log()
    assert not [request for request in stage.backend.requests if request.line.startswith(b"POST") and request.body.endswith(b"0\r\n\r\n")]


# legal but odd


@pytest.fixture
def forwarded(stage: Stage) -> Callable[[bytes], Recorded]:
    """Sends a request that must be answered 200, and tells what the backend got of it."""

    def ask(data: bytes, delivery: Delivery = "whole") -> Recorded:
        before = len(stage.backend.requests)
        with Wire(stage.site) as wire:
            wire.deliver(data, delivery)
            response = wire.response()
        stage.log()
        assert (response.status, response.body) == (200, b"ok")
        assert len(stage.backend.requests) == before + 1
        return stage.backend.requests[-1]

    return ask


ODD: dict[str, tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] = {
    # what is sent: request line, fields that pass, body as forwarded
    "empty line before it": (b"\r\n" + get(), b"GET / HTTP/1.1", [], b""),
    "later minor version": (get(version=b"1.9"), b"GET / HTTP/1.1", [], b""),
    "HTTP/1.0": (get(version=b"1.0"), b"GET / HTTP/1.1", [], b""),
    "own method": (get().replace(b"GET", b"MY-METHOD!", 1), b"MY-METHOD! / HTTP/1.1", [(b"content-length", b"0")], b""),
    "lower-case method": (get().replace(b"GET", b"get", 1), b"get / HTTP/1.1", [(b"content-length", b"0")], b""),
    "absolute target": (get(target=b"http://example.com/a?b"), b"GET /a?b HTTP/1.1", [], b""),
    "absolute target in capitals": (get(target=b"HTTP://EXAMPLE.COM"), b"GET / HTTP/1.1", [], b""),
    "OPTIONS *": (get(target=b"*").replace(b"GET", b"OPTIONS", 1), b"OPTIONS * HTTP/1.1", [], b""),
    "OPTIONS http://host": (get(target=b"http://example.com").replace(b"GET", b"OPTIONS", 1), b"OPTIONS * HTTP/1.1", [], b""),
    "query of odd bytes": (get(target=b"/?a=%zz&b=\xff{}|\"<>'"), b"GET /?a=%zz&b=%FF{}|\"<>' HTTP/1.1", [], b""),
    "empty query": (get(target=b"/a?"), b"GET /a? HTTP/1.1", [], b""),
    "raw bytes in the path": (get(target=b"/\xc3\xa9|"), b"GET /%C3%A9%7C HTTP/1.1", [], b""),
    "escapes and dot segments": (get(target=b"/%7ea/./b/../%2f%5c//c"), b"GET /~a/%2F%5C//c HTTP/1.1", [], b""),
    "obs-text in a value": (get(b"X: \xa0\xff"), b"GET / HTTP/1.1", [(b"X", b"\xa0\xff")], b""),
    "empty value": (get(b"X:"), b"GET / HTTP/1.1", [(b"X", b"")], b""),
    "tabs around and inside a value": (get(b"X:\t a\tb \t"), b"GET / HTTP/1.1", [(b"X", b"a\tb")], b""),
    "repeated fields": (get(b"a: 1", b"A: 2", b"a: 3"), b"GET / HTTP/1.1", [(b"a", b"1"), (b"A", b"2"), (b"a", b"3")], b""),
    "underscore in a name": (get(b"my_field: 1"), b"GET / HTTP/1.1", [(b"my_field", b"1")], b""),
    "every token character in a name": (get(b"!#$%&'*+-.^_`|~: 1"), b"GET / HTTP/1.1", [(b"!#$%&'*+-.^_`|~", b"1")], b""),
    "Host in capitals with a port and a dot": (get(host=b"EXAMPLE.com.:80"), b"GET / HTTP/1.1", [], b""),
    "Host of an IPv6 address": (get(host=b"[::1]:80"), b"GET / HTTP/1.1", [], b""),
    "length with leading zeros": (post(b"Content-Length: 0002", body=b"ab"), b"POST / HTTP/1.1", [(b"content-length", b"2")], b"ab"),
    "body of GET": (get(b"Content-Length: 2") + b"ab", b"GET / HTTP/1.1", [(b"content-length", b"2")], b"ab"),
    "length 0": (post(b"Content-Length: 0"), b"POST / HTTP/1.1", [(b"content-length", b"0")], b""),
    "POST without a length": (post(), b"POST / HTTP/1.1", [(b"content-length", b"0")], b""),
    "chunks": (
        post(b"Transfer-Encoding: CHUNKED", body=b"2;x=y\r\nab\r\n0\r\n\r\n"),
        b"POST / HTTP/1.1",
        [(b"transfer-encoding", b"chunked")],
        b"2\r\nab\r\n0\r\n\r\n",
    ),
    "chunks of GET": (get(_CHUNKS) + b"0\r\n\r\n", b"GET / HTTP/1.1", [(b"transfer-encoding", b"chunked")], b"0\r\n\r\n"),
    "upgrade to something unknown": (
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), b"GET / HTTP/1.1", [], b""
    ),
    "WebSocket with POST": (
        post(*_HANDSHAKE[:2], b"Content-Length: 0"), b"POST / HTTP/1.1", [(b"content-length", b"0")], b""
    ),
}  # fmt: skip
ADDED = (b"host", b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-for", b"x-forwarded-host", b"x-request-id")


@pytest.mark.parametrize("delivery", ["whole", "byte by byte"])
@pytest.mark.parametrize(("data", "line", "fields", "body"), ODD.values(), ids=ODD.keys())
def test_what_is_legal_but_odd_is_forwarded_with_its_meaning(
    forwarded: Callable[..., Recorded], data: bytes, line: bytes, fields: list[tuple[bytes, bytes]], body: bytes, delivery: Delivery
) -> None:
    """Strictness is not narrowness (design.md 7): what goes out is written anew, in one form, with one framing field at most."""
    request = forwarded(data, delivery)
    assert request.line == line
    assert sorted(pair for pair in request.fields if pair[0] not in ADDED) == sorted(fields)
    # a chunk that was delivered in pieces may leave in as many
    assert request.body == body or (delivery == "byte by byte" and request.body == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "host"),
    [
        (get(host=b"EXAMPLE.com.:80"), b"EXAMPLE.com.:80"),
        (get(host=b"example.com:"), b"example.com"),
        (get(target=b"http://example.com/", host=b"example.com"), b"example.com"),
    ],
)
def test_the_host_is_forwarded_as_sent(forwarded: Callable[..., Recorded], data: bytes, host: bytes) -> None:
    """One Host field, the authority that the client named (RFC 9112 3.2)."""
    assert forwarded(data).values(b"host") == [host]


def test_http_1_0_without_host_is_served_where_any_host_is(stage: Stage, forwarded: Callable[..., Recorded]) -> None:
    """HTTP/1.0 knows no Host (RFC 9112 3.2); the backend speaks 1.1 and gets the endpoint's own name."""
    request = forwarded(b"GET /old HTTP/1.0\r\n\r\n")
    assert request.line == b"GET /old HTTP/1.1"
    assert request.values(b"host") == [b"127.0.0.1:%d" % stage.scripted.port]


def test_http_1_0_with_an_absolute_target_is_served_by_its_authority(forwarded: Callable[..., Recorded]) -> None:
    """The host information of an absolute target is the request's (RFC 9112 3.2.2)."""
    request = forwarded(b"GET http://example.com/a HTTP/1.0\r\n\r\n")
    assert (request.line, request.values(b"host")) == (b"GET /a HTTP/1.1", [b"example.com"])


def test_a_refused_upgrade_version_says_which_is_spoken(stage: Stage) -> None:
    """426 names the protocol and the version to use (RFC 9110 15.5.22, RFC 6455 4.4)."""
    with Wire(stage.site) as wire:
        response = wire.ask(get(*_HANDSHAKE).replace(b"Version: 13", b"Version: 8"))
    stage.log()
    assert response.status == 426
    assert response.value("upgrade") == "websocket"
    assert response.value("sec-websocket-version") == "13"
    assert sorted(", ".join(response.values("connection")).split(", ")) == ["close", "upgrade"]


def test_a_refusal_after_a_chunked_response_is_framed_for_itself(tmp_path: Path, running_echoes: Echoes) -> None:
    """Nothing of the response before it is left in the framing (RFC 9112 6.3)."""
    backend = Recorder(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OK)
    scripted = Scripted(backend)
    site = Site(tmp_path, running_echoes.echoes)
    site.change(service("kept", scripted.port), "- backendRefs: [{name: kept, port: 80}]")
    try:
        with Wire(site) as wire:
            assert wire.ask(get()).body == b"ok"
            wire.send(b"GET / \r\n\r\n")
            assert wire.rest() == b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    finally:
        site.close()
        scripted.close()
