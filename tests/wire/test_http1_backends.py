"""Backends that break the rules: the client gets 502 or sees the truncation, and the connection never serves again (design.md 7)."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import h11
import pytest

from tests.wire.backends import LIMIT, Conversation, Scripted
from tests.wire.conftest import Serve
from tests.wire.peers import OK, Recorder, Wire, chunked, get, post
from tests.wire.serving import Site, service

ROUTE = "- backendRefs: [{name: kept, port: 80}]"

Keep = Callable[..., Site]


@pytest.fixture
def keep(serve: Serve, scripted: Callable[..., Scripted]) -> Keep:
    """Makes a gateway with a backend that follows one script a connection, the last one for all that come after."""

    def make(*scripts: Callable[[Conversation], None]) -> Site:
        return serve(service("kept", scripted(*scripts).port), ROUTE)

    return make


def answering(answer: bytes, pieces: int = 1, *, close: bool = False, reset: bool = False) -> Callable[[Conversation], None]:
    """A backend that gives one answer, then waits for the proxy to leave, or leaves itself."""

    def script(conversation: Conversation) -> None:
        if not conversation.read_head():
            return
        size = -(-len(answer) // pieces) or 1
        for start in range(0, len(answer), size):
            conversation.send(answer[start : start + size])
        if reset:
            conversation.reset()
        elif not close:
            assert conversation.connection.recv(65_536) == b"", "the proxy used the connection again"

    return script


def line(status: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", body])


MALFORMED = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/0.9": b"hello world\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": line(b"20 OK", b"Content-Length: 0"),
    "status 600": line(b"600 X", b"Content-Length: 0"),
    "length and chunks": line(b"200 OK", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "two lengths": line(b"200 OK", b"Content-Length: 2", b"Content-Length: 3", body=b"ok"),
    "two equal lengths": line(b"200 OK", b"Content-Length: 2", b"Content-Length: 2", body=b"ok"),
    "negative length": line(b"200 OK", b"Content-Length: -1"),
    "unknown coding": line(b"200 OK", b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in 204": line(b"204 No Content", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "only bare LFs": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR in a value": line(b"200 OK", b"A: b\rc", b"Content-Length: 0"),
    "NUL in a value": line(b"200 OK", b"A: \x00", b"Content-Length: 0"),
    "obs-fold": line(b"200 OK", b"A: b", b" c", b"Content-Length: 0"),
    "space before a colon": line(b"200 OK", b"Content-Length : 0"),
    "head of 70 KB": line(b"200 OK", *[b"A: " + b"b" * 1000] * 70, b"Content-Length: 0"),
    "switch that nobody asked for": line(b"101 Switching Protocols", b"Connection: upgrade", b"Upgrade: websocket"),
    "eleven interim responses": line(b"103 Early Hints", body=b"") * 11 + OK,
    "interim response with chunks": line(b"103 Early Hints", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "more than was announced": line(b"200 OK", b"Content-Length: 2", body=b"oksurplus"),
    "a second response": OK + OK,
    "bytes after an empty body": line(b"200 OK", b"Content-Length: 0", body=b"surplus"),
    "body of 204": line(b"204 No Content", body=b"surplus"),
    "body of 304": line(b"304 Not Modified", body=b"surplus"),
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_response_is_502(keep: Keep, answer: bytes) -> None:
    """Nothing of it reaches the client, whose own connection is kept; the backend's connection is closed (RFC 9112 6.3)."""
    site = keep(answering(answer), Recorder())
    with Wire(site) as wire:
        response = wire.ask(get())
        informational = (103,) * 10 if b" 103 " in answer and b"Transfer" not in answer else ()
        assert (response.status, response.body, response.informational) == (502, b"", informational)
        assert response.value("x-tidegate-reason")
        assert wire.ask(get()).body == b"ok"
    assert site.log.wait_for(2)[0]["flags"] == "UPE"


