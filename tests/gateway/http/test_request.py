"""The head of a request: what is refused and with which status, what passes and with which meaning, and h11 as second opinion."""

from __future__ import annotations

from collections.abc import Callable

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import request
from gateway.http.head import RequestHead
from gateway.http.refused import Refused
from gateway.http.request import FIELD_LIMIT, HEAD_LIMIT, LINE_LIMIT, LONG_HEAD, TARGET_LIMIT, VALUE_LIMIT, parse_request, refuse_early


def read(data: bytes) -> RequestHead:
    end = data.find(b"\r\n\r\n")
    assert end >= 0, "the test's head has no end"
    return parse_request(data, end)


def get(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request with a Host and further field lines."""
    return b"\r\n".join([line, b"Host: a.example", *lines, b"", b""])


def post(*lines: bytes) -> bytes:
    return get(*lines, line=b"POST / HTTP/1.1")


def first_line(line: bytes) -> bytes:
    return line + b"\r\nHost: a\r\n\r\n"


# what is refused

REQUEST_LINES = {
    "two spaces before the target": (first_line(b"GET  / HTTP/1.1"), 400),
    "two spaces before the version": (first_line(b"GET /  HTTP/1.1"), 400),
    "tab instead of space": (first_line(b"GET\t/ HTTP/1.1"), 400),
    "space inside the target": (first_line(b"GET /a b HTTP/1.1"), 400),
    "tab inside the target": (first_line(b"GET /a\tb HTTP/1.1"), 400),
    "control byte in the target": (first_line(b"GET /a\x01 HTTP/1.1"), 400),
    "NUL in the target": (first_line(b"GET /\x00 HTTP/1.1"), 400),
    "DEL in the target": (first_line(b"GET /\x7f HTTP/1.1"), 400),
    "no target": (first_line(b"GET HTTP/1.1"), 400),
    "empty target": (first_line(b"GET  HTTP/1.1"), 400),
    "no version (HTTP/0.9)": (b"GET /\r\n\r\n", 400),
    "lower-case version": (first_line(b"GET / http/1.1"), 400),
    "version without minor number": (first_line(b"GET / HTTP/1"), 400),
    "version with two digits": (first_line(b"GET / HTTP/1.10"), 400),
    "version with another name": (first_line(b"GET / HTTQ/1.1"), 400),
    "space after the version": (first_line(b"GET / HTTP/1.1 "), 400),
    "space before the method": (first_line(b" GET / HTTP/1.1"), 400),
    "method that is no token": (first_line(b"GE(T / HTTP/1.1"), 400),
    "method with a byte above ASCII": (first_line(b"G\xc9T / HTTP/1.1"), 400),
    "empty method": (first_line(b" / HTTP/1.1"), 400),
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare CR in the request line": (first_line(b"GET /\r HTTP/1.1"), 400),
    "CR CR LF after the request line": (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    "second empty line before it": (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/2.0 request": (first_line(b"GET / HTTP/2.0"), 505),
    "HTTP/3.1 request": (first_line(b"GET / HTTP/3.1"), 505),
    "HTTP/0.9 spelt out": (first_line(b"GET / HTTP/0.9"), 505),
    "TLS handshake": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "target of 8 KiB and one byte": (get(line=b"GET /" + b"a" * TARGET_LIMIT + b" HTTP/1.1"), 414),
    "method of 9 KiB": (get(line=b"G" * 9000 + b" / HTTP/1.1"), 414),
}

FIELD_LINES = {
    "space before the colon": (get(b"X : a"), 400),
    "tab before the colon": (get(b"X\t: a"), 400),
    "space in a name": (get(b"X Y: a"), 400),
    "space before a name": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "empty name": (get(b": a"), 400),
    "no colon": (get(b"nothing"), 400),
    "byte above ASCII in a name": (get(b"X\xe9: a"), 400),
    "control byte in a name": (get(b"X\x01: a"), 400),
    "separator in a name": (get(b'X"Y: a'), 400),
    "obs-fold with a space": (get(b"X: a", b" b"), 400),
    "obs-fold with a tab": (get(b"X: a", b"\tb"), 400),
    "obs-fold of nothing": (get(b"X: a", b" "), 400),
    "bare LF between fields": (get(b"X: a\nY: b"), 400),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\n\r\n\r\n", 400),
    "bare CR in a value": (get(b"X: a\rb"), 400),
    "CR CR LF at the end of a field": (get(b"X: a\r"), 400),
    "line of white space only": (b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", 400),
    **{f"byte {byte:02X} in a value": (get(b"X: a%cb" % byte), 400) for byte in (*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)},
}

HOSTS = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (get(b"Host: b"), 400),
    "two equal Hosts": (get(b"Host: a.example"), 400),
    "two Hosts in other spellings": (get(b"HOST: a.example"), 400),
    "empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "Host of white space": (b"GET / HTTP/1.1\r\nHost: \t \r\n\r\n", 400),
    "empty Host, then another": (b"GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n", 400),
    "two Hosts in HTTP/1.0": (get(b"Host: b", line=b"GET / HTTP/1.0"), 400),
}

FRAMING = {
    "both Content-Length and Transfer-Encoding": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "both, the other way round": (post(b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
    "both, length 0": (post(b"Content-Length: 0", b"Transfer-Encoding: chunked"), 400),
    "two lengths": (post(b"Content-Length: 5", b"Content-Length: 6"), 400),
    "two equal lengths": (post(b"Content-Length: 5", b"content-length: 5"), 400),
    "listed lengths": (post(b"Content-Length: 5, 5"), 400),
    "empty length": (post(b"Content-Length:"), 400),
    "19 digits": (post(b"Content-Length: " + b"1" * 19), 400),
    **{
        f"length {value!r}": (post(b"Content-Length: " + value), 400)
        for value in (b"5 5", *b'+5 -0 -5 0x5 5_0 5.0 5e1 5; "5" \xb2 \xd9\xa5 5, ,5 five 5\xa0'.split(b" "))
    },
    "two codings fields": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    "chunked twice": (post(b"Transfer-Encoding: chunked, chunked"), 400),
    "chunked not last": (post(b"Transfer-Encoding: chunked, gzip"), 400),
    "comma before chunked": (post(b"Transfer-Encoding: ,chunked"), 400),
    "comma after chunked": (post(b"Transfer-Encoding: chunked,"), 400),
    "chunked with a parameter": (post(b"Transfer-Encoding: chunked;p=1"), 400),
    "quoted chunked": (post(b'Transfer-Encoding: "chunked"'), 400),
    "empty coding": (post(b"Transfer-Encoding:"), 400),
    "vertical tab before chunked": (post(b"Transfer-Encoding: \x0bchunked"), 400),
    "form feed after chunked": (post(b"Transfer-Encoding: chunked\x0c"), 400),
    "no-break space before chunked": (post(b"Transfer-Encoding: \xa0chunked"), 400),
    "NEL after chunked": (post(b"Transfer-Encoding: chunked\x85"), 400),
    "NUL after chunked": (post(b"Transfer-Encoding: chunked\x00"), 400),
    "space in chunked": (post(b"Transfer-Encoding: chun ked"), 400),
    "coding by obs-fold": (post(b"Transfer-Encoding:", b" chunked"), 400),
    "coding in HTTP/1.0": (get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"), 400),
    "unknown coding": (post(b"Transfer-Encoding: gzip"), 501),
    "identity": (post(b"Transfer-Encoding: identity"), 501),
    "unknown coding before chunked": (post(b"Transfer-Encoding: gzip, chunked"), 501),
    "nearly chunked": (post(b"Transfer-Encoding: xchunked"), 501),
}

CONNECTIONS = {
    **{
        f"Connection names {name.decode()}": (get(b"Connection: close, " + name), 400)
        for name in b"host Content-Length transfer-encoding Authorization cookie X-Forwarded-For x-forwarded-proto x-request-id".split()
    },
    "Connection option is no token": (get(b"Connection: a b"), 400),
    "Connection option is quoted": (get(b'Connection: "close"'), 400),
    "unknown expectation": (post(b"Content-Length: 1", b"Expect: 200-ok"), 417),
    "expectation with a parameter": (post(b"Content-Length: 1", b"Expect: 100-continue;q=1"), 417),
    "two expectations": (post(b"Content-Length: 1", b"Expect: 100-continue", b"Expect: more"), 417),
}

_KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
_VERSION = b"Sec-WebSocket-Version: 13"
_UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")

HANDSHAKES = {
    "handshake with a length": (get(*_UPGRADE, _KEY, _VERSION, b"Content-Length: 5"), 400),
    "handshake with chunks": (get(*_UPGRADE, _KEY, _VERSION, b"Transfer-Encoding: chunked"), 400),
    "handshake without a key": (get(*_UPGRADE, _VERSION), 400),
    "handshake with a short key": (get(*_UPGRADE, b"Sec-WebSocket-Key: YQ==", _VERSION), 400),
    "handshake with two keys": (get(*_UPGRADE, _KEY, _KEY, _VERSION), 400),
    "handshake without a version": (get(*_UPGRADE, _KEY), 426),
    "handshake of version 8": (get(*_UPGRADE, _KEY, b"Sec-WebSocket-Version: 8"), 426),
}

SIZES = {
    "101 fields": (get(*[b"X: a"] * FIELD_LIMIT), 431),
    "value of 16 KiB and one byte": (get(b"X: " + b"a" * (VALUE_LIMIT + 1)), 431),
    "head of 60 KiB and one byte": (get(*[b"X: " + b"a" * 10_000] * 6 + [b"X: " + b"a" * 1500]), 431),
}

REFUSED = {**REQUEST_LINES, **FIELD_LINES, **HOSTS, **FRAMING, **CONNECTIONS, **HANDSHAKES, **SIZES}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_ambiguous_or_malformed_is_refused_with_its_status(data: bytes, status: int) -> None:
    """Nothing is repaired: the status is that of the attack catalogue's row (RFC 9112 2.2, 3, 3.2, 5, 6.1, 6.3; RFC 9110 8.6, 10.1.1)."""
    with pytest.raises(Refused) as refused:
        read(data)
    assert refused.value.status == status


@pytest.mark.parametrize("data", [data for data, _ in REFUSED.values()], ids=REFUSED.keys())
def test_what_is_refused_before_its_end_came_is_refused_with_it_too(data: bytes) -> None:
    """A verdict never depends on how the bytes were cut: what `refuse_early` refuses in any prefix, the whole head is refused for."""
    for size in range(0, len(data) - 4, max(len(data) // 500, 1)):
        try:
            refuse_early(data[:size])
        except Refused:
            with pytest.raises(Refused):
                read(data)
            return


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"\x16\x03\x01", 400),
        (b"PRI * HTTP/2.0\r\n", 505),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"GET /" + b"a" * LINE_LIMIT, 414),
        (get(b"X: " + b"a" * HEAD_LIMIT)[:-4], 431),
    ],
)
def test_what_is_wrong_already_is_not_waited_for(begun: bytes, status: int) -> None:
    """A head that can only be refused is refused before its end comes, so that nobody is kept waiting (RFC 9112 3, RFC 6585 5)."""
    with pytest.raises(Refused) as refused:
        refuse_early(begun)
    assert refused.value.status == status


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x02\n\x01", b"\x16\x03\x01\r\nHost: a\r\n\r\n"])
def test_tls_is_called_by_its_name(data: bytes) -> None:
    """A ClientHello (RFC 8446 5.1) has line feeds where chance has them: it is refused without waiting for one."""
    judge = read if data.endswith(b"\r\n\r\n") else refuse_early
    with pytest.raises(Refused, match="a TLS handshake, and plain HTTP is spoken here"):
        judge(data)


