"""What looks odd and is right in HTTP/2: each is served, and means to the backend what it meant to the client."""

from __future__ import annotations

from struct import pack

from tests.attacks.http2_row import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    LARGEST,
    MOST_IN_A_FRAME,
    PRIORITIZED,
    Field,
    Http2Served,
    block,
    data,
    frame,
    get,
    goaway,
    head,
    headers,
    padded,
    ping,
    post,
    priority,
    rst_stream,
    settings,
    window_update,
)
from tests.attacks.row import FIELD_LIMIT, VALUE_LIMIT

_FRAME = "RFC 9113 4.1"
_STREAM = "RFC 9113 5.1"
_BLOCK = "RFC 9113 4.3"
_TABLE = "RFC 7541 6"
_HEAD = block(*head())
_ALL = END_STREAM | END_HEADERS
_TRAILING = (b"te", b"trailers")


def _split(size: int) -> bytes:
    """A good head in HEADERS and CONTINUATION frames of so many bytes."""
    pieces = [_HEAD[at : at + size] for at in range(0, len(_HEAD), size)]
    last = len(pieces) - 1
    rest = [frame(CONTINUATION, END_HEADERS if number == last else 0, 1, piece) for number, piece in enumerate(pieces)][1:]
    return headers(1, pieces[0], END_STREAM) + b"".join(rest)


def _field(name: str, *fields: Field, source: str = "RFC 9110 5.5") -> Http2Served:
    return Http2Served(name, source, get(*fields), fields=fields)


def _coded(name: str, coded: bytes, *fields: Field, source: str = _TABLE) -> Http2Served:
    return Http2Served(name, source, headers(1, coded), fields=fields)


def _body(name: str, source: str, sent: bytes, body: bytes = b"hello") -> Http2Served:
    return Http2Served(name, source, sent, method=b"POST", body=body)


def _as(name: str, source: str, path: bytes, forwarded: bytes) -> Http2Served:
    return Http2Served(name, source, get(path=path), target=forwarded)


def _authority(name: str, sent: bytes, forwarded: bytes) -> Http2Served:
    return Http2Served(name, "RFC 9113 8.3.1", headers(1, head(authority=sent)), fields=((b"host", forwarded),))