@pytest.mark.parametrize(
    "name", [name for name, answer in MALFORMED.items() if len(answer) < 500 and b"surplus" not in answer and answer != OK + OK]
)
def test_a_malformed_response_in_many_pieces_is_refused_as_well(keep: Keep, name: str) -> None:
    """502, or a response that is visibly cut where its head was good and has gone out (RFC 9112 8)."""
    answer = MALFORMED[name]
    with Wire(keep(answering(answer, len(answer)), Recorder())) as wire:
        assert wire.ask(get()).status == 502
        assert wire.ask(get()).body == b"ok"


BROKEN_CHUNKS = {
    "no size": b"\r\n",
    "size with a space": b"2 \r\nok\r\n0\r\n\r\n",
    "0x": b"0x2\r\nok\r\n0\r\n\r\n",
    "LF after the data": b"2\r\nok\n0\r\n\r\n",
    "data too long": b"1\r\nok\r\n0\r\n\r\n",
    "bare LF in trailers": b"2\r\nok\r\n0\r\nA: b\n\r\n",
}


@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "after the head"])
@pytest.mark.parametrize("body", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS.keys())
def test_broken_chunks_never_look_like_a_complete_body(keep: Keep, body: bytes, together: bool) -> None:
    """502 where nothing has gone out, otherwise the client sees its response cut (RFC 9112 7.1, 8)."""
    head = line(b"200 OK", b"Transfer-Encoding: chunked")
    site = keep(answering(head + body) if together else answering_later(head, body), Recorder())
    with Wire(site) as wire:
        wire.send(get() if together else post(b"Content-Length: 1"))
        if not together:
            wire.received = wire.read_until(b"\r\n\r\n")  # h11 wants it from its beginning
            wire.send(b".")
        try:
            assert wire.response().status == 502
        except (h11.RemoteProtocolError, ConnectionResetError):
            pass
    with Wire(site) as wire:
        assert wire.ask(get()).body == b"ok"


def answering_later(*pieces: bytes, close: bool = False, reset: bool = False) -> Callable[[Conversation], None]:
    """A backend that sends each piece when the proxy has read the one before: it waits for a byte of the request's body."""

    def script(conversation: Conversation) -> None:
        if not conversation.read_head():
            return
        for number, piece in enumerate(pieces):
            if number and not conversation.read_until(b"."):
                return
            conversation.send(piece)
        if reset:
            conversation.reset()
        elif not close:
            conversation.connection.recv(65_536)

    return script