def test_a_field_of_nothing_but_spaces_costs_no_more_than_others() -> None:
    """60 KB of white space before a bad byte is judged in one pass: a reader that goes back would hang this test (CWE-1333)."""
    data = get(b"X:" + b" " * 60_000 + b"\x01")
    for _ in range(100):
        with pytest.raises(Refused):
            read(data)


# what passes

GOOD_BYTES = b"\t !\"#$%&'()*+,-./0123456789:;<=>?@ABC[\\]^_`abc{|}~\x80\xff"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"X: a", b"a"),
        (b"X:a", b"a"),
        (b"X: \t a \t ", b"a"),
        (b"X:", b""),
        (b"X: ", b""),
        (b"X: a b\tc", b"a b\tc"),
        (b"X: a: b", b"a: b"),
        (b"X: \xa0a\xa0", b"\xa0a\xa0"),
        (b"X: " + b"!" + GOOD_BYTES, b"!" + GOOD_BYTES),
        (b"X: " + b"a" * VALUE_LIMIT, b"a" * VALUE_LIMIT),
    ],
)
def test_a_value_passes_without_the_white_space_around_it(line: bytes, value: bytes) -> None:
    """OWS is space and tab only; obs-text and empty values are legal (RFC 9110 5.5)."""
    assert read(get(line)).fields == [(b"X", value)]