FRAMES = (
    Http2Served("padded HEADERS", "RFC 9113 6.2", padded(HEADERS, _ALL, 1, _HEAD, 255)),
    Http2Served("padding of no bytes", "RFC 9113 6.2", padded(HEADERS, _ALL, 1, _HEAD, 0)),
    Http2Served("HEADERS with a priority", "RFC 9113 5.3.2", headers(1, pack("!IB", 1 << 31 | 3, 255) + _HEAD, _ALL | PRIORITIZED)),
    Http2Served("padded HEADERS with a priority", "RFC 9113 6.2", padded(HEADERS, _ALL | PRIORITIZED, 1, pack("!IB", 0, 1) + _HEAD, 8)),
    Http2Served(
        "padded HEADERS that go on",
        "RFC 9113 6.10",
        padded(HEADERS, END_STREAM, 1, _HEAD[:20], 3) + frame(CONTINUATION, END_HEADERS, 1, _HEAD[20:]),
    ),
    Http2Served("PRIORITY of an idle stream", "RFC 9113 5.3.2, 6.3", priority(1, 3) + get()),
    Http2Served("PRIORITY of streams that never come", "RFC 9113 5.3.2, 6.3", priority(11) + priority(13, 11) + get()),
    Http2Served("PRIORITY behind the end of its stream", "RFC 9113 5.1", get() + priority(1)),
    Http2Served("PRIORITY_UPDATE", "RFC 9218 7.1", frame(0x10, 0, 0, pack("!I", 1) + b"u=1") + get()),
    Http2Served("unknown frame before the request", "RFC 9113 5.5", frame(0xFA, 0xFF, 0, b"unknown") + get()),
    Http2Served("unknown frame on an idle stream", "RFC 9113 5.5", frame(0xFA, 0, 3, b"unknown") + get()),
    _body("unknown frame inside the request", "RFC 9113 5.5", post() + frame(0xFA, 0, 1, b"unknown") + data(b"hello")),
    Http2Served("empty unknown frame", "RFC 9113 5.5", frame(0xEE, 0, 0) + get()),
    Http2Served("unknown frame as large as may be", "RFC 9113 4.2", frame(0xFA, 0, 0, bytes(MOST_IN_A_FRAME)) + get()),
    Http2Served("flags that mean nothing", _FRAME, headers(1, _HEAD, _ALL | 0x42) + ping(b"flagged.", 0xFE), pings=(b"flagged.",)),
    Http2Served("reserved bit of the stream's number", _FRAME, frame(HEADERS, _ALL, 1 << 31 | 1, _HEAD)),
    Http2Served("reserved bit of an increment", "RFC 9113 6.9", frame(8, 0, 0, pack("!I", 1 << 31 | 1)) + get()),
    Http2Served("PING before the request", "RFC 9113 6.7", ping(b"\x00\xff\r\n\r\n\x01 ") + get(), pings=(b"\x00\xff\r\n\r\n\x01 ",)),
    Http2Served("PING that acknowledges nothing", "RFC 9113 6.7", ping(flags=1) + get()),
    Http2Served("SETTINGS once more", "RFC 9113 6.5", settings() + get()),
    Http2Served("unknown settings", "RFC 9113 6.5.2", settings((0xFFFF, 1), (0x0A0A, 0xFFFF_FFFF), (0, 0)) + get()),
    Http2Served("settings repeated in one frame", "RFC 9113 6.5.3", settings((3, 1), (3, 100), (4, 1), (4, 65_535)) + get()),
    Http2Served(
        "largest frames and smallest tables", "RFC 9113 6.5.2", settings((1, 0), (2, 0), (5, (1 << 24) - 1), (6, 0xFFFF_FFFF)) + get()
    ),
    Http2Served("client that takes no pushed stream", "RFC 9113 6.5.2", settings((2, 0), (3, 0)) + get()),
    Http2Served("window as large as may be", "RFC 9113 6.9.1", window_update(LARGEST - 65_535) + get()),
    Http2Served("WINDOW_UPDATE behind the end of its stream", "RFC 9113 5.1", get() + window_update(1000, 1)),
    Http2Served("RST_STREAM behind the answer", "RFC 9113 5.1", get(), then=rst_stream(1)),
    Http2Served(
        "GOAWAY behind the request", "RFC 9113 6.8", post() + goaway() + data(b"hello"), method=b"POST", body=b"hello", closes=True
    ),
)

WINDOWS = (
    Http2Served("window that opens late", "RFC 9113 6.9.2", get(), settings=((4, 0),), then=window_update(65_535, 1)),
    Http2Served("window that opens by SETTINGS", "RFC 9113 6.9.2", get(), settings=((4, 0),), then=settings((4, 65_535))),
    Http2Served("window of one byte", "RFC 9113 6.9", get(), settings=((4, 1),), then=window_update(1, 1)),
    Http2Served(
        "window that closes before the answer",
        "RFC 9113 6.9.2",
        get() + settings((4, 0)),
        settings=((4, 1),),
        then=settings((4, 65_535)) + window_update(1, 1),
    ),
)

