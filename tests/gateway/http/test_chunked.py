"""The chunked coding: what is a body, what is refused, the same however the bytes are cut, and h11 as second opinion."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.http.chunked import EXTENSION_LIMIT, TRAILER_COUNT, TRAILER_LIMIT, ChunkedReader, MalformedChunk, last_chunk
from gateway.http.head import Fields


@dataclass(frozen=True)
class Reading:
    """What became of bytes: `body` None when they are malformed."""

    body: bytes | None
    ended: bool = False
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    surplus: bytes = b""


def read(*pieces: bytes) -> Reading:
    """Stops with the piece that ends the body, as a connection does; what is left counts as surplus."""
    reader = ChunkedReader()
    body = b""
    for number, piece in enumerate(pieces, 1):
        try:
            body += b"".join(reader.feed(piece))
        except MalformedChunk:
            return Reading(None)
        if reader.ended:
            return Reading(body, True, tuple(reader.trailers), reader.surplus + b"".join(pieces[number:]))
    return Reading(body)


def in_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


COMPLETE = {
    "nothing": (b"0\r\n\r\n", b""),
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two chunks": (b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
    "hexadecimal in both cases": (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    "leading zeros": (b"0000000000000005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "CRLF and a zero chunk inside the data": (b"7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n\r\n"),
    "extension": (b"5;a\r\nhello\r\n0\r\n\r\n", b"hello"),
    "extension with a value": (b"5;a=b\r\nhello\r\n0;c=d;e\r\n\r\n", b"hello"),
    "quoted extension": (b'5;a="b;\\"\\\\ \t\xff"\r\nhello\r\n0\r\n\r\n', b"hello"),
    "white space around an extension": (b"5 \t; a = b ;c\r\nhello\r\n0\r\n\r\n", b"hello"),
    "extensions up to the limit": (b"5;" + b"a" * (EXTENSION_LIMIT - 1) + b"\r\nhello\r\n0\r\n\r\n", b"hello"),
}

MALFORMED = {
    "empty size": b"\r\n",
    "no digit": b"g\r\n",
    "0x": b"0x5\r\nhello\r\n",
    "plus": b"+5\r\nhello\r\n",
    "minus": b"-5\r\nhello\r\n",
    "underscore": b"1_0\r\n",
    "space before the size": b" 5\r\nhello\r\n",
    "space after the size": b"5 \r\nhello\r\n",
    "tab after the size": b"5\t\r\nhello\r\n",
    "17 digits": b"00000000000000005\r\nhello\r\n",
    "more than a signed 64-bit number": b"8000000000000000\r\n",
    "digits of another script": b"\xd9\xa5\r\nhello\r\n",
    "LF after the size": b"5\nhello\r\n",
    "CR after the size": b"5\rhello\r\n",
    "CR CR LF after the size": b"5\r\r\nhello\r\n",
    "LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "CR after the data": b"5\r\nhello\r0\r\n\r\n",
    "two other bytes after the data": b"5\r\nhelloXX0\r\n\r\n",
    "nothing after the data": b"5\r\nhello0\r\n\r\n",
    "data longer than its size": b"4\r\nhello\r\n0\r\n\r\n",
    "bare semicolon": b"5;\r\nhello\r\n",
    "semicolon at the end": b"5;a;\r\nhello\r\n",
    "extension without a name": b"5;=b\r\nhello\r\n",
    "extension with an empty value": b"5;a=\r\nhello\r\n",
    "white space at the end of an extension": b"5;a \r\nhello\r\n",
    "NUL in an extension": b"5;a\x00\r\nhello\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "LF in a quoted extension": b'5;a="\n"\r\nhello\r\n',
    "quoted extension without an end": b'5;a="b\r\nhello\r\n',
    "extension after a comma": b"5,a\r\nhello\r\n",
    "one extension over the limit": b"5;" + b"a" * EXTENSION_LIMIT + b"\r\nhello\r\n",
    "extensions of many chunks over the limit": (b"1;" + b"a" * 1023 + b"\r\nx\r\n") * 5,
    "LF after the last chunk": b"0\n\n",
    "LF at the end": b"0\r\n\n",
    "LF in trailers": b"0\r\nA: b\n\r\n",
    "bare CR in a trailer": b"0\r\nA: b\rc\r\n\r\n",
    "obs-fold before trailers": b"0\r\n A: b\r\n\r\n",
    "obs-fold in trailers": b"0\r\nA: b\r\n c\r\n\r\n",
    "space before the colon of a trailer": b"0\r\nA : b\r\n\r\n",
    "trailer without a colon": b"0\r\nA\r\n\r\n",
    "empty name of a trailer": b"0\r\n: b\r\n\r\n",
    "NUL in a trailer": b"0\r\nA: \x00\r\n\r\n",
    "trailers over their limit": b"0\r\nA: " + b"b" * TRAILER_LIMIT + b"\r\n\r\n",
    "too many trailers": b"0\r\n" + b"A: b\r\n" * (TRAILER_COUNT + 1) + b"\r\n",
}


@pytest.mark.parametrize("surplus", [b"", b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"0\r\n\r\n"], ids=["alone", "CRLF", "request", "chunk"])
@pytest.mark.parametrize(("data", "body"), COMPLETE.values(), ids=COMPLETE.keys())
def test_a_body_ends_where_its_last_chunk_ends(data: bytes, body: bytes, surplus: bytes) -> None:
    """Extensions are read and dropped, and what follows the body is left over (RFC 9112 7.1): whole and byte by byte."""
    expected = Reading(body, True, (), surplus)
    assert read(data + surplus) == expected
    assert read(*in_bytes(data + surplus)) == expected


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    """Sizes are plain hexadecimal digits and lines end in CRLF, whatever others forgive (RFC 9112 7.1): whole, byte by byte, and with
    trailing data."""
    for pieces in ([data], in_bytes(data), [data + b"GET / HTTP/1.1\r\n\r\n"], in_bytes(data + b"\r\n0\r\n\r\n")):
        assert read(*pieces) == Reading(None)


@pytest.mark.parametrize(
    "begun", [b"g", b"5 5", b"5\rh", b"5\r\nhelloX", b" ", b"-", b"5;\x00", b"5;" + b"a" * EXTENSION_LIMIT, b"0\r\nA: b\n", b"0\r\n "]
)
def test_what_is_wrong_already_is_not_waited_for(begun: bytes) -> None:
    """No byte that follows could make a body of it."""
    assert read(begun) == Reading(None)


@pytest.mark.parametrize("data", [data for data, _ in COMPLETE.values()], ids=COMPLETE.keys())
def test_a_body_cut_short_never_looks_complete(data: bytes) -> None:
    """Without its last chunk and the empty line a body is incomplete (RFC 9112 8)."""
    for size in range(len(data)):
        assert not read(data[:size]).ended


def test_data_is_given_as_it_comes() -> None:
    """Nothing of a chunk is held back until the chunk is complete."""
    reader = ChunkedReader()
    assert reader.feed(b"5\r\nhe") == [b"he"]
    assert reader.feed(b"llo") == [b"llo"]
    assert reader.feed(b"\r\n") == []


def test_the_largest_size_is_believed() -> None:
    """A size is a number, not a promise of memory."""
    assert read(b"7fffffffffffffff\r\nx") == Reading(b"x")


def test_trailers_are_read_without_the_white_space_around_values() -> None:
    """RFC 9112 7.1.2: in order, names as sent."""
    expected = Reading(b"", True, ((b"Grpc-Status", b"0"), (b"x-sum", b""), (b"x-sum", b"a b")), b"!")
    data = b"0\r\nGrpc-Status: \t0 \r\nx-sum:\r\nx-sum: a b\r\n\r\n!"
    assert read(data) == read(*in_bytes(data)) == expected


@pytest.mark.parametrize("size", [TRAILER_LIMIT - 5, TRAILER_LIMIT - 6])
def test_trailers_as_long_as_the_limit_pass(size: int) -> None:
    """The limit counts field lines with their line ends, and is the same however the bytes are cut."""
    data = b"0\r\nA: " + b"b" * size + b"\r\n\r\n"
    assert read(data) == read(data[:-1], data[-1:]) == read(data[:-3], data[-3:]) == Reading(b"", True, ((b"A", b"b" * size),))


HEAD_ONLY = """
    Host Content-Length Transfer-Encoding Connection TE Trailer Upgrade Keep-Alive Proxy-Connection Proxy-Authorization HTTP2-Settings
    Authorization Cookie Set-Cookie Content-Type Content-Encoding Content-Range Content-Disposition Cache-Control Expect Max-Forwards
    Range If-Match If-None-Match Age Expires Date Location Retry-After Vary WWW-Authenticate X-Forwarded-For X-Forwarded-Proto
    X-Forwarded-Client-Cert Forwarded X-Real-IP X-Request-Id X_Forwarded_For Content_Length