def test_every_token_character_may_stand_in_a_name_and_in_a_method() -> None:
    """RFC 9110 5.6.2."""
    token = b"!#$%&'*+-.^_`|~09AZaz"
    head = read(get(token + b": a", line=token + b" / HTTP/1.1"))
    assert (head.method, head.fields) == (token, [(token, b"a")])


def test_order_and_spelling_of_fields_stay() -> None:
    """Fields of one name keep their order (RFC 9110 5.3), and names pass as they were sent."""
    head = read(get(b"b: 1", b"A: 2", b"B: 3", b"a: 4"))
    assert head.fields == [(b"b", b"1"), (b"A", b"2"), (b"B", b"3"), (b"a", b"4")]


def test_as_many_fields_as_the_limit_pass() -> None:
    """100 fields, Host among them (catalogue 2.2)."""
    assert len(read(get(*[b"X: a"] * (FIELD_LIMIT - 1))).fields) == FIELD_LIMIT - 1


def test_a_target_as_long_as_the_limit_passes() -> None:
    """RFC 9110 4.1 asks for 8000 octets at least."""
    target = b"/" + b"a" * (TARGET_LIMIT - 1)
    assert read(get(line=b"GET " + target + b" HTTP/1.1")).path == target


@pytest.mark.parametrize("filler", [b"", b"/a" * 3000], ids=["short", "long"])
@pytest.mark.parametrize(
    ("target", "plain"),
    [
        (b"/a", True),
        (b"/-._~!$&'()*+,;=:@", True),
        (b"/a?b=%41[|]\xff", True),
        (b"http://a.example:80/a", True),
        (b"*", True),
        (b"/%41", False),
        (b"/a[", False),
        (b"/\xc3\xa4", False),
        (b"/a\\", False),
        (b"/a#b", False),
        (b"/a#?b", False),
    ],
)
def test_a_plain_target_needs_no_second_look(target: bytes, plain: bool, filler: bytes) -> None:
    """Plain is what has, up to its query, nothing but what RFC 3986 3.3 lets a path hold raw; `parse_target` relies on it."""
    for _ in range(2):  # read, and remembered where it is short
        head = read(get(line=b"GET " + filler + target + b" HTTP/1.1"))
        assert (head.path, head.plain_target) == (filler + target, plain)


