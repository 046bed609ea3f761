"""The head of an HTTP/2 response from a backend: what is malformed, what passes, and what its length is."""

from __future__ import annotations

import pytest

from gateway.http.head import Fields, ResponseHead
from gateway.http.http2_fields import field_line
from gateway.http.http2_response import read_response
from gateway.http.response import MalformedResponse


def read(*sent: tuple[bytes, bytes], method: bytes = b"GET", ended: bool = False) -> ResponseHead:
    return read_response([field_line(*pair) for pair in sent], method, ended)


def ok(*sent: tuple[bytes, bytes], status: bytes = b"200") -> Fields:
    return [(b":status", status), *sent]


MALFORMED = {
    "nothing": [],
    "no :status": [(b"a", b"b")],
    ":status after a field": [(b"a", b"b"), (b":status", b"200")],
    "two :status": ok((b":status", b"200")),
    **{f":status {status!r}": ok(status=status) for status in (b"", b"99", b"600", b"2000", b"abc", b"20\n", b" 200", b"+20", b"\xb200")},
    ":status 101": ok(status=b"101"),
    **{
        f"{name.decode()} of a request": ok((name, value))
        for name, value in ((b":path", b"/"), (b":method", b"GET"), (b":authority", b"a"))
    },
    "unknown pseudo-header field": ok((b":foo", b"x")),
    "upper case in a name": ok((b"A", b"b")),
    "line feed in a value": ok((b"a", b"b\nc: d")),
    "control byte in a value": ok((b"a", b"\x01")),
    "space before a value": ok((b"a", b" b")),
    "connection": ok((b"connection", b"close")),
    "keep-alive": ok((b"keep-alive", b"timeout=5")),
    "transfer-encoding": ok((b"transfer-encoding", b"chunked")),
    "upgrade": ok((b"upgrade", b"h2c")),
    "two lengths": ok((b"content-length", b"5"), (b"content-length", b"6")),
    "two equal lengths": ok((b"content-length", b"5"), (b"content-length", b"5")),
    **{f"length {value!r}": ok((b"content-length", value)) for value in (b"", b"5, 5", b"1" * 19, *b"+5 -5 0x5 5_0 \xb2".split())},
    "length in a 1xx": ok((b"content-length", b"5"), status=b"103"),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_response_is_not_passed_on(sent: Fields) -> None:
    """RFC 9113 8.1.1, 8.2, 8.2.2, 8.3.2, 8.6; backends are not trusted either (design.md 7)."""
    with pytest.raises(MalformedResponse):
        read(*sent)


@pytest.mark.parametrize(
    ("sent", "method"),
    [(ok((b"content-length", b"5")), b"GET"), (ok((b"content-length", b"5"), status=b"404"), b"POST"), (ok(status=b"103"), b"GET")],
)
def test_a_length_without_a_body_is_malformed_and_so_is_an_interim_end(sent: Fields, method: bytes) -> None:
    """RFC 9113 8.1 and 8.1.1."""
    with pytest.raises(MalformedResponse):
        read(*sent, method=method, ended=True)


def test_a_list_beyond_the_limit_is_malformed() -> None:
    """The decoder read no more of it."""
    with pytest.raises(MalformedResponse):
        read_response(None, b"GET", False)


@pytest.mark.parametrize(
    ("sent", "method", "ended", "length"),
    [
        (ok(), b"GET", False, None),
        (ok(), b"GET", True, 0),
        (ok((b"content-length", b"5")), b"GET", False, 5),
        (ok((b"content-length", b"0")), b"GET", True, 0),
        (ok((b"content-length", b"005")), b"GET", False, 5),
        (ok((b"content-length", b"5")), b"HEAD", True, 5),
        (ok((b"content-length", b"5")), b"HEAD", False, 5),
        (ok(), b"HEAD", True, None),
        (ok((b"content-length", b"5"), status=b"304"), b"GET", True, 5),
        (ok(status=b"304"), b"GET", True, None),
        (ok(status=b"204"), b"GET", True, None),
        (ok((b"content-length", b"0"), status=b"204"), b"GET", True, 0),
        (ok(status=b"100"), b"GET", False, None),
    ],
)
def test_the_length_is_that_of_the_body_or_what_head_would_have_got(sent: Fields, method: bytes, ended: bool, length: int | None) -> None:
    """RFC 9110 8.6; the field itself does not pass, since it is written anew."""
    head = read(*sent, method=method, ended=ended)
    assert (head.length, head.lines) == (length, [])


def test_a_response_looks_like_one_of_http_1() -> None:
    """The status line with its phrase, for clients of HTTP/1.1; a status without a phrase has none (RFC 9112 4)."""
    head = read(*ok((b"server", b"x"), (b"set-cookie", b"a"), (b"set-cookie", b"b"), status=b"404"))
    assert (head.status, head.reason, head.line) == (404, b"Not Found", b"HTTP/1.1 404 Not Found\r\n")
    assert head.fields == [(b"server", b"x"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
    for _ in range(2):
        assert read(*ok(status=b"599")).line == b"HTTP/1.1 599 \r\n"


def test_fields_that_mean_something_in_requests_pass_or_do_not_as_in_http_1() -> None:
    """Hop-by-hop fields do not (RFC 9110 7.6.1); a long value does."""
    sent = ((b"host", b"a"), (b"x-request-id", b"1"), (b"cookie", b"c"), (b"x", b"y" * 20_000))
    assert read(*ok(*sent, (b"te", b"gzip"), (b"trailer", b"x"), (b"expect", b"x"), (b"x-forwarded-for", b"1"))).fields == list(sent)
