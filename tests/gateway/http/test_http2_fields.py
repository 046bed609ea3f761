"""One HTTP/2 field: its kind, and what makes it malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import fields as kinds
from gateway.http import http2_fields
from gateway.http.fields import read_line
from gateway.http.http2_fields import CONNECTION_SPECIFIC, COOKIE, MALFORMED, OVERSIZED, fault, field_line
from gateway.http.request import VALUE_LIMIT

GOOD = {
    (b":method", b"GET"): http2_fields.METHOD,
    (b":method", b"x-own!"): http2_fields.METHOD,
    (b":scheme", b"http"): http2_fields.SCHEME,
    (b":scheme", b"https"): http2_fields.SCHEME,
    (b":path", b"/\xff?a=b"): http2_fields.PATH,
    (b":path", b"*"): http2_fields.PATH,
    (b":authority", b"a.example:80"): http2_fields.AUTHORITY,
    (b":protocol", b"websocket"): http2_fields.PROTOCOL,
    (b":status", b"599"): http2_fields.STATUS,
    (b"cookie", b"a=b"): COOKIE,
    (b"x", b""): 0,
    (b"x", b"a\tb \xa0"): 0,
    (b"!#$%&'*+-.^_`|~09az", b"x"): 0,
    (b"host", b"a"): kinds.HOST,
    (b"content-length", b"5"): kinds.CONTENT_LENGTH,
    (b"te", b"trailers"): kinds.TE,
    (b"expect", b"100-continue"): kinds.EXPECT,
    (b"x-forwarded-for", b"1.2.3.4"): kinds.FORWARDED_FOR,
    (b"x-request-id", b"1"): kinds.IDENTITY,
    (b"x_forwarded_for", b"1"): kinds.DROPPED,
    (b"trailer", b"x"): kinds.DROPPED,
    (b"proxy-authorization", b"x"): kinds.DROPPED,
    (b"x", b"a" * (VALUE_LIMIT + 1)): OVERSIZED,
    (b"x", b"a" * VALUE_LIMIT): 0,
    (b"connection", b"close"): CONNECTION_SPECIFIC,
    (b"connection", b""): CONNECTION_SPECIFIC,
    (b"keep-alive", b"5"): CONNECTION_SPECIFIC,
    (b"proxy-connection", b"close"): CONNECTION_SPECIFIC,
    (b"transfer-encoding", b"chunked"): CONNECTION_SPECIFIC,
    (b"upgrade", b"h2c"): CONNECTION_SPECIFIC,
}


@pytest.mark.parametrize(("field", "kind"), GOOD.items(), ids=[f"{name!r} {value[:20]!r}" for name, value in GOOD])
def test_a_field_has_its_kind_and_its_line(field: tuple[bytes, bytes], kind: int) -> None:
    """RFC 9113 8.2, 8.3; only ordinary fields are ever written as lines."""
    name, value = field
    line = b"" if name.startswith(b":") else name + b": " + value + b"\r\n"
    for _ in range(2):  # a name is judged once
        assert field_line(name, value) == (kind, name, value, line)


BAD = {
    "upper case": (b"Accept", b"x"),
    "upper case in a pseudo-header field": (b":Path", b"/"),
    "empty name": (b"", b"x"),
    "space in a name": (b"a b", b"x"),
    "colon in a name": (b"a:b", b"x"),
    "line feed in a name": (b"a\nb", b"x"),
    "byte above ASCII in a name": (b"a\xe9", b"x"),
    "unknown pseudo-header field": (b":foo", b"x"),
    "colon alone": (b":", b"x"),
    **{f"byte {byte!r} in a value": (b"x", b"a" + byte + b"b") for byte in (b"\x00", b"\r", b"\n", b"\x01", b"\x0b", b"\x7f")},
    **{f"{value!r} has white space around it": (b"x", value) for value in (b" a", b"a ", b"\ta", b"a\t", b" ")},
    **{
        f"{name.decode()} {value!r}": (name, value)
        for name, values in {
            b":method": (b"", b"GET /", b"GE\tT", b"GET\r\n", b"G\xc9T", b"G@T"),
            b":path": (b"", b"/a b", b" /", b"/\t", b"/\x00", b"/\r\nx: y", b"/\x7f"),
            b":scheme": (b"", b"ftp", b"HTTPS", b"http ", b"http://a/", b"http\n"),
            b":authority": (b"", b"u@a", b"u:p@a.example", b"a b", b" a", b"a\x00", b"a\r\nx: y"),
            b":protocol": (b"", b"web socket", b"\n"),
            b":status": (b"", b"99", b"600", b"2000", b"abc", b"20\n", b" 200", b"+20", b"099"),
        }.items()
        for value in values
    },
}


@pytest.mark.parametrize("field", BAD.values(), ids=BAD.keys())
def test_what_may_not_be_sent_is_malformed_and_says_why(field: tuple[bytes, bytes]) -> None:
    """RFC 9113 8.2.1, 8.3.1, 8.3.2, RFC 8441 4; control bytes and white space as HTTP/1.1 refuses them (RFC 9110 5.5)."""
    for _ in range(2):
        line = field_line(*field)
        assert line[0] == MALFORMED
        assert fault(line)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (b"connection", b"x", "connection-specific field 'connection'"),
        (b":foo", b"x", "unknown pseudo-header field ':foo'"),
        (b":path", b"", "bad value of ':path'"),
        (b"Accept", b"x", "upper case in the field name 'Accept'"),
        (b"a b", b"x", "the field name 'a b' is not a token"),
        (b"x" * 100, b" a", f"white space around the value of '{'x' * 64}'"),
        (b"x", b"a\x00", "control byte in the value of 'x'"),
    ],
)
def test_the_reason_names_the_field(name: bytes, value: bytes, words: str) -> None:
    """For the log: what is wrong, and where, but not the value."""
    assert fault(field_line(name, value)) == words


@given(name=st.text("abz-_09", min_size=1, max_size=8).map(str.encode), value=st.binary(max_size=12))
def test_an_ordinary_field_means_what_it_means_in_http_1(name: bytes, value: bytes) -> None:
    """What passes here is read by the reader of HTTP/1.1 as the same field of the same kind (RFC 9112 5)."""
    line = field_line(name, value)
    if line[0] not in (MALFORMED, CONNECTION_SPECIFIC, COOKIE):
        assert read_line(line[3][:-1]) == line