@pytest.mark.parametrize("size", range(LONG_HEAD - 8, LONG_HEAD + 9))
def test_heads_on_both_sides_of_what_is_long(size: int) -> None:
    """A long head is cut another way into the same lines, whether its request line or its fields are long."""
    for target, value in ((b"/" + b"a" * size, b"b"), (b"/", b"b" * size)):
        head = read(get(b"X: " + value, b"Y: c", line=b"GET " + target + b" HTTP/1.1"))
        assert (head.path, head.authority, head.fields) == (target, b"a.example", [(b"X", value), (b"Y", b"c")])
    assert read(b"GET /" + b"a" * size + b" HTTP/1.0\r\n\r\n").fields == []


@pytest.mark.parametrize("at", [b"/a\x01?", b"/a?\x01", b"/a?\x7f", b"/a \xff?b", b"/a?b c"])
def test_a_long_target_is_looked_through(at: bytes) -> None:
    """Control bytes and spaces are refused wherever they stand (RFC 9112 3.2), before the query and in it."""
    filler = b"/a" * 3000
    for target in (filler + at, at + filler, filler + at + filler):
        with pytest.raises(Refused) as refused:
            read(get(line=b"GET " + target + b" HTTP/1.1"))
        assert refused.value.status == 400


def test_the_target_and_the_host_are_left_as_sent_for_their_own_reader() -> None:
    """`target.py` normalises, once the listener is known; raw bytes above ASCII reach it."""
    head = read(get(line=b"GET /%7e/../\xff?a=b?c HTTP/1.1"))
    assert (head.path, head.authority, head.version) == (b"/%7e/../\xff?a=b?c", b"a.example", b"1.1")


