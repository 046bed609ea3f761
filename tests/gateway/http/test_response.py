"""The head of a backend's response: what is refused, how its body is framed, what passes, and h11 as second opinion."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import response
from gateway.http.head import ResponseHead
from gateway.http.response import CHUNKED, HEAD_LIMIT, UNTIL_CLOSE, Framing, MalformedResponse, parse_response


def read(data: bytes, method: bytes = b"GET") -> tuple[ResponseHead, Framing]:
    end = data.find(b"\r\n\r\n")
    assert end >= 0, "the test's head has no end"
    return parse_response(data, end, method)


def ok(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([line, *lines, b"", b""])


MALFORMED = {
    **{
        f"status line {line!r}": ok(line=line)
        for line in (
            *[b"HTTP/1.1 " + code + b" X" for code in b"99 099 600 999 2000 20 -20 abc 2_0 \xb200".split()],
            *[version + b" 200 OK" for version in b"HTTP/2.0 HTTP/0.9 http/1.1 ICY HTTP/1 HTTP/1.10".split()],
            *[b"HTTP/1.1 200 O" + byte + b"K" for byte in (b"\x00", b"\r", b"\x7f", b"\x0b")],
            b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1", b" HTTP/1.1 200 OK", b"200 OK", b"", b"HTTP/1.1 200OK",
        )
    },
    "bare LF after the status line": b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
    "bare LF between fields": ok(b"A: b\nC: d"),
    "bare CR in a value": ok(b"A: b\rc"),
    "NUL in a value": ok(b"A: b\x00"),
    "control byte in a value": ok(b"A: \x0b"),
    "obs-fold": ok(b"A: b", b" c"),
    "space before the colon": ok(b"A : b"),
    "no colon": ok(b"A"),
    "empty name": ok(b": b"),
    "byte above ASCII in a name": ok(b"\xe9: b"),
    "two lengths": ok(b"Content-Length: 5", b"Content-Length: 6"),
    "two equal lengths": ok(b"Content-Length: 5", b"Content-Length: 5"),
    "listed lengths": ok(b"Content-Length: 5, 5"),
    **{
        f"length {value!r}": ok(b"Content-Length: " + value)
        for value in (b"", b"5 5", b"1" * 19, *b"+5 -5 0x5 5_0 \xb2 \xd9\xa5".split())
    },
    "both Content-Length and Transfer-Encoding": ok(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "both, the other way round": ok(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "two codings": ok(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    **{
        f"coding {value!r}": ok(b"Transfer-Encoding: " + value)
        for value in (b"", b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"chunked;a")
    },
    "coding in HTTP/1.0": ok(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK"),
    "coding in a 1xx": ok(b"Transfer-Encoding: chunked", line=b"HTTP/1.1 103 Early Hints"),
    "coding in a 204": ok(b"Transfer-Encoding: chunked", line=b"HTTP/1.1 204 No Content"),
    "Connection names a protected field": ok(b"Connection: content-length"),
    "Connection option is no token": ok(b"Connection: a b"),
    "head of more than 60 KiB": ok(*[b"A: " + b"b" * 10_000] * 7),
    "more than 60 KiB of small fields": ok(*[b"A: b"] * (HEAD_LIMIT // 6 + 1)),
}  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_or_ambiguous_is_refused(data: bytes) -> None:
    """A backend is not trusted either: nothing is repaired (RFC 9112 2.2, 4, 5, 6.1, 6.3; RFC 9110 8.6, 15)."""
    with pytest.raises(MalformedResponse):
        read(data)


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK"),
        (b"HTTP/1.0 200 OK", 200, b"OK"),
        (b"HTTP/1.1 200 ", 200, b""),
        (b"HTTP/1.1 200", 200, b""),
        (b"HTTP/1.1 404 Not \t Found \xff", 404, b"Not \t Found \xff"),
        (b"HTTP/1.1 599 Own", 599, b"Own"),
        (b"HTTP/1.1 100 Continue", 100, b"Continue"),
    ],
)
def test_a_status_line_is_read(line: bytes, status: int, reason: bytes) -> None:
    """The reason phrase may be empty, and many servers leave out the space before it (RFC 9112 4)."""
    head, _ = read(ok(line=line))
    assert (head.status, head.reason) == (status, reason)


KEPT = [
    # method, status line, fields, size, may serve again
    (b"GET", b"HTTP/1.1 200 OK", (b"Content-Length: 5",), 5, True),
    (b"GET", b"HTTP/1.1 200 OK", (b"content-length: 005 ",), 5, True),
    (b"GET", b"HTTP/1.1 200 OK", (b"Content-Length: 100000000000000000",), 10**17, True),
    (b"GET", b"HTTP/1.1 200 OK", (b"Transfer-Encoding: Chunked",), CHUNKED, True),
    (b"GET", b"HTTP/1.1 200 OK", (), UNTIL_CLOSE, False),
    (b"GET", b"HTTP/1.1 200 OK", (b"Connection: keep-alive",), UNTIL_CLOSE, False),
    (b"GET", b"HTTP/1.1 200 OK", (b"Content-Length: 5", b"Connection: close"), 5, False),
    (b"GET", b"HTTP/1.1 200 OK", (b"Content-Length: 5", b"Connection: keep-alive, CLOSE"), 5, False),
    (b"GET", b"HTTP/1.1 200 OK", (b"Content-Length: 5", b"Connection: keep-alive"), 5, True),
    (b"GET", b"HTTP/1.1 200 OK", (b"Content-Length: 5", b"Connection: x"), 5, True),
    (b"GET", b"HTTP/1.1 200 OK", (b"Transfer-Encoding: chunked", b"Connection: close"), CHUNKED, False),
    (b"GET", b"HTTP/1.0 200 OK", (b"Content-Length: 5",), 5, False),
    (b"GET", b"HTTP/1.0 200 OK", (b"Content-Length: 5", b"Connection: keep-alive"), 5, True),
    (b"GET", b"HTTP/1.0 200 OK", (), UNTIL_CLOSE, False),
    (b"GET", b"HTTP/1.0 200 OK", (b"Connection: keep-alive",), UNTIL_CLOSE, False),
    (b"HEAD", b"HTTP/1.1 200 OK", (b"Content-Length: 5",), 0, True),
    (b"HEAD", b"HTTP/1.1 200 OK", (b"Transfer-Encoding: chunked",), 0, True),
    (b"HEAD", b"HTTP/1.1 200 OK", (), 0, True),
    (b"HEAD", b"HTTP/1.0 200 OK", (), 0, False),
    (b"GET", b"HTTP/1.1 304 Not Modified", (b"Content-Length: 5",), 0, True),
    (b"GET", b"HTTP/1.1 304 Not Modified", (b"Transfer-Encoding: chunked",), 0, True),
    (b"GET", b"HTTP/1.1 204 No Content", (), 0, True),
    (b"GET", b"HTTP/1.1 204 No Content", (b"Content-Length: 5",), 0, True),
    (b"GET", b"HTTP/1.1 100 Continue", (), 0, True),
    (b"GET", b"HTTP/1.1 103 Early Hints", (b"Link: </a>",), 0, True),
    (b"POST", b"HTTP/1.1 413 Content Too Large", (b"Content-Length: 0", b"Connection: close"), 0, False),
]


@pytest.mark.parametrize(("method", "line", "lines", "size", "again"), KEPT)
def test_how_the_body_is_framed_and_whether_the_connection_may_serve_again(
    method: bytes, line: bytes, lines: tuple[bytes, ...], size: int, again: bool
) -> None:
    """RFC 9112 6.3 (length of a body) and 9.3 (persistence)."""
    _, framing = read(ok(*lines, line=line), method)
    assert (framing.size, framing.keep_alive) == (size, again)


def test_the_length_of_a_body_that_is_not_sent_is_kept() -> None:
    """In answers to HEAD and in 304, Content-Length tells what a GET would have brought (RFC 9110 8.6)."""
    assert read(ok(b"Content-Length: 5"), b"HEAD")[0].length == 5
    assert read(ok(b"Content-Length: 5", line=b"HTTP/1.1 304 Not Modified"))[0].length == 5


def test_hop_by_hop_and_framing_fields_do_not_pass() -> None:
    """They are written anew for the client's own connection (RFC 9110 7.6.1), also those that Connection names."""
    lines = (
        b"Content-Length: 5", b"Connection: X-Own, Keep-Alive", b"x-own: 1", b"Keep-Alive: timeout=5", b"Proxy-Connection: close",
        b"Upgrade: h2c", b"Trailer: x", b"Proxy-Authenticate: Basic", b"TE: trailers", b"X-Other: 2",
    )  # fmt: skip
    assert read(ok(*lines))[0].fields == [(b"X-Other", b"2")]