STREAMS = (
    Http2Served("first stream is 7", "RFC 9113 5.1.1", get(stream=7), stream=7),
    Http2Served("stream of 2^31 - 3", "RFC 9113 5.1.1", get(stream=LARGEST - 2), stream=LARGEST - 2),
    Http2Served("two streams", _STREAM, get() + get(stream=3, path=b"/three"), others=(3,), more=(b"/three",)),
    Http2Served(
        "bodies that take turns",
        _STREAM,
        post() + post(stream=3, path=b"/three") + data(b"he", flags=0) + data(b"HE", 3, 0) + data(b"llo") + data(b"LLO", 3),
        method=b"POST",
        body=b"hello",
        others=(3,),
        more=(b"/three",),
    ),
    Http2Served(
        "ten streams, the last one first to end",
        _STREAM,
        b"".join(post(stream=stream, path=b"/%d" % stream) for stream in range(1, 20, 2))
        + b"".join(data(b"x", stream) for stream in range(19, 0, -2)),
        method=b"POST",
        target=b"/1",
        body=b"x",
        others=tuple(range(3, 20, 2)),
        more=tuple(b"/%d" % stream for stream in range(3, 20, 2)),
    ),
    Http2Served(
        "stream that the client resets",
        "RFC 9113 6.4",
        post(path=b"/cancelled") + rst_stream(1, CANCEL) + get(stream=3),
        stream=3,
        cancelled=(b"/cancelled",),
    ),
    Http2Served(
        "stream reset with an unknown code",
        "RFC 9113 7",
        post(path=b"/cancelled") + rst_stream(1, 0xDEAD) + get(stream=3),
        stream=3,
        cancelled=(b"/cancelled",),
    ),
    Http2Served("good stream behind a malformed one", "RFC 9113 5.4.2", headers(1, head((b"X", b"y"))) + get(stream=3), stream=3),
    Http2Served(
        "table that a malformed request has filled",
        "RFC 9113 4.3",
        headers(1, b"\x40\x01x\x01y" + _HEAD) + headers(3, _HEAD + b"\xbe"),
        stream=3,
        fields=((b"x", b"y"),),
    ),
    Http2Served(
        "table that a request which depends on itself has filled",
        "RFC 9113 4.3",
        headers(1, pack("!IB", 1, 0) + _HEAD + b"\x40\x01x\x01y", _ALL | PRIORITIZED) + headers(3, _HEAD + b"\xbe"),
        stream=3,
        fields=((b"x", b"y"),),
    ),
    Http2Served(
        "table that a request over the limit has filled",
        "RFC 9113 4.3",
        headers(1, _HEAD + b"\x40\x01x\x01y" + b"\xbe" * 200) + headers(3, _HEAD + b"\xbe"),
        stream=3,
        fields=((b"x", b"y"),),
    ),
)