def test_http_1_0_needs_no_host_and_closes() -> None:
    """RFC 9112 3.2, 9.3."""
    head = read(b"GET / HTTP/1.0\r\n\r\n")
    assert (head.authority, head.version, head.keep_alive) == (b"", b"1.0", False)


def test_a_later_minor_version_is_read_as_1_1() -> None:
    """A recipient reads the highest minor version it knows (RFC 9110 2.5)."""
    head = read(get(line=b"GET / HTTP/1.7"))
    assert (head.version, head.keep_alive) == (b"1.1", True)


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ((), 0),
        ((b"Content-Length: 0",), 0),
        ((b"Content-Length: 5",), 5),
        ((b"Content-Length: 0005 ",), 5),
        ((b"content-length: " + b"9" * 18,), 10**18 - 1),
        ((b"Transfer-Encoding: chunked",), None),
        ((b"TRANSFER-ENCODING: \tCHUNKED ",), None),
    ],
)
def test_framing_is_derived(lines: tuple[bytes, ...], length: int | None) -> None:
    """Length in plain digits, or chunked exactly; neither field passes on, since it is written anew (RFC 9112 6.3)."""
    head = read(post(*lines))
    assert (head.length, head.fields) == (length, [])


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE"])
def test_any_method_may_have_a_body(method: bytes) -> None:
    """A body is announced by framing, never by the method (RFC 9112 6.3; the class of attacks called TE.0)."""
    assert read(get(b"Transfer-Encoding: chunked", line=method + b" / HTTP/1.1")).length is None


@pytest.mark.parametrize(
    ("version", "lines", "kept"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: close",), False),
        (b"1.1", (b"Connection: CLOSE",), False),
        (b"1.1", (b"Connection: x, close",), False),
        (b"1.1", (b"Connection: x", b"Connection: close"), False),
        (b"1.1", (b"Connection: close, keep-alive",), False),
        (b"1.1", (b"Connection: ",), True),
        (b"1.1", (b"Connection: ,, x ,",), True),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: keep-alive",), True),
        (b"1.0", (b"Connection: Keep-Alive",), True),
        (b"1.0", (b"Connection: x, keep-alive",), True),
        (b"1.0", (b"Connection: close, keep-alive",), False),
    ],
)
def test_whether_the_connection_is_kept(version: bytes, lines: tuple[bytes, ...], kept: bool) -> None:
    """`close` wins; HTTP/1.0 asks for keeping (RFC 9112 9.3)."""
    assert read(get(*lines, line=b"GET / HTTP/" + version)).keep_alive is kept


def test_hop_by_hop_fields_and_those_that_connection_names_do_not_pass() -> None:
    """RFC 9110 7.6.1: also what only the client's Connection makes hop-by-hop, whatever the spelling."""
    lines = (
        b"Connection: X-Own, keep-alive", b"x-own: 1", b"X-OWN: 2", b"X-Other: 3", b"Keep-Alive: timeout=5", b"Proxy-Connection: close",
        b"Proxy-Authorization: Basic YQ==", b"TE: gzip", b"Trailer: x", b"Upgrade: h2c", b"HTTP2-Settings: AA",
    )  # fmt: skip
    assert read(get(*lines)).fields == [(b"X-Other", b"3")]


@pytest.mark.parametrize("name", b"X_Forwarded_For x.forwarded.for X_Forwarded-Proto Content_Length transfer_encoding X_Request_ID".split())
def test_names_that_backends_may_take_for_protected_ones_do_not_pass(name: bytes) -> None:
    """CGI turns '-' and '_' into the same (catalogue 2.2, aliases of trusted names)."""
    assert read(post(name + b": 1")).fields == []


