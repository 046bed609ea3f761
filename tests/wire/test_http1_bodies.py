"""Bodies: chunked both ways, trailers, expectations, responses without one, early answers, and streams of any size (RFC 9112 6, 7)."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from gateway.proxy.client_connection import ClientConnection
from tests.wire.backends import LIMIT, Conversation, Echo, Planned, Scripted, closed_port
from tests.wire.conftest import Serve
from tests.wire.peers import DELIVERIES, OK, Delivery, Recorder, Wire, chunked, get, post
from tests.wire.serving import Site, service

ROUTE = "- backendRefs: [{name: kept, port: 80}]"
MATCHED = "- matches: [{path: {value: /to}}]\n  backendRefs: [{name: kept, port: 80}]"
CHUNKS = b"Transfer-Encoding: chunked"

Keep = Callable[..., Site]


@pytest.fixture
def keep(serve: Serve, scripted: Callable[..., Scripted]) -> Keep:
    """Makes a gateway with the given backend as `kept`."""

    def make(backend: Callable[[Conversation], None], route: str = ROUTE) -> Site:
        return serve(service("kept", scripted(backend).port), route)

    return make


def unchunked(body: bytes) -> bytes:
    """The data of a chunked body."""
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
        if size == b"0":
            break
    return data


# chunks


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_chunked_request_stays_one(keep: Keep, delivery: Delivery) -> None:
    """Written anew: extensions are gone, the size lines are ours, the data is the same (RFC 9112 7.1)."""
    backend = Recorder()
    with Wire(keep(backend)) as wire:
        body = b"05;name=value\r\nhello\r\n1 ; x\r\n!\r\n000\r\n\r\n"
        wire.deliver(post(CHUNKS, body=body), delivery, get(target=b"/next"))
        assert wire.response().status == 200
        wire.send(get(target=b"/last"))
        assert wire.response().status == 200
    first = backend.requests[0]
    assert (first.values(b"transfer-encoding"), first.values(b"content-length")) == ([b"chunked"], [])
    assert unchunked(first.body) == b"hello!"
    assert b";" not in first.body
    assert first.body.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_a_chunked_response_stays_one(keep: Keep, pieces: int) -> None:
    """However the backend's bytes come in, the client gets the same data, and the connection serves on (RFC 9112 7.1)."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0000001\r\n!\r\n0;end\r\n\r\n"
    step = -(-len(answer) // pieces)
    site: Site

    def script(conversation: Conversation) -> None:
        while conversation.read_head():
            for start in range(0, len(answer), step):
                conversation.send(answer[start : start + step])
                site._thread.call(lambda: None)  # the proxy has read it

    site = keep(script)
    with Wire(site) as wire:
        for _ in range(2):
            response = wire.ask(get())
            assert (response.body, response.value("transfer-encoding"), response.value("content-length")) == (b"hello!", "chunked", None)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_003])
@pytest.mark.parametrize("pieces", [1, 5], ids=["counted", "chunked"])
def test_bodies_of_every_size_come_through_unchanged(serve: Serve, blue: Echo, size: int, pieces: int) -> None:
    """Both ways, with a server and a client that are not ours."""
    site = serve("- backendRefs: [{name: blue, port: 80}]")
    body = random.Random(size).randbytes(size)
    blue.plan(Planned(body=body, pieces=pieces))
    answer = site.ask(method="POST", body=body if pieces == 1 else iter([body[at : at + 65_000] for at in range(0, size, 65_000)]))
    assert (answer.status, len(answer.body), answer.body == body) == (200, size, True)
    assert (len(answer.request.body), answer.request.body == body) == (size, True)


# trailers