def test_what_means_something_only_in_requests_passes_in_responses() -> None:
    """A backend may send a field named Host or X-Request-Id; they are ordinary there."""
    fields = [(b"Host", b"a"), (b"X-Request-Id", b"1"), (b"Set-Cookie", b"a=b"), (b"Set-Cookie", b"c=d")]
    assert read(ok(b"Content-Length: 0", *[b"%b: %b" % pair for pair in fields]))[0].fields == fields


def test_values_pass_without_the_white_space_around_them() -> None:
    """OWS is space and tab; obs-text passes (RFC 9110 5.5)."""
    assert read(ok(b"A: \t b\xa0 \t", b"B:", b"C: "))[0].fields == [(b"A", b"b\xa0"), (b"B", b""), (b"C", b"")]


@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        ((b"Connection: Upgrade", b"Upgrade: WebSocket"), b"websocket"),
        ((b"Upgrade: websocket", b"Connection: x, upgrade"), b"websocket"),
        ((b"Upgrade: websocket",), None),
        ((b"Connection: Upgrade",), None),
    ],
)
def test_the_protocol_that_a_101_switches_to(lines: tuple[bytes, ...], upgrade: bytes | None) -> None:
    """Upgrade counts only if Connection names it (RFC 9110 7.8)."""
    assert read(ok(*lines, line=b"HTTP/1.1 101 Switching Protocols"))[1].upgrade == upgrade