def test_identity_fields_are_kept_apart() -> None:
    """They are believed only from trusted peers (design.md 7), so they stand outside `fields`, in order and as sent."""
    head = read(get(b"X-Forwarded-Proto: https", b"X-Real-IP: 1.2.3.4", b"x-forwarded-proto: http"))
    assert head.fields == []
    assert head.identity == [(b"X-Forwarded-Proto", b"https"), (b"X-Real-IP", b"1.2.3.4"), (b"x-forwarded-proto", b"http")]


def test_forwarded_for_is_joined() -> None:
    """Several fields are one list (RFC 9110 5.3)."""
    head = read(get(b"X-Forwarded-For: 1.1.1.1", b"x-forwarded-for: 2.2.2.2, 3.3.3.3"))
    assert (head.forwarded_for, head.fields) == (b"1.1.1.1, 2.2.2.2, 3.3.3.3", [])


@pytest.mark.parametrize(
    ("value", "takes"), [(b"trailers", True), (b"gzip, Trailers", True), (b"gzip", False), (b"", False), (b"xtrailers", False)]
)
def test_whether_the_client_takes_trailers(value: bytes, takes: bool) -> None:
    """TE: trailers (RFC 9110 10.1.4)."""
    assert read(get(b"TE: " + value, b"Connection: te")).trailers is takes


def test_an_expectation_is_heard_but_not_from_http_1_0() -> None:
    """100-continue, without case; to be ignored in HTTP/1.0 (RFC 9110 10.1.1)."""
    lines = (b"Content-Length: 1", b"Expect: 100-Continue")
    assert read(post(*lines)).expects
    assert not read(get(*lines, line=b"POST / HTTP/1.0")).expects


def test_a_proper_websocket_handshake_asks_for_the_upgrade() -> None:
    """RFC 6455 4.2.1; tokens without case, in lists, in any order of fields."""
    head = read(get(b"Upgrade: foo, WebSocket", _VERSION, _KEY, b"Connection: keep-alive, Upgrade"))
    assert head.upgrade == b"websocket"
    assert head.fields == [(b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")]


@pytest.mark.parametrize(
    "data",
    [
        get(b"Connection: Upgrade", b"Upgrade: h2c"),
        get(b"Upgrade: websocket", _KEY, _VERSION),
        get(b"Connection: Upgrade", _KEY, _VERSION),
        get(*_UPGRADE, _KEY, _VERSION, line=b"POST / HTTP/1.1"),
        get(*_UPGRADE, _KEY, _VERSION, line=b"GET / HTTP/1.0"),
    ],
    ids=["unknown token", "not in Connection", "no Upgrade", "POST", "HTTP/1.0"],
)
def test_another_upgrade_is_dropped_and_the_request_served(data: bytes) -> None:
    """A server may ignore Upgrade, and must in HTTP/1.0 (RFC 9110 7.8)."""
    assert read(data).upgrade is None


# second opinion and properties

TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
VALUES = st.binary(max_size=20).map(lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F).strip(b" "))
PLAIN_NAMES = TOKENS.map(lambda token: b"x-" + token.replace(b"_", b"").replace(b".", b""))
TARGETS = st.text("abz019-._~%/?&=:@!$'()*+,;", max_size=40).map(lambda text: b"/" + text.encode())


@given(method=TOKENS, target=TARGETS, fields=st.lists(st.tuples(PLAIN_NAMES, VALUES), max_size=8), length=st.none() | st.integers(0, 99))
def test_valid_requests_are_read_as_h11_reads_them(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], length: int | None
) -> None:
    """Method, target, fields and body of a valid request are the same for both (RFC 9112)."""
    body = b"b" * (length or 0)
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    lines = [b"%b:%b" % pair for pair in fields]
    data = get(framing, *lines, line=b"%b %b HTTP/1.1" % (method, target))
    head = read(data)
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(data + (b"0\r\n\r\n" if length is None else body))
    request = reader.next_event()
    assert isinstance(request, h11.Request)
    assert (head.method, head.path) == (request.method, request.target)
    theirs = [pair for pair in request.headers.raw_items() if pair[0].lower() not in (b"host", b"content-length", b"transfer-encoding")]
    assert head.fields == theirs
    read_by_h11 = b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        read_by_h11 += event.data
    assert len(read_by_h11) == (head.length or 0)