BLOCKS = (
    Http2Served("block in two frames", _BLOCK, _split(30)),
    Http2Served("block in nine frames", _BLOCK, _split(-(-len(_HEAD) // 9))),
    Http2Served("CONTINUATION without a byte", "RFC 9113 6.10", headers(1, _HEAD, END_STREAM) + frame(CONTINUATION, END_HEADERS, 1)),
    Http2Served("HEADERS without a byte", "RFC 9113 6.10", headers(1, b"", END_STREAM) + frame(CONTINUATION, END_HEADERS, 1, _HEAD)),
    Http2Served("block cut inside a field", _BLOCK, _split(3 * len(_HEAD) // 4 - 1)),
    _coded("fields of the static table", b"\x82\x86\x84\x41\x09a.example"),
    _coded(
        "fields that enter the table and are named again", b"\x82\x86\x84\x41\x09a.example\x40\x01x\x01y\xbe", (b"x", b"y"), (b"x", b"y")
    ),
    _coded("Huffman code", _HEAD + b"\x00\x01x\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", (b"x", b"www.example.com")),
    _coded("never indexed literal", _HEAD + b"\x10\x01x\x01y", (b"x", b"y")),
    _coded("size update at the beginning", b"\x20" + _HEAD, source="RFC 7541 4.2"),
    _coded(
        "two size updates at the beginning",
        b"\x20\x3f\xe1\x1f" + _HEAD + b"\x40\x01x\x01y\xbe",
        (b"x", b"y"),
        (b"x", b"y"),
        source="RFC 7541 4.2",
    ),
    _coded("entry larger than the table", _HEAD + b"\x40\x01x\x7f\x81\x1f" + b"y" * 4096, (b"x", b"y" * 4096), source="RFC 7541 4.4"),
    _coded("integer with a needless zero byte", _HEAD + b"\x00\x01x\x7f\x80\x00" + b"y" * 127, (b"x", b"y" * 127), source="RFC 7541 5.1"),
    _coded("empty Huffman string", _HEAD + b"\x00\x01x\x80", (b"x", b""), source="RFC 7541 5.2"),
)

FIELDS = (
    Http2Served(
        "Host in place of :authority",
        "RFC 9113 8.3.1",
        headers(1, (*head()[:2], head()[3], (b"host", b"a.example"))),
        fields=((b"host", b"a.example"),),
    ),
    Http2Served("Host beside an equal :authority", "RFC 9113 8.3.1", get((b"host", b"a.example")), fields=((b"host", b"a.example"),)),
    Http2Served("Host in capitals beside :authority", "RFC 3986 6.2.2.1", get((b"host", b"A.EXAMPLE"))),
    Http2Served("Host with the default port beside :authority", "RFC 3986 6.2.3", get((b"host", b"a.example:80"))),
    _authority(":authority with a port", b"a.example:8080", b"a.example:8080"),
    _authority(":authority of an IPv6 address", b"[2001:db8::1]:80", b"[2001:db8::1]:80"),
    _authority(":authority in capitals", b"A.EXAMPLE", b"A.EXAMPLE"),
    Http2Served(
        ":scheme https on a plain connection",
        "RFC 9113 8.3.1",
        headers(1, head(scheme=b"https")),
        fields=((b"x-forwarded-proto", b"http"),),
    ),
    Http2Served("pseudo-header fields in another order", "RFC 9113 8.3", headers(1, tuple(reversed(head())))),
    Http2Served(
        "cookie crumbs",
        "RFC 9113 8.2.3",
        get((b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d"), (b"cookie", b"e=f")),
        fields=((b"cookie", b"a=b; c=d; e=f"), (b"x", b"y")),
    ),
    Http2Served("te: trailers", "RFC 9113 8.2.2", get(_TRAILING)),
    _field("empty value", (b"x", b"")),
    _field("tab and spaces inside a value", (b"x", b"a \t b")),
    _field("obs-text in a value", (b"x", b"\x80\xa0\xff")),
    _field("every visible character in a value", (b"x", bytes(range(33, 127)))),
    _field("every token character in a name", (b"!#$%&'*+-.^_`|~9", b"y"), source="RFC 9110 5.6.2"),
    _field("field repeated", (b"x", b"1"), (b"x", b"2"), (b"x", b"1")),
    _field("value that looks like a field", (b"x", b"transfer-encoding: chunked")),
    _field("99 fields and the authority", *[(b"x", b"y")] * (FIELD_LIMIT - 1), source="reference 2.2"),
    _field("priority", (b"priority", b"u=1, i"), source="RFC 9218 5"),
    Http2Served(
        "value of 16 KiB",
        "reference 2.2",
        headers(1, block(*head(), (b"x", b"a" * VALUE_LIMIT))[:MOST_IN_A_FRAME], END_STREAM)
        + frame(CONTINUATION, END_HEADERS, 1, block(*head(), (b"x", b"a" * VALUE_LIMIT))[MOST_IN_A_FRAME:]),
        fields=((b"x", b"a" * VALUE_LIMIT),),
    ),
    Http2Served("HEAD", "RFC 9110 9.3.2", headers(1, head(method=b"HEAD")), method=b"HEAD"),
    Http2Served(
        "method of every token character", "RFC 9110 9.1", headers(1, head(method=b"M!#$%&'*+-.^_`|~9")), method=b"M!#$%&'*+-.^_`|~9"
    ),
    Http2Served("PRI as a method", "RFC 9113 11.6", headers(1, head(method=b"PRI")), method=b"PRI"),
    Http2Served("OPTIONS *", "RFC 9113 8.3.1", headers(1, head(method=b"OPTIONS", path=b"*")), method=b"OPTIONS", target=b"*"),
    Http2Served("OPTIONS of a path", "RFC 9110 9.3.7", headers(1, head(method=b"OPTIONS")), method=b"OPTIONS"),
    _as("path with raw UTF-8", "RFC 3986 6.2.2", b"/\xc3\xa4", b"/%C3%A4"),
    _as("path with bytes that may not stand raw", "RFC 3986 6.2.2", b'/"<>^`{|}', b"/%22%3C%3E%5E%60%7B%7C%7D"),
    _as("runs of slashes stay", "design 7", b"//a//b/", b"//a//b/"),
    _as("absolute URI in a query", "RFC 3986 3.4", b"/?u=http://b.example/", b"/?u=http://b.example/"),
    _as("dot segments", "RFC 3986 5.2.4", b"/a/./b/../c", b"/a/c"),
    Http2Served("expect: 100-continue without a body", "RFC 9110 10.1.1", get((b"expect", b"100-continue")), absent=(b"expect",)),
    Http2Served(
        "expect: 100-continue with the body sent along",
        "RFC 9110 10.1.1",
        post((b"expect", b"100-continue")) + data(b"hello"),
        method=b"POST",
        body=b"hello",
        absent=(b"expect",),
    ),
)

BODIES = (
    _body("DATA of no bytes at the end", "RFC 9113 6.1", post() + data(b"hello", flags=0) + data(b"")),
    _body("DATA of no bytes alone", "RFC 9113 6.1", post() + data(b""), b""),
    _body("one DATA of no bytes inside", "RFC 9113 6.1", post() + data(b"", flags=0) + data(b"hello")),
    _body("padded DATA", "RFC 9113 6.1", post() + padded(DATA, END_STREAM, 1, b"hello", 200)),
    _body("DATA of padding alone at the end", "RFC 9113 6.1", post() + data(b"hello", flags=0) + padded(DATA, END_STREAM, 1, b"", 10)),
    _body("DATA as large as may be", "RFC 9113 4.2", post() + data(bytes(MOST_IN_A_FRAME)), bytes(MOST_IN_A_FRAME)),
    _body("length that fits", "RFC 9113 8.1.1", post((b"content-length", b"5")) + data(b"he", flags=0) + data(b"ll", flags=0) + data(b"o")),
    _body("length 0 and no DATA", "RFC 9113 8.1.1", headers(1, head((b"content-length", b"0"), method=b"POST")), b""),
    Http2Served(
        "length 0, DATA of no bytes, and the expectation to be asked for more",
        "RFC 9110 10.1.1",
        post((b"content-length", b"0"), (b"expect", b"100-continue")) + data(b""),
        method=b"POST",
        fields=((b"content-length", b"0"),),
        absent=(b"expect",),
    ),
    Http2Served(
        "trailers behind length 0",
        "RFC 9113 8.1",
        post((b"content-length", b"0")) + headers(1, ((b"x", b"y"),)),
        method=b"POST",
        fields=((b"content-length", b"0"),),
    ),
    _body("length 0 and DATA of no bytes", "RFC 9113 8.1.1", post((b"content-length", b"0")) + data(b""), b""),
    _body("length with leading zeros", "RFC 9110 8.6", post((b"content-length", b"0005")) + data(b"hello")),
    _body(
        "body that looks like chunks",
        "RFC 9113 8.2.2",
        post() + data(b"0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n"),
        b"0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n",
    ),
    Http2Served("body of a GET", "RFC 9110 9.3.1", headers(1, head(), END_HEADERS) + data(b"hello"), body=b"hello"),
    Http2Served(
        "body of DELETE",
        "RFC 9110 9.3.5",
        headers(1, head((b"content-length", b"5"), method=b"DELETE"), END_HEADERS) + data(b"hello"),
        method=b"DELETE",
        body=b"hello",
    ),
    Http2Served(
        "trailers",
        "RFC 9113 8.1",
        post(_TRAILING) + data(b"hello", flags=0) + headers(1, ((b"x", b"y"),)),
        method=b"POST",
        body=b"hello",
        trailers=((b"x", b"y"),),
    ),
    Http2Served(
        "trailers without a body", "RFC 9113 8.1", post(_TRAILING) + headers(1, ((b"x", b"y"),)), method=b"POST", trailers=((b"x", b"y"),)
    ),
    Http2Served(
        "trailers in two frames",
        "RFC 9113 8.1",
        post(_TRAILING)
        + data(b"hello", flags=0)
        + headers(1, block((b"x", b"y"))[:3], END_STREAM)
        + frame(CONTINUATION, END_HEADERS, 1, block((b"x", b"y"))[3:]),
        method=b"POST",
        body=b"hello",
        trailers=((b"x", b"y"),),
    ),
    Http2Served(
        "trailers behind a length",
        "RFC 9113 8.1",
        post((b"content-length", b"5")) + data(b"hello", flags=0) + headers(1, ((b"x", b"y"),)),
        method=b"POST",
        body=b"hello",
    ),
)

LEGAL = FRAMES + WINDOWS + STREAMS + BLOCKS + FIELDS + BODIES