"""


@pytest.mark.parametrize("name", [name.encode() for name in HEAD_ONLY.split()])
def test_a_trailer_that_would_change_a_head_is_dropped(name: bytes) -> None:
    """Framing, routing, conditions, authentication, content and identity belong in heads only (RFC 9110 6.5.1)."""
    for spelling in (name, name.lower(), name.upper()):
        assert read(b"0\r\n" + spelling + b": 1\r\nx-kept: 2\r\n\r\n") == Reading(b"", True, ((b"x-kept", b"2"),))


def test_many_spaces_cost_no_more_than_other_bytes() -> None:
    """An extension of white space only is judged in one pass: a reader that goes back would hang this test (CWE-1333)."""
    for _ in range(100):
        assert read(b"5" + b" " * 60_000 + b"\x01\r\n") == Reading(None)


# properties

CHUNKS = st.lists(st.binary(min_size=1, max_size=20), max_size=5)
EXTENSIONS = st.sampled_from([b"", b";a", b" ; a = b", b';q="x\\"y"', b";a;b=c"])
TRAILERS = st.lists(st.tuples(st.sampled_from([b"x-a", b"Grpc-Status", b"x"]), st.sampled_from([b"", b"1", b"a b", b"\xff"])), max_size=3)


@st.composite
def bodies(draw: st.DrawFn, extensions: st.SearchStrategy[bytes] = EXTENSIONS) -> bytes:
    """A valid chunked body."""
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), draw(extensions), chunk) for chunk in draw(CHUNKS))
    return chunks + b"0%b\r\n" % draw(extensions) + b"".join(b"%b: %b\r\n" % pair for pair in draw(TRAILERS)) + b"\r\n"


@st.composite
def nearly_bodies(draw: st.DrawFn) -> bytes:
    """A body with a few bytes changed, or noise."""
    data = bytearray(draw(bodies()) + draw(st.binary(max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.sampled_from(b'\r\n 0123456789abfx;="\\\t\x00\x80-+'))
    return bytes(data)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *[place % (len(data) + 1) for place in places]})
    return [data[start:end] for start, end in pairwise(edges)]


@given(nearly_bodies() | st.binary(max_size=60), st.lists(st.integers(0, 10_000), max_size=8))
@example(b"5 ;a\r\nhello\r\n0\r\n\r\n", [2])
@example(b"0\r\nA: b\r\n\r\n", [8])
def test_the_verdict_is_the_same_however_the_bytes_are_cut(data: bytes, places: list[int]) -> None:
    """One reading of a message, whatever the network does to it; and no input raises anything but MalformedChunk."""
    assert read(*cut(data, places)) == read(data)


@given(CHUNKS, EXTENSIONS, TRAILERS, st.lists(st.integers(0, 10_000), max_size=5))
def test_what_was_written_is_what_is_read(chunks: list[bytes], extension: bytes, trailers: Fields, places: list[int]) -> None:
    """Data, and the trailers that `last_chunk` wrote, come back (RFC 9112 7.1)."""
    data = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks) + last_chunk(trailers)
    assert read(*cut(data, places)) == Reading(b"".join(chunks), True, tuple(trailers))


@given(bodies(EXTENSIONS.filter(lambda extension: not extension.startswith(b" "))))
def test_valid_bodies_are_read_as_h11_reads_them(data: bytes) -> None:
    """The same data and the same trailers; only white space before ';', which the grammar allows, h11 refuses."""
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    assert isinstance(theirs.next_event(), h11.Request)
    body = b""
    while not isinstance(event := theirs.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += event.data
    assert read(data) == Reading(body, True, tuple(event.headers.raw_items()))


CRUMBS = st.tuples(st.sampled_from((b"%x", b"%X", b"0%x", b"%x;a=b")), st.binary(min_size=1, max_size=18))
SPOILT = st.sampled_from((b"", b"\r", b"\n", b"1", b"f", b"0", b";", b" "))


@given(st.lists(CRUMBS, min_size=40, max_size=80), st.integers(0, 2_000), SPOILT)
def test_a_body_in_crumbs_is_judged_as_its_chunks_one_by_one(crumbs: list[tuple[bytes, bytes]], place: int, spoilt: bytes) -> None:
    """Many at once are read together, and neither the data nor the verdict is another."""
    body = b"".join([size % len(data) + b"\r\n" + data + b"\r\n" for size, data in crumbs]) + b"0\r\n\r\nrest"
    body = body[:place] + spoilt + body[place:]
    assert read(body) == read(*[body[at : at + 1] for at in range(len(body))])