def test_trailers_of_a_response_go_to_who_takes_them(keep: Keep) -> None:
    """TE: trailers asks for them, and the backend is told so; without it they are dropped (RFC 9110 6.5.1, 10.1.4)."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n" + chunked(
        b"ok", trailers=b"x-sum: 5\r\nHost: evil\r\n"
    )
    backend = Recorder(otherwise=answer)
    with Wire(keep(backend)) as wire:
        with_trailers = wire.ask(get(b"TE: trailers, deflate", b"Connection: te"))
        without = wire.ask(get())
    assert (with_trailers.body, with_trailers.trailers) == (b"ok", (("x-sum", "5"),))
    assert (without.body, without.trailers) == (b"ok", ())
    assert [request.values(b"te") for request in backend.requests] == [[b"trailers"], []]


def test_trailers_of_a_request_go_on_only_if_its_client_takes_some_too(keep: Keep) -> None:
    """As gRPC does; dropped by default (RFC 9110 6.5.1)."""
    backend = Recorder()
    trailers = b"x-sum: 5\r\nx-two:\r\n"
    with Wire(keep(backend)) as wire:
        assert wire.ask(post(CHUNKS, b"TE: trailers", body=chunked(b"ok", trailers=trailers))).status == 200
        assert wire.ask(post(CHUNKS, body=chunked(b"ok", trailers=trailers))).status == 200
    assert [request.body for request in backend.requests] == [chunked(b"ok", trailers=b"x-sum: 5\r\nx-two: \r\n"), chunked(b"ok")]


@pytest.mark.parametrize(
    "line",
    [b"Host: evil", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Authorization: x", b"X-Forwarded-For: 1.1.1.1", b"Cookie: a=b"],
)
def test_a_trailer_never_becomes_a_field_that_counts(keep: Keep, line: bytes) -> None:
    """Framing, routing, authentication and identity are not taken from trailers (RFC 9110 6.5.1)."""
    backend = Recorder()
    with Wire(keep(backend)) as wire:
        assert wire.ask(post(CHUNKS, b"TE: trailers", body=chunked(b"ok", trailers=line + b"\r\nx-kept: 1\r\n"))).status == 200
    assert backend.requests[0].body == chunked(b"ok", trailers=b"x-kept: 1\r\n")


# Expect: 100-continue


def test_the_body_is_asked_for_once_the_backend_is_there(keep: Keep) -> None:
    """One 100 (Continue), made by the proxy; the backend sees no expectation, and its own 100 is not a second one (RFC 9110 10.1.1)."""
    backend = Recorder(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    with Wire(keep(backend)) as wire:
        wire.send(post(b"Content-Length: 5", b"Expect: 100-continue"))
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"hello")
        response = wire.response()
        assert (response.status, response.informational) == (200, ())
        assert wire.ask(get()).status == 200
    assert backend.requests[0].body == b"hello"
    assert backend.requests[0].values(b"expect") == []


def test_curl_waits_for_the_word_and_sends_its_body(serve: Serve, blue: Echo, tmp_path: Path) -> None:
    """A client that expects, counted and chunked."""
    site = serve("- backendRefs: [{name: blue, port: 80}]")
    body = tmp_path / "body"
    body.write_bytes(random.Random(1).randbytes(2_000_000))
    url = f"http://127.0.0.1:{site.address()[1]}/"
    for more in ([], ["-H", "Transfer-Encoding: chunked"]):
        command = ["curl", "-sSv", "-H", "Expect: 100-continue", *more, "--expect100-timeout", "9", "--data-binary", f"@{body}", url]
        output = subprocess.run(command, capture_output=True, timeout=LIMIT, check=True)
        assert b"< HTTP/1.1 100 Continue" in output.stderr
    assert [request.body for request in blue.requests] == [body.read_bytes()] * 2


def test_a_reply_before_the_body_asks_for_none(keep: Keep) -> None:
    """404 at once, no 100, and the end of the connection: nobody knows whether the body will come (RFC 9110 10.1.1)."""
    with Wire(keep(Recorder(), MATCHED)) as wire:
        wire.send(post(b"Content-Length: 5", b"Expect: 100-continue"))
        response = wire.response()
        assert (response.status, response.informational, response.value("connection")) == (404, (), "close")
        assert wire.is_ended()


def test_no_body_is_asked_for_without_a_backend_to_take_it(serve: Serve) -> None:
    """503 at once, no 100 (RFC 9110 10.1.1)."""
    site = serve(service("gone", closed_port()), "- backendRefs: [{name: gone, port: 80}]")
    with Wire(site) as wire:
        wire.send(post(b"Content-Length: 5", b"Expect: 100-continue"))
        response = wire.response()
        assert (response.status, response.informational, response.value("connection")) == (503, (), "close")


def test_a_body_that_does_not_wait_is_taken(keep: Keep) -> None:
    """A client may send without having seen 100 (RFC 9110 10.1.1)."""
    backend = Recorder()
    with Wire(keep(backend)) as wire:
        wire.send(post(b"Content-Length: 5", b"Expect: 100-continue", body=b"hello") + get(target=b"/next"))
        assert wire.response().status == 200
        assert wire.response().status == 200
    assert [request.body for request in backend.requests] == [b"hello", b""]


def test_an_expectation_without_a_body_is_nothing(keep: Keep) -> None:
    """There is nothing to wait for (RFC 9110 10.1.1), and the connection is kept."""
    with Wire(keep(Recorder())) as wire:
        for _ in range(2):
            response = wire.ask(post(b"Content-Length: 0", b"Expect: 100-continue"))
            assert (response.status, response.informational, response.value("connection")) == (200, (), None)


# responses without a body

BODILESS = {
    "HEAD counted": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, "5"),
    "HEAD chunked": ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None),
    "HEAD without framing": ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", 200, None),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, None),
    "204 with a length": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, None),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304, None),
    "304 with the length of what it stands for": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "5"),
    "empty": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "0"),
}


@pytest.mark.parametrize(("method", "answer", "status", "length"), BODILESS.values(), ids=BODILESS.keys())
def test_a_response_without_a_body_ends_with_its_head(keep: Keep, method: str, answer: bytes, status: int, length: str | None) -> None:
    """Both connections serve on; no length in 204, the would-be length in answers to HEAD and in 304 (RFC 9112 6.3, RFC 9110 8.6)."""

    def script(conversation: Conversation) -> None:
        while conversation.read_head():
            backend.append(conversation)
            conversation.send(answer)

    backend: list[Conversation] = []
    with Wire(keep(script)) as wire:
        for _ in range(3):
            wire.send(get().replace(b"GET", method.encode(), 1))
            head = wire.read_until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert (b"content-length: " in head) == (length is not None)
            assert length is None or b"content-length: " + length.encode() + b"\r\n" in head
            assert b"transfer-encoding" not in head
            assert b"connection" not in head
        assert wire.received == b""
    assert len(set(map(id, backend))) == 1


def test_the_proxy_answers_head_without_a_body(keep: Keep) -> None:
    """Local replies too (RFC 9110 9.3.2)."""
    with Wire(keep(Recorder(), MATCHED)) as wire:
        assert wire.ask(get().replace(b"GET", b"HEAD", 1), "HEAD").status == 404
        assert wire.ask(get()).status == 404


# answers before the request is complete


def early(answer: bytes, then: Callable[[Conversation], object] = Conversation.read_head) -> Callable[[Conversation], None]:
    """A backend that answers as soon as it has the head."""

    def script(conversation: Conversation) -> None:
        if conversation.read_head():
            conversation.received = b""
            conversation.send(answer)
            then(conversation)

    return script


def drain(conversation: Conversation) -> None:
    while conversation.connection.recv(65_536):
        pass


TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"


def test_an_early_answer_reaches_the_client_and_the_rest_of_a_small_body_is_thrown_away(keep: Keep) -> None:
    """The client's connection serves on; the backend's does not: it may take the rest for a request (RFC 9112 9.3)."""
    last: SimpleQueue[bytes] = SimpleQueue()
    with Wire(keep(early(TOO_LARGE, lambda conversation: last.put(conversation.connection.recv(1))))) as wire:
        for _ in range(2):
            wire.send(post(b"Content-Length: 100000"))
            response = wire.response()
            assert (response.status, response.body, response.value("connection")) == (413, b"no", None)
            wire.send(b"x" * 100_000)
            assert last.get(timeout=LIMIT) == b""


def test_after_an_early_answer_a_large_rest_ends_the_connection(keep: Keep) -> None:
    """The client sees the answer although it is still sending (RFC 9112 9.3, 9.6)."""
    size = 8 << 20
    with Wire(keep(early(TOO_LARGE, drain))) as wire, ThreadPoolExecutor(1) as sending:
        wire.send(post(b"Content-Length: %d" % size))
        response = wire.response()
        sent = sending.submit(wire.send, b"x" * size)
        assert (response.status, response.body) == (413, b"no")
        assert wire.is_ended()
        sent.exception(LIMIT)


def test_an_early_answer_to_chunks_that_never_end_ends_the_connection(keep: Keep) -> None:
    """What is thrown away has a limit."""
    with Wire(keep(early(TOO_LARGE, drain))) as wire:
        wire.send(post(CHUNKS))
        assert wire.response().status == 413
        wire.send((b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 8)
        assert wire.is_ended()


def test_request_and_response_may_run_at_the_same_time(keep: Keep) -> None:
    """A backend may answer while it reads, as full-duplex services do (RFC 9110 7.5)."""
    words = [b"hello", b"again", b"right"]

    def script(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in words:
            conversation.send(conversation.read_until(b"\r\n") + conversation.read_until(b"\r\n").upper())
        conversation.send(conversation.read_until(b"0\r\n\r\n"))
        conversation.read_head()

    with Wire(keep(script)) as wire:
        wire.send(post(CHUNKS))
        wire.read_until(b"\r\n\r\n")
        for word in words:
            wire.send(b"5\r\n%b\r\n" % word)
            assert wire.read_until(b"\r\n") + wire.read_until(b"\r\n") == b"5\r\n%b\r\n" % word.upper()
        wire.send(b"0\r\n\r\n")
        assert wire.read_until(b"\r\n\r\n") == b"0\r\n\r\n"


# a body whose end is the end of the connection


def test_a_body_until_close_becomes_chunks(keep: Keep) -> None:
    """An HTTP/1.0 backend gives no length; the client's connection serves on (RFC 9112 6.3 rule 8)."""

    def script(conversation: Conversation) -> None:
        if conversation.read_head():
            conversation.send(b"HTTP/1.0 200 OK\r\n\r\nhello ")
            conversation.send(b"world")

    with Wire(keep(script)) as wire:
        for _ in range(2):
            response = wire.ask(get())
            assert (response.status, response.body, response.value("transfer-encoding")) == (200, b"hello world", "chunked")