def test_a_field_of_nothing_but_spaces_costs_no_more_than_others() -> None:
    """50 KB of white space before a bad byte is judged in one pass: a reader that goes back would hang this test (CWE-1333)."""
    data = ok(b"X:" + b" " * 50_000 + b"\x01")
    for _ in range(100):
        with pytest.raises(MalformedResponse):
            read(data)


# second opinion and properties

NAMES = st.text("abcXYZ019", min_size=1, max_size=8).map(lambda text: b"x-" + text.encode())
VALUES = st.binary(max_size=20).map(lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F).strip(b" "))
OWN = (b"content-length", b"transfer-encoding", b"connection")
"""Fields that describe the message on this connection, and do not pass."""


@given(
    status=st.integers(200, 599),
    method=st.sampled_from([b"GET", b"HEAD", b"POST"]),
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    framing=st.sampled_from([b"Content-Length: 7", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"X-None: 1"]),
    close=st.booleans(),
)
def test_valid_responses_are_read_as_h11_reads_them(
    status: int, method: bytes, fields: list[tuple[bytes, bytes]], framing: bytes, close: bool
) -> None:
    """Status, fields, framing and persistence of a valid response are the same for both (RFC 9112)."""
    if status == 204 and framing.startswith(b"Transfer"):
        framing = b"X-None: 1"
    data = ok(framing, *[b"Connection: close"] * close, *[b"%b: %b" % pair for pair in fields], line=b"HTTP/1.1 %d Reason" % status)
    head, mine = read(data, method)
    theirs = h11.Connection(h11.CLIENT)
    theirs.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    theirs.send(h11.EndOfMessage())
    theirs.receive_data(data)
    response = theirs.next_event()
    assert isinstance(response, h11.Response)
    ordinary = [pair for pair in response.headers.raw_items() if pair[0].lower() not in OWN]
    assert (head.status, head.reason, head.fields) == (response.status_code, response.reason, ordinary)
    if mine.size:
        theirs.receive_data(b"7\r\n1234567\r\n0\r\n\r\n" if mine.size == CHUNKED else b"1234567")
    body, ended = b"", False
    while not ended and (event := theirs.next_event()) is not h11.NEED_DATA:
        ended = isinstance(event, h11.EndOfMessage)
        if isinstance(event, h11.Data):
            body += event.data
    assert len(body) == (7 if mine.size < 0 else mine.size)
    assert ended == (mine.size != UNTIL_CLOSE)
    assert (theirs.their_state is h11.DONE) == mine.keep_alive


@given(st.binary(max_size=200), st.sampled_from([b"GET", b"HEAD"]))
def test_random_bytes_are_refused_or_read_and_nothing_else(noise: bytes, method: bytes) -> None:
    """No input raises anything but MalformedResponse."""
    for data in (noise, b"HTTP/1.1 200 OK\r\n" + noise, ok(noise), ok(b"Connection: " + noise), ok(b"Transfer-Encoding: " + noise)):
        try:
            read(data + b"\r\n\r\n", method)
        except MalformedResponse:
            pass


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_head_that_was_read_before_is_read_the_same(method: bytes) -> None:
    """Also for another method, and whatever became of the first one."""
    for size in (b"5", b"5000"):
        data = ok(b"Content-Length: " + size, b"Server: repeated", b"X-Kind: a")
        readings = [read(data, of) for of in (b"GET", b"GET", b"GET", method, method)]
        for head, _ in readings[:3]:
            head.fields.append((b"x", b"y"))
        head, framing = read(data, method)
        assert (head.status, head.length, head.fields) == (200, int(size), [(b"Server", b"repeated"), (b"X-Kind", b"a")])
        assert (framing.size, framing.keep_alive) == (0 if method == b"HEAD" else int(size), True)


def test_heads_of_servers_are_not_kept_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many nor long ones fill the memory, and secrets are never kept, nor what is said but once."""
    monkeypatch.setattr(response, "_HEADS", {})
    for number in range(2_000):
        for _ in range(2):
            read(ok(b"Content-Length: 5", b"x: %d" % number))
    read(ok(b"Content-Length: 654321"))
    for line in (b"Set-Cookie: a=secret", b"x: " + b"y" * 2_000):
        for _ in range(3):
            read(ok(b"Content-Length: 5", line))
    assert 0 < len(response._HEADS) <= 512
    assert max(map(len, response._HEADS)) <= 1024
    assert not any(b"Cookie" in head or b"654321" in head for head in response._HEADS)