CUT = {
    "counted": line(b"200 OK", b"Content-Length: 10", body=b"hello"),
    "chunked inside a chunk": line(b"200 OK", b"Transfer-Encoding: chunked", body=b"a\r\nhello"),
    "chunked between chunks": line(b"200 OK", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
    "chunked before the last line": line(b"200 OK", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n"),
}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("answer", CUT.values(), ids=CUT.keys())
def test_a_response_cut_short_is_visibly_cut(keep: Keep, answer: bytes, version: bytes, reset: bool) -> None:
    """Too few bytes, no last chunk, or a reset where the end of the connection would end the body (RFC 9112 8)."""
    site = keep(answering(answer, close=not reset, reset=reset))
    with Wire(site) as wire:
        wire.send(get(version=version))
        with pytest.raises((h11.RemoteProtocolError, ConnectionResetError)):  # noqa: PT012 - 502 is an answer that is not cut
            if wire.response().status == 502:
                raise ConnectionResetError
    assert site.log.wait_for(1)[0]["flags"] in ("UC", "UPE")


def test_a_body_until_close_that_is_reset_is_visibly_cut(keep: Keep) -> None:
    """A reset is not the end of such a body (RFC 9112 8)."""
    site = keep(answering_later(b"HTTP/1.1 200 OK\r\n\r\nhello", b" world", reset=True))
    with Wire(site) as wire:
        wire.send(post(b"Content-Length: 1"))
        wire.read_until(b"hello")
        wire.send(b".")
        wire.read_until(b" world")
        assert not wire.rest().endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\nContent-Le", b"H"])
def test_a_head_cut_short_is_502(keep: Keep, begun: bytes) -> None:
    """Nothing of it has reached the client (RFC 9110 15.6.3)."""
    with Wire(keep(answering(begun, close=True), Recorder())) as wire:
        assert wire.ask(get()).status == 502
        assert wire.ask(get()).body == b"ok"


@pytest.mark.parametrize("how", [{"close": True}, {"reset": True}], ids=["closed", "reset"])
def test_no_answer_at_all_is_503(keep: Keep, how: dict[str, bool]) -> None:
    """On a fresh connection nobody knows what the backend did with the request: it is not sent again by itself (RFC 9110 9.2.2)."""
    site = keep(answering(b"", **how), Recorder())
    with Wire(site) as wire:
        assert wire.ask(get()).status == 503
        assert wire.ask(get()).body == b"ok"
    assert site.log.wait_for(1)[0]["flags"] == "UC"


# connections that wait in the pool


def once_then(leave: Callable[[Conversation], object]) -> Callable[[Conversation], None]:
    """A backend that answers one request, and does something else on the second."""

    def script(conversation: Conversation) -> None:
        if conversation.read_head():
            conversation.send(OK)
            if conversation.read_head():
                leave(conversation)

    return script


@pytest.mark.parametrize("leave", [lambda conversation: None, Conversation.reset], ids=["closed", "reset"])
def test_a_stale_connection_is_not_the_clients_problem(keep: Keep, leave: Callable[[Conversation], object]) -> None:
    """A backend may close a kept connection just as a request is sent: an idempotent one goes out again on a fresh one (RFC 9112 9.3.1)."""
    backend = Recorder()
    with Wire(keep(once_then(leave), backend)) as wire:
        assert wire.ask(get(target=b"/1")).body == b"ok"
        assert wire.ask(get(target=b"/2")).body == b"ok"
        assert wire.ask(get(target=b"/3")).body == b"ok"
    assert [request.line for request in backend.requests] == [b"GET /2 HTTP/1.1", b"GET /3 HTTP/1.1"]


def test_a_request_that_may_have_been_served_is_not_sent_again(keep: Keep) -> None:
    """POST is not idempotent: whether the stale connection's backend saw it, nobody knows (RFC 9110 9.2.2)."""
    backend = Recorder()
    with Wire(keep(once_then(lambda conversation: None), backend)) as wire:
        assert wire.ask(get()).body == b"ok"
        assert wire.ask(post(b"Content-Length: 1", body=b"x")).status == 503
        assert wire.ask(get(target=b"/next")).body == b"ok"
    assert [request.line for request in backend.requests] == [b"GET /next HTTP/1.1"]


def test_a_connection_that_ended_while_idle_is_not_used(keep: Keep) -> None:
    """The proxy has seen its end and takes a fresh one, also for POST."""
    backend = Recorder()
    left = Event()

    def leaving(conversation: Conversation) -> None:
        conversation.read_head()
        conversation.send(OK)
        conversation.connection.close()
        left.set()

    with Wire(keep(leaving, backend)) as wire:
        assert wire.ask(get()).body == b"ok"
        left.wait(LIMIT)
        wire.turn()
        assert wire.ask(post(b"Content-Length: 1", body=b"x")).body == b"ok"
    assert len(backend.requests) == 1


def test_what_comes_on_an_idle_connection_is_nobodys_answer(keep: Keep) -> None:
    """The next client must not get what an attacker left in the backend's connection (response queue poisoning, catalogue 2.1)."""

    answered, left = Event(), Event()

    def poisoned(conversation: Conversation) -> None:
        if conversation.read_head():
            conversation.send(OK)
            answered.wait(LIMIT)
            conversation.send(OK.replace(b"ok", b"NO"))
            left.set()
            assert conversation.connection.recv(65_536) == b"", "the proxy used the connection again"

    with Wire(keep(poisoned, Recorder())) as wire:
        assert wire.ask(get()).body == b"ok"
        answered.set()
        left.wait(LIMIT)
        wire.turn()
        for _ in range(3):
            assert wire.ask(get()).body == b"ok"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (line(b"200 OK", b"Content-Length: 10", body=b"hello"), b"worldHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nNO"),
        (
            line(b"200 OK", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
            b"5\r\nworld\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nNO",
        ),
    ],
    ids=["counted", "chunked"],
)
def test_surplus_after_a_streamed_body_ends_with_its_connection(keep: Keep, head: bytes, body: bytes) -> None:
    """Part of the response has gone out: the client gets its body or sees it cut, never what follows it, nor does the next one."""
    site = keep(answering_later(head, body), Recorder())
    with Wire(site) as wire:
        wire.send(post(b"Content-Length: 1"))
        wire.read_until(b"hello")
        wire.send(b".")
        assert b"NO" not in wire.read_until(b"world")
        wire.end()
        assert b"NO" not in wire.rest()
    with Wire(site) as wire:
        assert wire.ask(get()).body == b"ok"


# what is allowed


def test_interim_responses_pass_in_order(keep: Keep) -> None:
    """103 reaches the client; the backend's 100 was asked for by nobody and is dropped (RFC 9110 15.2)."""
    answer = line(b"103 Early Hints", b"Link: </a>", b"Connection: x", b"x: 1") + line(b"100 Continue") + line(b"104 Own") + OK
    with Wire(keep(Recorder(answer))) as wire:
        wire.send(get())
        assert wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        response = wire.response()
        assert (response.status, response.informational, response.body) == (200, (104,), b"ok")
        assert wire.ask(get()).informational == ()


@pytest.mark.parametrize("count", [10])
def test_a_few_interim_responses_are_not_too_many(keep: Keep, count: int) -> None:
    """The limit is ten."""
    with Wire(keep(Recorder(otherwise=line(b"103 Early Hints") * count + OK))) as wire:
        for _ in range(2):
            response = wire.ask(get())
            assert (response.status, len(response.informational)) == (200, count)


@pytest.mark.parametrize(
    ("status_line", "reason"),
    [(b"200 ", ""), (b"200", ""), (b"299 Very \t own \xff", "Very \t own \xff"), (b"451 Unavailable", "Unavailable")],
)
def test_status_and_reason_pass(keep: Keep, status_line: bytes, reason: str) -> None:
    """Any status of the five classes, any reason phrase (RFC 9112 4)."""
    with Wire(keep(Recorder(line(status_line, b"Content-Length: 0")))) as wire:
        response = wire.ask(get())
        assert (response.status, response.reason) == (int(status_line[:3]), reason)


def test_a_response_is_written_anew(keep: Keep) -> None:
    """One framing field, fields in order with their spelling, nothing of the backend's connection (RFC 9110 7.6.1)."""
    answer = line(
        b"200 OK",
        b"SERVER: x",
        b"content-length: 0002",
        b"Connection: keep-alive, X-Own",
        b"Keep-Alive: timeout=5",
        b"X-Own: 1",
        b"Set-Cookie: a=b",
        b"set-cookie:  c=d  ",
        b"Proxy-Authenticate: Basic",
        b"Upgrade: h2c",
        b"X-Empty:",
        body=b"ok",
    )
    with Wire(keep(Recorder(answer))) as wire:
        wire.send(get(b"Connection: close"))
        expected = line(
            b"200 OK",
            b"SERVER: x",
            b"Set-Cookie: a=b",
            b"set-cookie: c=d",
            b"X-Empty: ",
            b"content-length: 2",
            b"connection: close",
            body=b"ok",
        )
        assert wire.rest() == expected


def test_chunks_of_every_size_come_through(keep: Keep) -> None:
    """Thousands of tiny chunks in one read are as good as one."""
    body = bytes(range(256)) * 16
    answer = line(b"200 OK", b"Transfer-Encoding: chunked", body=chunked(*[bytes((byte,)) for byte in body]))
    with Wire(keep(Recorder(answer))) as wire:
        assert wire.ask(get()).body == body