# streams

SIZE = 64 << 20
PIECE = random.Random(0).randbytes(1 << 20)
HELD = (64 + 256 + 64) * 1024
"""What may wait on one side: the high-water mark of a transport, one read that came after it, and framing."""


def waiting(site: Site) -> int:
    """Bytes that the proxy holds for its one exchange, on both sides."""

    def count() -> int:
        held = 0
        for port in site.runtime._live.ports.values():
            for connection in port.connections:
                held += connection.transport.get_write_buffer_size() + _of_backend(connection)
        return held

    return site._thread.call(count)


def _of_backend(connection: ClientConnection) -> int:
    exchange = connection.exchange
    if exchange is None or exchange.last_stream is None:
        return 0
    return exchange.last_stream.transport.get_write_buffer_size() + sum(map(len, exchange.body))


def digest_of_stream() -> str:
    digest = hashlib.sha256()
    for _ in range(SIZE // len(PIECE)):
        digest.update(PIECE)
    return digest.hexdigest()


def pieces(framing: str) -> Iterator[bytes]:
    for _ in range(SIZE // len(PIECE)):
        yield PIECE if framing == "counted" else b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
    if framing == "chunked":
        yield b"0\r\n\r\n"


FRAMINGS = {"counted": b"Content-Length: %d" % SIZE, "chunked": CHUNKS}


@pytest.mark.slow
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_large_response_waits_for_a_slow_client(keep: Keep, framing: str) -> None:
    """64 MiB pass through, and at no time is more held than two buffers: reading from the backend stops (back pressure, design.md 6.9)."""

    def script(conversation: Conversation) -> None:
        if conversation.read_head():
            conversation.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % FRAMINGS[framing])
            for piece in pieces(framing):
                conversation.send(piece)
            conversation.read_head()

    site = keep(script)
    with Wire(site) as wire:
        wire.send(get())
        wire.read_until(b"\r\n\r\n")
        most, left, digest = 0, SIZE, hashlib.sha256()
        reader = _BodyReader(wire, framing)
        while left:
            data = reader.read(min(left, 1 << 20))
            most = max(most, waiting(site))
            digest.update(data)
            left -= len(data)
    assert digest.hexdigest() == digest_of_stream()
    assert 0 < most <= HELD


@pytest.mark.slow
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_large_request_waits_for_a_slow_backend(keep: Keep, framing: str) -> None:
    """The same the other way: reading from the client stops."""
    most = 0
    digest = hashlib.sha256()
    site: Site

    def script(conversation: Conversation) -> None:
        nonlocal most
        if not conversation.read_head():
            return
        reader = _BodyReader(conversation, framing)
        left = SIZE
        while left:
            data = reader.read(min(left, 1 << 20))
            most = max(most, waiting(site))
            digest.update(data)
            left -= len(data)
        if framing == "chunked":
            conversation.read_until(b"0\r\n\r\n")
        conversation.send(OK)
        conversation.read_head()

    site = keep(script)
    with Wire(site) as wire:
        wire.send(post(FRAMINGS[framing]))
        for piece in pieces(framing):
            wire.socket.sendall(piece)
        assert wire.response().status == 200
    assert digest.hexdigest() == digest_of_stream()
    assert 0 < most <= HELD


class _BodyReader:
    """Data of a body from either peer, in the order it comes."""

    def __init__(self, peer: Wire | Conversation, framing: str) -> None:
        self._peer = peer
        self._socket = peer.socket if isinstance(peer, Wire) else peer.connection
        self._left = SIZE if framing == "counted" else 0

    def read(self, most: int) -> bytes:
        """Up to that many bytes."""
        if not self._left:
            line = self._peer.read_until(b"\r\n")
            if line == b"\r\n":
                line = self._peer.read_until(b"\r\n")
            self._left = int(line, 16)
        data, self._peer.received = self._peer.received[:most][: self._left], self._peer.received[min(most, self._left) :]
        if not data:
            data = self._socket.recv(min(most, self._left))
            assert data, "cut short"
        self._left -= len(data)
        return data


def test_an_upload_of_curl_arrives(serve: Serve, blue: Echo, tmp_path: Path) -> None:
    """Counted and chunked, with a server that is not ours."""
    site = serve("- backendRefs: [{name: blue, port: 80}]")
    body = tmp_path / "body"
    body.write_bytes(PIECE * 4)
    url = f"http://127.0.0.1:{site.address()[1]}/"
    for more in ([], ["-H", "Transfer-Encoding: chunked"]):
        command = ["curl", "-sS", "-o", str(tmp_path / "out"), "-w", "%{json}", "-H", "Expect:", *more, "-T", str(body), url]
        output = subprocess.run(command, capture_output=True, timeout=LIMIT, check=True)
        assert json.loads(output.stdout)["response_code"] == 200
    assert [request.body == PIECE * 4 for request in blue.requests] == [True, True]
