"""RequestRedirect (HTTPRequestRedirectFilter): the parts of Location."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filters.compile import compile_filters
from gateway.filters.passage import Passage
from gateway.http.head import LocalReply, RequestHead
from gateway.ir.filters import PathModifier, RequestRedirect


def answer(rule: RequestRedirect, head: RequestHead, passage: Passage) -> LocalReply:
    (request_filter,) = compile_filters((rule,)).request
    reply = request_filter(head, passage)
    assert reply is not None
    return reply


def head(path: bytes = b"/p", query: bytes | None = None, host: bytes = b"a.example") -> RequestHead:
    return RequestHead(b"GET", path, query, host + b":8080" if host else b"", host)


def location(rule: RequestRedirect, head: RequestHead, passage: Passage) -> bytes:
    ((name, value),) = answer(rule, head, passage).fields
    assert name == b"location"
    return value


PORTS = [
    # listener's scheme and port, filter's scheme and port, what stands before the path
    ("http", 80, None, None, "http://a.example"),
    ("http", 80, None, 80, "http://a.example"),
    ("http", 80, None, 8080, "http://a.example:8080"),
    ("http", 80, "https", None, "https://a.example"),
    ("http", 80, "https", 443, "https://a.example"),
    ("http", 80, "https", 8443, "https://a.example:8443"),
    ("http", 8080, None, None, "http://a.example:8080"),
    ("http", 8080, None, 80, "http://a.example"),
    ("http", 8080, "http", None, "http://a.example"),
    ("http", 8080, "https", None, "https://a.example"),
    ("http", 443, None, None, "http://a.example:443"),
    ("https", 443, None, None, "https://a.example"),
    ("https", 443, None, 443, "https://a.example"),
    ("https", 443, None, 8443, "https://a.example:8443"),
    ("https", 443, None, 80, "https://a.example:80"),
    ("https", 443, "http", None, "http://a.example"),
    ("https", 443, "http", 80, "http://a.example"),
    ("https", 443, "http", 8080, "http://a.example:8080"),
    ("https", 8443, None, None, "https://a.example:8443"),
    ("https", 8443, "https", None, "https://a.example"),
]


@pytest.mark.parametrize(("scheme", "listener_port", "new_scheme", "new_port", "expected"), PORTS)
def test_scheme_and_port(
    scheme: str, listener_port: int, new_scheme: Literal["http", "https"] | None, new_port: int | None, expected: str
) -> None:
    """Port: the filter's, else the well-known one of the filter's scheme, else the listener's; 80 and 443 are left out for their scheme."""
    rule = RequestRedirect(scheme=new_scheme, port=new_port)
    assert location(rule, head(), Passage(scheme.encode(), listener_port)) == expected.encode() + b"/p"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_status(status: Literal[301, 302, 303, 307, 308]) -> None:
    """Every status of the enum is answered as given."""
    reply = answer(RequestRedirect(status=status), head(), Passage(b"http", 80))
    assert (reply.status, reply.reason, reply.flag, reply.body) == (status, "redirect", "", b"")


def test_default_status() -> None:
    """302 unless told (HTTPRequestRedirectFilter.statusCode)."""
    assert answer(RequestRedirect(), head(), Passage(b"http", 80)).status == 302


@pytest.mark.parametrize(
    ("path", "request_path", "expected"),
    [
        (None, b"/foo/bar", b"/foo/bar"),
        (PathModifier("ReplaceFullPath", "/one"), b"/foo/bar", b"/one"),
        (PathModifier("ReplacePrefixMatch", "/xyz"), b"/foo/bar", b"/xyz/bar"),
        (PathModifier("ReplacePrefixMatch", "/xyz/"), b"/foo/", b"/xyz/"),
        (PathModifier("ReplacePrefixMatch", ""), b"/foo", b"/"),
        (None, b"*", b"/"),
    ],
)
@pytest.mark.parametrize("query", [None, b"", b"a=1&b=2"])
def test_path_and_query(path: PathModifier | None, request_path: bytes, expected: bytes, query: bytes | None) -> None:
    """The path is kept or replaced, the query is kept, an empty one too."""
    value = location(RequestRedirect(hostname="b.example", path=path), head(request_path, query), Passage(b"http", 80, b"/foo"))
    assert value == b"http://b.example" + expected + (b"" if query is None else b"?" + query)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        (b"/a\xe9", None, b"/a%E9"),
        (b'/"<>^`{|}', None, b"/%22%3C%3E%5E%60%7B%7C%7D"),
        (b"/a%2Fb", b"q=%2F", b"/a%2Fb?q=%2F"),
        (b"/", b'x="y z"', b"/?x=%22y%20z%22"),
        (b"/", b"a[]=1&p=100%&u=%zz", b"/?a%5B%5D=1&p=100%25&u=%25zz"),
        (b"/", b"a?b/c", b"/?a?b/c"),
        (b"//evil.example/", None, b"//evil.example/"),
    ],
)
def test_location_is_a_uri(path: bytes, query: bytes | None, expected: bytes) -> None:
    """What may not stand in a URI is percent-encoded (RFC 3986 2.1), and Location is absolute even if the path begins with '//'."""
    assert location(RequestRedirect(), head(path, query), Passage(b"https", 443)) == b"https://a.example" + expected


@given(st.binary(), st.none() | st.binary())
def test_no_request_breaks_the_field(path: bytes, query: bytes | None) -> None:
    """Whatever stands in the target, Location holds printable ASCII without spaces."""
    value = location(RequestRedirect(), head(b"/" + path, query), Passage(b"http", 80))
    assert all(0x21 <= byte <= 0x7E for byte in value)


def test_ipv6_host() -> None:
    """The Host is taken without its port; an address keeps its brackets."""
    assert location(RequestRedirect(), head(host=b"[::1]"), Passage(b"http", 8080)) == b"http://[::1]:8080/p"


def test_without_a_host_there_is_nowhere_to_go() -> None:
    """An HTTP/1.0 request without Host can be redirected only by a filter that names the host."""
    assert answer(RequestRedirect(scheme="https"), head(host=b""), Passage(b"http", 80)).status == 400
    assert location(RequestRedirect(hostname="b.example"), head(host=b""), Passage(b"http", 80)) == b"http://b.example/p"


def test_prefix_without_match() -> None:
    """ReplacePrefixMatch where no prefix matched is answered 500 with the reason, never with a guess."""
    reply = answer(RequestRedirect(path=PathModifier("ReplacePrefixMatch", "/x")), head(), Passage(b"http", 80))
    assert (reply.status, reply.reason) == (500, "ReplacePrefixMatch, but no path prefix matched")


@pytest.mark.parametrize(
    "fields", [{"hostname": "a\r\nb"}, {"hostname": "a/b"}, {"hostname": ""}, {"path": PathModifier("ReplaceFullPath", "/\n")}]
)
def test_refused_values(fields: dict[str, Any]) -> None:
    """Nothing that would break Location is compiled."""
    with pytest.raises(ValueError, match=r"filters\[0\] \(RequestRedirect\): "):
        compile_filters((RequestRedirect(**fields),))