STATUSES = {200, 400, 414, 417, 426, 431, 501, 505}


def verdict(judge: Callable[[bytes], object], data: bytes) -> int:
    """The status of the refusal; 200 without one."""
    try:
        judge(data)
    except Refused as refused:
        return refused.status
    return 200


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read_and_nothing_else(noise: bytes) -> None:
    """No input raises anything but Refused, with a status of the client's errors or 501 and 505."""
    for data in (noise, b"GET / HTTP/1.1\r\n" + noise, get(noise)):
        assert verdict(refuse_early, data) in STATUSES
        assert verdict(read, data + b"\r\n\r\n") in STATUSES


GOOD = [get(b"X: a"), post(b"Content-Length: 5"), get(*_UPGRADE, _KEY, _VERSION)]


@given(st.sampled_from([*GOOD, *[data for data, _ in REFUSED.values()]]), st.data())
def test_an_early_verdict_is_never_taken_back(seed: bytes, data: st.DataObject) -> None:
    """Whatever a changed byte makes of a head: refused in a prefix means refused in full, so that cutting changes nothing."""
    seed = seed[:300] + b"\r\n\r\n"
    at = data.draw(st.integers(0, len(seed) - 5))
    changed = seed[:at] + bytes((data.draw(st.integers(0, 255)),)) + seed[at + 1 :]
    whole = changed[: changed.index(b"\r\n\r\n") + 4]
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        refuse_early(whole[:cut])
    except Refused:
        with pytest.raises(Refused):
            read(whole)


@given(st.lists(st.tuples(PLAIN_NAMES, VALUES), max_size=12))
def test_what_passes_is_exactly_what_was_sent(fields: list[tuple[bytes, bytes]]) -> None:
    """Ordinary fields are neither lost, nor added, nor reordered."""
    assert read(get(*[b"%b: %b" % pair for pair in fields])).fields == fields


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_fields_that_were_read_before_are_read_the_same(version: bytes) -> None:
    """With another request line too, and whatever became of the first ones."""
    fields = b"Host: repeated.example\r\nConnection: keep-alive\r\nX-Kind: a\r\n\r\n"
    for number in range(3):
        head = read(b"GET /%d HTTP/1.1\r\n" % number + fields)
        head.fields.append((b"x", b"y"))
    head = read(b"POST /other HTTP/%b\r\n" % version + fields)
    assert (head.method, head.path, head.authority, head.version) == (b"POST", b"/other", b"repeated.example", version)
    assert (head.fields, head.keep_alive) == ([(b"X-Kind", b"a")], True)


def test_a_host_is_missed_among_fields_that_were_read_before() -> None:
    """HTTP/1.0 may leave it out, which says nothing of what HTTP/1.1 may."""
    for _ in range(3):
        read(b"GET / HTTP/1.0\r\nX-Only: a\r\n\r\n")
    with pytest.raises(Refused, match="no Host"):
        read(b"GET / HTTP/1.1\r\nX-Only: a\r\n\r\n")


def test_fields_of_clients_are_not_kept_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many nor long ones fill the memory, and secrets are never kept, nor what is said but once."""
    monkeypatch.setattr(request, "_SECTIONS", {})
    for number in range(2_000):
        for _ in range(2):
            read(b"GET / HTTP/1.1\r\nHost: a\r\nx: %d\r\n\r\n" % number)
    read(b"GET / HTTP/1.1\r\nHost: once\r\n\r\n")
    for line in (b"Authorization: secret", b"x: " + b"y" * 2_000):
        for _ in range(3):
            read(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % line)
    assert 0 < len(request._SECTIONS) <= 512
    assert max(map(len, request._SECTIONS)) <= 1024
    assert not any(b"secret" in section or b"once" in section for section in request._SECTIONS)
